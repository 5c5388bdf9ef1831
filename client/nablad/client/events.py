"""What happens to a job, as typed values: the events of its journal.

A stream holds StateChange, Iterate, SolveWarning, Checkpoint and at last Done, each with its seq: 1, 2, 3, ... in the
order in which the server committed them, with gaps only where a thinning left iterates out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from numpy.typing import NDArray

if TYPE_CHECKING:
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


@dataclass(frozen=True, eq=False)
class Iterate:
    """The run after an iteration. Iteration 0 is the start. Counts are totals up to now."""

    seq: int
    time: datetime | None
    iteration: int
    loss: float
    gradient_norm: float
    """||g||, the Euclidean norm."""
    step_size: float | None
    """The factor of the direction; None at the start."""
    seconds: float
    """Since the run began."""
    values: int
    gradients: int
    hessians: int
    hessian_vector_products: int
    theta: NDArray[Any] | None = None
    """The point, shape (p,), where it was recorded."""

    def __repr__(self) -> str:
        step = "" if self.step_size is None else f", step_size={self.step_size:.3g}"
        theta = "" if self.theta is None else f", theta=({self.theta.size})"
        return (
            f"Iterate({self.iteration}, loss={self.loss:.10g}, gradient_norm={self.gradient_norm:.3g}{step}, "
            f"seconds={self.seconds:.3g}{theta})"
        )


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
