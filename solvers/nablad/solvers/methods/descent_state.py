"""What gradient descent carries from one iteration to the next, and how it arrives at a point."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nablad.solvers.linalg.vectors import FloatArray, epsilon, norm
from nablad.solvers.methods.base import state_of
from nablad.solvers.methods.first_order import FirstOrderState, arrival, at_start, cauchy_step, projected
from nablad.solvers.methods.line_search import Search, Trial
from nablad.solvers.methods.line_search.ray import ROUNDOFF_FACTOR
from nablad.solvers.objective import Objective
from nablad.solvers.status import Finding, Status

DESCENT_ANGLE = 1e-3
"""The least cosine between momentum's direction and steepest descent; below it, momentum is dropped."""
MOST_RISES = 20
"""Roundoff would have f rise so often in a row once in a million times. It is what a wrong gradient looks like to a
search that judges by slopes where values drown."""


@dataclass(frozen=True, kw_only=True)
class DescentState(FirstOrderState):
    direction: FloatArray
    """d_{k-1}, shape (p,); zero at the start."""
    next_step: float
    """The first trial of the next iteration, as a multiple of its direction."""
    recent: list[float]
    """The last values, the newest last, for a search that looks back."""
    anchor: FloatArray
    """Where the last gradient step led, shape (p,): Nesterov extrapolates from there. theta itself elsewhere."""
    inertia: float = 1.0
    """Nesterov's t, at least 1."""
    blind: int = 0
    """Steps so far of the user's constant length, where nothing looks whether f falls; 0 with other step lengths."""
    rises: int = 0
    """Steps in a row by which f rose, each within its roundoff."""


def start(objective: Objective, theta: FloatArray, given: float | None) -> DescentState:
    """The state at the start; the first step is the `given` one, or Cauchy's."""
    known, step = at_start(objective, theta, given)
    return DescentState(**known, direction=np.zeros_like(theta), next_step=step, recent=[known["value"]], anchor=theta)


def arrived(
    objective: Objective,
    state: DescentState,
    trial: Trial,
    *,
    direction: FloatArray,
    moved: float,
    step: float,
    following: float,
    **more: Any,
) -> DescentState:
    """The state at a new point, `moved` away: `step` times the direction; the next one tries `following` first."""
    known = arrival(objective, state, trial, moved)
    known |= {"step_size": step, "recent": [trial.value], "anchor": trial.theta} | more
    rose = 0.0 < trial.value - state.value <= ROUNDOFF_FACTOR * epsilon(trial.theta.dtype) * abs(state.value)
    rises = state.rises + 1 if rose else 0
    if rises >= MOST_RISES:
        message = (
            f"f rose within its roundoff in each of the last {rises} steps, where the gradient promises a descent; the "
            f"gradient norm is {known['gradient_norm']:.3e}."
        )
        known["proposal"] = Finding(Status.LINE_SEARCH_STALLED, message)
    return state_of(DescentState, **known, direction=direction, next_step=following, rises=rises)


def descending(
    objective: Objective, state: DescentState, direction: FloatArray
) -> tuple[FloatArray, float, FloatArray, float]:
    """The direction, its length, its unit vector and the slope along that; steepest descent where it does not descend.

    Searches go along the unit vector: g'g may overflow or vanish where g does not.
    """
    length = norm(direction)
    unit = direction / length
    slope = float(state.gradient.dot(unit))
    if slope < -DESCENT_ANGLE * state.gradient_norm:
        return direction, length, unit, slope
    direction, length = -projected(objective, state.theta, state.gradient), state.gradient_norm
    return direction, length, direction / length, -length


def once_more(objective: Objective, state: DescentState, found: Search) -> float | None:
    """Where a search that found nothing, its last trial still longer than Cauchy's step, should begin again along
    steepest descent: that step's length; None elsewhere.

    A step that was right on a plateau, 1e33 times a gradient of 1e-33, may be so far too long at its end that no number
    of halvings comes back from it.
    """
    length = state.gradient_norm
    if found.trial is not None or found.plunged or not 0.0 < length < math.inf:
        return None
    natural = length * cauchy_step(objective, state.theta, projected(objective, state.theta, state.gradient), length)[0]
    return natural if natural < found.last_step else None
