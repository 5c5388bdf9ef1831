"""A running server, and the command `nablad` in a pipe or on a terminal."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli.processes import COMMAND, Piped, Terminal, closed_port, environment

from nablad.client import Client, NabladError


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a running `nablad serve` with two workers."""
    address = f"127.0.0.1:{closed_port()}"
    process = subprocess.Popen(
        [*COMMAND, "serve", "--listen", address, "--workers", "2"], stderr=subprocess.DEVNULL, env=environment()
    )
    try:
        deadline = time.monotonic() + 30.0
        while True:
            try:
                with Client.connect(address) as client:
                    list(client.jobs())
                break
            except NabladError:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.1)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@pytest.fixture(scope="session")
def nablad() -> Piped:
    """Run `nablad ARGUMENTS` in a pipe, to its end."""

    def run(
        *arguments: str, stdin: str = "", cwd: Path | None = None, timeout: float = 60.0, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=cwd,
            env=environment(**extra),
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Start `nablad ARGUMENTS` on a terminal."""
    opened: list[Terminal] = []

    def start(*arguments: str, columns: int = 80, lines: int = 24, **extra: str) -> Terminal:
        opened.append(Terminal(arguments, columns, lines, extra))
        return opened[-1]

    yield start
    for each in opened:
        each.close()
