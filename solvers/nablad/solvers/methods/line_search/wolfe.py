r"""The strong Wolfe search: a step that is neither too long nor too short.

With phi(a) = f(theta + a d), slope m = phi'(0) < 0 and 0 < c1 < c2 < 1, a step is accepted if

    phi(a) <= phi(0) + c1 a m   and   |phi'(a)| <= c2 |m|        (Wolfe 1969; Nocedal and Wright 2006, 3.7)

The first keeps it from being too long, the second from being too short; together they give y's > 0, which a
quasi-Newton update needs, and small c2 a nearly exact search, which conjugate gradients need. Such steps exist
wherever phi is smooth and bounded below (lemma 3.1 there).

**Bracketing and zoom** (algorithms 3.5 and 3.6 there; More and Thuente 1994). `low` is the lowest point so far that
keeps the first condition, `high` the end of an interval that holds acceptable steps: a point that fails the first
condition, or is higher than `low`, or one on whose side of `low` phi rises. While there is no `high`, the step grows;
then it is interpolated between the two, by the minimizer of the cubic through both values and slopes, kept off the
ends by a tenth of the interval; two trials that together leave more than two thirds of it are followed by a bisection.

**Roundoff.** Near a minimum phi's differences drown in its roundoff. Where |phi(a) - phi(0)| is within sqrt(eps)
|phi(0)| the first condition is put to the slope, phi'(a) <= (2 c1 - 1) m, which is the same for a parabola and has
no cancellation (Hager and Zhang 2005, "approximate Wolfe"; their zone is 1e-6 |phi(0)|); two values that close are told
apart by their slopes, and interpolated by the secant of the slopes. The zone is wider than f's last digits, for a sum
of squares of differences has an error of eps |y|^2 where its value may be |r|^2 << |y|^2; and a search that knows the
slope at each trial can afford it: f rises by at most that share, where its gradient says that it falls.

**Bounds.** No trial is longer than `longest`. If phi still falls steeply there, the longest step is accepted with the
first condition alone.

**Limits.** A trial that is NaN or infinite, in value or gradient, counts as +inf: it becomes `high`, and a tenth of it
is tried next if no step is known yet, else the middle. The trials are bounded, and each, a value and a gradient, is
paid from the run's limits. When they are used up, or the interval is too short to hold another number, `low` is
accepted if it lowered f: it keeps the first condition. A caller that needs y's > 0 looks at it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nablad.solvers.linalg.vectors import FloatArray, epsilon, is_finite
from nablad.solvers.methods.line_search.ray import NONFINITE_SHRINK, Ray, Search, Trial, evaluate, point_at
from nablad.solvers.objective import InvalidSetting, Objective


@dataclass(frozen=True)
class Wolfe:
    """Settings of the search."""

    initial: float | None = None
    """First trial's multiple of the negative gradient at the first iteration. None: the method's own choice, free of
    units."""
    sufficient_decrease: float = 1e-4
    """c1, in (0, 1/2): the share of the promised decrease to insist on. 1e-4 is Nocedal and Wright's."""
    curvature: float = 0.9
    """c2, in (c1, 1): the share of the slope that may remain. 0.9 is Nocedal and Wright's for quasi-Newton methods,
    whose full step is good in itself; 0.1 is for conjugate gradients, which need a nearly exact search."""
    max_trials: int = 40
    """Of one search. A tenth at each trial that is not finite: 40 of them reach 1e-40 of the first."""

    def __post_init__(self) -> None:
        if self.initial is not None and not (0.0 < self.initial < math.inf):
            raise ValueError(f"initial must be positive and finite, got {self.initial}")
        if not 0.0 < self.sufficient_decrease < 0.5:
            raise ValueError(f"sufficient_decrease must lie in (0, 0.5), got {self.sufficient_decrease}")
        if not self.sufficient_decrease < self.curvature < 1.0:
            between = f"between sufficient_decrease = {self.sufficient_decrease} and 1"
            raise InvalidSetting("curvature", f"must lie {between}; it is {self.curvature}")
        if self.max_trials < 1:
            raise ValueError(f"max_trials must be at least 1, got {self.max_trials}")


@dataclass(frozen=True)
class _Point:
    """phi and its slope at a step; inf and NaN where they are not finite."""

    step: float
    value: float
    slope: float
    theta: FloatArray


GROWTH = (2.0, 10.0)
"""The least and the most by which a step grows that was too short: doubling at least keeps the number of trials
logarithmic, and beyond ten times itself a cubic says nothing."""
MARGIN = 0.1
"""How far a trial keeps off the interval's ends, relative to its length."""
SLOW = 0.66
"""The share of the interval that two trials may leave without a bisection (More and Thuente 1994)."""


def strong_wolfe(objective: Objective, ray: Ray, first: float, settings: Wolfe, longest: float = math.inf) -> Search:
    """Search from `first`, the slope of `ray` being negative; `ray.bend` is not used.

    The trial of the result has its value and gradient; `trial.step` is in units of the ray's direction. With the
    objective's bounds, `longest` is at most their reach. Raises Interrupted when a limit of the run is met.
    """
    roundoff = math.sqrt(epsilon(ray.theta.dtype)) * abs(ray.value)
    low = _Point(0.0, ray.value, ray.slope, ray.theta)
    high: _Point | None = None
    lowest: Trial | None = None
    step, nonfinite, count = min(first, longest), 0, 0
    widths = (math.inf, math.inf)
    while count < settings.max_trials:
        theta = point_at(objective, ray, step)
        if not (theta != low.theta).any() or (high is not None and not (theta != high.theta).any()):
            break
        count += 1
        trial, gradient = _look(objective, ray, step, theta)
        if trial.value == -math.inf:
            return Search(None, count, nonfinite, step, plunged=True)
        nonfinite += not math.isfinite(trial.value)
        kept = _keeps_decrease(ray, trial, settings.sufficient_decrease, roundoff)
        if not kept or trial.value > low.value + roundoff:
            high = trial
        else:
            lowest = Trial(step, theta, trial.value, gradient)
            if abs(trial.slope) <= -settings.curvature * ray.slope:
                return Search(lowest, count, nonfinite, step)
            if high is None and trial.slope < 0.0:
                if step >= longest:
                    return Search(lowest, count, nonfinite, step)
                step, low = min(_longer(low, trial, roundoff), longest), trial
                continue
            if high is None or trial.slope * (high.step - low.step) >= 0.0:
                high = low
            low = trial
        width = abs(high.step - low.step)
        slow = width > SLOW * widths[0]
        step = _between(low, high, roundoff, slow)
        widths = (widths[1], math.inf if slow else width)
    useful = lowest is not None and lowest.value < ray.value
    return Search(lowest if useful else None, count, nonfinite, step)


def _look(objective: Objective, ray: Ray, step: float, theta: FloatArray) -> tuple[_Point, FloatArray]:
    value, gradient = evaluate(objective, theta)
    if math.isfinite(value) and not is_finite(gradient):
        value = math.inf
    slope = float(gradient.dot(ray.direction)) if math.isfinite(value) else math.nan
    return _Point(step, value, slope, theta), gradient


def _keeps_decrease(ray: Ray, trial: _Point, c: float, roundoff: float) -> bool:
    """The first condition; by the slope where the values cannot tell."""
    if trial.value <= ray.value + c * trial.step * ray.slope:
        return True
    return abs(trial.value - ray.value) <= roundoff and trial.slope <= (2.0 * c - 1.0) * ray.slope


def _longer(low: _Point, trial: _Point, roundoff: float) -> float:
    """The next step while phi falls: the cubic's minimizer, if it lies where steps may grow to."""
    least, most = (factor * trial.step for factor in GROWTH)
    best = _minimizer(low, trial, roundoff)
    return most if not best > trial.step else min(max(best, least), most)


def _between(low: _Point, high: _Point, roundoff: float, slow: bool) -> float:
    """The next step inside the interval."""
    width = high.step - low.step
    if not math.isfinite(high.value):
        return low.step + (NONFINITE_SHRINK if low.step == 0.0 else 0.5) * width
    if slow:
        return low.step + 0.5 * width
    share = (_minimizer(low, high, roundoff) - low.step) / width
    return low.step + (min(max(share, MARGIN), 1.0 - MARGIN) if math.isfinite(share) else 0.5) * width


def _minimizer(a: _Point, b: _Point, roundoff: float) -> float:
    """Of the cubic through both values and slopes (Nocedal and Wright 2006, 3.59); NaN or infinite if it has none.

    Divided by the largest number in it before anything is squared, so that no unit of f overflows.
    """
    width = b.step - a.step
    if abs(b.value - a.value) <= roundoff:
        return a.step - a.slope * width / (b.slope - a.slope) if b.slope != a.slope else math.inf
    mean = 3.0 * ((b.value - a.value) / width)
    size = max(abs(mean), abs(a.slope), abs(b.slope))
    start, end, bend = a.slope / size, b.slope / size, (a.slope / size + b.slope / size) - mean / size
    square = bend * bend - start * end
    if not square >= 0.0:
        return math.inf
    root = math.copysign(math.sqrt(square), width)
    below = end - start + 2.0 * root
    return b.step - width * ((end + root - bend) / below) if below != 0.0 else math.inf
