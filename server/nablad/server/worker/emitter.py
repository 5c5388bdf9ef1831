"""Events out of a worker: numbered, gathered into blocks, sent as frames.

A block leaves when it is 50 ms old or holds 64 KiB; the first event and the last one leave at once. Beside the block
go the newest and the best iterate (without theta), and now and then the best with its theta: so that the front, which
passes blocks on as bytes, knows them without opening one, and so that they are not lost with the worker. That point
goes inline, whatever its size: the next one replaces it, where a dataset would stay.

Iterates without theta are packed as numbers and encoded a block at a time (iterates.py): 2 microseconds each.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Self

from nablad import solvers
from nablad.server.frames import Frame, Kind
from nablad.server.worker import iterates
from nablad.server.worker.iterates import MAX_EVENT_BYTES, Rows
from nablad.v1 import event_pb2, tensor_pb2
from nablad.wire.tensors import encode

FLUSH_SECONDS = 0.05
FLUSH_BYTES = 64 << 10
POINT_SECONDS = 1.0
POINT_BYTES_A_SECOND = 16 << 20
"""A best point so large that it would take more goes out less often than every POINT_SECONDS."""
MAX_POINT_BYTES = 64 << 20
"""A larger one is known to the worker alone."""


class Flusher:
    """One thread of a worker: while an emitter is open, it flushes it every FLUSH_SECONDS."""

    def __init__(self) -> None:
        self._emitter: Emitter | None = None
        self._wanted = threading.Event()
        threading.Thread(target=self._run, name="flusher", daemon=True).start()

    def follow(self, emitter: Emitter | None) -> None:
        """Flushes this one from now on; nobody where it is None."""
        self._emitter = emitter
        if emitter is None:
            self._wanted.clear()
        else:
            self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            time.sleep(FLUSH_SECONDS)
            emitter = self._emitter
            try:
                if emitter is not None:
                    emitter.flush()
            except Exception:
                # The thread that solves meets the same at its next event, and tells it.
                traceback.print_exc()


class Emitter:
    """Sends the events of one run. What has not been flushed when it is closed is sent then."""

    def __init__(self, send: Callable[[Frame], None], epoch: int, first_seq: int, flusher: Flusher) -> None:
        self._send = send
        self._epoch = epoch
        self._next_seq = first_seq
        self._flusher = flusher
        self._lock = threading.Lock()
        self._first_seq = first_seq
        """Of the block."""
        self._pieces: list[bytes] = []
        """Of the block: its events, serialized, before those in `_rows`."""
        self._size = 0
        self._rows = Rows(FLUSH_BYTES // MAX_EVENT_BYTES)
        self._is_first = True
        self.iteration: int | None = None
        """Of the newest iterate; None before the first."""
        # Since the last flush; what has not changed is not sent again.
        self._last: solvers.Iterate | None = None
        self._best: solvers.Iterate | None = None
        self._checkpoint = b""
        self._result = b""
        # Not sent yet.
        self._point: solvers.Iterate | None = None
        self._next_point_time = 0.0

    def __enter__(self) -> Self:
        self._flusher.follow(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flusher.follow(None)
        self.flush()

    def iterate(self, iterate: solvers.Iterate, *, recorded: tensor_pb2.Tensor | None = None, is_best: bool) -> None:
        """Adds an iterate: the event carries `recorded`; the iterate's own theta is its point where it is the best."""
        with self._lock:
            self._last = iterate
            self.iteration = iterate.iteration
            if is_best:
                self._best = iterate
                self._point = None if iterate.theta is None else iterate
            if recorded is not None:
                event = event_pb2.SolveEvent(iterate=iterates.message(iterate))
                event.iterate.theta.CopyFrom(recorded)
                self._add(event)
                return
            self._rows.append(self._next_seq, time.time_ns(), iterate)
            self._next_seq += 1
            if self._is_first or self._rows.count == self._rows.capacity:
                self._flush()

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
            self._point = None  # the result has it
            self._result = result.SerializeToString()
            self._add(event_pb2.SolveEvent(done=event_pb2.Done(result=result)))
            self._flush()

    def flush(self) -> None:
        """Sends what there is."""
        with self._lock:
            self._flush()

    def _add(self, event: event_pb2.SolveEvent) -> None:
        event.seq = self._next_seq
        event.time.seconds, event.time.nanos = divmod(time.time_ns(), 10**9)
        self._next_seq += 1
        self._take_rows()
        # As the only event of a block: tag, length and bytes, of which blocks are made by joining them.
        self._take(event_pb2.SolveEventBlock(events=[event]).SerializeToString())
        if self._is_first or self._size >= FLUSH_BYTES:
            self._flush()

    def _take_rows(self) -> None:
        if self._rows.count:
            self._take(self._rows.take())

    def _take(self, events: bytes) -> None:
        self._pieces.append(events)
        self._size += len(events)

    def _flush(self) -> None:
        self._take_rows()
        if not self._pieces:
            return
        first, last = self._first_seq, self._next_seq - 1
        self._pieces.append(event_pb2.SolveEventBlock(last_seq=last).SerializeToString())
        data = b"".join(self._pieces)
        parts = (data, _bytes(self._last), _bytes(self._best), self._due_point(), self._checkpoint, self._result)
        self._send(Frame(Kind.EVENTS, parts, self._epoch, first, last))
        self._first_seq = self._next_seq
        self._pieces = []
        self._size = 0
        self._is_first = False
        self._last = self._best = None
        self._checkpoint = b""

    def _due_point(self) -> bytes:
        now = time.monotonic()
        if self._point is None or now < self._next_point_time:
            return b""
        iterate, self._point = self._point, None
        theta = iterate.theta
        if theta is None or theta.nbytes > MAX_POINT_BYTES:
            return b""
        self._next_point_time = now + max(POINT_SECONDS, theta.nbytes / POINT_BYTES_A_SECOND)
        point = iterates.message(iterate)
        point.theta.CopyFrom(encode(theta))
        return point.SerializeToString()


def _bytes(iterate: solvers.Iterate | None) -> bytes:
    return b"" if iterate is None else iterates.message(iterate).SerializeToString()
