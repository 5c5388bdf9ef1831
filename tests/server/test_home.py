"""A server's directory: its own by a lock, and gone with it, even after kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from server.running import COMMAND, TIMEOUT, data, serving, wait_for

from nablad.server.home import LEFT_SECONDS, PREFIX


def test_two_servers_cannot_have_one_data_directory(tmp_path: Path) -> None:
    with serving("--data-dir", str(tmp_path), workers=1):
        command = [*COMMAND, "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path)]
        second = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert second.returncode == 1
    (line,) = second.stderr.splitlines()
    assert str(tmp_path) in line
    assert "in use" in line


def test_a_killed_server_is_tidied_up_by_the_next_and_a_living_one_left_alone(tmp_path: Path) -> None:
    environment = {"TMPDIR": str(tmp_path)}
    with serving(workers=1, environment=environment) as killed:
        killed.upload(data()[0])
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait(TIMEOUT)
    (left,) = tmp_path.glob(f"{PREFIX}*")
    with serving(workers=1, environment=environment) as living:
        assert left.exists(), "too young to be known as left"
        long_ago = time.time() - 2 * LEFT_SECONDS
        for path in tmp_path.glob(f"{PREFIX}*"):
            os.utime(path, (long_ago, long_ago))
        with serving(workers=1, environment=environment):
            assert not left.exists()
            assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 2
        living.upload(data()[0])
    wait_for(lambda: not list(tmp_path.iterdir()), "the directories to go")


def test_a_damaged_description_does_not_keep_a_server_from_starting(tmp_path: Path) -> None:
    array = data()[0]
    with serving("--data-dir", str(tmp_path), workers=1) as first:
        name = first.upload(array).name
    (tmp_path / "datasets" / f"{name.rpartition('/')[2]}.json").write_text("{")
    with serving("--data-dir", str(tmp_path), workers=1) as second:
        assert second.upload(array).name == name
