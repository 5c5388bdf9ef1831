"""What front and worker say to each other: typed frames over one socket, in order, without pickle.

    length u32 | kind u8 | parts u8 | epoch u32 | first_seq u64 | last_seq u64 | (length u32, bytes) per part

all little-endian; `length` counts what follows it. The parts of each kind are protobuf messages or UTF-8 text:

    SOLVE      spec, checkpoint state or empty, JSON {"replayed", "best"}: seq numbers start at first_seq; so many
               iterates and warnings after the checkpoint, and an iterate of so small a loss, are journaled already
    VALIDATE   spec                                  -> EVALUATED summary | REFUSED status
    PREDICT    spec, theta tensor, request           -> EVALUATED tensor | REFUSED status
    DERIVE     method name, request, spec, theta tensor, checkpoint state
                                                     -> EVALUATED response | REFUSED status
               of a job its spec; theta where it is known, or else the state before the iteration, or nothing
    CANCEL SHUTDOWN
    PAUSE STEER                                      -> REFUSED status: the frames are there, the commands not yet
    READY      JSON {"pid"}
    EVENTS     block, last iterate, best iterate, best point, checkpoint, result: each may be empty but the block
    DATASET    Dataset: a file that the worker has put into the dataset directory
    FAILED     status name, message, traceback: the job ended inside the worker, without a result

The epoch is the job's: it grows each time that the job is given to a worker, so that a late writer can be told apart.
One job or short request at a time is with a worker; order alone says which one a CANCEL means.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

MAX_FRAME_BYTES = 256 << 20

_LENGTH = struct.Struct("<I")
_HEADER = struct.Struct("<BBIQQ")


class Kind(IntEnum):
    """Commands are below 64, replies above."""

    SOLVE = 1
    VALIDATE = 2
    PREDICT = 3
    CANCEL = 4
    PAUSE = 5
    STEER = 6
    SHUTDOWN = 7
    DERIVE = 8
    READY = 64
    EVENTS = 65
    DATASET = 66
    EVALUATED = 67
    REFUSED = 68
    FAILED = 69


PARTS = {
    Kind.SOLVE: 3,
    Kind.VALIDATE: 1,
    Kind.PREDICT: 3,
    Kind.CANCEL: 0,
    Kind.PAUSE: 0,
    Kind.STEER: 1,
    Kind.SHUTDOWN: 0,
    Kind.DERIVE: 5,
    Kind.READY: 1,
    Kind.EVENTS: 6,
    Kind.DATASET: 1,
    Kind.EVALUATED: 1,
    Kind.REFUSED: 1,
    Kind.FAILED: 3,
}


class FrameError(Exception):
    """Bytes that are no frame: the other end is not what it should be."""


@dataclass(frozen=True)
class Frame:
    """One message between front and worker."""

    kind: Kind
    parts: tuple[bytes, ...] = ()
    epoch: int = 0
    first_seq: int = 0
    last_seq: int = 0


def encode(frame: Frame) -> bytes:
    """The frame's bytes. FrameError if it has not the parts of its kind, or is too large."""
    if len(frame.parts) != PARTS[frame.kind]:
        raise FrameError(f"{frame.kind.name} has {PARTS[frame.kind]} parts, not {len(frame.parts)}")
    body = [_HEADER.pack(frame.kind, len(frame.parts), frame.epoch, frame.first_seq, frame.last_seq)]
    for part in frame.parts:
        body += (_LENGTH.pack(len(part)), part)
    length = sum(len(piece) for piece in body)
    if length > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {length} bytes; at most {MAX_FRAME_BYTES} are allowed")
    return b"".join([_LENGTH.pack(length), *body])


def decode(body: bytes) -> Frame:
    """The inverse of `encode`, without the leading length. FrameError on anything else."""
    try:
        number, count, epoch, first_seq, last_seq = _HEADER.unpack_from(body)
        kind = Kind(number)
        parts = []
        at = _HEADER.size
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(body, at)
            at += _LENGTH.size
            parts.append(body[at : at + length])
            at += length
    except (struct.error, ValueError) as error:
        raise FrameError(f"not a frame: {error}") from error
    if at != len(body) or count != PARTS[kind]:
        raise FrameError(f"a damaged {kind.name} frame")
    return Frame(kind, tuple(parts), epoch, first_seq, last_seq)


def _checked(prefix: bytes) -> int:
    length = int(_LENGTH.unpack(prefix)[0])
    if not _HEADER.size <= length <= MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {length} bytes")
    return length


async def read(reader: asyncio.StreamReader) -> Frame | None:
    """The next frame, or None where the other end is gone (even in the middle of a frame)."""
    try:
        length = _checked(await reader.readexactly(_LENGTH.size))
        return decode(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def receive(connection: socket.socket) -> Frame | None:
    """The same on a blocking socket."""
    receive_exactly = _exactly(connection)
    prefix = receive_exactly(_LENGTH.size)
    body = receive_exactly(_checked(prefix)) if prefix is not None else None
    return decode(body) if body is not None else None


def _exactly(connection: socket.socket) -> Callable[[int], bytes | None]:
    def receive_exactly(count: int) -> bytes | None:
        data = bytearray(count)
        view = memoryview(data)
        while view:
            try:
                got = connection.recv_into(view)
            except ConnectionError:
                return None
            if got == 0:
                return None
            view = view[got:]
        return bytes(data)

    return receive_exactly
