r"""Nonlinear conjugate gradients: three vectors of memory, and on a quadratic conjugate directions.

    d_0 = -g_0,   theta_{k+1} = theta_k + alpha_k d_k,   d_{k+1} = -g_{k+1} + beta_k d_k,   y = g_{k+1} - g_k

With an exact search on a quadratic all formulas are one, and p steps suffice (Hestenes and Stiefel 1952). Elsewhere
they differ (FORMULAS):

- hager_zhang (2005, CG_DESCENT): beta = (y - 2 d y'y / d'y)'g+ / d'y, not below 0.4 d'g / d'd (Hager and Zhang 2013;
  the truncation of 2005 has an absolute number in it). Each direction descends, whatever the search: d'g <= -7/8 g'g.
- polak_ribiere (1969): beta = g+'y / g'g, not below 0 (Powell 1984; Gilbert and Nocedal 1992). Where a step brings
  little, g+ ~ g, it restarts by itself.
- fletcher_reeves (1964): beta = g+'g+ / g'g. Needs c2 < 1/2 to descend; it can be slow for long after a bad direction,
  which the restarts below cut short.

**Restarts**, d = -g: where two gradients in a row are far from orthogonal, |g+'g| >= 0.2 g+'g+ (Powell 1977; not for
hager_zhang, whose beta sees it itself), and where d does not descend by its angle with -g. If no step along d is
acceptable, Cauchy's step along -g is tried before the run ends.

**First trial.** The first is Cauchy's step (first_order.py). For later ones the guess is the last step times the ratio
of the slopes (Nocedal and Wright 2006, 3.60); then the parabola through phi(0), phi'(0) and one value, at a tenth of
the guess, is minimized ("quad step", Hager and Zhang 2005, section 4). A value costs a third of a trial, and the trial
that follows is exact on a quadratic: on the functions of More, Garbow and Hillstrom the probe saves a fifth of all.

All of this is done in the units of the parameters that the start tells (units.py).

Parameters: `formula`, hager_zhang for its descent; `line_search` with c2 = 0.1: conjugacy rests on a nearly exact
search (Nocedal and Wright 2006, section 5.2).

Cost per iteration: two values and a gradient, sometimes one more of both. Memory: four vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

from nablad.solvers.control import Limits
from nablad.solvers.linalg.vectors import FloatArray, norm
from nablad.solvers.methods.first_order import arrival, confirmed, ended
from nablad.solvers.methods.line_search import Ray, Search, Wolfe, search_failure, strong_wolfe
from nablad.solvers.methods.line_search.ray import evaluate_value, noise, point_at
from nablad.solvers.methods.units import UnitsState, at_start_with_units, cauchy_again
from nablad.solvers.objective import Objective


def hager_zhang(d: FloatArray, before: FloatArray, after: FloatArray) -> float:
    y = after - before
    size, length = norm(y), norm(d)
    if not (size > 0.0 and length > 0.0):
        return 0.0
    # Of unit vectors: d is a gradient itself, and a product of two leaves the range of numbers where neither does.
    unit, change = d / length, y / size
    along = float(unit.dot(change))
    if not along > 0.0:
        return 0.0
    beta = (float(change.dot(after)) - 2.0 * float(unit.dot(after)) / along) / along / length
    return max(beta, 0.4 * float(unit.dot(before)) / length)


def polak_ribiere(d: FloatArray, before: FloatArray, after: FloatArray) -> float:
    size = norm(before)
    return max(0.0, float((after / size).dot((after - before) / size)))


def fletcher_reeves(d: FloatArray, before: FloatArray, after: FloatArray) -> float:
    grown = norm(after) / norm(before)
    return grown * grown  # A power of a float raises where its square leaves the range of numbers.


@dataclass(frozen=True)
class Formula:
    """beta from d, g and g+; and |g+'g| / g+'g+ beyond which directions begin anew."""

    beta: Callable[[FloatArray, FloatArray, FloatArray], float]
    orthogonality: float


FORMULAS: dict[str, Formula] = {
    "hager_zhang": Formula(hager_zhang, math.inf),
    "polak_ribiere": Formula(polak_ribiere, 0.2),
    "fletcher_reeves": Formula(fletcher_reeves, 0.2),
}

PROBE = 0.1
"""Where a parabola is probed, relative to the guess of a step; Hager and Zhang's."""
MOST = 3.0
"""How far beyond the guess its minimizer is believed."""
DESCENT_ANGLE = 1e-6
"""The least cosine between a direction and steepest descent."""


@dataclass(frozen=True, kw_only=True)
class ConjugateState(UnitsState):
    direction: FloatArray
    """Of the next search, in z = theta / u, shape (p,)."""
    next_step: float
    """A guess of its step, in the parameters' common units squared per the objective's."""
    fresh: bool = True
    """The direction is steepest descent, and the guess Cauchy's, or the user's."""


@dataclass(frozen=True)
class NonlinearConjugateGradient:
    """Settings of nonlinear conjugate gradients."""

    formula: str = "hager_zhang"
    """A row of FORMULAS: hager_zhang, polak_ribiere or fletcher_reeves."""
    line_search: Wolfe = field(default_factory=lambda: Wolfe(curvature=0.1))

    name: ClassVar[str] = "nonlinear_conjugate_gradient"
    order: ClassVar[int] = 1
    bounded: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()
    state_type: ClassVar[type[ConjugateState]] = ConjugateState

    def __post_init__(self) -> None:
        if self.formula not in FORMULAS:
            raise ValueError(f"formula must be one of {', '.join(FORMULAS)}, got {self.formula!r}")

    def init(self, objective: Objective, theta: FloatArray, limits: Limits) -> ConjugateState:
        fields, step = at_start_with_units(objective, theta, self.line_search.initial)
        direction = -fields["units"] * fields["gradient"]
        return confirmed(objective, ConjugateState(**fields, direction=direction, next_step=step))

    def step(self, objective: Objective, state: ConjugateState, limits: Limits) -> ConjugateState:
        found, slope = self._search(objective, state)
        if found.trial is None and not found.plunged and not state.fresh:
            cauchy = cauchy_again(objective, state)
            state = replace(state, direction=-state.slopes, next_step=cauchy, fresh=True)
            found, slope = self._search(objective, state)
        trial = found.trial
        if trial is None:
            return ended(state, *search_failure(found, state.gradient_norm))
        slopes = state.units * trial.gradient
        direction = self._direction(state, slopes)
        after = float(slopes.dot(direction))
        # Equal changes to first order (Nocedal and Wright 2006, 3.60).
        following = trial.step * min(slope / after, 1e3) if after < 0.0 else trial.step
        following_state = ConjugateState(
            **arrival(objective, state, trial, trial.step * norm(state.units * state.direction)),
            units=state.units,
            direction=direction,
            next_step=following,
            fresh=False,
        )
        return confirmed(objective, following_state)

    def _search(self, objective: Objective, state: ConjugateState) -> tuple[Search, float]:
        """What was found along d, its step in units of d, and the slope along d."""
        direction = state.units * state.direction
        length = norm(direction)
        if not 0.0 < length < math.inf:
            return Search(None, 0, 0, 0.0), 0.0
        unit = direction / length
        slope = float(state.gradient.dot(unit))
        # Along the unit vector: g'g may overflow or vanish where g does not.
        ray = Ray(state.theta, unit, state.value, slope)
        first = state.next_step * length
        found = strong_wolfe(objective, ray, first if state.fresh else _probed(objective, ray, first), self.line_search)
        trial = found.trial
        scaled = None if trial is None else trial._replace(step=trial.step / length)
        return found._replace(trial=scaled), slope * length

    def _direction(self, state: ConjugateState, slopes: FloatArray) -> FloatArray:
        """The next direction from df/dz there; steepest descent where a restart is due."""
        formula = FORMULAS[self.formula]
        size = norm(slopes)
        if size == 0.0 or not abs(float((slopes / size).dot(state.slopes))) < formula.orthogonality * size:
            return -slopes
        direction = formula.beta(state.direction, state.slopes, slopes) * state.direction - slopes
        descends = float(direction.dot(slopes / size)) < -DESCENT_ANGLE * norm(direction)
        return direction if descends else -slopes


def _probed(objective: Objective, ray: Ray, guess: float) -> float:
    """The minimizer of the parabola through phi(0), phi'(0) and phi at a probe; the guess where there is none."""
    probe = PROBE * guess
    value = evaluate_value(objective, point_at(objective, ray, probe))
    excess = value - ray.value - probe * ray.slope
    if not noise(ray) < excess < math.inf:
        return guess
    return probe * min(max(-0.5 * (probe * ray.slope) / excess, PROBE), MOST / PROBE)
