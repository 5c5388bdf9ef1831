"""What a run and a job show of themselves, whichever client they belong to."""

from __future__ import annotations

from datetime import datetime

from nablad.client.core import decode
from nablad.client.core.watch import Watch
from nablad.client.errors import JobFailed
from nablad.client.iterates import Iterate
from nablad.client.results import ModelSummary, Result
from nablad.v1 import event_pb2, solver_pb2
from nablad.wire import statuses

CANCEL_SECONDS = 5.0
"""How long an interrupted `with run` waits for the best point."""


class RunView:
    """A live view of a job. A view only: losing it changes nothing for the job."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    @property
    def name(self) -> str:
        """The job's name, `solveJobs/{id}`."""
        return self._watch.job

    @property
    def state(self) -> str:
        """The job's state as far as the events have told: "" at first, then QUEUED, RUNNING, ..."""
        return self._watch.state

    @property
    def queue_position(self) -> int | None:
        """While queued: how many jobs are before this one."""
        return self._watch.queue_position

    @property
    def last_seq(self) -> int:
        """The seq of the last event received: `watch(after_seq=...)` goes on from there."""
        return self._watch.last_seq

    @property
    def skipped(self) -> int:
        """How many iterates the thinning has left out."""
        return self._watch.skipped

    @property
    def history(self) -> tuple[Iterate, ...]:
        """The iterates received until now."""
        return tuple(self._watch.history)

    def __repr__(self) -> str:
        last = f", {self._watch.history[-1]!r}" if self._watch.history else ""
        return f"{type(self).__name__}({self.name!r}, {self.state or 'not yet heard of'}{last})"


class JobView:
    """A job as it was when it was last asked for; `refresh` asks again."""

    def __init__(self, message: solver_pb2.SolveJob) -> None:
        self._message = message

    @property
    def name(self) -> str:
        """`solveJobs/{id}`."""
        return self._message.name

    @property
    def title(self) -> str:
        """Its name for people."""
        return self._message.spec.title

    @property
    def state(self) -> str:
        """QUEUED, RUNNING, SUCCEEDED, FAILED or CANCELLED."""
        return statuses.state_name(self._message.state)

    @property
    def status(self) -> str:
        """Why it ended, such as CONVERGED_GRADIENT or LIMIT_ITERATIONS; empty before."""
        return statuses.status_name(self._message.result.termination.status) if self._message.HasField("result") else ""

    @property
    def ended(self) -> bool:
        """Whether the state is one of the last three."""
        return self.state in statuses.TERMINAL_STATES

    @property
    def queue_position(self) -> int | None:
        """While QUEUED: how many jobs are before this one."""
        position: int | None = decode.optional(self._message, "queue_position")
        return position

    @property
    def create_time(self) -> datetime | None:
        """When it was created."""
        return self._moment("create_time")

    @property
    def start_time(self) -> datetime | None:
        """When a worker took it up."""
        return self._moment("start_time")

    @property
    def end_time(self) -> datetime | None:
        """When it ended."""
        return self._moment("end_time")

    @property
    def last_iterate(self) -> Iterate | None:
        """The newest iterate, without theta."""
        return self._iterate("last_iterate")

    @property
    def best_iterate(self) -> Iterate | None:
        """The best iterate, without theta."""
        return self._iterate("best_iterate")

    @property
    def last_seq(self) -> int:
        """The seq of its last event."""
        return self._message.last_seq

    @property
    def model_summary(self) -> ModelSummary:
        """What the server made of the model."""
        return decode.model_summary(self._message.model_summary)

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked for its end."""
        return self._message.cancel_requested

    def __repr__(self) -> str:
        title = f", {self.title!r}" if self.title else ""
        last = f", {self.last_iterate!r}" if self.last_iterate else ""
        state = ", ".join(word for word in (self.state, self.status) if word)
        return f"{type(self).__name__}({self.name!r}{title}, {state}{last})"

    def _moment(self, name: str) -> datetime | None:
        return decode.moment(getattr(self._message, name)) if self._message.HasField(name) else None  # type: ignore[arg-type]

    def _iterate(self, name: str) -> Iterate | None:
        source: event_pb2.Iterate | None = decode.optional(self._message, name)
        return None if source is None else decode.iterate(source, {})

    def _no_result(self) -> JobFailed:
        return JobFailed(f"{self.name} ended {self.state} without a result", job=self.name, state=self.state)


def job_name(of: Result | RunView | JobView | str) -> str:
    """The job behind a result, a run, a job or a name."""
    if isinstance(of, str):
        return of
    return of.job if isinstance(of, Result) else of.name
