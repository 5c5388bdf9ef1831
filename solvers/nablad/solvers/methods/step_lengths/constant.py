r"""A constant step length: the plain recursion theta + alpha d.

On a quadratic with curvature in [m, L], Cauchy's method with 0 < alpha < 2 / L converges, by the factor max(|1 - alpha
m|, |1 - alpha L|) a step: fastest with alpha = 2 / (L + m), where it is (kappa - 1) / (kappa + 1), kappa = L / m
(Nocedal and Wright 2006, section 3.3). There is no default: alpha has units, parameter squared per objective.

Nothing looks whether f falls. Where a step overflows, the run ends with its best point, and says which step is stable:
2 / L, with L found by power iteration on Hessian-vector products there. Within bounds the step is projected (Goldstein
1964), which keeps the same condition. Cost: one value and gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nablad.solvers.linalg.power import largest_curvature
from nablad.solvers.linalg.vectors import FloatArray, is_finite, norm
from nablad.solvers.methods.descent_state import DescentState, arrived
from nablad.solvers.methods.first_order import ended
from nablad.solvers.methods.line_search import Trial
from nablad.solvers.objective import Objective
from nablad.solvers.status import Status


@dataclass(frozen=True)
class Constant:
    """The same step length at every iteration, in parameter units squared per objective unit."""

    step_size: float

    def __post_init__(self) -> None:
        if not 0.0 < self.step_size < math.inf:
            raise ValueError(f"step_size must be positive and finite, got {self.step_size}")


def constant_step(objective: Objective, state: DescentState, direction: FloatArray, settings: Constant) -> DescentState:
    """The state after theta + step d, or why there is none."""
    step = settings.step_size
    theta = state.theta + step * direction
    if objective.bounds is not None:
        theta = objective.bounds.project(theta)
    value, gradient = objective.value_and_gradient(theta)
    if not math.isfinite(value) or not is_finite(gradient):
        return diverged(objective, state, value, step)
    moved = norm(theta - state.theta)
    return arrived(
        objective,
        state,
        Trial(step, theta, value, gradient),
        direction=direction,
        moved=moved,
        step=step,
        following=step,
        blind=state.blind + 1,
    )


def diverged(objective: Objective, state: DescentState, value: float, step: float) -> DescentState:
    """The end of a run whose step led to a point that is not finite: which step would have been stable."""
    if value == -math.inf:
        return ended(state, Status.UNBOUNDED, f"The value is -inf after a step of {step:.3g}.")
    message = f"The value or gradient is no longer finite after a step of {step:.3g} from the value {state.value:.6g}"
    size = largest_curvature(lambda v: objective.hvp(state.theta, v), state.gradient)
    if not size:
        return ended(state, Status.DIVERGED, message + ".")
    stable = f"the largest stable step for the curvature there ({size:.3g}) is about {2.0 / size:.3g}."
    return ended(state, Status.DIVERGED, f"{message}: {stable}")
