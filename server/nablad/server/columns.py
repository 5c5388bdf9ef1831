"""A block of a journal as columns: opened once, whoever looks at it, and judged by arrays rather than by event.

Two hundred thinned watchers of one job read the same blocks; an event costs 3 microseconds once, and nearly nothing for
each of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nablad.v1 import event_pb2

OPEN_BYTES = 8 << 20


@dataclass(frozen=True)
class Columns:
    """Some consecutive events. All arrays have one element for each; other events than iterates count as finite."""

    events: Sequence[event_pb2.SolveEvent]
    """Shared: to be copied, not changed."""
    seq: NDArray[np.int64]
    is_iterate: NDArray[np.bool_]
    is_checkpoint: NDArray[np.bool_]
    iteration: NDArray[np.int64]
    time: NDArray[np.int64]
    """Nanoseconds since 1970."""
    loss: NDArray[np.float64]
    finite: NDArray[np.bool_]
    """Loss and gradient norm both."""

    def after(self, seq: int) -> Columns:
        """The events after a seq."""
        start = int(np.searchsorted(self.seq, seq, "right"))
        return self._rows(self.events[start:], slice(start, None))

    def without_checkpoints(self) -> Columns:
        """The other events: itself where there are no checkpoints."""
        others = ~self.is_checkpoint
        if others.all():
            return self
        return self._rows([self.events[index] for index in np.flatnonzero(others).tolist()], others)

    def _rows(self, events: Sequence[event_pb2.SolveEvent], which: slice | NDArray[np.bool_]) -> Columns:
        return Columns(
            events,
            self.seq[which],
            self.is_iterate[which],
            self.is_checkpoint[which],
            self.iteration[which],
            self.time[which],
            self.loss[which],
            self.finite[which],
        )


def columns_of(events: Sequence[event_pb2.SolveEvent]) -> Columns:
    """The events, in order of seq, as columns."""
    rows = [
        (
            event.seq,
            event.HasField("iterate"),
            event.HasField("checkpoint"),
            event.iterate.iteration,
            event.time.seconds * 10**9 + event.time.nanos,
        )
        for event in events
    ]
    numbers = np.array(rows, np.int64).reshape(-1, 5)
    values = np.array([(event.iterate.loss, event.iterate.gradient_norm) for event in events]).reshape(-1, 2)
    return Columns(
        events=events,
        seq=numbers[:, 0],
        is_iterate=numbers[:, 1] != 0,
        is_checkpoint=numbers[:, 2] != 0,
        iteration=numbers[:, 3],
        time=numbers[:, 4],
        loss=values[:, 0],
        finite=np.isfinite(values).all(axis=1),
    )


class OpenBlocks:
    """The blocks that were opened last, as many as `limit` bytes of them, serialized: several times that in memory.

    Watchers of one job go over the same blocks one after the other, so the cache must hold more than lie between the
    first of them and the last: with fewer, every one would be opened anew.
    """

    def __init__(self, limit: int = OPEN_BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._columns: OrderedDict[bytes, Columns] = OrderedDict()

    def open(self, data: bytes) -> Columns:
        """A serialized block as columns."""
        found = self._columns.get(data)
        if found is not None:
            self._columns.move_to_end(data)
            return found
        columns = self._columns[data] = columns_of(list(event_pb2.SolveEventBlock.FromString(data).events))
        self._size += len(data)
        while self._size > self._limit:
            oldest, _ = self._columns.popitem(last=False)
            self._size -= len(oldest)
        return columns
