"""Events out of a worker: numbered, gathered into blocks, sent as frames.

A block leaves when it is 50 ms old or holds 64 KiB; the first event and the last one leave at once. Beside the block
go the newest and the best iterate (without theta), and now and then the best with its theta: so that the front, which
passes blocks on as bytes, knows them without opening one, and so that they are not lost with the worker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from nablad.server.frames import Frame, Kind
from nablad.v1 import event_pb2, tensor_pb2

FLUSH_SECONDS = 0.05
FLUSH_BYTES = 64 << 10
POINT_SECONDS = 1.0


class Emitter:
    """Sends the events of one run. Closing it stops its thread; what has not been flushed then is sent."""

    def __init__(self, send: Callable[[Frame], None], epoch: int, first_seq: int) -> None:
        self._send = send
        self._epoch = epoch
        self._next_seq = first_seq
        self._lock = threading.Lock()
        self._block = event_pb2.SolveEventBlock()
        self._size = 0
        self._is_first = True
        self._last = b""
        self._best = b""
        self._checkpoint = b""
        self._result = b""
        self._best_theta: Callable[[], tensor_pb2.Tensor] | None = None
        self._point_time = 0.0
        self._closed = threading.Event()
        self._flusher = threading.Thread(target=self._flush_now_and_then, name="flusher", daemon=True)

    def __enter__(self) -> Self:
        self._flusher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._flusher.join()
        with self._lock:
            self._flush()

    def iterate(
        self,
        iterate: event_pb2.Iterate,
        theta: Callable[[], tensor_pb2.Tensor] | None,
        *,
        is_best: bool,
        with_theta: bool,
    ) -> None:
        """Adds an iterate. `theta` makes its tensor, for the event if it is to carry it, for the best point anyhow."""
        bare = iterate.SerializeToString()
        if theta is not None and with_theta:
            iterate.theta.CopyFrom(theta())
        with self._lock:
            self._last = bare
            if is_best:
                self._best = bare
                self._best_theta = theta
            self._add(event_pb2.SolveEvent(iterate=iterate))

    def add(self, event: event_pb2.SolveEvent) -> None:
        """Adds any other event, as it is but for seq and time."""
        with self._lock:
            self._add(event)

    def checkpoint(self, checkpoint: event_pb2.Checkpoint, event: event_pb2.Checkpoint) -> None:
        """Adds a checkpoint: `checkpoint` is kept for a restart, `event` goes into the journal."""
        with self._lock:
            self._checkpoint = checkpoint.SerializeToString()
            self._add(event_pb2.SolveEvent(checkpoint=event))
            self._flush()

    def done(self, result: event_pb2.SolveResult) -> None:
        """Adds the end."""
        with self._lock:
            self._result = result.SerializeToString()
            self._add(event_pb2.SolveEvent(done=event_pb2.Done(result=result)))
            self._flush()

    def _add(self, event: event_pb2.SolveEvent) -> None:
        event.seq = self._next_seq
        self._next_seq += 1
        event.time.FromNanoseconds(time.time_ns())
        self._block.events.append(event)
        self._size += event.ByteSize()
        if self._is_first or self._size >= FLUSH_BYTES:
            self._is_first = False
            self._flush()

    def _flush(self) -> None:
        events = self._block.events
        if not events:
            return
        self._block.last_seq = events[-1].seq
        data = self._block.SerializeToString()
        parts = (data, self._last, self._best, self._best_point(), self._checkpoint, self._result)
        self._send(Frame(Kind.EVENTS, parts, self._epoch, events[0].seq, events[-1].seq))
        self._block = event_pb2.SolveEventBlock()
        self._size = 0
        self._last = self._checkpoint = b""

    def _best_point(self) -> bytes:
        now = time.monotonic()
        if self._best_theta is None or now - self._point_time < POINT_SECONDS:
            return b""
        self._point_time = now
        point = event_pb2.Iterate.FromString(self._best)
        point.theta.CopyFrom(self._best_theta())
        self._best_theta = None
        return point.SerializeToString()

    def _flush_now_and_then(self) -> None:
        while not self._closed.wait(FLUSH_SECONDS):
            with self._lock:
                self._flush()
