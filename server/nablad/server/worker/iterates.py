"""Iterates as bytes: numbers packed one by one as they come, a whole block encoded at once.

A SolveEvent with an Iterate without theta is a fixed row of numbers, so that protobuf's wire format (tag, varint or
eight bytes, field after field) can be written for all rows of a block by array operations: every field gets a column of
bytes as wide as the longest of its varints, and a mask says which of them are there. Absent is what proto3 leaves out:
a number that is zero (-0.0 is not), and the step size of the start. The bytes are those that protobuf itself writes;
a test holds both together.

Cost: less than a microsecond to pack a row and as much to encode it, where a message object takes ten.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nablad import solvers
from nablad.v1 import event_pb2

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]

MAX_EVENT_BYTES = 122
"""Of an encoded row, with the tag and the length of its own: below 128 each length takes one byte."""

FEW = 16
"""So many rows are written sooner as messages: array operations cost as much for one row as for a hundred."""

_ROW = struct.Struct("<3q4d4q")
_SEQ, _TIME, _ITERATION, _LOSS, _GRADIENT_NORM, _STEP, _SECONDS, _VALUES, _GRADIENTS, _HESSIANS, _PRODUCTS = range(11)
_COLUMNS = 11


def message(iterate: solvers.Iterate) -> event_pb2.Iterate:
    """The same as a message, without theta."""
    return event_pb2.Iterate(
        iteration=iterate.iteration,
        loss=iterate.value,
        gradient_norm=iterate.gradient_norm,
        step_size=None if iterate.iteration == 0 else iterate.step_size,
        seconds=iterate.seconds,
        values=iterate.values,
        gradients=iterate.gradients,
        hessians=iterate.hessians,
        hessian_vector_products=iterate.hvps,
    )


class Rows:
    """Up to `capacity` iterates of consecutive events, not encoded yet."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.count = 0
        self._buffer = bytearray(capacity * _ROW.size)

    def append(self, seq: int, time_ns: int, iterate: solvers.Iterate) -> None:
        """Takes one; there must be room for it. Its theta is left out."""
        _ROW.pack_into(self._buffer, self.count * _ROW.size, seq, time_ns, *iterate[:9])
        self.count += 1

    def take(self) -> bytes:
        """All of them as the `events` of a SolveEventBlock, and none is left."""
        count, self.count = self.count, 0
        if count <= FEW:
            return self._one_by_one(count)
        words = np.frombuffer(self._buffer, np.uint64, count * _COLUMNS).reshape(count, _COLUMNS)
        return _events(words)

    def _one_by_one(self, count: int) -> bytes:
        block = event_pb2.SolveEventBlock()
        for row in range(count):
            seq, time_ns, *numbers = _ROW.unpack_from(self._buffer, row * _ROW.size)
            event = block.events.add(seq=seq, iterate=message(solvers.Iterate._make((*numbers, None, True))))
            event.time.seconds, event.time.nanos = divmod(time_ns, 10**9)
        return block.SerializeToString()


def _events(words: NDArray[np.uint64]) -> bytes:
    """The fields of event.proto, in the order of their numbers; a row of `words` is a row of `_ROW`."""
    seconds, nanos = np.divmod(words[:, _TIME], np.uint64(10**9))
    started = words[:, _ITERATION] != 0
    iterate = _Fields(len(words))
    iterate.varint(1, words[:, _ITERATION])
    iterate.double(2, words[:, _LOSS])
    iterate.double(3, words[:, _GRADIENT_NORM])
    iterate.double(4, words[:, _STEP], started)
    iterate.double(5, words[:, _SECONDS])
    for number, column in enumerate((_VALUES, _GRADIENTS, _HESSIANS, _PRODUCTS), 6):
        iterate.varint(number, words[:, column])
    time = _Fields(len(words))
    time.varint(1, seconds)
    time.varint(2, nanos)
    event = _Fields(len(words))
    event.varint(1, words[:, _SEQ])
    event.message(2, time)
    event.message(4, iterate)
    block = _Fields(len(words))
    block.message(1, event)
    return block.joined()


class _Fields:
    """The fields of one message, for all rows: columns of bytes, and which of them are there."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._bytes: list[Bytes] = []
        self._there: list[Mask] = []

    def varint(self, number: int, values: NDArray[np.uint64]) -> None:
        """An int64, absent where it is zero."""
        width = max(1, -(-int(values.max()).bit_length() // 7))
        groups = values[:, None] >> (np.uint64(7) * np.arange(width, dtype=np.uint64))
        there = groups != 0
        encoded = (groups & np.uint64(0x7F)).astype(np.uint8)
        encoded[:, :-1] |= there[:, 1:].astype(np.uint8) << 7
        self._add(number, 0, encoded, there)

    def double(self, number: int, bits: NDArray[np.uint64], present: Mask | None = None) -> None:
        """A double by its bits; absent where they are zero, or as `present` says."""
        encoded = np.ascontiguousarray(bits).view(np.uint8).reshape(self._rows, 8)
        there = (bits != 0) if present is None else present
        self._add(number, 1, encoded, np.broadcast_to(there[:, None], encoded.shape))

    def message(self, number: int, inner: _Fields) -> None:
        """A message of less than 128 bytes."""
        encoded, there = np.hstack(inner._bytes), np.hstack(inner._there)
        length = there.sum(axis=1, dtype=np.uint8)[:, None]
        always = np.ones((self._rows, 1), np.bool_)
        self._add(number, 2, np.hstack([length, encoded]), np.hstack([always, there]))

    def _add(self, number: int, wire_type: int, encoded: Bytes, there: Mask) -> None:
        tag = np.full((self._rows, 1), number << 3 | wire_type, np.uint8)
        self._bytes += (tag, encoded)
        self._there += (there[:, :1], there)

    def joined(self) -> bytes:
        """All rows, one after the other."""
        taken: Any = np.hstack(self._bytes)[np.hstack(self._there)]
        return bytes(taken.tobytes())
