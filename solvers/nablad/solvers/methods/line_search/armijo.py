r"""Backtracking line search: how far along a descent direction.

With phi(a) = f(theta + a d), slope m = phi'(0) < 0 and c in (0, 1/2), a trial is accepted if

    phi(a) <= phi(0) + c a m                                            (Armijo 1966; Nocedal and Wright 2006, 3.1)

and otherwise a shrinks to the minimizer of the parabola through phi(0), m and phi(a), kept between a tenth and `shrink`
of a (Dennis and Schnabel 1996, A6.3.1). A trial that is NaN or infinite counts as +inf and shrinks a tenfold.

Near a minimum phi's differences drown in its roundoff, and Armijo's test would refuse good steps. There, where
|phi(a) - phi(0)| is within 100 eps |phi(0)|, the test is put to the slope instead,

    phi'(a) <= (2c - 1) m,

which is the same inequality for a parabola and has no cancellation (Hager and Zhang 2005, "approximate Wolfe").

Along a direction of negative curvature k = d'Hd < 0, with slope m <= 0, the promise is m a + k a^2 / 2 in place of m a
(More and Sorensen 1979). No length is natural there, so that a successful trial is doubled while f goes on falling.

Every trial is paid from the run's limits; the number of trials is bounded too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nablad.solvers.linalg.vectors import FloatArray, is_finite
from nablad.solvers.methods.line_search.ray import (
    NONFINITE_SHRINK,
    Ray,
    Search,
    Trial,
    evaluate,
    evaluate_value,
    noise,
    point_at,
)
from nablad.solvers.objective import Objective


@dataclass(frozen=True)
class Armijo:
    """Settings of the search."""

    initial: float | None = None
    """First trial's multiple of the direction at the first iteration. None: the method's own choice, free of units."""
    sufficient_decrease: float = 1e-4
    """c, in (0, 1/2): the share of the promised decrease to insist on. 1e-4 is Nocedal and Wright's."""
    shrink: float = 0.5
    """The most that a refused step keeps of its length, in (0, 1)."""
    grow: float = 2.0
    """First trial relative to the last accepted step, at least 1 (gradient descent; Newton begins with 1)."""
    max_trials: int = 60

    def __post_init__(self) -> None:
        if self.initial is not None and not (0.0 < self.initial < math.inf):
            raise ValueError(f"initial must be positive and finite, got {self.initial}")
        if not 0.0 < self.sufficient_decrease < 0.5:
            raise ValueError(f"sufficient_decrease must lie in (0, 0.5), got {self.sufficient_decrease}")
        if not 0.0 < self.shrink < 1.0:
            raise ValueError(f"shrink must lie in (0, 1), got {self.shrink}")
        if not 1.0 <= self.grow < math.inf:
            raise ValueError(f"grow must be at least 1, got {self.grow}")
        if self.max_trials < 1:
            raise ValueError(f"max_trials must be at least 1, got {self.max_trials}")


def backtrack(objective: Objective, ray: Ray, first: float, settings: Armijo) -> Search:
    """Search from `first` downwards. Raises Interrupted when a limit of the run is met."""
    roundoff = noise(ray)
    step, nonfinite = first, 0
    for count in range(1, settings.max_trials + 1):
        theta = point_at(objective, ray, step)
        if not (theta != ray.theta).any():
            return Search(None, count - 1, nonfinite, step)
        # A first trial is likely to be accepted: its gradient comes with the value, at less than the price of both.
        value, gradient = evaluate(objective, theta) if count == 1 else (evaluate_value(objective, theta), None)
        if value == -math.inf:
            return Search(None, count, nonfinite, step, plunged=True)
        # step * step may overflow where step * slope does not.
        promised = step * (ray.slope + 0.5 * step * ray.bend)
        acceptable = value <= ray.value + settings.sufficient_decrease * promised
        if acceptable or abs(value - ray.value) <= roundoff:
            if gradient is None:
                gradient = objective.gradient(theta)
            if not is_finite(gradient):
                value = math.inf
            elif acceptable or _slope_accepts(ray, gradient, settings.sufficient_decrease):
                return Search(Trial(step, theta, value, gradient), count, nonfinite, step)
        nonfinite += not math.isfinite(value)
        step = shorter(ray, step, value, settings.shrink)
    return Search(None, settings.max_trials, nonfinite, step)


def extend(objective: Objective, ray: Ray, found: Trial, trials: int) -> Trial:
    """Double the step while f falls and keeps the promise of the curvature; at most `trials` times."""
    for _ in range(trials):
        step = 2.0 * found.step
        theta = point_at(objective, ray, step)
        value, gradient = evaluate(objective, theta)
        if not is_finite(gradient) or not math.isfinite(value) or not value < found.value:
            break
        found = Trial(step, theta, value, gradient)
    return found


def _slope_accepts(ray: Ray, gradient: FloatArray, c: float) -> bool:
    return ray.slope < 0.0 and float(gradient.dot(ray.direction)) <= (2.0 * c - 1.0) * ray.slope


def shorter(ray: Ray, step: float, value: float, shrink: float) -> float:
    """The step after a trial that was refused: the parabola's minimizer, safeguarded."""
    if not math.isfinite(value):
        return NONFINITE_SHRINK * step
    excess = value - ray.value - step * ray.slope
    best = step * (-0.5 * (step * ray.slope) / excess) if excess > 0.0 else 0.0
    return min(max(best, NONFINITE_SHRINK * step), shrink * step)
