"""A server's directory: its own by a lock, and gone with it, even after kill -9."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from server.running import COMMAND, TIMEOUT

from nablad.server.datasets.files import DatasetFiles
from nablad.server.home import LEFT_SECONDS, home

HOLDER = (
    "import time; from nablad.server.home import home\nwith home(None) as path: print(path, flush=True); time.sleep(60)"
)


def test_two_servers_cannot_have_one_data_directory(tmp_path: Path) -> None:
    with home(tmp_path):
        command = [*COMMAND, "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path)]
        second = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert second.returncode == 1
    (line,) = second.stderr.splitlines()
    assert str(tmp_path) in line
    assert "in use" in line
    with home(tmp_path):
        pass


def test_what_a_killed_server_left_is_removed_and_what_a_living_one_uses_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    command = [sys.executable, "-c", HOLDER]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    left = []
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        left.append(Path(process.stdout.readline().strip()))
    killed, living = processes
    killed.kill()
    killed.communicate()
    with home(None) as young:
        assert left[0].exists(), "too young to be known as left"
    assert not young.exists()
    for path in left:
        os.utime(path, (time.time() - 2 * LEFT_SECONDS,) * 2)
    with home(None):
        assert [path.exists() for path in left] == [False, True]
    living.kill()
    living.communicate()


def test_a_damaged_description_is_as_good_as_none(tmp_path: Path) -> None:
    files = DatasetFiles(tmp_path)
    array = np.arange(5.0)
    name = files.put(array).name
    (tmp_path / f"{name.rpartition('/')[2]}.json").write_text("{")
    assert files.scan() == []
    assert files.put(array).name == name
    np.testing.assert_array_equal(files.open(name), array)
