r"""Step lengths found by a search along the ray: Armijo's backtracking, and the strong Wolfe search.

**Armijo** (the default; line_search/armijo.py) needs no knowledge of L. Its first trial ever is Cauchy's step
(first_order.py). Later trials begin at `grow` = 2 times the last step, if that was its iteration's first trial, so that
the step follows the curvature up as well as down: on a quadratic it settles between 1 / L and 2 / L times what the
spectrum seen allows, at about one value and gradient and half a value more an iteration. Within bounds the search goes
along the projected path instead (projection_arc.py).

**Wolfe** (line_search/wolfe.py) also refuses steps that are too short, |phi'(a)| <= c2 |phi'(0)|; each trial costs a
value and a gradient. The first trial is the last step: the search itself grows it where it is short. With c2 = 0.9,
its default, steepest descent gains little over Armijo; smaller c2 comes near the exact search, with its zigzag (Akaike
1959). It is here for momentum, which profits from longer steps, and to compare.

A search that fails far above Cauchy's step begins again with that (descent_state.once_more).
"""

from __future__ import annotations

from collections.abc import Callable

from nablad.solvers.linalg.vectors import FloatArray, norm
from nablad.solvers.methods.descent_state import DescentState, arrived, descending, once_more
from nablad.solvers.methods.first_order import ended, projected
from nablad.solvers.methods.line_search import Armijo, Ray, Search, Wolfe, backtrack, search_failure, strong_wolfe
from nablad.solvers.methods.projection_arc import backtrack_arc
from nablad.solvers.objective import Objective


def armijo_step(objective: Objective, state: DescentState, direction: FloatArray, settings: Armijo) -> DescentState:
    """The state at the first trial that decreases f enough, or why there is none."""

    def search(ray: Ray, first: float) -> Search:
        if objective.bounds is None:
            return backtrack(objective, ray, first, settings)
        return backtrack_arc(objective, ray, state.gradient, first, settings)

    found, direction, length = _searched(objective, state, direction, search)
    trial = found.trial
    if trial is None:
        return ended(state, *search_failure(found, state.gradient_norm))
    step = trial.step / length
    return arrived(
        objective,
        state,
        trial,
        direction=direction,
        moved=trial.step if objective.bounds is None else norm(trial.theta - state.theta),
        step=step,
        following=step * (settings.grow if found.trials == 1 else 1.0),
    )


def wolfe_step(objective: Objective, state: DescentState, direction: FloatArray, settings: Wolfe) -> DescentState:
    """The state at a point that keeps both Wolfe conditions, or why there is none."""

    def search(ray: Ray, first: float) -> Search:
        return strong_wolfe(objective, ray, first, settings)

    found, direction, length = _searched(objective, state, direction, search)
    trial = found.trial
    if trial is None:
        return ended(state, *search_failure(found, state.gradient_norm))
    step = trial.step / length
    return arrived(objective, state, trial, direction=direction, moved=trial.step, step=step, following=step)


def _searched(
    objective: Objective, state: DescentState, direction: FloatArray, search: Callable[[Ray, float], Search]
) -> tuple[Search, FloatArray, float]:
    """What was found from the state's guess of a step, else from Cauchy's; the direction, and its length."""
    direction, length, unit, slope = descending(objective, state, direction)
    found = search(Ray(state.theta, unit, state.value, slope), state.next_step * length)
    first = once_more(objective, state, found)
    if first is None:
        return found, direction, length
    steepest, size = -projected(objective, state.theta, state.gradient), state.gradient_norm
    return search(Ray(state.theta, steepest / size, state.value, -size), first), steepest, size
