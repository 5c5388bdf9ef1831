"""What a run hands back: the point, why it ended, and the evidence.

The verdict is a statement about the point itself, from the extreme curvature there: a vanishing gradient alone is also
had by maxima and saddles (scipy #20213).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nablad.solvers.objective import Counters, FloatArray
from nablad.solvers.status import Status


@dataclass(frozen=True)
class Evidence:
    """Measurements at the reported point; None where not measured, and `note` says why."""

    gradient_norm: float
    relative_gradient_norm: float
    """Relative to the gradient at the run's start."""
    verdict: str = "unverified"
    """minimum, saddle, flat, maximum or unverified. flat: no curvature along some direction, to working precision."""
    smallest_curvature: float | None = None
    """Extreme eigenvalues of the Hessian, in the user's units; for an affine residual from the singular values of J."""
    largest_curvature: float | None = None
    condition: float | None = None
    """Of J (affine residual) or else of the Hessian, its determined part, after scaling out the parameters' units."""
    rank: int | None = None
    """The number of directions that the objective determines; if below p, the minimizer is not unique."""
    decrement: float | None = None
    """What the next Newton step still promised: a predicted decrease of the objective."""
    note: str = ""


@dataclass(frozen=True)
class Seconds:
    """Wall time, by where it went. The rest of the total is the methods' own work and whoever consumed the events."""

    total: float
    evaluation: float
    linear_algebra: float


@dataclass(frozen=True)
class Report:
    """The end of a run. `theta` is the best point: the converged one, or else the lowest seen."""

    status: Status
    message: str
    theta: FloatArray
    value: float
    gradient: FloatArray
    iteration: int
    """The iteration of the reported point."""
    iterations: int
    """How many were made."""
    last_theta: FloatArray
    last_value: float
    evidence: Evidence
    counts: Counters
    factorizations: int
    seconds: Seconds
    method: str
    method_settings: dict[str, Any]
    stopping_given: dict[str, Any]
    stopping_used: dict[str, Any]
    first_nonfinite: str | None = None
    """Where a value or derivative that is not finite was first seen, in words; None if never."""

    @property
    def success(self) -> bool:
        return self.status.success
