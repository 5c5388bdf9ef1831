"""A server of one's own: a child process that serves this client only, and ends with it.

The child is `python -m nablad.server --embedded`. It reads a random token as one line from its stdin, listens on a free
port of the loopback, and writes one JSON line, {"port": ...}, to its stdout. Its stdin stays open as long as we live:
the kernel closes it when we end, however that comes about, and the child exits at its EOF. For that no other child of
ours may hold the pipe's write end: Python's pipes are not inherited, and `close_fds` holds for whatever else is open.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import secrets
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import grpc

from nablad.client.errors import NabladError
from nablad.client.transport import call_metadata

NEEDS = ("scipy", "pydantic", "threadpoolctl", "grpc_health", "grpc_reflection")
START_SECONDS = 30.0
STOP_SECONDS = 5.0
_HEALTH = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"  # HealthCheckResponse{status: SERVING}


@dataclass(frozen=True)
class EmbeddedServer:
    """A running child and how to reach it."""

    process: subprocess.Popen[bytes]
    target: str
    token: str

    def stop(self) -> None:
        """Asks the child to end by closing its stdin; insists after a few seconds."""
        _end(self.process)


def start(workers: int | None = None, arguments: Sequence[str] = ()) -> EmbeddedServer:
    """Starts a server and waits until it is healthy. `arguments` are more of its command line.

    NabladError, with what the server said, if it does not become healthy.
    """
    if any(importlib.util.find_spec(name) is None for name in NEEDS):
        raise NabladError("the server is not installed: pip install 'nablad[server]'")
    command = [sys.executable, "-m", "nablad.server", "--embedded"]
    if workers is not None:
        command += ["--workers", str(workers)]
    command += arguments
    deadline = time.monotonic() + START_SECONDS
    token = secrets.token_urlsafe(32)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            close_fds=True,
            start_new_session=True,  # a Ctrl-C is ours to handle: the child must live to give the best point
        )
        try:
            port = _handshake(process, token, deadline)
            target = f"127.0.0.1:{port}"
            _wait_until_healthy(process, target, token, deadline)
        except _NotReady as problem:
            _end(process)
            raise NabladError(f"the embedded server {problem}{_last_line(log)}") from None
        except BaseException:
            _end(process)
            raise
    return EmbeddedServer(process, target, token)


class _NotReady(Exception):
    """The child did not come up; the text goes on from "the embedded server"."""


def _handshake(process: subprocess.Popen[bytes], token: str, deadline: float) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(token.encode() + b"\n")
        process.stdin.flush()
    line = _read_line(process.stdout, deadline)
    if not line.endswith(b"\n"):
        raise _NotReady("did not start")
    try:
        return int(json.loads(line)["port"])
    except (ValueError, KeyError, TypeError):
        raise _NotReady(f"said {line!r} in place of its port") from None


def _read_line(stream: IO[bytes], deadline: float) -> bytes:
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while not line.endswith(b"\n") and selector.select(max(0.0, deadline - time.monotonic())):
            data = stream.read1(4096)  # type: ignore[attr-defined]
            if not data:
                break
            line += data
    return line


def _wait_until_healthy(process: subprocess.Popen[bytes], target: str, token: str, deadline: float) -> None:
    metadata = call_metadata(token)
    with grpc.insecure_channel(target) as channel:
        check: Any = channel.unary_unary(_HEALTH)
        while time.monotonic() < deadline:
            try:
                if check(b"", timeout=5.0, metadata=metadata) == _SERVING:
                    return
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise _NotReady(f"refused a health check: {error.details()}") from None
            if process.poll() is not None:
                raise _NotReady("ended at once")
            time.sleep(0.02)
    raise _NotReady(f"was not healthy after {START_SECONDS:.0f} s")


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    for insist in (_close_stdin, subprocess.Popen.terminate, subprocess.Popen.kill):
        insist(process)
        try:
            process.wait(STOP_SECONDS)
            break
        except subprocess.TimeoutExpired:
            continue
    if process.stdout is not None:
        process.stdout.close()


def _close_stdin(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
