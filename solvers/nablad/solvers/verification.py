r"""Is a point that passed a test really stationary? Newton's step from it decides, where it can be afforded.

A small gradient alone says little: ||g|| <= 1e-6 ||g_0|| leaves Rosenbrock's function at 1e-7, and on exp(-x) it is had
by running away. What remains to be gained is the decrement d = g'|H|^-1 g / 2, and how far the stationary point is, in
no units, t = ||D s|| / ||D theta|| with Newton's step s and the diagonal D^2 of H (evidence.py). A point is verified if

    d <= eps^(2/3) max(|f|, eps^(2/3) N^2 / 2)    and    t <= eps^(1/2),        t = ||D s|| / N, N = ||D theta||

- eps^(2/3) |f| is ten digits of f. Where the minimum is 0 (d is as good as all of f) that is no scale; N^2 / 2 is, the
  curvature over the length of theta, and a step of eps^(2/3) of theta reaches that share of it squared (Dennis and
  Schnabel 1996, section 7.2, for the exponent). A minimizer at 0 has no such scale either: N is not less than 1e-3
  sqrt(2 (f_0 - f)), which is a share of the same length at the start of a quadratic. None of this changes with f -> cf,
  nor with the units of any parameter.
- t <= eps^(1/2) is half of theta's digits, which is all that values of f can tell of it. What Newton's model leaves out
  is of the third order, a share t of d. On 1 + exp(-x) the step is 1 wherever one is: d gets small, and t does not.
- A parameter that f has come to depend on ever less has a D_j of next to nothing, and its step no part in t. Those
  whose curvature does not explain what f has lost by them are weak; their |s_j| / |theta_j| counts, too.
- Where no value of f can tell anything more, d <= 100 eps |f|, an ill-conditioned step may stay longer, t <= eps^(1/3).

or if the gradient is what rounding makes of zero: each component within 4 eps |H| |theta|, or, for a sum of squares,
each cosine of the residual with a column of the current Jacobian within 10 eps (stopping.py derives both).

A point that is not stationary is no minimum, whatever its curvature: a tolerance that somebody gave, or a target, ends
a run anywhere. It may be called one where Newton's step is at least so short, 1e-2 of theta or of the run's way, that
the curvature at its end is the same (`Look.near`).

Where a Hessian costs too much, a few products with it may still disprove the point (sampled.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nablad.solvers.evidence import CurvatureFacts
from nablad.solvers.linalg.vectors import norm, ratio
from nablad.solvers.methods.base import State
from nablad.solvers.methods.first_order import FirstOrderState
from nablad.solvers.objective import FloatArray, Objective
from nablad.solvers.progress import Point

DROP_SHARE = 1e-3
"""A theta near zero is measured by this share of the run's whole way."""
ROUNDOFF_DECREASE = 100.0
"""In eps |f|: what no value of f can show."""
NOISE = 100.0
"""Roundings that an evaluation is taken to make."""
COSINE_MARGIN = 10.0
LEAST_SHRINK, MOST_SHRINK = 0.03, 0.5
"""How far the gradient must fall before the next look: by what is missing, but at least by half, so that there are at
most some forty looks in a run, and not by so much that a superlinear method makes idle steps."""


WEAK = 1e-6
"""A parameter is weak if its curvature, over its way, would have changed f by less than this share of what f lost,"""
RESPONSIBLE = 1e-3
"""though by its slope at the start it may well have brought about this share of it: then it was not this curvature that
brought f down, and third derivatives may outweigh it."""


@dataclass(frozen=True)
class Look:
    """What came of looking at a point."""

    stationary: bool
    shrink: float = MOST_SHRINK
    """Where it is not: the share to which the gradient should fall before the next look."""
    step: float = 0.0
    """t, the relative length of Newton's step."""
    short: bool = True
    """Whether t is small, whatever d."""
    weak: tuple[int, ...] = ()
    """The weak parameters, where it is their step that is long."""
    idle: tuple[int, ...] = ()
    """Parameters that f does not determine where the others are now: weak ones with whose values of the start f is the
    same, and those of whose value rounding leaves no digit."""
    near: bool = False
    """Of a point that is not stationary: whether that one is so near that the curvature here is the curvature there."""


def look(facts: CurvatureFacts, objective: Objective, at: State, origin: Point) -> Look:
    """Whether the point of the facts is stationary, by Newton's step from it. The run began at `origin`."""
    if facts.decrement is None:
        return Look(True)
    eps = float(np.finfo(at.theta.dtype).eps)
    size = _natural(facts, at, origin)
    allowed = _allowed(at.value, facts.decrement, size, eps)
    blurred = ROUNDOFF_DECREASE * eps * abs(at.value)
    longest = eps ** (1 / 3) if facts.decrement <= blurred else eps**0.5
    weak, of_weak = _weak_step(facts, at, origin)
    idle: tuple[int, ...] = ()
    if of_weak > longest and _idle(objective, facts, at, origin, weak):
        weak, of_weak, idle = (), 0.0, weak
    idle += tuple(j for j in _without_digits(facts, at, origin) if j not in idle)
    t = max(_relative_step(facts, size), of_weak)
    told = weak if of_weak > longest else ()
    if facts.decrement <= allowed and t <= longest:
        return Look(True, step=t, idle=idle)
    if not told and (facts.over_roundoff <= 1.0 or orthogonal(objective, at)):
        return Look(True, step=t, short=t <= longest, idle=idle)
    missing = min(math.sqrt(ratio(allowed, facts.decrement)), ratio(longest, t))
    shrink = min(max(missing, LEAST_SHRINK), MOST_SHRINK)
    return Look(False, shrink, t, t <= longest, told, idle, _near(facts, at, origin))


PREMATURE = 10.0
"""How far beyond the allowed decrement a method's own estimate must lie: it is one of a few steps' curvature."""


def premature(state: FirstOrderState, origin: Point) -> float | None:
    """The share to which the gradient should fall before a look at the point is worth its Hessian; None for now.

    A quasi-Newton method has a model of f, and so an estimate of d that costs nothing. Where that is far beyond what
    `look` allows, N^2 by the curvature last seen along the path, the look would be in vain.
    """
    promised = state.estimated_decrease
    if not promised < math.inf:
        return None
    size = norm(state.theta) * math.sqrt(max(state.curvature_seen, 0.0))
    size = max(size, DROP_SHARE * math.sqrt(2.0 * max(origin.value - state.value, 0.0)))
    allowed = _allowed(state.value, promised, size, float(np.finfo(state.theta.dtype).eps))
    if not promised > PREMATURE * allowed:
        return None
    return min(max(math.sqrt(allowed / promised), LEAST_SHRINK), MOST_SHRINK)


NEAR = 1e-2
"""Of theta, or of the way from the start: over so short a step the curvature hardly changes."""


def _near(facts: CurvatureFacts, at: State, origin: Point) -> bool:
    """Whether Newton's step is so short that it does not leave the point's surroundings."""
    spectrum = facts.spectrum
    if facts.step is None or spectrum is None or facts.decrement == math.inf:
        return False
    whole = max(spectrum.length(at.theta), spectrum.length(at.theta - origin.theta))
    return spectrum.length(facts.step) <= NEAR * whole


def _without_digits(facts: CurvatureFacts, at: State, origin: Point) -> list[int]:
    """Parameters of positive curvature that are minimized to no digit: rounding theta moves them by all of their size.

    Scaled by the diagonal, every parameter has the same curvature; the bias of a saturated unit, whose effect is below
    the rounding of the others', looks as well determined as any (eps (|H| |theta|)_j / H_jj is its uncertainty).
    """
    if facts.verdict != "minimum" or facts.blur is None or facts.diagonal is None:
        return []
    size = np.maximum(np.abs(at.theta), np.abs(at.theta - origin.theta))
    lost = (facts.diagonal > 0.0) & (size > 0.0) & (facts.blur >= facts.diagonal * size)
    return [int(j) for j in np.flatnonzero(lost)]


def weak_parameters(facts: CurvatureFacts, at: State, origin: Point) -> NDArray[np.intp]:
    """Which parameters are weak."""
    drop = origin.value - at.value
    if facts.diagonal is None or not 0.0 < drop < math.inf:
        return np.zeros(0, np.intp)
    moved = np.abs(at.theta - origin.theta)
    explained = np.abs(facts.diagonal) * moved**2
    return np.flatnonzero((np.abs(origin.gradient) * moved >= RESPONSIBLE * drop) & (explained < WEAK * drop))


def _weak_step(facts: CurvatureFacts, at: State, origin: Point) -> tuple[tuple[int, ...], float]:
    """The weak parameters, and the longest of their relative steps."""
    weak = weak_parameters(facts, at, origin)
    if not weak.size or facts.step is None:
        return (), 0.0
    size = np.maximum(np.abs(at.theta), DROP_SHARE * np.abs(at.theta - origin.theta))[weak]
    return tuple(weak.tolist()), float(np.max(np.abs(facts.step[weak]) / size))


def _idle(objective: Objective, facts: CurvatureFacts, at: State, origin: Point, weak: tuple[int, ...]) -> bool:
    """Whether f is the same with these parameters back at the start: a bias of a unit whose weights are zero."""
    back = np.where(np.isin(np.arange(at.theta.size), weak), origin.theta, at.theta)
    return abs(objective.value(back) - at.value) <= roundoff(facts, at.value, at.theta)


def _natural(facts: CurvatureFacts, at: State, origin: Point) -> float:
    """N: the length of theta in units of the curvature."""
    drop = DROP_SHARE * math.sqrt(2.0 * max(origin.value - at.value, 0.0))
    if facts.spectrum is None:
        return drop
    return max(facts.spectrum.length(at.theta), drop)


def _relative_step(facts: CurvatureFacts, size: float) -> float:
    if facts.step is None or facts.spectrum is None:
        return 0.0
    return ratio(facts.spectrum.length(facts.step), size)


ALL_THAT_IS_LEFT = 0.25
"""Where d is this share of |f| or more, the minimum may well be 0: near x^2k, d / f is k / (2 k - 1)."""


def _allowed(value: float, decrement: float, size: float, eps: float) -> float:
    tight = eps ** (2 / 3)
    near_zero = decrement >= ALL_THAT_IS_LEFT * abs(value)
    return float(tight * max(abs(value), 0.5 * tight * size * size if near_zero else 0.0))


def insignificant(facts: CurvatureFacts, at: State, origin: Point) -> float:
    """What f may still have to gain at a point that counts as stationary, by its own size or by the curvature's."""
    eps = float(np.finfo(at.theta.dtype).eps)
    return _allowed(at.value, math.inf, _natural(facts, at, origin), eps)


def promises_little(facts: CurvatureFacts, at: State, origin: Point) -> bool:
    """Whether f has as good as nothing left to gain, however far theta may be: the half of `look` that concerns f."""
    if facts.decrement is None:
        return True
    eps = float(np.finfo(at.theta.dtype).eps)
    return facts.decrement <= _allowed(at.value, facts.decrement, _natural(facts, at, origin), eps)


def roundoff(facts: CurvatureFacts, value: float, theta: FloatArray) -> float:
    """How far the value of f at theta is uncertain.

    A sum of squares rounds in its residual, by eps ||D theta|| where f is ||r||^2: 2 ||r|| times that, and its square,
    may exceed eps |f| by far.
    """
    eps = float(np.finfo(theta.dtype).eps)
    size = math.sqrt(abs(value))
    spectrum = facts.spectrum
    moved = 0.0 if spectrum is None else spectrum.length(theta)
    return NOISE * eps * (size * size + size * moved + eps * moved * moved)


def orthogonal(objective: Objective, at: State) -> bool:
    """Whether the residual is orthogonal to the current Jacobian's columns, to roundoff. Costs a Jacobian."""
    if not objective.capabilities.residual or not at.value > 0.0:
        return False
    bounds = objective.bounds
    gradient = at.gradient if bounds is None else bounds.projected(at.theta, at.gradient)
    cosines = np.abs(gradient) / objective.column_norms(at.theta) / (2.0 * math.sqrt(at.value))
    return bool((cosines <= COSINE_MARGIN * float(np.finfo(at.theta.dtype).eps)).all())
