"""A run: a live view of a job, as an iterator of its iterates; and a job, the resource behind it."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from nablad.client.core import operations
from nablad.client.core.session import Session
from nablad.client.core.views import CANCEL_SECONDS, JobView, RunView
from nablad.client.core.watch import Watch
from nablad.client.events import Event
from nablad.client.iterates import Iterate
from nablad.client.policies import Thinning
from nablad.client.results import Result
from nablad.client.transport import Transport
from nablad.v1 import solver_pb2


class Run(RunView):
    """The iterates of a job as they come.

    Leaving the loop, `close` and the end of `with` only detach: the job goes on, and so does a later loop or `result`,
    from where this one ended. In `with run:` Ctrl-C cancels the job and waits a few seconds for its best point, which
    `result` then gives. A connection that breaks is taken up again without a gap.
    """

    def __init__(self, session: Session, transport: Transport, watch: Watch) -> None:
        super().__init__(watch)
        self._session = session
        self._transport = transport

    def __iter__(self) -> Iterator[Iterate]:
        return (event for event in self.events() if isinstance(event, Iterate))

    def events(self) -> Iterator[Event]:
        """Every event, typed, in order. Raises ServerUnavailable if the connection is lost for good."""
        try:
            while self._transport.run(self._watch.fill()):
                while self._watch.buffer:
                    yield self._watch.take()
        finally:
            self.close()

    def result(self) -> Result:
        """Waits for the end, and gives the outcome, whatever its status. JobFailed if there is none."""
        return self._transport.run(self._watch.outcome())

    @property
    def job(self) -> Job:
        """The job, as it is now."""
        return Job(self._session, self._transport, self._transport.run(self._session.get_job(self.name)))

    def cancel(self) -> None:
        """Asks the job to end at its best point, and returns at once; go on reading to see the end."""
        self._transport.run(operations.cancel_job(self._session, self.name))

    def close(self) -> None:
        """Detaches; the job goes on."""
        self._transport.run(self._watch.detach())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if isinstance(error, KeyboardInterrupt) and not self._watch.finished:
                self.cancel()
                self._transport.run(self._watch.drain(CANCEL_SECONDS))
        except Exception as problem:
            assert error is not None
            error.add_note(f"{self.name} could not be cancelled: {problem}")
        finally:
            self.close()


class Job(JobView):
    """A solve on the server. Its properties are those of the last `refresh`."""

    def __init__(self, session: Session, transport: Transport, message: solver_pb2.SolveJob) -> None:
        super().__init__(message)
        self._session = session
        self._transport = transport

    def refresh(self) -> Self:
        """Asks the server again; returns itself."""
        self._message = self._transport.run(self._session.get_job(self.name))
        return self

    def watch(self, after_seq: int = 0, thinning: Thinning | None = None) -> Run:
        """The job's events after this seq, replayed and then live."""
        return Run(self._session, self._transport, operations.watch(self._session, self.name, after_seq, thinning))

    def cancel(self) -> None:
        """Asks the job to end at its best point, and returns at once."""
        self._message = self._transport.run(operations.cancel_job(self._session, self.name))

    def delete(self) -> None:
        """Removes the job and its journal. Conflict while it has not ended."""
        self._transport.run(operations.delete_job(self._session, self.name))

    def result(self) -> Result:
        """Waits for the end, and gives the outcome; its history is fetched when it is first asked for."""
        self.refresh()
        if not self.ended:
            return self.watch().result()
        return self._transport.run(operations.result_of(self._session, self._message, self._replay))

    def _replay(self) -> tuple[Iterate, ...]:
        return tuple(self.watch())
