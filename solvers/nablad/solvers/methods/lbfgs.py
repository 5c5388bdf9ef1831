r"""L-BFGS: BFGS that remembers the last few steps, for many parameters; within bounds, L-BFGS-B.

H_k is what BFGS makes of gamma_k I by the last `memory` pairs s_i, y_i (linalg/limited_memory.py), with gamma_k = y's /
y'y of the newest (Nocedal 1980; Liu and Nocedal 1989; Nocedal and Wright 2006, section 7.2). d = -H g costs 4 memory p
multiplications. Convergence is linear, at a rate that a larger memory improves.

**Bounds.** The direction leads to (nearly) the minimizer of the quadratic model in the box: generalized Cauchy point,
then minimization over the parameters off their bounds (Byrd, Lu, Nocedal and Zhu 1995; Morales and Nocedal 2011;
linalg/projected_quadratic.py). The search begins with the whole step and goes no further than the box: every point
evaluated lies inside.

**First step.** gamma_0 is Cauchy's step (first_order.py) along the gradient, within bounds the projected one. All of
this is done in the units of the parameters that the start tells (units.py).

**Which pairs count, restart:** as in bfgs.py.

Parameters: `memory` = 10; between 3 and 20 is usual (Nocedal and Wright), and what more saves in evaluations it costs
in vectors. `line_search` as in bfgs.py.

Cost per iteration: one value and gradient, rarely two; 4 memory p multiplications, within bounds some more. One
Hessian-vector product at the start. Memory: 2 memory + 4 vectors, 2 memory of them in the state and in its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from nablad.solvers.bounds import Bounds
from nablad.solvers.control import Limits
from nablad.solvers.linalg.limited_memory import Pairs
from nablad.solvers.linalg.projected_quadratic import box_step
from nablad.solvers.linalg.vectors import FloatArray, is_finite, norm, ratio
from nablad.solvers.methods.bfgs import pair_counts
from nablad.solvers.methods.first_order import arrival, confirmed, ended
from nablad.solvers.methods.line_search import Ray, Search, Trial, Wolfe, search_failure, strong_wolfe
from nablad.solvers.methods.units import UnitsState, at_start_with_units, cauchy_again
from nablad.solvers.objective import Objective


@dataclass(frozen=True, kw_only=True)
class LBFGSState(UnitsState):
    steps: FloatArray
    """The pairs' s / u, oldest first, shape (k, p)."""
    changes: FloatArray
    """Their u y, shape (k, p)."""
    products: FloatArray
    """Their y's, shape (k,)."""
    scale: float
    """gamma, in the parameters' units squared per the objective's."""

    @property
    def pairs(self) -> Pairs:
        return Pairs(self.steps, self.changes, self.products, self.scale)


@dataclass(frozen=True)
class LBFGS:
    """Settings of L-BFGS."""

    memory: int = 10
    """How many pairs are kept, at least 1."""
    line_search: Wolfe = field(default_factory=Wolfe)

    name: ClassVar[str] = "lbfgs"
    order: ClassVar[int] = 1
    bounded: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()
    state_type: ClassVar[type[LBFGSState]] = LBFGSState

    def __post_init__(self) -> None:
        if self.memory < 1:
            raise ValueError(f"memory must be at least 1, got {self.memory}")

    def init(self, objective: Objective, theta: FloatArray, limits: Limits) -> LBFGSState:
        fields, step = at_start_with_units(objective, theta, self.line_search.initial)
        return confirmed(objective, LBFGSState(**fields, **_fields(Pairs.none(theta, step))))

    def step(self, objective: Objective, state: LBFGSState, limits: Limits) -> LBFGSState:
        found, slope = self._search(objective, state, limits)
        if found.trial is None and len(state.steps) and not found.plunged:
            state = _forgotten(objective, state)
            found, slope = self._search(objective, state, limits)
        trial = found.trial
        if trial is None:
            return ended(state, *search_failure(found, state.gradient_norm))
        step = trial.theta - state.theta
        with limits.algebra():
            pairs = self._learnt(state, trial, step)
        following = LBFGSState(
            **arrival(objective, state, trial, norm(step), -0.5 * slope), units=state.units, **_fields(pairs)
        )
        return confirmed(objective, following)

    def _search(self, objective: Objective, state: LBFGSState, limits: Limits) -> tuple[Search, float]:
        """What was found, and the slope of f at the search's begin."""
        bounds = objective.bounds
        with limits.algebra():
            direction = _anywhere(state) if bounds is None else _within(bounds, state, limits)
            slope = float(state.gradient.dot(direction))
        if not slope < 0.0 or not is_finite(direction):
            return Search(None, 0, 0, 0.0), slope
        longest = np.inf if bounds is None else max(1.0, bounds.reach(state.theta, direction))
        ray = Ray(state.theta, direction, state.value, slope)
        return strong_wolfe(objective, ray, 1.0, self.line_search, longest), slope

    def _learnt(self, state: LBFGSState, trial: Trial, s: FloatArray) -> Pairs:
        """The pairs with the newest, if it counts."""
        y = trial.gradient - state.gradient
        product = float(y.dot(s))
        if not pair_counts(s, state.gradient, trial.gradient, product):
            return replace(state.pairs, scale=state.scale * max(1.0, trial.step))
        change = state.units * y
        size = norm(change)
        return state.pairs.pushed(s / state.units, change, product, ratio(ratio(product, size), size), self.memory)


def _fields(pairs: Pairs) -> dict[str, Any]:
    return {"steps": pairs.steps, "changes": pairs.changes, "products": pairs.products, "scale": pairs.scale}


def _anywhere(state: LBFGSState) -> FloatArray:
    return -state.units * state.pairs.inverse_times(state.slopes)


def _within(bounds: Bounds, state: LBFGSState, limits: Limits) -> FloatArray:
    """The direction to the model's minimizer in the box; NaN if the model is singular."""
    below, above = ((side - state.theta) / state.units for side in (bounds.lower, bounds.upper))
    step = box_step(state.pairs, state.slopes, below, above, limits.checkpoint)
    return np.full_like(state.theta, np.nan) if step is None else state.units * step


def _forgotten(objective: Objective, state: LBFGSState) -> LBFGSState:
    """The state with nothing learnt."""
    return replace(state, **_fields(Pairs.none(state.theta, cauchy_again(objective, state))))
