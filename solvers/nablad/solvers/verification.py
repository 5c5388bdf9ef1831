r"""Is a point that passed a test really stationary? Newton's step from it decides, where it can be afforded.

A small gradient alone says little: ||g|| <= 1e-6 ||g_0|| leaves Rosenbrock's function at 1e-7, and on exp(-x) it is had
by running away. What remains to be gained is the decrement d = g'|H|^-1 g / 2, and how far the stationary point is, in
no units, t = ||D s|| / ||D theta|| with Newton's step s and the diagonal D^2 of H (evidence.py). A point is verified if

    d <= eps^(2/3) max(|f|, eps^(2/3) ||D theta||^2 / 2)    and    t <= eps^(1/3)

- eps^(2/3) |f| is ten digits of f. Where the minimum is 0 there is no such scale; ||D theta||^2 / 2 is then f's own,
  the curvature over the length of theta, and a step of eps^(2/3) of theta reaches that share of it squared (Dennis and
  Schnabel 1996, section 7.2, for the exponent). Neither changes with f -> cf, nor with the units of any parameter.
- d and s are Newton's model's. What it leaves out is of the third order, a share t of d where the scales are natural;
  at t <= eps^(1/3) it does not matter. On 1 + exp(-x) the step is 1 wherever one is: d gets small, and t does not.

or if the gradient is what rounding makes of zero: each component within 4 eps |H| |theta|, or, for a sum of squares,
each cosine of the residual with a column of the current Jacobian within 10 eps (stopping.py derives both).

Where a Hessian costs too much (evidence.affordable), conjugate gradients on H s = -g give lower bounds of d that only
grow (Nocedal and Wright 2006, section 5.1): a bound that is too large already disproves the point at a few products.
What they do not disprove stays unverified, and the message says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nablad.solvers.evidence import CurvatureFacts, relative_step
from nablad.solvers.linalg.vectors import norm, ratio
from nablad.solvers.methods.base import State
from nablad.solvers.objective import FloatArray, Objective

ORIGIN_SHARE = 1e-3
"""A theta near zero is measured by this share of the start's length."""
COSINE_MARGIN = 10.0
LEAST_SHRINK, MOST_SHRINK = 0.03, 0.5
"""How far the gradient must fall before the next look: by what is missing, but at least by half, so that there are at
most some forty looks in a run, and not by so much that a superlinear method makes idle steps."""


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


def look(facts: CurvatureFacts, objective: Objective, at: State, origin: FloatArray) -> Look:
    """Whether the point of the facts is stationary, by Newton's step from it. `origin` is where the run began."""
    theta, value = at.theta, at.value
    if facts.decrement is None:
        return Look(True)
    eps = float(np.finfo(theta.dtype).eps)
    tight, loose = eps ** (2 / 3), eps ** (1 / 3)
    t = relative_step(facts, theta, origin, ORIGIN_SHARE)
    allowed = tight * max(abs(value), 0.5 * tight * _natural(facts, theta, origin))
    if facts.decrement <= allowed and t <= loose:
        return Look(True, step=t)
    if facts.over_roundoff <= 1.0 or orthogonal(objective, at):
        return Look(True, step=t, short=t <= loose)
    missing = min(math.sqrt(ratio(allowed, facts.decrement)), ratio(loose, t))
    return Look(False, min(max(missing, LEAST_SHRINK), MOST_SHRINK), t, t <= loose)


def _natural(facts: CurvatureFacts, theta: FloatArray, origin: FloatArray) -> float:
    """||D theta||^2, not less than that share of it at the start."""
    if facts.spectrum is None:
        return 0.0
    free, scale = facts.spectrum.free, facts.spectrum.scale
    length = max(norm(scale * theta[free]), ORIGIN_SHARE * norm(scale * origin[free]))
    return length * length


def promises_little(facts: CurvatureFacts, theta: FloatArray, value: float, origin: FloatArray) -> bool:
    """Whether f has as good as nothing left to gain, however far theta may be: the half of `look` that concerns f."""
    if facts.decrement is None:
        return True
    tight = float(np.finfo(theta.dtype).eps) ** (2 / 3)
    return bool(facts.decrement <= tight * max(abs(value), 0.5 * tight * _natural(facts, theta, origin)))


def orthogonal(objective: Objective, at: State) -> bool:
    """Whether the residual is orthogonal to the current Jacobian's columns, to roundoff. Costs a Jacobian."""
    if not objective.capabilities.residual or not at.value > 0.0:
        return False
    bounds = objective.bounds
    gradient = at.gradient if bounds is None else bounds.projected(at.theta, at.gradient)
    cosines = np.abs(gradient) / objective.column_norms(at.theta) / (2.0 * math.sqrt(at.value))
    return bool((cosines <= COSINE_MARGIN * float(np.finfo(at.theta.dtype).eps)).all())


PRODUCTS = 25


def disproved(objective: Objective, at: State) -> float | None:
    """A lower bound of the decrement, where it shows that f is not minimized to half of its digits; None else.

    Conjugate gradients on H s = -g from s = 0, for at most PRODUCTS products. Where they meet negative curvature, a
    gradient that is not roundoff lets f fall further.
    """
    gradient = at.gradient if objective.bounds is None else objective.bounds.projected(at.theta, at.gradient)
    half = math.sqrt(float(np.finfo(at.theta.dtype).eps))
    natural = abs(float(at.theta.dot(objective.hvp(at.theta, at.theta))))
    enough = half * max(abs(at.value), 0.5 * half * natural)
    residual, direction = gradient, -gradient
    square = first = float(residual.dot(residual))
    decrement = 0.0
    for _ in range(PRODUCTS):
        if not square > 1e-4 * first > 0.0:
            return None
        product = objective.hvp(at.theta, direction)
        bend = float(direction.dot(product))
        if not bend > 0.0:
            return decrement if bend < 0.0 else None
        alpha = square / bend
        decrement += 0.5 * alpha * square
        if decrement > enough:
            return decrement
        residual = residual + alpha * product
        before, square = square, float(residual.dot(residual))
        direction = (square / before) * direction - residual
    return None
