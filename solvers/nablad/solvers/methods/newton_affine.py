r"""Newton's step for an affine residual: least squares by QR, or by Cholesky where that is as good; then refinement.

f = ||r||^2 with J constant, so that Newton's step from anywhere is the minimizer itself, and the only question is how
many digits it has. The Hessian 2 J'J squares the condition; the step is therefore solved from the triangle of J
(linalg/least_squares.py). A first step from the start loses the digits of a far start and those of kappa, or of
kappa^2 where the residual is large. What gives them back is the same solve again, for the gradient that is left at the
new point, by the seminormal equations R'R s = -J'r (Bjorck 1987):

- Where the objective tells J'r in twice the precision (`refined_gradient`), the error falls by about kappa eps each
  time, kappa after equilibration, whatever the residual (Bjorck 1996, section 2.9.3), down to the rounding of theta
  itself. It is done once no parameter would change by more than two roundings of itself: after one or two corrections,
  all in one iteration, for they need no value.
  The answer is then that of the data as they stand in memory; what their own rounding did to them, up to kappa eps, no
  arithmetic brings back.
- Elsewhere one correction is made: from the gradient alone while kappa is moderate, by another QR with the true
  residual beyond. The run ends when a step is below its own uncertainty, when the data's own rounding explains the
  gradient that is left, or when steps no longer shrink.

On NIST's linear sets, correct digits by column-pivoted QR, by one correction in plain precision, and refined (15 is
what is certified):

                Filip  Longley  NoInt1  NoInt2  Norris  Pontius  Wampler1  2     3     4     5
    pivoted QR   8.3    11.1     14.7    15      12.9    12.2     10.1     12.9  10.2   8.7   6.7
    corrected    7.6    11.0     14.7    15      12.6    12.2     10.9     13.1  10.0   8.4   6.1
    refined      7.9    14.6     14.7    15      14.1    13.5     15       13.2  15    15    15

The refined answers agree with the exact ones for the numbers in memory, found in fractions, to 14 digits (Filip) and
15 (all others). What is missing from 15 is therefore the data's rounding: Filip's powers x^10 of nine decimals cannot
be held in 53 bits, Wampler's x^5 of whole numbers can.

Within bounds the minimizer in the box is found from the triangle by its active set (linalg/box.py): finite, and exact
to the digits of QR on the face it ends on. Its correction is another QR, and another look at the face.

Cost: one pass over the rows for QR (2 N p^2), one value and gradient per iteration (4 N p), and 21 N p for each
refined gradient (60 without native kernels), of which there are two or three. Where J has more than CHEAP_ENTRIES and
a condition below 1e6 neither is needed. J'J comes from one pass at a fifth of QR's time (N p^2 operations, and faster
ones), and with it value and gradient at the start. A step from its Cholesky factor and up to three corrections by the
true residual leave the error that QR leaves (linalg/normal_equations.py): three passes in all, or four. Without the
first correction it is a digit more, even at a condition of 10. The condition is estimated from the factor, which tells
it well up to 1e7. Beyond 1e6 that pass was in vain, a tenth of what follows, and QR begins.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from nablad.solvers.control import Limits
from nablad.solvers.linalg.least_squares import Step, Triangle, triangle
from nablad.solvers.linalg.normal_equations import well_conditioned
from nablad.solvers.linalg.symmetric import Curvature
from nablad.solvers.linalg.vectors import FloatArray, epsilon, is_finite, norm, ratio
from nablad.solvers.methods.affine_state import AffineState
from nablad.solvers.methods.newton_state import NewtonState, relative_length
from nablad.solvers.methods.residual_model import ResidualModel, moved, roundoff
from nablad.solvers.objective import Gram, Objective, Refining, Tsqr
from nablad.solvers.status import Finding, Status

A = TypeVar("A", bound=AffineState)

BACKWARD_MARGIN = 16.0
"""In eps: what blocked QR and one evaluation of the gradient leave, by their sums."""
SEMINORMAL_CONDITION = 1e6
"""Up to this condition kappa^2 eps < 1e-3, and the seminormal equations' correction is as good as QR's."""
CHEAP_ENTRIES = 100_000
"""Up to so many entries of J a refined gradient takes less than ten milliseconds, even without native kernels."""
WORTHWHILE_CONDITION = 1e6
"""From here on plain precision may leave fewer than ten digits, fewer than five where the residual is large. Below it
p kappa^2 eps is a hundredth at most, and Cholesky's factor with corrections is as good as QR."""
CONTRACTION = 0.1
"""Of an error by each correction, at least, where p kappa^2 eps is small."""
MOST_CORRECTIONS = 5
"""Of a triangle of full rank: kappa eps is at most a tenth there, so that five reach the last digit."""


def init(objective: Objective, theta: FloatArray, limits: Limits) -> NewtonState:
    """Newton's state at the start, with the step to the minimizer."""

    def blind(value: float, gradient: FloatArray) -> NewtonState:
        return NewtonState(
            theta=theta,
            value=value,
            gradient=gradient,
            gradient_norm=math.nan,
            direction=np.zeros_like(theta),
            slope=0.0,
            widest=np.abs(theta),
        )

    return begin(objective, theta, blind, limits)


def begin(objective: Objective, theta: FloatArray, blind: Callable[[float, FloatArray], A], limits: Limits) -> A:
    """The state at the start, from `blind`, which makes one of value and gradient, with the step to the minimizer."""
    normal = _normal_equations(objective, theta, limits)
    if normal is not None:
        gram, R, factor = normal
        start = blind(gram.rtr, np.asarray(2.0 * gram.jtr))
        start = replace(start, gradient_norm=norm(start.gradient))
        with limits.algebra():
            return _proposed(start, R, factor, factor.correction(gram.jtr, theta))
    start = blind(*objective.value_and_gradient(theta))
    gradient, bounds = start.gradient, objective.bounds
    start = replace(
        start,
        gradient_norm=norm(gradient if bounds is None else bounds.projected(theta, gradient)),
        triangle=np.zeros((0, theta.size), dtype=theta.dtype),
    )
    if not math.isfinite(start.value) or not is_finite(gradient):
        return start
    qr = objective.tsqr(theta)
    if not is_finite(qr.r) or not is_finite(qr.qtr):
        return replace(start, proposal=Finding(Status.NONFINITE, "The Jacobian has NaN or infinite entries."))
    with limits.algebra():
        factor = triangle(qr.r)
        return _proposed(start, qr.r, factor, _first_step(objective, factor, qr, theta, limits))


def _normal_equations(
    objective: Objective, theta: FloatArray, limits: Limits
) -> tuple[Gram, FloatArray, Triangle] | None:
    """J'J, J'r and r'r at theta with R, and R equilibrated, where there is so much of J that it is worth a try, and
    the condition turns out so small that R is as good as QR's."""
    if not _is_large(objective):
        return None
    gram = objective.gram(theta)
    if not (math.isfinite(gram.rtr) and is_finite(gram.jtr)):
        return None
    with limits.algebra():
        found = well_conditioned(gram.jtj, WORTHWHILE_CONDITION)
    return None if found is None else (gram, *found)


def _is_large(objective: Objective) -> bool:
    """Whether J has so many entries that a pass over them is what counts. Not in single precision, which holds too few
    digits of J'J, nor within bounds, where each face has a condition of its own."""
    double = objective.dtype == np.float64 and objective.bounds is None
    return double and objective.rows * objective.size > CHEAP_ENTRIES


def _proposed(start: A, R: FloatArray, factor: Triangle, first: Step) -> A:
    norms = factor.scale
    state = replace(start, triangle=R, factorizations=1, column_norms=norms, jacobian_norm=norm(norms))
    return _propose(state, factor, first)


def step(objective: Objective, state: A, limits: Limits) -> A:
    """Take the full step, correct it to the end where that can be done, and look at what is left."""
    assert state.triangle is not None
    with limits.algebra():
        factor = triangle(state.triangle)
    theta = moved(objective, state.theta, state.direction)
    refined = _refined_step(objective, factor, theta, limits)
    if state.refinements > 0 and refined is not None:
        theta, refined = _corrected(objective, factor, state, theta, refined, limits)
    value, gradient = objective.value_and_gradient(theta)
    if not math.isfinite(value) or not is_finite(gradient):
        found = Finding(
            Status.NONFINITE, "The value or the gradient at the solution of the linear problem is not finite."
        )
        return replace(state, accepted=False, proposal=found)
    if value > state.value + roundoff(state):
        return _risen(state, value)
    bounds = objective.bounds
    projected = gradient if bounds is None else bounds.projected(theta, gradient)
    arrived = replace(
        state,
        theta=theta,
        value=value,
        gradient=gradient,
        gradient_norm=norm(projected),
        step_size=1.0,
        widest=np.maximum(state.widest, np.abs(theta)),
        refinements=state.refinements + 1,
    )
    if refined is not None:
        return _refined(_propose(arrived, factor, refined))
    looked = _propose(arrived, factor, _next_step(objective, factor, arrived, limits))
    if _is_large(objective):
        looked = replace(looked, unfinished=_still_improving(looked, state.relative_step))
        if looked.unfinished:
            return looked
    return _judge(looked, projected, state.relative_step, epsilon(theta.dtype))


def _first_step(objective: Objective, factor: Triangle, qr: Tsqr, theta: FloatArray, limits: Limits) -> Step:
    """The step to the minimizer, in the box if there is one."""
    if objective.bounds is None:
        return factor.step(qr.qtr, theta)
    found = ResidualModel(qr.r, qr.qtr, factor.scale, limits.checkpoint).in_box(theta, objective.bounds, math.inf)
    return Step(found.step, found.decrease)


def _next_step(objective: Objective, factor: Triangle, state: A, limits: Limits) -> Step:
    eps = epsilon(state.theta.dtype)
    if objective.bounds is not None:
        return _first_step(objective, factor, objective.tsqr(state.theta), state.theta, limits)
    if factor.condition <= SEMINORMAL_CONDITION * math.sqrt(np.finfo(np.float64).eps / eps):
        return factor.correction(0.5 * state.gradient, state.theta)
    return triangle((qr := objective.tsqr(state.theta)).r).step(qr.qtr, state.theta)


def _refined_step(objective: Objective, factor: Triangle, theta: FloatArray, limits: Limits) -> Step | None:
    """The correction from J'r in twice the precision, where it can be had, R tells directions apart, and the price is
    small or the digits are missed."""
    if objective.bounds is not None or factor.upper is None or not isinstance(objective, Refining):
        return None
    if objective.rows * objective.size > CHEAP_ENTRIES and factor.condition < WORTHWHILE_CONDITION:
        return None
    gradient = objective.refined_gradient(theta)
    if gradient is None:
        return None
    with limits.algebra():
        return factor.correction((0.5 * gradient).astype(theta.dtype), theta)


def _corrected(
    objective: Objective, factor: Triangle, state: A, theta: FloatArray, following: Step, limits: Limits
) -> tuple[FloatArray, Step]:
    """Correct theta until no parameter would change to speak of, or changes no longer shrink; and the next step."""
    eps = epsilon(theta.dtype)
    before = _largest_change(state.direction, state.theta)
    for _ in range(MOST_CORRECTIONS):
        change = _largest_change(following.step, theta)
        if not 2.0 * eps < change <= 0.5 * before:
            break
        beyond = theta + following.step
        found = _refined_step(objective, factor, beyond, limits)
        if found is None:
            break
        theta, following, before = beyond, found, change
    return theta, following


def _refined(state: A) -> A:
    """After the first step a correction is due, unless it changes nothing; after the corrections the end."""
    change = _largest_change(state.direction, state.theta)
    if state.refinements == 1 and change > 2.0 * epsilon(state.theta.dtype):
        return replace(state, unfinished=True)
    message = (
        f"Refined with residuals in twice the precision: the next step would change no parameter by more than "
        f"{change:.1e} of itself."
    )
    return replace(state, unfinished=False, proposal=Finding(Status.ROUNDOFF, message))


def _largest_change(step: FloatArray, theta: FloatArray) -> float:
    """max |s_j| / |theta_j|; parameters at zero, or with nothing to change, left out."""
    sizes = np.abs(theta)
    return float(np.max(np.abs(step)[sizes > 0.0] / sizes[sizes > 0.0], initial=0.0))


def _propose(state: A, factor: Triangle, found: Step) -> A:
    eps = epsilon(state.theta.dtype)
    size = state.theta.size
    length = relative_length(factor.scale, found.step, state.theta, state.widest)
    uncertainty = 8.0 * max(size, 1) * eps * factor.condition
    return replace(
        state,
        direction=found.step,
        predicted_decrease=found.decrease,
        relative_step=length,
        step_uncertainty=min(uncertainty, math.sqrt(eps)),
        # The correction of the first step is worth taking unless it changes no digit at all.
        unfinished=state.refinements == 1 and length > 2.0 * eps,
        curvature=Curvature.POSITIVE if factor.rank == size else Curvature.FLAT,
        condition=factor.condition,
        rank=factor.rank,
    )


def _still_improving(state: A, before: float) -> bool:
    """Whether the next step is worth a pass: the first correction, if it changes any digit; later ones, if well above
    rounding, and so much shorter than the last that it is the factor's error which is corrected, not that of the
    residual."""
    eps = epsilon(state.theta.dtype)
    if state.refinements == 1:
        return state.relative_step > 2.0 * eps
    return eps * math.sqrt(state.condition) < state.relative_step <= CONTRACTION * before


def _judge(state: A, gradient: FloatArray, before: float, eps: float) -> A:
    """After the correction: end where rounding the data would change as much, or where steps no longer shrink."""
    if state.refinements < 2:
        return state
    error = _backward_error(state, gradient)
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


def _backward_error(state: A, gradient: FloatArray) -> float:
    """The relative change of J's columns and of y that would explain the (projected) gradient, to first order.

    |J_j'r| <= error ||J_j|| (||r|| + sum_k ||J_k|| |theta_k|), in no units (Higham 2002, theorem 20.3). Beyond it no
    digit of theta means anything, whatever the condition.
    """
    norms = state.column_norms
    assert norms is not None
    known = math.sqrt(state.value) + float(norms.dot(np.abs(state.theta)))
    return ratio(0.5 * float(np.max(np.abs(gradient) / norms, initial=0.0)), known)


def _risen(state: A, value: float) -> A:
    """The computed minimizer is no lower: the point was as good as roundoff allows, or the problem is beyond it."""
    eps = epsilon(state.theta.dtype)
    below = state.refinements > 0 or state.predicted_decrease <= 100.0 * eps * state.value
    status = Status.ROUNDOFF if below else Status.NO_PROGRESS
    message = f"The refined point has the value {value:.17g}, above {state.value:.17g}: the earlier one stands."
    return replace(state, accepted=False, proposal=Finding(status, message))
