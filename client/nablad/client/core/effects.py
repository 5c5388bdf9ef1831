"""Effects: the seven things that an operation may ask of a transport."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any, NewType, TypeAlias, TypeVar

from nablad.wire.errors import ErrorDetails

StreamHandle = NewType("StreamHandle", object)
"""A stream of replies; only the transport looks inside."""


@dataclass(frozen=True)
class Rpc:
    """A method of the service."""

    path: str
    """`/package.Service/Method`."""
    quick: bool = False
    """Whether the server answers from what it has: the client's timeout holds."""
    deletes: bool = False
    """Whether NOT_FOUND, at a second try, means that the first one did it."""


@dataclass(frozen=True)
class Call:
    """One request, one reply: gives the reply's bytes."""

    rpc: Rpc
    request: bytes
    timeout: float | None


@dataclass(frozen=True)
class Send:
    """A stream of requests, one reply: gives the reply's bytes."""

    rpc: Rpc
    requests: Iterable[bytes]


@dataclass(frozen=True)
class Open:
    """One request, a stream of replies: gives a StreamHandle. `timeout` ends the stream."""

    rpc: Rpc
    request: bytes
    timeout: float | None = None


@dataclass(frozen=True)
class Metadata:
    """Gives a stream's initial metadata as a dict; empty if it failed before."""

    stream: StreamHandle


@dataclass(frozen=True)
class Receive:
    """Gives the bytes of a stream's next reply; None at its end."""

    stream: StreamHandle


@dataclass(frozen=True)
class Cancel:
    """Gives a stream up."""

    stream: StreamHandle


@dataclass(frozen=True)
class Sleep:
    """Waits, in seconds."""

    seconds: float


class CallFailed(Exception):
    """Thrown into an operation whose effect failed."""

    def __init__(self, details: ErrorDetails) -> None:
        super().__init__(f"{details.code}: {details.message}")
        self.details = details


Effect: TypeAlias = Call | Send | Open | Metadata | Receive | Cancel | Sleep
T = TypeVar("T")
Operation: TypeAlias = Generator[Effect, Any, T]
