r"""What Newton's method sees at a point: the Hessian, its signs, the step to the model's minimizer and its promise.

    H(theta_k) s_k = -g(theta_k)

The promise of the next step, the decrement g'H^-1 g / 2, is part of the state at each point, so that every test of
stopping.py, the start's too, sees curvature. Within bounds all of this is said of the free parameters: those that are
not held on a side against which the gradient presses them (bounds.py).

The last step (`polished`) needs no Hessian: where the next one is so short that the run will end, it is taken at once,
and the Hessian at hand, right to ten digits there, tells what is left. That doubles theta's digits for one value and
gradient, and leaves nothing for another method that starts at the answer.

Cost: one Hessian, p^3 / 3 multiplications, and about 9 p^3 more where H is not safely positive definite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nablad.solvers.control import Limits
from nablad.solvers.linalg.symmetric import Curvature, SymmetricFactor, factorize
from nablad.solvers.linalg.vectors import FloatArray, epsilon, is_finite, norm
from nablad.solvers.methods.newton_state import GRADIENT_MARGIN, NewtonState, relative_change
from nablad.solvers.methods.trust_region import NOISE_FACTOR
from nablad.solvers.objective import Objective
from nablad.solvers.status import Finding, Status

ROUNDINGS = 10.0
"""Of a model's value, in eps."""


RESOLVED = 2.0
"""In roundoffs: a gradient whose promise can be seen."""


@dataclass(frozen=True)
class Landing:
    """A point with its value and gradient, and the multiple of the direction that led to it."""

    theta: FloatArray
    value: float
    gradient: FloatArray
    step_size: float = 0.0


@dataclass(frozen=True)
class View:
    """A state, and what it was made from."""

    state: NewtonState
    factor: SymmetricFactor | None
    """Of the free parameters; None where there are none, or derivatives are not finite."""
    squared: float
    """g'|H|^-1 g; inf where f falls along a direction of no curvature."""


def free_parameters(objective: Objective, theta: FloatArray, gradient: FloatArray) -> NDArray[np.bool_]:
    """Which parameters no bound holds, shape (p,)."""
    if objective.bounds is None:
        return np.ones(theta.size, dtype=bool)
    return objective.bounds.free(theta, gradient)


def look(
    objective: Objective, at: Landing, before: NewtonState | None, limits: Limits, known: FloatArray | None = None
) -> View:
    """The view at a point, `before` being the state that a step was taken from; its `direction` is Newton's step.

    `known` is the Hessian there, (p, p), if it was evaluated before.
    """
    finite = math.isfinite(at.value) and is_finite(at.gradient)
    hessian = known if known is not None else objective.hessian(at.theta) if finite else None
    free = free_parameters(objective, at.theta, at.gradient)
    if hessian is None or not is_finite(hessian):
        return View(_blind(at, free, before, hessian), None, 0.0)
    return _through(objective, replace(_plain(at, free, before), hessian=hessian), free, limits)


def glimpse(objective: Objective, at: Landing, matrix: FloatArray, before: NewtonState | None, limits: Limits) -> View:
    """The same through 2 J'J (p, p) alone, finite: enough to go on from, not to end at."""
    free = free_parameters(objective, at.theta, at.gradient)
    view = _through(objective, replace(_plain(at, free, before), gauss_newton=matrix), free, limits)
    return replace(view, state=replace(view.state, glimpsed=True))


def _through(objective: Objective, plain: NewtonState, free: NDArray[np.bool_], limits: Limits) -> View:
    """The view through the state's matrix."""
    matrix = plain.matrix
    assert matrix is not None
    with limits.algebra():
        if not free.any():
            nothing = replace(plain, relative_step=0.0, predicted_decrease=0.0, gradient_over_roundoff=0.0)
            return View(replace(nothing, curvature=Curvature.POSITIVE, rank=0), None, 0.0)
        factor = factorize(matrix if free.all() else matrix[np.ix_(free, free)])
        state = replace(plain, factorizations=plain.factorizations + 1)
        return _seen(state, factor, free, roundoff(objective, state))


def polished(objective: Objective, view: View, noise: float, limits: Limits) -> View:
    """The view from the end of Newton's step, where that is the last one and to be taken at once."""
    state, factor = view.state, view.factor
    eps = epsilon(state.theta.dtype)
    last = state.curvature is Curvature.POSITIVE and eps < state.relative_step <= eps ** (2 / 3)
    if not last or factor is None or state.gradient_over_roundoff <= 1.0:
        return view
    theta = state.theta + state.direction
    if objective.bounds is not None and not objective.bounds.contains(theta):
        return view
    value, gradient = objective.value_and_gradient(theta)
    free = free_parameters(objective, theta, gradient)
    if not (value <= state.value + noise and is_finite(gradient)):
        return view
    if not np.array_equal(free, free_parameters(objective, state.theta, state.gradient)):
        return view
    with limits.algebra():
        at = Landing(theta, value, gradient, state.step_size)
        plain = replace(_plain(at, free, state), hessian=state.hessian)
        found = _seen(plain, factor, free, noise)
    return found if found.state.relative_step < state.relative_step else view


def _seen(state: NewtonState, factor: SymmetricFactor, free: NDArray[np.bool_], noise: float) -> View:
    """What the factor of the free parameters' Hessian says at the state's point, `noise` being f's roundoff.

    A gradient that rounding theta explains is roundoff only if Newton's step from it promises no more than f's: along a
    valley that ends at infinity (Beale's function from afar) a large |H| |theta| hides a slope that can be followed.
    """
    matrix = state.matrix
    assert matrix is not None
    whole = bool(free.all())
    inner = matrix if whole else matrix[np.ix_(free, free)]
    theta, gradient = (state.theta, state.gradient) if whole else (state.theta[free], state.gradient[free])
    step, squared = factor.newton_step(gradient, theta)
    direction = np.zeros_like(state.theta)
    direction[free] = step
    eps = epsilon(theta.dtype)
    floor = GRADIENT_MARGIN * eps * (np.abs(inner) @ np.abs(theta))
    far = not squared < math.inf
    over = _largest_ratio(np.abs(gradient), floor)
    if 0.5 * squared > noise:
        over = max(over, RESOLVED)
    return View(
        replace(
            state,
            relative_step=math.inf if far else relative_change(factor.scale, step, theta, state.widest[free]),
            step_uncertainty=min(10.0 * eps * factor.condition, eps ** (1 / 3)),
            predicted_decrease=0.5 * squared,
            gradient_over_roundoff=over,
            curvature=factor.curvature,
            condition=factor.condition,
            rank=factor.rank,
            direction=direction,
            slope=float(gradient.dot(step)),
        ),
        factor,
        squared,
    )


def roundoff(objective: Objective, state: NewtonState) -> float:
    """How far an evaluation of f near the point may be off, from the Hessian there.

    Rounding theta changes f by its square times the curvature, (eps ||D theta||)^2. A sum of squares is one of small
    differences, besides: rounding a model's value, for whose size sum_j ||J_j|| |theta_j| stands (sqrt(H_jj / 2) for
    ||J_j||), changes f by twice ||r|| times that.
    """
    eps = epsilon(state.theta.dtype)
    least = NOISE_FACTOR * eps * abs(state.value)
    matrix = state.matrix
    if matrix is None:
        return least
    norms = np.sqrt(0.5 * np.abs(np.diagonal(matrix)))
    change = ROUNDINGS * eps * float(norms.dot(np.abs(state.theta)))
    size = math.sqrt(state.value) if objective.capabilities.residual else 0.0
    return max(least, change * (2.0 * size + change))


def ended(state: NewtonState, noise: float, status: Status, message: str) -> NewtonState:
    """The end of a run whose search found no lower point: as good as roundoff allows, or stalled."""
    below = state.predicted_decrease <= noise
    if status is Status.LINE_SEARCH_STALLED and below and state.curvature is not Curvature.NEGATIVE:
        status = Status.ROUNDOFF
        message = (
            f"The decrease that Newton's step promises, {state.predicted_decrease:.1e}, is below the roundoff of the "
            f"value {state.value:.6g}, and no curvature is negative."
        )
    return replace(state, accepted=False, proposal=Finding(status, message))


def _plain(at: Landing, free: NDArray[Any], before: NewtonState | None) -> NewtonState:
    """What needs no Hessian."""
    size = np.abs(at.theta)
    return NewtonState(
        theta=at.theta,
        value=at.value,
        gradient=at.gradient,
        gradient_norm=norm(at.gradient if free.all() else at.gradient[free]),
        step_size=at.step_size,
        factorizations=0 if before is None else before.factorizations,
        direction=np.zeros_like(at.theta),
        slope=0.0,
        widest=size if before is None else np.maximum(before.widest, size),
    )


def _largest_ratio(sizes: FloatArray, floors: FloatArray) -> float:
    if bool((sizes <= floors).all()):
        return 1.0
    return math.inf if bool((floors <= 0.0).any()) else float(np.max(sizes / floors))


def _blind(at: Landing, free: NDArray[Any], before: NewtonState | None, hessian: FloatArray | None) -> NewtonState:
    """A point where derivatives are not finite: the run ends here."""
    state = _plain(at, free, before)
    # Where the gradient vanishes the run may end: x^1.5 has no curvature at its minimum.
    if hessian is None or state.gradient_norm == 0.0:
        return state
    bad = int(hessian.size - np.count_nonzero(np.isfinite(hessian)))
    return replace(
        state,
        proposal=Finding(
            Status.NONFINITE,
            f"The value {at.value:.6g} and the gradient are finite, but {bad} of the Hessian's {hessian.size} entries "
            f"are NaN or infinite.",
        ),
    )
