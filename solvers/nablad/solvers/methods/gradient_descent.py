r"""Gradient descent, with heavy-ball momentum.

    d_k = -g_k + beta d_{k-1},    theta_{k+1} = theta_k + alpha_k d_k

beta = 0 is Cauchy's method (1847). With a constant alpha it converges on a quadratic with curvature in [m, L] if alpha
< 2 / L, and fastest, by the factor (kappa - 1) / (kappa + 1) a step with kappa = L / m, if alpha = 2 / (L + m)
(Nocedal and Wright 2006, section 3.3). Momentum (Polyak 1964) brings (sqrt kappa - 1) / (sqrt kappa + 1).

Step lengths:

- `Armijo` (the default) needs no knowledge of L. Its first trial is the minimizer of the quadratic model along g, g'g
  / g'Hg, from one Hessian-vector product: right in any units, where a fixed 1.0 would be absurd in most. Later trials
  begin at twice the last accepted step, so that the step follows the curvature up as well as down.
- `Constant` is the plain recursion. Where it overflows, the run ends with its best point, and says which step is
  stable.

The first step's length and the gradient's roundoff are found as first_order.py says.

Cost per iteration: one value and gradient, and one value more for each refused trial. Memory: three vectors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from nablad.solvers.control import Limits
from nablad.solvers.linalg.power import largest_curvature
from nablad.solvers.linalg.vectors import FloatArray, is_finite, norm, ratio
from nablad.solvers.methods.first_order import (
    FirstOrderState,
    cauchy_step,
    confirmed,
    curvature_along,
    ended,
    known_column_norms,
    over_roundoff,
)
from nablad.solvers.methods.line_search import Armijo, Ray, backtrack, search_failure
from nablad.solvers.objective import Objective
from nablad.solvers.status import Status


@dataclass(frozen=True)
class Constant:
    """The same step length at every iteration, in parameter units squared per objective unit."""

    step_size: float

    def __post_init__(self) -> None:
        if not 0.0 < self.step_size < math.inf:
            raise ValueError(f"step_size must be positive and finite, got {self.step_size}")


@dataclass(frozen=True, kw_only=True)
class DescentState(FirstOrderState):
    direction: FloatArray
    """d_{k-1}; zero at the start."""
    next_step: float
    """The first trial of the next iteration."""


@dataclass(frozen=True)
class GradientDescent:
    """Settings of gradient descent."""

    step_length: Constant | Armijo = field(default_factory=Armijo)
    momentum: float = 0.0
    """The heavy-ball coefficient beta, in [0, 1)."""

    name: ClassVar[str] = "gradient_descent"
    order: ClassVar[int] = 1
    bounded: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()
    state_type: ClassVar[type[DescentState]] = DescentState

    def __post_init__(self) -> None:
        if not 0.0 <= self.momentum < 1.0:
            raise ValueError(f"momentum must lie in [0, 1), got {self.momentum}")

    def init(self, objective: Objective, theta: FloatArray, limits: Limits) -> DescentState:
        value, gradient = objective.value_and_gradient(theta)
        length = norm(gradient)
        cauchy, seen, norms = math.nan, math.nan, None
        if 0.0 < length < math.inf and math.isfinite(value):
            cauchy, seen = cauchy_step(objective, theta, gradient, length)
            norms = known_column_norms(objective, theta)
        given = self.step_length.step_size if isinstance(self.step_length, Constant) else self.step_length.initial
        state = DescentState(
            theta=theta,
            value=value,
            gradient=gradient,
            gradient_norm=length,
            gradient_over_roundoff=over_roundoff(length, seen * norm(theta), theta.dtype),
            column_norms=norms,
            jacobian_norm=math.nan if norms is None else norm(norms),
            direction=np.zeros_like(theta),
            next_step=cauchy if given is None else given,
            curvature_seen=seen,
        )
        return confirmed(objective, state)

    def step(self, objective: Objective, state: DescentState, limits: Limits) -> DescentState:
        if isinstance(self.step_length, Constant):
            following = self._constant_step(objective, state, self.step_length.step_size)
        else:
            following = self._searched_step(objective, state, self.step_length)
        return confirmed(objective, following)

    def _direction(self, state: DescentState) -> FloatArray:
        if self.momentum == 0.0:
            return -state.gradient
        return self.momentum * state.direction - state.gradient

    def _constant_step(self, objective: Objective, state: DescentState, step: float) -> DescentState:
        direction = self._direction(state)
        theta = state.theta + step * direction
        value, gradient = objective.value_and_gradient(theta)
        if value == -math.inf:
            return ended(state, Status.UNBOUNDED, f"The value is -inf after a step of {step:.3g}.")
        if not math.isfinite(value) or not is_finite(gradient):
            return ended(state, Status.DIVERGED, _too_long(objective, state, step))
        moved = step * (state.gradient_norm if self.momentum == 0.0 else norm(direction))
        return _moved(state, theta, value, gradient, direction, moved, step, step)

    def _searched_step(self, objective: Objective, state: DescentState, settings: Armijo) -> DescentState:
        direction = self._direction(state)
        length = norm(direction)
        unit = direction / length
        slope = float(state.gradient.dot(unit))
        if not slope < -DESCENT_ANGLE * state.gradient_norm:
            direction, length = -state.gradient, state.gradient_norm
            unit, slope = direction / length, -length
        # Along the unit vector: g'g may overflow or vanish where g does not.
        found = backtrack(objective, Ray(state.theta, unit, state.value, slope), state.next_step * length, settings)
        trial = found.trial
        if trial is None:
            return ended(state, *search_failure(found, state.gradient_norm))
        step = trial.step / length
        following = step * (settings.grow if found.trials == 1 else 1.0)
        return _moved(state, trial.theta, trial.value, trial.gradient, direction, trial.step, step, following)


DESCENT_ANGLE = 1e-3
"""The least cosine between momentum's direction and steepest descent; below it, momentum is dropped."""


def _moved(
    state: DescentState,
    theta: FloatArray,
    value: float,
    gradient: FloatArray,
    direction: FloatArray,
    moved: float,
    step: float,
    following: float,
) -> DescentState:
    """The state at the new point, `moved` away."""
    length = norm(gradient)
    size = norm(theta)
    seen = curvature_along(state, theta, gradient, moved)
    return DescentState(
        theta=theta,
        value=value,
        gradient=gradient,
        gradient_norm=length,
        step_size=step,
        relative_step=ratio(moved, size),
        gradient_over_roundoff=over_roundoff(length, seen * size, theta.dtype),
        column_norms=state.column_norms,
        jacobian_norm=state.jacobian_norm,
        direction=direction,
        next_step=following,
        curvature_seen=seen,
    )


def _too_long(objective: Objective, state: DescentState, step: float) -> str:
    message = f"The value or gradient is no longer finite after a step of {step:.3g} from the value {state.value:.6g}"
    size = largest_curvature(lambda v: objective.hvp(state.theta, v), state.gradient)
    if not size:
        return message + "."
    return message + f": the largest stable step for the curvature there ({size:.3g}) is about {2.0 / size:.3g}."
