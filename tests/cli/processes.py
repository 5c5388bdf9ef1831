"""The real command `nablad` as a process, in a pipe or on a pseudo-terminal of a given size."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable

COMMAND = [sys.executable, "-m", "nablad.cli"]


def environment(**extra: str) -> dict[str, str]:
    """The environment without what would steer the display or name a server."""
    steering = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "NABLAD_SERVER", "PYTHONIOENCODING"}
    return {k: v for k, v in os.environ.items() if k not in steering} | {"TERM": "xterm-256color"} | extra


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Piped = Callable[..., "subprocess.CompletedProcess[str]"]


class Terminal:
    """A command on a pseudo-terminal; everything that it writes is in `output`."""

    def __init__(self, arguments: tuple[str, ...], columns: int, lines: int, extra: dict[str, str]) -> None:
        self.output = ""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(**extra),
            start_new_session=True,
        )
        os.close(slave)

    def wait_for(self, text: str, seconds: float = 30.0) -> None:
        """Read until the text has come."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            assert self._read(deadline), f"{text!r} did not come; so far:\n{self.output}"

    def wait(self, seconds: float = 60.0) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def interrupt(self) -> None:
        """Ctrl-C as a terminal sends it: to the whole foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        try:
            data = os.read(self._master, 65536) if ready else b""
        except OSError:
            # Linux says so when the other side has closed.
            data = b""
        self.output += data.decode(errors="replace")
        return bool(data)

    def close(self) -> None:
        """End the command if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
