r"""The exact minimizer along the direction, for quadratics.

    alpha = -g'd / d'Hd,   for d = -g:   alpha = g'g / g'Hg                                          (Cauchy 1847)

from one Hessian-vector product. A quadratic is minimized along each direction, and f falls by the factor ((kappa - 1) /
(kappa + 1))^2 at least (Kantorovich; Nocedal and Wright 2006, theorem 3.3); from almost every start the path falls into
a zigzag in the plane of the extreme eigenvectors, where that factor is attained (Akaike 1959). With momentum it is the
line search that conjugate gradients would do.

The objective must be provably a quadratic (capabilities.quadratic), for elsewhere the formula is a guess that nothing
checks. Where the curvature along d is zero or negative, a quadratic falls without end. Cost: one Hessian-vector
product, one value and gradient. There are no parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nablad.solvers.linalg.vectors import FloatArray, epsilon, is_finite, norm
from nablad.solvers.methods.descent_state import DescentState, arrived, descending
from nablad.solvers.methods.first_order import ended
from nablad.solvers.methods.line_search import Trial
from nablad.solvers.objective import Objective
from nablad.solvers.status import Status

FLAT = 10.0
"""Curvature within so many eps ||H d|| ||d|| is roundoff of the inner product."""


@dataclass(frozen=True)
class Exact:
    """The minimizer along the direction, of a quadratic objective."""


def exact_step(objective: Objective, state: DescentState, direction: FloatArray, settings: Exact) -> DescentState:
    """The state at the minimizer along d, or why there is none."""
    direction, length, unit, slope = descending(objective, state, direction)
    product = objective.hvp(state.theta, unit)
    size, bend = norm(product), float(unit.dot(product))
    if not math.isfinite(size):
        return ended(state, Status.NONFINITE, "The product of the Hessian and the direction is not finite.")
    roundoff = FLAT * epsilon(state.theta.dtype) * size
    if size == 0.0 or bend < -roundoff:
        falls = f"The curvature along the direction is {bend:.3e}: a quadratic falls along it without end."
        return ended(state, Status.UNBOUNDED, falls)
    if bend <= roundoff:
        message = f"The curvature along the direction, {bend:.1e}, is roundoff; the gradient norm is {-slope:.3e}."
        return ended(state, Status.LINE_SEARCH_STALLED, message)
    along = -slope / bend
    theta = state.theta + along * unit
    value, gradient = objective.value_and_gradient(theta)
    if not math.isfinite(value) or not is_finite(gradient):
        return ended(state, Status.NONFINITE, f"The value or gradient at the minimizer along the direction is {value}.")
    step = along / length
    trial = Trial(step, theta, value, gradient)
    return arrived(objective, state, trial, direction=direction, moved=along, step=step, following=step)
