r"""The Gauss-Newton method with a line search, for f = ||r||^2.

    minimize ||r + J s||,        theta_{k+1} = theta_k + alpha_k s_k

s is Newton's step without the residual's second derivatives (Nocedal and Wright 2006, section 10.3; Bjorck 1996,
section 9.2), from the triangle of J (residual_model.py), of minimum norm where J lacks rank. Unless the gradient
vanishes it descends, g's = -2 ||J s||^2, and an Armijo search along it makes f fall; its first trial is the whole step.
Within bounds s is the minimizer of the same model in the box, and the ray to it stays inside.

Where it fails. Nothing keeps s short. Where J is nearly singular s is long and nearly orthogonal to the gradient: the
search then cuts it to almost nothing, step after step, and the run stalls far from any minimum; Powell (1970) gives an
example where it converges to a point that is not even stationary. And where the residual is so large, or so curved,
that its second derivatives matter as much as J'J, steps shrink linearly at best. On NIST's 54 nonlinear runs it solves
49 where LevenbergMarquardt solves 54. It has its place: fewest evaluations for small residuals and good starts.

A residual that is affine is solved as by Newton's method, and refined (newton_affine.py).

line_search. Armijo's, whose defaults are argued there: any decrease to speak of is enough.

Cost per iteration: a value per trial; a pass over J, 2 N p^2. Memory: 3 p^2 for each stripe, and R in the state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar, cast

import numpy as np

from nablad.solvers.control import Limits
from nablad.solvers.linalg.vectors import FloatArray
from nablad.solvers.methods import newton_affine
from nablad.solvers.methods.line_search import Armijo, Ray, Trial, backtrack, search_failure
from nablad.solvers.methods.residual_model import (
    Passes,
    ResidualState,
    affine_start,
    due_to_shorten,
    ended,
    look,
    moved,
    roundoff,
    shorten,
)
from nablad.solvers.objective import Objective

LOST = 1e6
"""In f's roundoff: so large a promise must show."""


@dataclass(frozen=True)
class GaussNewton:
    """Settings of the Gauss-Newton method; the first trial of its line search is the full step."""

    line_search: Armijo = field(default_factory=Armijo)

    name: ClassVar[str] = "gauss_newton"
    order: ClassVar[int] = 2
    bounded: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("residual",)
    state_type: ClassVar[type[ResidualState]] = ResidualState

    def init(self, objective: Objective, theta: FloatArray, limits: Limits) -> ResidualState:
        if objective.capabilities.affine:
            return newton_affine.begin(objective, theta, partial(affine_start, theta), limits)
        value = objective.value(theta)
        qr = objective.tsqr(theta) if math.isfinite(value) else None
        with limits.algebra():
            return look(objective, theta, value, qr, None, limits.checkpoint)

    def step(self, objective: Objective, state: ResidualState, limits: Limits) -> ResidualState:
        if objective.capabilities.affine:
            return newton_affine.step(objective, state, limits)
        if due_to_shorten(state, objective.bounds):
            return shorten(objective, state, limits.checkpoint)
        passes = _Landing(objective, state)
        ray = Ray(state.theta, state.direction, state.value, float(state.gradient.dot(state.direction)))
        # Of an objective a search asks only what `passes` answers.
        found = backtrack(cast(Objective, passes), ray, self.line_search.initial or 1.0, self.line_search)
        trial = found.trial
        if trial is None or _lost(state, trial):
            return ended(state, *search_failure(found, state.gradient_norm))
        theta = passes.place(trial.theta)
        with limits.algebra():
            full = trial.step == 1.0
            new = look(objective, theta, trial.value, passes.last, state, limits.checkpoint, full_step=full)
            return replace(new, step_size=trial.step)


def _lost(state: ResidualState, trial: Trial) -> bool:
    """Whether the search found no lower point until it came to where f's roundoff hides any, far below the promise."""
    return trial.value >= state.value and state.predicted_decrease > LOST * roundoff(state)


class _Landing(Passes):
    """Passes along the ray; the whole step ends on the very bounds that it reaches."""

    def __init__(self, objective: Objective, state: ResidualState) -> None:
        super().__init__(objective, ceiling=state.value + roundoff(state))
        self.bounds = objective.bounds
        self.end = state.theta + state.direction
        self.landed = moved(objective, state.theta, state.direction)

    def place(self, theta: FloatArray) -> FloatArray:
        """theta, exactly on the bound where it is the whole step's end."""
        return theta if self.bounds is None else np.where(theta == self.end, self.landed, theta)

    def value(self, theta: FloatArray) -> float:
        return super().value(self.place(theta))

    def gradient(self, theta: FloatArray) -> FloatArray:
        return super().gradient(self.place(theta))
