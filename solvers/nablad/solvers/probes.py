r"""A few values of f, where curvature alone cannot tell what a point is.

**Lower nearby?** Where the Hessian is singular, a vanishing gradient is had by x^4 and by x^3 alike, by the monkey
saddle x^3 - 3 x y^2 and by x^2 - y^4. f is looked at along the flat directions, both ways, from short distances to long
ones; what counts is the shortest distance at which f differs from f(theta) by more than its roundoff: if it is lower
there, the point is no minimum. Each probe is also moved to the bottom of the valley that the other directions make, by
Newton's steps among these, since f may rise along every line and fall along a curve: (x - y^2)(x - 2 y^2), Peano's
example. Where f does not change at all along a flat direction, the curvature far along it is looked at too: the merged
terms of b1 exp(-b2 x) + b3 exp(-b4 x), b2 = b4, leave b1 - b3 open, and may be pulled apart with profit at another
b1 - b3 only. A parameter without any influence where it is, the rate of a term that has died, is led back to 0, on a
level way that may come out where f falls. Probes can disprove a minimum and never prove one.

**At infinity?** A function such as exp(-x) or 1/x falls towards a limit that it has nowhere. Two signs of it:

- Newton's step is long, however small the decrement is that it promises. The quadratic model then says at which
  multiple of the step f must have risen visibly. If it has not risen there, nor on the way, nothing holds theta.
- After a long way along directions that are flat by now, f stays the same however far one goes on. So it does for
  hinges, max(0, 1 - x)^2, which have their minimum. The way back tells the two apart: from the edge of the plateau, f -
  f(theta) rises like a power of the distance d where the minimum is there, so that the slopes of log f over log d agree
  at two distances; where f is only lost in roundoff, or underflows, it rises like exp(c d), and the slopes differ as
  the distances do.

Cost: some 50 to 400 evaluations, as many gradients and 6 Hessians where a point is flat, 4 or 60 evaluations where a
minimum may be at infinity, none elsewhere.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nablad.solvers.evidence import CurvatureFacts, affordable
from nablad.solvers.linalg.symmetric import Curvature, factorize
from nablad.solvers.linalg.vectors import is_finite, norm, ratio
from nablad.solvers.methods.base import State
from nablad.solvers.objective import FloatArray, Objective
from nablad.solvers.progress import Point
from nablad.solvers.verification import NOISE, WEAK, insignificant, roundoff, weak_parameters

DISTANCES = (1e-4, 1e-2, 0.1, 1.0)
"""Of the probes, in units of theta or of the way that the run has come, whichever is longer."""
CORRECTIONS, CONTRACTION = 3, 0.1
"""Of a probe to its valley's bottom: a valley may lie in a valley, as in Dixon and Price's function, 2 x_i^2 = x_(i-1)
for one i after the other."""
DIRECTIONS = 4
"""Of the flat directions, so many eigenvectors, and so many mixtures of all of them."""
WALK = tuple(2.0**-k for k in range(1, 61))
"""Shares of a parameter without influence, down to next to nothing: a term such as exp(-b x) that is lost at b = 1000
comes back on the way."""
LEVEL_DISTANCES = (0.1, 0.03, 0.01, 0.3)
"""Where the curvature is looked at along a direction in which f does not change at all."""
LEVEL = 1e-4
"""What counts as no change: a flat direction is only known to the square root of roundoff."""
HESSIANS = 6
"""So many at most."""
MARGIN = 4.0
"""A value counts as lower if it is so by this multiple of what Newton's step promises."""


def suspicious(facts: CurvatureFacts, at: State, origin: Point) -> bool:
    """Whether the curvature is too weak along some direction to be taken for a minimum's."""
    if facts.spectrum is None or facts.verdict not in ("minimum", "flat"):
        return False
    if facts.verdict == "flat" or weak_parameters(facts, at, origin).size:
        return True
    spectrum = facts.spectrum
    way = spectrum.length(at.theta - origin.theta)
    return float(spectrum.values[0]) * way * way < WEAK * (origin.value - at.value)


def lower(objective: Objective, facts: CurvatureFacts, at: State, origin: Point) -> float | None:
    """A value of f near the point, lower by more than a stationary point may have to gain; None if none is found."""
    if facts.spectrum is None:
        return None
    promised = facts.decrement if facts.decrement is not None and math.isfinite(facts.decrement) else 0.0
    blur = roundoff(facts, at.value, at.theta) + MARGIN * promised + insignificant(facts, at, origin)
    unit = max(norm(at.theta), norm(at.theta - origin.theta)) or 1.0
    level: list[FloatArray] = []
    for direction in _directions(facts, weak_parameters(facts, at, origin), at.theta.size):
        for side in (unit, -unit):
            for corrected in (False, True) if _has_valley(facts) else (False,):
                change = _first_change(objective, facts, at, side * direction, blur, corrected)
                if change < 0.0:
                    return at.value + change
            level += [_inside(objective, at.theta + share * side * direction) for share in LEVEL_DISTANCES]
    for j in _without_influence(facts):
        walked = _down_a_walk(objective, at, j, blur)
        if walked is not None:
            return walked
    if facts.verdict != "flat" or not affordable(objective, objective.counters.in_gradients(objective.size)):
        return None
    flat = (theta for theta in level if objective.value(theta) - at.value <= LEVEL * abs(at.value) + blur)
    for theta in itertools.islice(flat, HESSIANS):
        found = _falls(objective, at, theta, unit, blur)
        if found is not None:
            return found
    return None


def lower_around(objective: Objective, at: State, origin: Point) -> float | None:
    """A value of f around the point, lower by more than its roundoff, where there is no Hessian to lead the way; None
    if none is found."""
    generator = np.random.default_rng(0)
    unit = max(norm(at.theta), norm(at.theta - origin.theta)) or 1.0
    blur = NOISE * float(np.finfo(at.theta.dtype).eps) * abs(at.value)
    for _ in range(DIRECTIONS):
        mixture = np.asarray(generator.standard_normal(at.theta.size), at.theta.dtype)
        for distance, side in itertools.product(DISTANCES, (1.0, -1.0)):
            value = objective.value(_inside(objective, at.theta + side * distance * unit / norm(mixture) * mixture))
            if value < at.value - blur:
                return value
    return None


def falls(objective: Objective, facts: CurvatureFacts, at: State, origin: Point) -> bool:
    """Whether f is visibly lower along the direction of most negative curvature, as beside a saddle it is.

    Beside a minimum that is not strict, (x^2 + y^2 - 1)^2 on its ring or a fit with a term too many, rounding makes
    curvatures of either sign, and no diagonal scaling can tell.
    """
    spectrum = facts.spectrum
    if spectrum is None:
        return True
    promised = facts.decrement if facts.decrement is not None and math.isfinite(facts.decrement) else 0.0
    blur = roundoff(facts, at.value, at.theta) + MARGIN * promised + insignificant(facts, at, origin)
    unit = max(norm(at.theta), norm(at.theta - origin.theta)) or 1.0
    direction = spectrum.directions(np.arange(spectrum.values.size) == 0, at.theta.size)[:, 0]
    direction = direction / norm(direction)
    ways = (side * distance * unit * direction for distance in DISTANCES for side in (1.0, -1.0))
    return any(objective.value(_inside(objective, at.theta + way)) < at.value - blur for way in ways)


def _without_influence(facts: CurvatureFacts) -> list[int]:
    """Parameters whose own curvature is zero to working precision."""
    if facts.diagonal is None or facts.verdict != "flat":
        return []
    sizes = np.abs(facts.diagonal)
    bound = float(np.finfo(sizes.dtype).eps) ** 2 * float(np.nanmax(sizes, initial=0.0))
    return [int(j) for j in np.flatnonzero(sizes <= bound)[:DIRECTIONS]]


def _down_a_walk(objective: Objective, at: State, j: int, blur: float) -> float | None:
    """The first value that is not f(theta) on parameter j's way to 0, if it is lower; f does not rise before it."""
    for share in WALK:
        theta = at.theta.copy()
        theta[j] *= share
        change = objective.value(_inside(objective, theta)) - at.value
        if not abs(change) <= blur:
            return at.value + change if change < 0.0 else None
    return None


def _falls(objective: Objective, at: State, theta: FloatArray, unit: float, blur: float) -> float | None:
    """A lower value along the direction of most negative curvature at a point as low as the one in question."""
    H = objective.hessian(theta)
    if not is_finite(H):
        return None
    factor = factorize(H)
    if factor.curvature is not Curvature.NEGATIVE:
        return None
    direction, _ = factor.descent_curve(objective.gradient(theta))
    direction = direction / norm(direction)
    for distance in DISTANCES:
        for side in (unit, -unit):
            value = objective.value(_inside(objective, theta + side * distance * direction))
            if value < at.value - blur:
                return value
    return None


def _first_change(
    objective: Objective, facts: CurvatureFacts, at: State, direction: FloatArray, blur: float, corrected: bool
) -> float:
    """f - f(theta) at the shortest distance at which it can be seen; 0 if at none."""
    for distance in DISTANCES:
        theta = _inside(objective, at.theta + distance * direction)
        if corrected:
            theta = _bottom(objective, facts, theta)
        change = objective.value(theta) - at.value
        if math.isnan(change):
            return math.inf
        if abs(change) > blur:
            return change
    return 0.0


def _has_valley(facts: CurvatureFacts) -> bool:
    return facts.spectrum is not None and bool((facts.spectrum.values > facts.spectrum.zero).any()) and _flat(facts)


def _flat(facts: CurvatureFacts) -> bool:
    return facts.verdict == "flat"


def _bottom(objective: Objective, facts: CurvatureFacts, theta: FloatArray) -> FloatArray:
    """Newton's steps among the directions of positive curvature, the flat ones held; more than one only while each is
    much shorter than the last."""
    spectrum = facts.spectrum
    assert spectrum is not None
    positive = spectrum.values > spectrum.zero
    V = spectrum.directions(positive, theta.size)
    before = math.inf
    for _ in range(CORRECTIONS):
        slope = V.T @ objective.gradient(theta)
        step = slope / spectrum.values[positive]
        moved, length = theta - V @ step, norm(step)
        if not (bool(np.isfinite(moved).all()) and length <= CONTRACTION * before):
            break
        theta, before = _inside(objective, moved), length
    return theta


def _directions(facts: CurvatureFacts, weak: NDArray[np.intp], size: int) -> Iterator[FloatArray]:
    """Directions of length 1: of weak parameters, of no curvature, and mixtures of these, else of the least."""
    for j in weak[:DIRECTIONS]:
        yield np.where(np.arange(size) == j, 1.0, 0.0)
    spectrum = facts.spectrum
    assert spectrum is not None
    flat = spectrum.flat
    if not flat.any():
        flat = np.arange(flat.size) == 0
    basis, _ = np.linalg.qr(spectrum.directions(flat, size))
    yield from basis.T[:DIRECTIONS]
    if basis.shape[1] > 1:
        generator = np.random.default_rng(0)
        for _ in range(DIRECTIONS):
            mixture = basis @ np.asarray(generator.standard_normal(basis.shape[1]), basis.dtype)
            yield mixture / norm(mixture)


def _inside(objective: Objective, theta: FloatArray) -> FloatArray:
    return theta if objective.bounds is None else objective.bounds.project(theta)


STRIDES = (1e-3, 1e-2, 1e-1, 1.0)
RISE = 1e4
"""In roundoffs of f: what the model must promise at the end of the ray."""


def recedes(
    objective: Objective,
    facts: CurvatureFacts,
    at: State,
    origin: Point,
    weak: tuple[int, ...] = (),
    least: float = 1e3,
) -> float | None:
    """How far on, in multiples of Newton's step, f has not risen although the model says it must have; else None.

    The model along the step s is f + d (t^2 - 2 t); with `weak` parameters, s is theirs alone. Where there is no
    curvature, the way of the run takes the place of s. f must not fall by much either: beyond an inflection as that of
    x^3 it does, and the run had better go on. f is followed for `least` multiples of s at least.
    """
    if facts.step is None or facts.decrement is None:
        return None
    if facts.decrement == math.inf:
        way = least * (at.theta - origin.theta)
        return least if _levels_off(objective, facts, at, way, origin.value - at.value) else None
    step, decrement = facts.step, facts.decrement
    if weak and facts.diagonal is not None:
        step = np.where(np.isin(np.arange(step.size), weak), step, 0.0)
        decrement = 0.5 * float(np.nansum(np.abs(facts.diagonal) * step**2))
    far = min(max(least, math.sqrt(ratio(RISE * roundoff(facts, at.value, at.theta), decrement))), 1e100)
    # Where the promise has underflowed, all that is left of f is too small to matter.
    deep = DEPTH * decrement or abs(at.value)
    return far if _levels_off(objective, facts, at, far * step, deep) else None


DEPTH = 100.0
"""In decrements: what lies below exp(-x) is 2 of them, below x^-q it is 2 + 2 / q."""


def _levels_off(objective: Objective, facts: CurvatureFacts, at: State, ray: FloatArray, fall: float) -> bool:
    """Whether f stays between f(theta) - fall and f(theta) along the ray, to roundoff."""
    if not norm(ray) > 0.0:
        return False
    for stride in STRIDES:
        theta = at.theta + stride * ray
        if objective.bounds is not None and not objective.bounds.contains(theta):
            return False
        value = objective.value(theta)
        blur = roundoff(facts, at.value, theta)
        if not at.value - fall - blur <= value <= at.value + blur:
            return False
    return True


SINGLE_WAYS = 4
"""So many parameters' own ways are looked at, those that have grown most."""
RUN_AWAY = 1e10
"""Beyond this factor no digit of a flat direction is left to be followed."""
BISECTIONS = 60
EDGE = (0.5, 0.1, 0.02)
"""Distances from the plateau's edge, in units of the way to it: the slopes of an exponential differ by five there."""
POWER = 2.0
"""The slopes of a power agree within this factor."""


def plateau_at_infinity(objective: Objective, facts: CurvatureFacts, at: State, origin: Point) -> bool:
    """Whether f has come to rest where it is flat only by its roundoff, on a way without end.

    The way is what the run has gone along flat directions, or what some one parameter has gone along them.
    """
    way = at.theta - origin.theta
    if facts.spectrum is not None:  # else products have shown no curvature at all
        way = facts.spectrum.without_curvature(way)
    grown = np.abs(way) / np.where(origin.theta != 0.0, np.abs(origin.theta), 1.0)
    alone = [np.where(np.arange(way.size) == i, way, 0.0) for i in np.argsort(-grown)[:SINGLE_WAYS]]
    return any(_rests_at_infinity(objective, facts, at, some) for some in (way, *alone))


def _rests_at_infinity(objective: Objective, facts: CurvatureFacts, at: State, way: FloatArray) -> bool:
    blur = 0.0 if at.gradient_norm == 0.0 else roundoff(facts, at.value, at.theta)
    if not _levels_off(objective, facts, at, 1e3 * way, 0.0):
        return False

    def above(share: float) -> float:
        return objective.value(_inside(objective, at.theta - (1.0 - share) * way)) - at.value

    low, high = 0.0, 1.0
    if not above(low) > blur:
        return False
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (middle, high) if above(middle) > blur else (low, middle)
    heights = [above(low * (1.0 - distance)) for distance in EDGE]
    if not all(0.0 < height < math.inf for height in heights):
        return True
    outer, inner = (math.log(a / b) for a, b in itertools.pairwise(heights))
    return inner <= outer / POWER


def ran_away(facts: CurvatureFacts, at: State, origin: Point) -> float | None:
    """By which factor a parameter has grown, if by more than RUN_AWAY, to where f is flat; None else."""
    if facts.verdict != "flat":
        return None
    started = origin.theta != 0.0
    grown = float(np.max(np.abs(at.theta[started] / origin.theta[started]), initial=0.0))
    return grown if grown > RUN_AWAY else None


ONWARD = (10.0, 1e3)


def falls_on(objective: Objective, at: State, origin: Point) -> bool:
    """Whether f goes on falling far along the run's way."""
    values = [objective.value(_inside(objective, at.theta + share * (at.theta - origin.theta))) for share in ONWARD]
    return at.value > values[0] > values[1] or -math.inf in values


NEIGHBOURS = 4
STEPS = (-2.0, -1.0, 1.0, 2.0, 3.0)


def noise(objective: Objective, at: FloatArray, value: float) -> float:
    """What rounding theta does to f, from its values at the nearest neighbours of theta (after More and Wild 2011)."""
    eps = float(np.finfo(at.dtype).eps)
    signs = np.random.default_rng(0)
    changes = []
    for k in range(1, NEIGHBOURS + 1):
        move = np.where(signs.random(at.size) < 0.5, -1.0, 1.0) * (k * eps) * at
        theta = _inside(objective, np.asarray(at + move, at.dtype))
        changes.append(abs(objective.value(theta) - value))
    return max((change for change in changes if math.isfinite(change)), default=0.0)


def level(objective: Objective, facts: CurvatureFacts, at: State) -> bool:
    """Whether f does not show what Newton's step promises: the same at its end, and nowhere near it lower."""
    if facts.step is None:
        return False
    values = {k: objective.value(_inside(objective, at.theta + k * facts.step)) for k in STEPS}
    return values[1.0] == at.value and all(value >= at.value for value in values.values())
