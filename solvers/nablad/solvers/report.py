"""What a run hands back: the point, why it ended, and the evidence.

The verdict is a statement about the point itself, from the extreme curvature there: a vanishing gradient alone is also
had by maxima and saddles (scipy #20213).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

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
    convergence_order: float | None = None
    """At which the last steps shrank: 1 linear, 2 quadratic, between them superlinear; None where too few tell."""
    worst_scaled_parameter: str = ""
    """The parameter whose curvature differs most from the others', by its name; empty where that is not known."""
    worst_scale: float | None = None
    """Its curvature (the Hessian's diagonal entry) relative to the median of all."""
    active_bounds: int | None = None
    """How many parameters are held by their bounds; curvature, condition and rank are of the others. None without."""
    note: str = ""


@dataclass(frozen=True, eq=False)
class Statistics:
    """What a fit says of its parameters, by linearization at the point (Seber and Wild 2003, section 2.1.2).

    With y = f(theta) + e, e of variance s^2 / weight: the covariance of the estimate is s^2 (J'J)^-1, J the Jacobian
    of the weighted residuals.
    """

    observations: int
    """Residuals of data with a weight above zero; the rows of a penalty are none."""
    degrees_of_freedom: int
    """Observations less the parameters that they determine."""
    residual_sum_of_squares: float
    """Of the data alone, weighted, and never averaged: in the response's units, squared."""
    residual_standard_deviation: float | None
    """s, in the response's units, of an observation of weight 1; None without degrees of freedom."""
    standard_errors: FloatArray | None
    """Shape (p,), in the parameters' units; inf where the data do not determine a parameter, 0 where a bound fixes
    it. None without degrees of freedom."""
    covariance: FloatArray | None
    """Shape (p, p); None without degrees of freedom, or where it would be infinite."""
    warnings: tuple[str, ...] = ()
    """Where these numbers mean little, and why: sentences."""

    @property
    def correlation(self) -> FloatArray | None:
        """Shape (p, p), from the covariance; 0 beside a parameter without variance."""
        if self.covariance is None or self.standard_errors is None:
            return None
        errors = np.where(self.standard_errors > 0.0, self.standard_errors, 1.0)
        correlation = self.covariance / errors / errors[:, None]
        np.fill_diagonal(correlation, 1.0)
        return np.asarray(correlation)


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
    statistics: Statistics | None = None
    """Of the fit, where the model is a sum of squares (`with_statistics` in statistics.py)."""

    @property
    def success(self) -> bool:
        return self.status.success
