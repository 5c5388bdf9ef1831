r"""Newton's method with a line search.

    theta_{k+1} = theta_k + alpha_k s_k

Near a strict minimum alpha = 1 is accepted and errors obey e_{k+1} <= C e_k^2 (Nocedal and Wright 2006, theorem 3.5;
Dennis and Schnabel 1996, theorem 5.2.1). Far from one two things are added:

- H is made positive definite where it is not (linalg/symmetric.py), so that s_k is a descent direction.
- Where the curvature along some direction v is negative and using it promises more than s_k does, the search goes
  along v, both ways if the gradient does not tell which. A saddle or a maximum is so left, even from the point itself
  (More and Sorensen 1979; Gould, Lucidi, Roma and Toint 2000 for the choice between the two). v has no natural length:
  the last step's is tried first, then doubled or cut.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from nablad.solvers.control import Limits
from nablad.solvers.linalg.symmetric import Curvature, SymmetricFactor
from nablad.solvers.linalg.vectors import FloatArray, norm
from nablad.solvers.methods.line_search import Armijo, Ray, Search, backtrack, extend, search_failure
from nablad.solvers.methods.newton_look import Landing, View, ended, look, polished, roundoff
from nablad.solvers.methods.newton_state import NewtonState
from nablad.solvers.objective import Objective

FAR_SHARE = 1e-4
"""Of the square root of the largest number, by D, a search along negative curvature may go: the square is a number."""
CURVATURE_PREFERENCE = 4.0
"""How much more a direction of negative curvature must promise than Newton's step to be taken."""


def init(objective: Objective, at: Landing, limits: Limits) -> NewtonState:
    return _aimed(look(objective, at, None, limits), 0.0)


def step(objective: Objective, state: NewtonState, settings: Armijo, limits: Limits) -> NewtonState:
    found, direction = _search(objective, state, settings)
    noise = roundoff(objective, state)
    trial = found.trial
    if trial is None:
        return ended(state, noise, *search_failure(found, state.gradient_norm))
    view = look(objective, Landing(trial.theta, trial.value, trial.gradient, trial.step), state, limits)
    return _aimed(polished(objective, view, noise, limits), norm(trial.step * direction))


def _search(objective: Objective, state: NewtonState, settings: Armijo) -> tuple[Search, FloatArray]:
    ray = Ray(state.theta, state.direction, state.value, state.slope, state.bend)
    first = settings.initial or 1.0
    if state.bend < 0.0 and _undecided(state):
        ray = _better_side(objective, ray, first)
    found = backtrack(objective, ray, first, settings)
    # Only positive curvature gives the step a length to be trusted.
    if state.curvature is Curvature.POSITIVE or (state.curvature is Curvature.NEGATIVE and state.bend == 0.0):
        return found, ray.direction
    if found.trial is not None and found.trials == 1:
        longest = extend(objective, ray, found.trial, settings.max_trials)
        found = found._replace(trial=longest)
    return found, ray.direction


def _aimed(view: View, moved: float) -> NewtonState:
    """The state with the next search's direction, the last step having been `moved` long."""
    state, factor = view.state, view.factor
    if factor is None:
        return state
    direction, bend = _choose(factor, state, view.squared, moved)
    return replace(state, direction=direction, slope=float(state.gradient.dot(direction)), bend=bend)


def _choose(factor: SymmetricFactor, state: NewtonState, squared: float, moved: float) -> tuple[FloatArray, float]:
    """Newton's step and 0, or a direction of negative curvature and its d'Hd, whichever promises more."""
    step = state.direction
    if squared == math.inf:
        # Downhill without curvature: no length is natural, and what was long enough before is tried first.
        return max(1.0, moved / norm(step)) * step, 0.0
    if factor.curvature is not Curvature.NEGATIVE:
        return step, 0.0
    v, curvature = factor.descent_curve(state.gradient)
    length = max(norm(step), moved, 1e-3 * norm(state.theta)) or 1.0
    # v is 1 long by D; so far on its promise can still be told.
    along = min(length / norm(v), FAR_SHARE * math.sqrt(np.finfo(state.theta.dtype).max))
    v, bend = along * v, curvature * along * along
    if -bend > CURVATURE_PREFERENCE * squared:
        return v, bend
    return step, 0.0


def _undecided(state: NewtonState) -> bool:
    """Whether the slope along the direction of curvature is lost beside what the curvature promises."""
    return abs(state.slope) <= 1e-8 * abs(state.bend)


def _better_side(objective: Objective, ray: Ray, first: float) -> Ray:
    """The ray or its opposite, whichever is lower at the first trial; the ray itself if equal."""
    there = objective.value(ray.theta + first * ray.direction)
    opposite = objective.value(ray.theta - first * ray.direction)
    if opposite < there or (math.isnan(there) and not math.isnan(opposite)):
        return ray._replace(direction=-ray.direction, slope=-abs(ray.slope))
    return ray._replace(slope=-abs(ray.slope))
