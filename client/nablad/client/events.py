"""What happens to a job, as typed values: the events of its journal.

A stream holds StateChange, Iterate, SolveWarning, Checkpoint and at last Done, each with its seq: 1, 2, 3, ... in the
order in which the server committed them, with gaps only where a thinning left iterates out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from nablad.client.iterates import Iterate
from nablad.client.results import Result


@dataclass(frozen=True)
class StateChange:
    """The job is QUEUED, RUNNING, SUCCEEDED, FAILED or CANCELLED."""

    seq: int
    time: datetime
    state: str
    queue_position: int | None
    """While QUEUED: how many jobs are before this one."""
    message: str
    """Why, where that is not plain."""


@dataclass(frozen=True)
class SolveWarning:
    """Something worth knowing that does not end the run."""

    seq: int
    time: datetime
    code: str
    """A word for programs, such as NEGATIVE_CURVATURE."""
    message: str
    iteration: int


@dataclass(frozen=True)
class Checkpoint:
    """A point from which the server can go on with the run. Its state is the method's own."""

    seq: int
    time: datetime
    iteration: int
    state: bytes = field(repr=False)


@dataclass(frozen=True, eq=False)
class Done:
    """The end of the run, with its outcome."""

    seq: int
    time: datetime
    result: Result


Event: TypeAlias = StateChange | Iterate | SolveWarning | Checkpoint | Done
