r"""Newton's method with the exact Hessian and a line search.

    H(theta_k) s_k = -g(theta_k),    theta_{k+1} = theta_k + alpha_k s_k

Near a strict minimum alpha = 1 is accepted and errors obey e_{k+1} <= C e_k^2 (Nocedal and Wright 2006, theorem 3.5;
Dennis and Schnabel 1996, theorem 5.2.1). Far from one three things are added:

- H is made positive definite where it is not (linalg/symmetric.py), so that s_k is a descent direction.
- Where the curvature along some direction v is negative and using it promises more than s_k does, the search goes
  along v, both ways if the gradient does not tell which. A saddle or a maximum is so left, even from the point itself
  (More and Sorensen 1979; Gould, Lucidi, Roma and Toint 2000 for the choice between the two). v has no natural length:
  the last step's is tried first, then doubled or cut.
- A residual that is affine in theta needs no Hessian: its step is solved by QR of the Jacobian (newton_affine.py).

The promise of the next step, the decrement g'H^-1 g / 2, is part of the state at each point, so that every test, the
start's too, sees curvature.

Cost per iteration: one value and gradient, one Hessian, p^3 / 3 multiplications, and about 9 p^3 more where H is not
safely positive definite. Memory: three p x p matrices, one of them in the state (and in its bytes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from nablad.solvers.control import Limits
from nablad.solvers.linalg.symmetric import Curvature, SymmetricFactor, factorize
from nablad.solvers.linalg.vectors import FloatArray, is_finite, norm
from nablad.solvers.methods import newton_affine
from nablad.solvers.methods.line_search import Armijo, Ray, Search, Trial, backtrack, extend, search_failure
from nablad.solvers.methods.newton_state import GRADIENT_MARGIN, NewtonState, relative_length
from nablad.solvers.objective import Objective
from nablad.solvers.status import Finding, Status

CURVATURE_PREFERENCE = 4.0
"""How much more a direction of negative curvature must promise than Newton's step to be taken."""


@dataclass(frozen=True)
class Newton:
    """Settings of Newton's method; the first trial of its line search is the full step."""

    line_search: Armijo = field(default_factory=Armijo)

    name: ClassVar[str] = "newton"
    order: ClassVar[int] = 2
    bounded: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()
    state_type: ClassVar[type[NewtonState]] = NewtonState

    def init(self, objective: Objective, theta: FloatArray, limits: Limits) -> NewtonState:
        value, gradient = objective.value_and_gradient(theta)
        if objective.capabilities.residual and objective.capabilities.affine:
            return newton_affine.init(objective, theta, value, gradient, limits)
        return look(objective, Trial(0.0, theta, value, gradient), np.abs(theta), 0.0, 0, limits)

    def step(self, objective: Objective, state: NewtonState, limits: Limits) -> NewtonState:
        if state.triangle is not None:
            return newton_affine.step(objective, state, limits)
        found, direction = self._search(objective, state)
        trial = found.trial
        if trial is None:
            return _failed(state, found)
        moved = norm(trial.step * direction)
        return look(
            objective, trial, np.maximum(state.widest, np.abs(trial.theta)), moved, state.factorizations, limits
        )

    def _search(self, objective: Objective, state: NewtonState) -> tuple[Search, FloatArray]:
        ray = Ray(state.theta, state.direction, state.value, state.slope, state.bend)
        first = self.line_search.initial or 1.0
        if state.bend < 0.0 and _undecided(state):
            ray = _better_side(objective, ray, first)
        found = backtrack(objective, ray, first, self.line_search)
        # Only positive curvature gives the step a length to be trusted.
        if state.curvature is Curvature.POSITIVE or (state.curvature is Curvature.NEGATIVE and state.bend == 0.0):
            return found, ray.direction
        if found.trial is not None and found.trials == 1:
            longest = extend(objective, ray, found.trial, self.line_search.max_trials)
            found = replace(found, trial=longest)
        return found, ray.direction


def look(
    objective: Objective, at: Trial, widest: FloatArray, moved: float, factorizations: int, limits: Limits
) -> NewtonState:
    """The state at a point: its Hessian, the next direction and its promise. `moved` is the last step's length."""
    finite = math.isfinite(at.value) and is_finite(at.gradient)
    hessian = objective.hessian(at.theta) if finite else None
    if hessian is None or not is_finite(hessian):
        return _blind(at, widest, hessian, factorizations)
    with limits.algebra():
        factor = factorize(hessian)
        step, squared = factor.newton_step(at.gradient, at.theta)
        direction, bend = choose(factor, at, step, squared, moved)
        eps = float(np.finfo(at.theta.dtype).eps)
        floor = GRADIENT_MARGIN * eps * (np.abs(hessian) @ np.abs(at.theta))
        return NewtonState(
            theta=at.theta,
            value=at.value,
            gradient=at.gradient,
            gradient_norm=norm(at.gradient),
            step_size=at.step,
            relative_step=relative_length(factor.scale, step, at.theta, widest) if squared < math.inf else math.inf,
            step_uncertainty=min(10.0 * eps * factor.condition, eps ** (1 / 3)),
            predicted_decrease=0.5 * squared,
            gradient_over_roundoff=_largest_ratio(np.abs(at.gradient), floor),
            curvature=factor.curvature,
            condition=factor.condition,
            rank=factor.rank,
            factorizations=factorizations + 1,
            direction=direction,
            slope=float(at.gradient.dot(direction)),
            bend=bend,
            widest=widest,
            hessian=hessian,
        )


def choose(
    factor: SymmetricFactor, at: Trial, step: FloatArray, squared: float, moved: float
) -> tuple[FloatArray, float]:
    """Newton's step and 0, or a direction of negative curvature and its d'Hd, whichever promises more."""
    if squared == math.inf:
        # Downhill without curvature: no length is natural, and what was long enough before is tried first.
        return max(1.0, moved / norm(step)) * step, 0.0
    if factor.curvature is not Curvature.NEGATIVE:
        return step, 0.0
    v, curvature = factor.descent_curve(at.gradient)
    length = max(norm(step), moved, 1e-3 * norm(at.theta)) or 1.0
    v = (length / norm(v)) * v
    bend = curvature * norm(factor.scale * v) ** 2
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
        return replace(ray, direction=-ray.direction, slope=-abs(ray.slope))
    return replace(ray, slope=-abs(ray.slope))


def _largest_ratio(sizes: FloatArray, floors: FloatArray) -> float:
    if not sizes.size:
        return 0.0
    if bool((sizes <= floors).all()):
        return 1.0
    return math.inf if bool((floors <= 0.0).any()) else float(np.max(sizes / floors))


def _blind(at: Trial, widest: FloatArray, hessian: FloatArray | None, factorizations: int) -> NewtonState:
    """A point where derivatives are not finite: the run ends here."""
    proposal = None
    if hessian is not None:
        bad = int(hessian.size - np.count_nonzero(np.isfinite(hessian)))
        proposal = Finding(
            Status.NONFINITE,
            f"The value {at.value:.6g} and the gradient are finite, but {bad} of the Hessian's {hessian.size} entries "
            f"are NaN or infinite.",
        )
    return NewtonState(
        theta=at.theta,
        value=at.value,
        gradient=at.gradient,
        gradient_norm=norm(at.gradient),
        step_size=at.step,
        factorizations=factorizations,
        direction=np.zeros_like(at.theta),
        slope=0.0,
        widest=widest,
        proposal=proposal,
    )


def _failed(state: NewtonState, found: Search) -> NewtonState:
    status, message = search_failure(found, state.gradient_norm)
    eps = float(np.finfo(state.theta.dtype).eps)
    below = state.predicted_decrease <= 100.0 * eps * abs(state.value)
    if status is Status.LINE_SEARCH_STALLED and below and state.curvature is not Curvature.NEGATIVE:
        status = Status.ROUNDOFF
        message = (
            f"The decrease that Newton's step promises, {state.predicted_decrease:.1e}, is below the roundoff of the "
            f"value {state.value:.6g}, and no curvature is negative."
        )
    return replace(state, accepted=False, proposal=Finding(status, message))
