r"""Trust regions: whether to take a step, and how far the next may go.

A model predicts that the step s lowers f by `predicted` > 0, and is trusted where ||D s|| <= radius. The trial tells
how far it was right (Conn, Gould and Toint 2000, chapter 6; Nocedal and Wright 2006, algorithm 4.1):

    ratio = (f(theta) - f(theta + s)) / predicted

- The step is taken if ratio > 1e-4: any real decrease, as MINPACK has it (More 1978). A trial that is NaN or infinite,
  in value or gradient, is refused like any other, and the radius shrinks to a tenth of that step: it cannot freeze
  there (scipy #12503).
- ratio < 1/4: the radius becomes that share of ||D s|| at which the parabola through f(theta), the slope g's and
  f(theta + s) has its minimum, kept between a tenth and a half (Dennis and Schnabel 1996, A6.4.5). It is the length
  that counts, not the old radius: a Newton step that was refused well inside would otherwise be proposed again.
- ratio > 3/4: the radius becomes at least `GROWTH` times the step's length, of one that ended inside, too (so MINPACK).
  Where a step at the edge came within 5 % of its promise, `LEAP` times: a region that began far too small is then out
  of the way in a few steps. Between 1/4 and 3/4 the radius stays. Measured by Levenberg-Marquardt's method on More,
  Garbow and Hillstrom's functions (the median of function-equivalent evaluations to the minimum, on 106 runs; scipy's
  trf 178): neither 190, growth inside too 183, and leaps as well 165.

Near a minimum f's differences drown in its roundoff. Where `predicted` and the difference are both within 100 eps |f|,
or within a larger `noise` that the method knows (of a sum of squares eps ||r|| times the size of what r is a small
difference of), the decrease is taken from slopes instead,

    -(g's + g(theta + s)'s) / 2,

which is the same number for a quadratic and has no cancellation (the trapezoidal rule; the idea is Hager and Zhang's,
2005). Slopes are believed unless an earlier, longer trial rose by more than roundoff and this one has risen, too: a
gradient of the wrong sign promises a decrease at any length. All is relative to f and to the steps themselves: no
number here has units.

Interface. `search` is the whole inner loop: it asks `propose(radius, refused)` for a `Proposal` until one is taken, and
returns an `Outcome` with the point, its gradient and the radius for the next iteration. `refused` is the trial that was
just refused, None at first. The proposer keeps its points within bounds, and says in `at_edge` whether a larger radius
would have given a longer step. Where a trial is not good, `bend(proposal, gradient there)` may offer a point beside it,
which is taken if f is lower there (newton_trust.py tells what for). For other loops `ratio_of` and `radius_after` are
the two parts. `failure` words the end of a search that found nothing.

A refused trial costs one value (and a gradient, where `eager` bet on success); an accepted one value and gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nablad.solvers.linalg.vectors import FloatArray, epsilon, is_finite
from nablad.solvers.status import Status
from nablad.solvers.words import counted


@dataclass(frozen=True)
class TrustRegion:
    """Settings of the region."""

    initial_radius: float | None = None
    """The first step's greatest length, as a share of theta's at the start, each in the scaled norm ||D .||; of the
    unbounded step's length where theta is 0. None: the method's own choice, free of units."""

    def __post_init__(self) -> None:
        if self.initial_radius is not None and not 0.0 < self.initial_radius < math.inf:
            raise ValueError(f"initial_radius must be positive and finite, got {self.initial_radius}")


ACCEPTANCE = 1e-4
"""The least ratio of a step that is taken."""
POOR = 0.25
GOOD = 0.75
GROWTH = 2.0
EXACT, LEAP = 0.05, 5.0
"""A ratio so near to 1 says that the model holds well beyond the edge: the radius may grow by the larger factor."""
NONFINITE_SHRINK = 0.1
LEAST_SHRINK, MOST_SHRINK = 0.1, 0.5
"""A refused step's length is cut to between these shares of itself."""
MAX_TRIALS = 60
"""Sixty halvings span 18 orders of magnitude, more than a radius and the last bit of theta are apart."""
NOISE_FACTOR = 100.0
"""The roundoff of f, in eps |f|."""


@dataclass(frozen=True)
class Proposal:
    """A step that a model proposes, and what it promises."""

    theta: FloatArray
    """The trial point, shape (p,), within bounds."""
    step: FloatArray
    """From the point where the search stands, shape (p,)."""
    length: float
    """||D step||, in the norm in which the radius is meant."""
    predicted: float
    """The decrease of f by the model."""
    at_edge: bool
    """The radius alone kept the step from being longer."""


@dataclass(frozen=True)
class Refused:
    """A trial that was not taken."""

    proposal: Proposal
    value: float
    """f there; inf for NaN, and where the gradient was not finite."""


@dataclass(frozen=True)
class Arrival:
    """The trial that was taken."""

    proposal: Proposal
    value: float
    gradient: FloatArray
    ratio: float


@dataclass(frozen=True)
class Outcome:
    """What a search found; `arrival` is None if nothing was acceptable."""

    arrival: Arrival | None
    radius: float
    """For the next search."""
    trials: int
    nonfinite: int
    """How many of them were NaN or infinite, in value or gradient."""
    last: Proposal | None
    """The last trial; None if none was made."""
    plunged: bool = False
    """A trial's value was -inf."""


Propose = Callable[[float, Refused | None], Proposal]
Bend = Callable[[Proposal, FloatArray], Proposal | None]


class Surface(Protocol):
    """What a search asks of an objective, or of whoever answers for it."""

    def value(self, theta: FloatArray) -> float: ...
    def gradient(self, theta: FloatArray) -> FloatArray: ...
    def value_and_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]: ...


def search(
    objective: Surface,
    value: float,
    gradient: FloatArray,
    propose: Propose,
    radius: float,
    *,
    eager: bool = True,
    noise: float = 0.0,
    bend: Bend | None = None,
    arriving: Callable[[FloatArray], FloatArray] | None = None,
) -> Outcome:
    """Try steps from a point with this value and gradient until one is taken.

    `eager` asks the first trial for value and gradient at once, which costs less where it is probably taken. `noise` is
    f's roundoff where the method knows it to be more than that of f itself. `bend` corrects trials that are not good.
    `arriving` gives the gradient of an accepted trial that was good at once, where more than that is wanted there.
    Raises Interrupted when a limit of the run is met.
    """
    refused: Refused | None = None
    nonfinite, last, risen = 0, None, False
    noise = max(noise, NOISE_FACTOR * epsilon(gradient.dtype) * abs(value))
    for count in range(1, MAX_TRIALS + 1):
        proposal = propose(radius, refused)
        if not proposal.predicted > 0.0 or not bool(proposal.step.any()):
            return Outcome(None, radius, count - 1, nonfinite, last)
        last = proposal
        there, slope_there = _evaluate(objective, proposal.theta, with_gradient=eager and count == 1)
        if there == -math.inf:
            return Outcome(None, radius, count, nonfinite, last, plunged=True)
        slope = float(gradient.dot(proposal.step))
        ratio = ratio_of(value - there, proposal.predicted, noise)
        if bend is not None and -math.inf < ratio < GOOD:
            if slope_there is None:
                slope_there = objective.gradient(proposal.theta)
            bent = _bent(objective, bend, value, there, proposal, slope_there)
            if bent is not None:
                after = radius_after(radius, bent.proposal, bent.ratio, slope, value - bent.value)
                return Outcome(bent, after, count, nonfinite, bent.proposal)
        if math.isnan(ratio) or ratio > ACCEPTANCE:
            if slope_there is None:
                slope_there = (arriving or objective.gradient)(proposal.theta)
            if not is_finite(slope_there):
                there, ratio = math.inf, -math.inf
            elif math.isnan(ratio) and risen and there > value:
                ratio = 0.0
            elif math.isnan(ratio):
                ratio = -0.5 * (slope + float(slope_there.dot(proposal.step))) / proposal.predicted
        actual = value - there
        if ratio > ACCEPTANCE:
            assert slope_there is not None
            arrival = Arrival(proposal, there, slope_there, ratio)
            return Outcome(arrival, radius_after(radius, proposal, ratio, slope, actual), count, nonfinite, last)
        nonfinite += not math.isfinite(there)
        radius = radius_after(radius, proposal, ratio, slope, actual)
        risen = risen or value + noise < there < math.inf
        refused = Refused(proposal, there)
    return Outcome(None, radius, MAX_TRIALS, nonfinite, last)


def _bent(
    objective: Surface, bend: Bend, value: float, there: float, proposal: Proposal, slope_there: FloatArray
) -> Arrival | None:
    """The corrected trial, if f is lower there than at the trial, and low enough to be taken."""
    corrected = bend(proposal, slope_there) if is_finite(slope_there) else None
    if corrected is None:
        return None
    lower = objective.value(corrected.theta)
    ratio = (value - lower) / corrected.predicted
    if not (math.isfinite(lower) and lower < there and ratio > ACCEPTANCE):
        return None
    gradient = objective.gradient(corrected.theta)
    return Arrival(corrected, lower, gradient, ratio) if is_finite(gradient) else None


def ratio_of(actual: float, predicted: float, noise: float) -> float:
    """actual / predicted, -inf for a trial that is not finite, and NaN where both are lost in `noise`, f's roundoff:
    then the slopes must tell."""
    if not math.isfinite(actual):
        return -math.inf
    if predicted <= noise and abs(actual) <= noise:
        return math.nan
    return actual / predicted


def radius_after(radius: float, proposal: Proposal, ratio: float, slope: float, actual: float) -> float:
    """The radius after a trial with this ratio, slope g's and decrease `actual` (-inf if it was not finite)."""
    if not math.isfinite(actual):
        return NONFINITE_SHRINK * proposal.length
    if ratio < POOR:
        # With phi(0) = f, phi'(0) = slope and phi(1) = f - actual.
        bend = slope + actual
        best = 0.5 * slope / bend if bend < 0.0 else MOST_SHRINK
        return min(max(best, LEAST_SHRINK), MOST_SHRINK) * proposal.length
    if ratio <= GOOD:
        return radius
    leaps = proposal.at_edge and abs(ratio - 1.0) < EXACT
    return max(radius, (LEAP if leaps else GROWTH) * proposal.length)


def _evaluate(objective: Surface, theta: FloatArray, with_gradient: bool) -> tuple[float, FloatArray | None]:
    """The value, NaN as +inf, and perhaps the gradient."""
    gradient = None
    if with_gradient:
        value, gradient = objective.value_and_gradient(theta)
    else:
        value = objective.value(theta)
    return (math.inf if math.isnan(value) else value), gradient


def failure(found: Outcome, gradient_norm: float) -> tuple[Status, str]:
    """What a search without an acceptable trial says of the run."""
    if found.plunged:
        return Status.UNBOUNDED, "The value is -inf at a trial within the trust region."
    if found.nonfinite and found.nonfinite == found.trials:
        return (
            Status.NONFINITE,
            f"All {found.trials} trials, to a trust region of radius {found.radius:.1e}, were NaN or infinite.",
        )
    return (
        Status.LINE_SEARCH_STALLED,
        f"No step lowered the objective, down to a trust region of radius {found.radius:.1e} "
        f"({counted(found.trials, 'trial')}); the gradient norm is {gradient_norm:.3e}.",
    )
