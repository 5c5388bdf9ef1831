r"""Barzilai and Borwein's step lengths (1988), kept by a search that lets f rise for a while.

With s = theta_k - theta_{k-1} and y = g_k - g_{k-1}, the multiple of the identity that comes nearest to the inverse
Hessian is, by two least-squares problems,

    min ||s / alpha - y||:  alpha = s's / s'y   (long)        min ||s - alpha y||:  alpha = s'y / y'y   (short)

Both are inverses of a mean of the Hessian's spectrum along the last step, so that alpha runs through that spectrum.
On quadratics the method converges R-linearly (Dai and Liao 2002), in practice not far from conjugate gradients, at the
cost of steepest descent. **Which one**: their ratio short / long = cos^2(s, y) is 1 where s is an eigenvector. Where it
is below `TURN` = 1/2 the short one is taken, which clears the directions of large curvature; else the long one (Zhou,
Gao and Dai 2006). No number in it has units.

**Globalization** (Raydan 1997; Grippo, Lampariello and Lucidi 1986). f is not monotone along such steps, and holding it
down would take their speed. A trial is accepted below the largest of the last M = `memory` values,

    f(theta + alpha d) <= max(f_k, ..., f_{k-M+1}) + c alpha g'd,   c = 1e-4,

and else shrinks as in Armijo's search. M = 10 is Raydan's; M = 1 is monotone. Within bounds the trials lie on the
projected path: the spectral projected gradient method (Birgin, Martinez and Raydan 2000; projection_arc.py).

**Safeguards.** Without curvature along s (s'y <= 0, but for roundoff) twice the last step is tried. The suggested step
is kept within `RANGE` of the last one. A step of a few roundings of theta says nothing of curvature; the last one then
stands. The first step is Cauchy's (first_order.py).

Cost: one value and gradient, rarely a value more. Memory: one vector more, and M numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from nablad.solvers.linalg.vectors import FloatArray, epsilon, norm
from nablad.solvers.methods.descent_state import DescentState, arrived, descending, once_more
from nablad.solvers.methods.first_order import ended
from nablad.solvers.methods.line_search import Armijo, Ray, Search, Trial, backtrack, search_failure
from nablad.solvers.methods.projection_arc import backtrack_arc
from nablad.solvers.objective import Objective

TURN = 0.5
"""short / long below which the short step is taken."""
RANGE = 1e10
"""The most by which a step changes in one iteration, up or down: about a spectrum's whole width."""


@dataclass(frozen=True)
class BarzilaiBorwein:
    """Settings of the step length."""

    memory: int = 10
    """M: f must fall below the largest of so many values, at least 1. 10 is Raydan's."""
    max_trials: int = 60
    """Of one search, as Armijo's."""

    def __post_init__(self) -> None:
        if self.memory < 1:
            raise ValueError(f"memory must be at least 1, got {self.memory}")
        if self.max_trials < 1:
            raise ValueError(f"max_trials must be at least 1, got {self.max_trials}")


def barzilai_borwein_step(
    objective: Objective, state: DescentState, direction: FloatArray, settings: BarzilaiBorwein
) -> DescentState:
    """The state at the first trial that is low enough, or why there is none."""
    direction, length, unit, slope = descending(objective, state, direction)
    search, first = Armijo(max_trials=settings.max_trials), state.next_step * length
    ray = Ray(state.theta, unit, max(state.recent), slope)
    found = _searched(objective, state, ray, first, search)
    again = once_more(objective, state, found)
    if again is not None:
        found = _searched(objective, state, ray, again, search)
    trial = found.trial
    if trial is None:
        return ended(state, *search_failure(found, state.gradient_norm))
    step = trial.step / length
    s = trial.theta - state.theta
    return arrived(
        objective,
        state,
        trial,
        direction=direction,
        moved=norm(s),
        step=step,
        following=_suggested(state, trial, s, step),
        recent=[*state.recent, trial.value][-settings.memory :],
    )


def _searched(objective: Objective, state: DescentState, ray: Ray, first: float, search: Armijo) -> Search:
    if objective.bounds is None:
        return backtrack(objective, ray, first, search)
    return backtrack_arc(objective, ray, state.gradient, first, search)


def _suggested(state: DescentState, trial: Trial, s: FloatArray, step: float) -> float:
    """The next step by the last change of theta and gradient. Lengths are taken out first: squares may overflow."""
    y = trial.gradient - state.gradient
    moved, changed = norm(s), norm(y)
    eps = epsilon(s.dtype)
    if not moved > 1e3 * eps * norm(trial.theta):
        return step
    cosine = float((s / moved).dot(y / changed)) if changed else 0.0
    if cosine <= eps:
        return 2.0 * step
    long, short = moved / (changed * cosine), moved * cosine / changed
    wanted = short if cosine * cosine < TURN else long
    return min(max(wanted, step / RANGE), step * RANGE)
