"""One unbroken sequence of events, whatever happens to the connection.

A watch remembers the seq of the last event that it handed out. When its stream breaks, or the server stops and asks to
come back, it waits and attaches again by WatchSolveJob(after_seq); what it has seen is dropped by seq, so nothing comes
twice and nothing is missed. A watch that begins with Solve does not know its job until the first answer; until then
the very same Solve is sent again, which its request_id makes safe.
"""

from __future__ import annotations

import logging
from collections import deque

from nablad.client.core import decode, rpcs
from nablad.client.core.effects import CallFailed, Cancel, Metadata, Open, Operation, Receive, Sleep, StreamHandle
from nablad.client.core.session import Session
from nablad.client.errors import JobFailed, NotFound, ServerError, ServerUnavailable
from nablad.client.events import Done, Event, StateChange
from nablad.client.iterates import Iterate
from nablad.client.results import Result
from nablad.v1 import event_pb2, solver_pb2
from nablad.wire import references, statuses
from nablad.wire.errors import ErrorDetails
from nablad.wire.rpc import JOB_METADATA

log = logging.getLogger("nablad.client")


class Watch:
    """The events of one job, in order, each once."""

    def __init__(
        self,
        session: Session,
        *,
        solve: solver_pb2.SolveRequest | None = None,
        job: str = "",
        after_seq: int = 0,
        thinning: solver_pb2.Thinning | None = None,
    ) -> None:
        self.job = job
        self.last_seq = after_seq
        """The last event handed out, or told to be skipped."""
        self.queue_position: int | None = None
        self.skipped = 0
        """How many iterates the thinning left out."""
        self.history: list[Iterate] = []
        self.state = ""
        self.result: Result | None = None
        self.finished = False
        """Whether the job has ended and its last event is in the buffer."""
        self.buffer: deque[Event] = deque()
        self._session = session
        self._solve = solve
        self._thinning = thinning
        self._stream: StreamHandle | None = None
        self._failures = 0
        self._message = ""
        self._closed = False

    def start(self) -> Operation[None]:
        """Sends the solve until the server has taken it. Raises what is wrong with it."""
        while not self.job:
            try:
                yield from self._attach()
            except CallFailed as failure:
                yield from self._recover(failure.details)
            except BaseException:
                yield from self.detach()
                raise

    def fill(self) -> Operation[bool]:
        """Waits until there is an event in the buffer. False once the job has ended and the buffer is empty."""
        self._closed = False
        while not self.buffer and not self.finished:
            try:
                if self._stream is None:
                    yield from self._attach()
                yield from self._receive()
            except CallFailed as failure:
                self._stream = None
                if self._closed:
                    break
                if self.state in statuses.TERMINAL_STATES:
                    self.finished = True
                else:
                    yield from self._recover(failure.details)
            except BaseException:
                # A block may be half read: the next fill attaches anew, after the last event handed out.
                yield from self.detach()
                raise
        return bool(self.buffer)

    def outcome(self) -> Operation[Result]:
        """Waits for the end, and gives the result. JobFailed if there is none."""
        while self.result is None and (yield from self.fill()):
            self.take()
        if self.result is None:
            yield from self._look_up_result()
        assert self.result is not None
        return self.result

    def take(self) -> Event:
        """The next event of the buffer."""
        event = self.buffer.popleft()
        if isinstance(event, Done):
            self.result = event.result
        return event

    def detach(self) -> Operation[None]:
        """Gives the stream up, and wakes whoever reads it; the job goes on, and the next fill attaches again."""
        self._closed = True
        yield from self._drop()

    def _drop(self) -> Operation[None]:
        stream, self._stream = self._stream, None
        if stream is not None:
            yield Cancel(stream)

    def drain(self, seconds: float) -> Operation[None]:
        """Reads on to the end of the job, but for no longer than this, and hands nothing out."""
        yield from self.detach()
        try:
            yield from self._attach(seconds)
            while not self.finished:
                yield from self._receive()
        except CallFailed as failure:
            self._stream = None
            log.info("%s did not end within %.1f s of its cancel: %s", self.job, seconds, failure)
        for event in self.buffer:
            if isinstance(event, Done):
                self.result = event.result

    def _attach(self, timeout: float | None = None) -> Operation[None]:
        if self.job:
            request = solver_pb2.WatchSolveJobRequest(name=self.job, after_seq=self.last_seq, thinning=self._thinning)
            self._stream = yield Open(rpcs.WATCH_JOB, request.SerializeToString(), timeout)
            return
        assert self._solve is not None
        stream = self._stream = yield Open(rpcs.SOLVE, self._solve.SerializeToString(), timeout)
        metadata = yield Metadata(stream)
        self.job = metadata.get(JOB_METADATA, "")
        if not self.job:
            # No job: the call failed, and reading says how.
            if (yield Receive(stream)) is not None:
                yield from self.detach()
                raise ServerError("the server did not name the job that it made: is it a nablad server?")
            raise CallFailed(ErrorDetails("UNAVAILABLE", "the stream ended before it began"))
        self._session.reached = True

    def _receive(self) -> Operation[None]:
        data = yield Receive(self._stream)  # type: ignore[arg-type]
        if data is None:
            self._stream = None
            yield from self._stream_ended()
            return
        self._session.reached = True
        block = decode.message(event_pb2.SolveEventBlock, data)
        # Most blocks refer to nothing, which their bytes show sooner than a walk through all of their events.
        arrays = (yield from self._session.fetch_references(block)) if references.may_refer(data) else {}
        fresh = [event for event in block.events if event.seq > self.last_seq]
        self._failures = 0
        self.skipped += block.skipped
        if not block.events:
            self.last_seq = max(self.last_seq, block.last_seq)
            self.queue_position = decode.optional(block, "queue_position")
        for source in fresh:
            self.last_seq = source.seq
            typed = decode.event(source, arrays, self.job, lambda: tuple(self.history))
            if typed is not None:
                self._note(typed)
                self.buffer.append(typed)

    def _note(self, event: Event) -> None:
        if isinstance(event, Iterate):
            self.history.append(event)
        elif isinstance(event, StateChange):
            self.state, self.queue_position, self._message = event.state, event.queue_position, event.message

    def _stream_ended(self) -> Operation[None]:
        """The server has nothing more to say: because the job has ended, or because the server stops."""
        if self.state not in statuses.TERMINAL_STATES:
            job = yield from self._session.get_job(self.job)
            state = statuses.state_name(job.state)
            if state not in statuses.TERMINAL_STATES or job.last_seq > self.last_seq:
                raise CallFailed(ErrorDetails("UNAVAILABLE", "the stream ended before the job"))
            self.state = state
        self.finished = True

    def _recover(self, details: ErrorDetails) -> Operation[None]:
        """Waits before the next try, or raises."""
        yield from self._drop()
        self._failures += 1
        delay = self._session.wait_before(self._failures, details)
        if delay is None:
            self._failures = 0  # whoever asks again begins anew
            raise self._final(details) from None
        where = f"{self.job} after seq {self.last_seq}" if self.job else "the solve"
        log.info("the stream broke (%s); trying %s again in %.2f s", details.message or details.code, where, delay)
        yield Sleep(delay)

    def _final(self, details: ErrorDetails) -> Exception:
        error = self._session.error(details, self._solve)
        if isinstance(error, ServerUnavailable) and self.job:
            return ServerUnavailable(
                f"lost the stream of {self.job} for good ({details.message or details.code}); take it up with "
                f"client.job({self.job!r}).watch(after_seq={self.last_seq})",
                job=self.job,
                after_seq=self.last_seq,
            )
        if isinstance(error, NotFound) and self.last_seq:
            return NotFound(f"{error}: it was deleted, or the server has restarted without it")
        return error

    def _look_up_result(self) -> Operation[None]:
        """The journal held no outcome after where this watch began: the job itself may have one."""
        job = yield from self._session.get_job(self.job)
        if not job.HasField("result"):
            why = f": {self._message}" if self._message else ""
            state = statuses.state_name(job.state)
            raise JobFailed(f"{self.job} ended {state} without a result{why}", job=self.job, state=state)
        arrays = yield from self._session.fetch_references(job.result)
        self.result = decode.result(job.result, arrays, self.job, lambda: tuple(self.history))
