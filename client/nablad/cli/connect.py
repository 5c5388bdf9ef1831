"""To which server a command speaks."""

from __future__ import annotations

import importlib.util
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from nablad.cli.errors import CommandError

if TYPE_CHECKING:
    from nablad.client import Client

DEFAULT_SERVER = "localhost:50051"
_SERVER_NEEDS = ("scipy", "pydantic", "threadpoolctl", "grpc_health", "grpc_reflection")


def require_server_extra() -> None:
    """Raise CommandError if this installation has no server to start."""
    if any(importlib.util.find_spec(name) is None for name in _SERVER_NEEDS):
        raise CommandError("the server is not installed: pip install 'nablad[server]'")


def _is_address(server: str) -> bool:
    host, _, port = server.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536


def connect(server: str | None, *, workers: int) -> AbstractContextManager[Client]:
    """A client of the given server, or of one started for the purpose, which ends with it."""
    from nablad.client import Client

    if server is not None and not _is_address(server):
        raise CommandError(f"--server {server!r}: HOST:PORT is needed, such as {DEFAULT_SERVER}")
    return Client.connect(server) if server is not None else Client.embedded(workers=workers)
