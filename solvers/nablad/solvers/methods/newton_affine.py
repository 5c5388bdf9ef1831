r"""Newton's step for an affine residual: least squares by QR, then one refinement.

f = ||r||^2 with J constant, so that Newton's step from anywhere is the minimizer itself, and the only question is how
many digits it has. The Hessian 2 J'J squares the condition; the step is therefore solved from the triangle of J
(linalg/least_squares.py). A first step from the start loses the digits of a far start and those of kappa; a second,
from the true residual at the new point, gives them back where that can be had (Bjorck 1996, section 2.9.3): by the
corrected seminormal equations from the gradient alone while kappa is moderate, by another QR with the residual beyond.
The run ends when a step is below its own uncertainty, when the data's own rounding explains the gradient that is left,
or when steps no longer shrink: after two iterations, whatever the condition.

Cost: one pass over the rows for QR (2 N p^2), and one value and gradient per iteration (4 N p).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from nablad.solvers.control import Limits
from nablad.solvers.linalg.least_squares import Step, Triangle, triangle
from nablad.solvers.linalg.symmetric import Curvature
from nablad.solvers.linalg.vectors import FloatArray, is_finite, norm, ratio
from nablad.solvers.methods.newton_state import NewtonState, relative_length
from nablad.solvers.objective import Objective
from nablad.solvers.status import Finding, Status

BACKWARD_MARGIN = 16.0
"""In eps: what blocked QR and one evaluation of the gradient leave, by their sums."""
SEMINORMAL_CONDITION = 1e6
"""Up to this condition kappa^2 eps < 1e-3, and the seminormal equations' correction is as good as QR's."""


def init(objective: Objective, theta: FloatArray, value: float, gradient: FloatArray, limits: Limits) -> NewtonState:
    """The state at the start, with the step to the minimizer."""
    blind = NewtonState(
        theta=theta,
        value=value,
        gradient=gradient,
        gradient_norm=norm(gradient),
        direction=np.zeros_like(theta),
        slope=0.0,
        widest=np.abs(theta),
        triangle=np.zeros((0, theta.size), dtype=theta.dtype),
    )
    if not math.isfinite(value) or not is_finite(gradient):
        return blind
    qr = objective.tsqr(theta)
    if not is_finite(qr.r) or not is_finite(qr.qtr):
        return replace(blind, proposal=Finding(Status.NONFINITE, "The Jacobian has NaN or infinite entries."))
    with limits.algebra():
        factor = triangle(qr.r)
        norms = factor.scale
        state = replace(blind, triangle=qr.r, factorizations=1, column_norms=norms, jacobian_norm=norm(norms))
        return _propose(state, factor, factor.step(qr.qtr, theta))


def step(objective: Objective, state: NewtonState, limits: Limits) -> NewtonState:
    """Take the full step, and look at what is left."""
    theta = state.theta + state.direction
    value, gradient = objective.value_and_gradient(theta)
    if not math.isfinite(value) or not is_finite(gradient):
        found = Finding(
            Status.NONFINITE, "The value or the gradient at the solution of the linear problem is not finite."
        )
        return replace(state, accepted=False, proposal=found)
    eps = float(np.finfo(theta.dtype).eps)
    if value > state.value * (1.0 + 100.0 * eps):
        return _risen(state, value)
    moved = replace(
        state,
        theta=theta,
        value=value,
        gradient=gradient,
        gradient_norm=norm(gradient),
        step_size=1.0,
        widest=np.maximum(state.widest, np.abs(theta)),
        refinements=state.refinements + 1,
    )
    assert state.triangle is not None
    with limits.algebra():
        factor = triangle(state.triangle)
    return _judge(_propose(moved, factor, _next_step(objective, factor, moved)), state.relative_step, eps)


def _next_step(objective: Objective, factor: Triangle, state: NewtonState) -> Step:
    eps = float(np.finfo(state.theta.dtype).eps)
    if factor.condition <= SEMINORMAL_CONDITION * math.sqrt(np.finfo(np.float64).eps / eps):
        return factor.correction(0.5 * state.gradient, state.theta)
    return triangle((qr := objective.tsqr(state.theta)).r).step(qr.qtr, state.theta)


def _propose(state: NewtonState, factor: Triangle, found: Step) -> NewtonState:
    eps = float(np.finfo(state.theta.dtype).eps)
    size = state.theta.size
    length = relative_length(factor.scale, found.step, state.theta, state.widest)
    uncertainty = 8.0 * max(size, 1) * eps * factor.condition
    return replace(
        state,
        direction=found.step,
        slope=float(state.gradient.dot(found.step)),
        predicted_decrease=found.decrease,
        relative_step=length,
        step_uncertainty=min(uncertainty, math.sqrt(eps)),
        # The correction of the first step is worth taking unless it changes no digit at all.
        unfinished=state.refinements == 1 and length > 2.0 * eps,
        curvature=Curvature.POSITIVE if factor.rank == size else Curvature.FLAT,
        condition=factor.condition,
        rank=factor.rank,
    )


def _judge(state: NewtonState, before: float, eps: float) -> NewtonState:
    """After the refinement: end where rounding the data would change as much, or where steps no longer shrink."""
    if state.refinements < 2:
        return state
    error = _backward_error(state)
    if error <= BACKWARD_MARGIN * eps:
        return replace(
            state,
            proposal=Finding(
                Status.ROUNDOFF,
                f"After {state.refinements} steps this is the exact solution for data that differ by {error:.1e}, less "
                f"than their rounding; the next step would be {state.relative_step:.1e} of the parameters.",
            ),
        )
    if state.relative_step <= 0.5 * before:
        return state
    below = state.predicted_decrease <= 100.0 * eps * state.value
    status = Status.ROUNDOFF if below else Status.NO_PROGRESS
    return replace(
        state,
        proposal=Finding(
            status,
            f"Refinement has ended: the next step would be {state.relative_step:.1e} of the parameters, after "
            f"{before:.1e}, and promises a decrease of {state.predicted_decrease:.1e}.",
        ),
    )


def _backward_error(state: NewtonState) -> float:
    """The relative change of J's columns and of y that would explain the gradient, to first order.

    |J_j'r| <= error ||J_j|| (||r|| + sum_k ||J_k|| |theta_k|), in no units (Higham 2002, theorem 20.3). Beyond it no
    digit of theta means anything, whatever the condition.
    """
    norms = state.column_norms
    assert norms is not None
    known = math.sqrt(state.value) + float(norms.dot(np.abs(state.theta)))
    return ratio(0.5 * float(np.max(np.abs(state.gradient) / norms, initial=0.0)), known)


def _risen(state: NewtonState, value: float) -> NewtonState:
    """The computed minimizer is no lower: the point was as good as roundoff allows, or the problem is beyond it."""
    eps = float(np.finfo(state.theta.dtype).eps)
    below = state.refinements > 0 or state.predicted_decrease <= 100.0 * eps * state.value
    status = Status.ROUNDOFF if below else Status.NO_PROGRESS
    message = f"The refined point has the value {value:.17g}, above {state.value:.17g}: the earlier one stands."
    return replace(state, accepted=False, proposal=Finding(status, message))
