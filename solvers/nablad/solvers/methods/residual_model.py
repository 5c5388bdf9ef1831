r"""What the least-squares methods know at a point: the residual made linear, and the step to where that is shortest.

    f(theta + s) = ||r(theta + s)||^2 ~ ||r + J s||^2,        J = Q R,        ||r + J s||^2 = ||Q'r + R s||^2 + rest

One pass over the rows (`objective.tsqr`) gives the triangle R and Q'r, and everything else follows from those: the
gradient 2 R'Q'r, the Gauss-Newton step, its promise, the column norms, condition and rank. J itself is never held, and
no gradient is evaluated beside it. Trials are asked for their value alone; the pass is made where one is accepted.

Where J lacks rank to working precision, the Gauss-Newton step is the shortest one in units of the columns, so that no
parameter's unit decides where the run goes. What the steps leave open is decided at the end: once nothing else is to be
gained, one step is tried to the theta that is shortest in the user's units among those that the linear model cannot
tell apart, and kept if f does not rise. So a residual that is affine, or only along its null space, ends at the minimum
norm solution wherever the run began. Within bounds this is left out.

How far off the minimum is. Gauss-Newton drops the residual's second derivatives, so that where the residual stays large
its steps shrink linearly, each about q times the last, and the point is then off by |s| / (1 - q), not by |s|. (Dennis
and Schnabel 1996, section 10.2; q is the largest curvature of the residual at the minimum, relative to J'J.) The last
two full steps tell q, and the next step's relative length and its uncertainty are reported with that factor. Where q is
small, a step that only f's flatness would leave out is taken all the same, for it doubles theta's digits.

How sharp f is. r is the small difference of a model and its data: rounding either changes r by eps times their size,
for which sum_j ||J_j|| |theta_j| stands, and f by twice ||r|| times that. It is what f's differences are compared with;
eps f alone would be too little wherever the fit is good.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from nablad.solvers.bounds import Bounds
from nablad.solvers.linalg.box import BoxStep, Mask, box_step, land, room
from nablad.solvers.linalg.damped import DampedLeastSquares, damped
from nablad.solvers.linalg.least_squares import Triangle, rank_tolerance, triangle
from nablad.solvers.linalg.symmetric import Curvature
from nablad.solvers.linalg.vectors import FloatArray, epsilon, is_finite, norm, ratio
from nablad.solvers.methods.affine_state import AffineState
from nablad.solvers.methods.base import State
from nablad.solvers.methods.newton_state import relative_length
from nablad.solvers.objective import Objective, Tsqr
from nablad.solvers.status import Finding, Status

SLOWEST_RATE = 0.99
"""Steps that shrink by less than this are not told from roundoff."""
FAST_RATE = 0.1
"""Steps that shrink faster converge quadratically, or nearly."""
MOST_RISES = 20
"""Roundoff would have f rise so often, and never fall, once in a million times. It is what a wrong Jacobian looks like
to a search that judges by slopes where values drown."""
ROUNDINGS = 10.0
"""Of a model's value, in eps."""


@dataclass(frozen=True, kw_only=True)
class ResidualState(AffineState):
    qtr: FloatArray
    """Q'r at theta, shape (k,)."""
    scale: FloatArray
    """D, by which steps are measured: the largest norms of J's columns so far, shape (p,)."""
    polishing: bool = False
    """Whether one more step is worth its price for theta's digits alone."""
    rises: int = 0
    """Steps by which f rose, each within its roundoff, since it last fell."""
    shortened: bool = False
    """Whether, with J short of rank, a shorter theta has been looked for."""


class Passes:
    """An objective for searches: values, and gradients by the pass over J that the next iteration needs anyway."""

    def __init__(self, objective: Objective, ceiling: float = math.inf) -> None:
        self.objective = objective
        self.ceiling = ceiling
        """Points above it are not accepted, and so need no gradient."""
        self.last: Tsqr | None = None
        """Of the point that `gradient` was asked for last."""

    def value(self, theta: FloatArray) -> float:
        return self.objective.value(theta)

    def gradient(self, theta: FloatArray) -> FloatArray:
        self.last = self.objective.tsqr(theta)
        return gradient_of(self.last)

    def value_and_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        value = self.value(theta)
        if not value <= self.ceiling:
            return value, np.full_like(theta, math.nan)
        return value, self.gradient(theta)


def gradient_of(qr: Tsqr) -> FloatArray:
    """2 R'Q'r, shape (p,)."""
    return np.asarray(2.0 * (qr.r.T @ qr.qtr))


class ResidualModel:
    """||Q'r + R s||^2 as a function of the step s, with steps measured by ||D s||."""

    def __init__(self, R: FloatArray, qtr: FloatArray, scale: FloatArray, checkpoint: Callable[[], None]) -> None:
        self.R = R
        self.qtr = qtr
        self.scale = scale
        self.checkpoint = checkpoint
        self.tolerance = rank_tolerance(R)
        self._whole: DampedLeastSquares | None = None

    def predicted(self, step: FloatArray) -> float:
        """The decrease that the model promises for a step."""
        v = self.R @ step
        return -float((2.0 * self.qtr + v).dot(v))

    def full(self, factor: Triangle) -> FloatArray:
        """The Gauss-Newton step; without full rank the shortest in ||D .||."""
        if factor.upper is not None:
            return factor.step(self.qtr, np.zeros_like(self.scale)).step
        return self.within(math.inf)[0]

    def within(self, radius: float) -> tuple[FloatArray, float]:
        """The best step with ||D s|| <= radius, and its damping; 0 if the radius does not matter."""
        z, damping = self.whole.within(self.qtr, radius)
        return z / self.scale, damping

    @property
    def whole(self) -> DampedLeastSquares:
        """The decomposition of R D^-1, made once."""
        if self._whole is None:
            self._whole = damped(self.R / self.scale, self.tolerance)
        return self._whole

    def in_box(self, theta: FloatArray, bounds: Bounds, radius: float) -> BoxStep:
        """The best step in the bounds with ||D s|| <= radius."""
        lower, upper = room(theta, bounds.lower, bounds.upper)
        gradient = np.asarray(2.0 * (self.R.T @ self.qtr))
        return box_step(gradient, self._product, lower, upper, self.scale, radius, self._on_face)

    def _product(self, v: FloatArray) -> FloatArray:
        return np.asarray(2.0 * (self.R.T @ (self.R @ v)))

    def _on_face(self, free: Mask, fixed: FloatArray, linear: FloatArray, radius: float) -> FloatArray:
        self.checkpoint()
        if bool(free.all()):
            return self.within(radius)[0]
        factor = damped(self.R[:, free] / self.scale[free], self.tolerance)
        return factor.within(self.qtr + self.R @ fixed, radius)[0] / self.scale[free]


def moved(objective: Objective, theta: FloatArray, step: FloatArray) -> FloatArray:
    """theta + step, on the very bound where the step reaches it."""
    bounds = objective.bounds
    return theta + step if bounds is None else land(theta, step, bounds.lower, bounds.upper)


def affine_start(theta: FloatArray, value: float, gradient: FloatArray) -> ResidualState:
    """Where a run on an affine residual begins: the rest is newton_affine.py's."""
    return _bare(theta, value, gradient, None)


def look(
    objective: Objective,
    theta: FloatArray,
    value: float,
    qr: Tsqr | None,
    before: ResidualState | None,
    checkpoint: Callable[[], None],
    *,
    full_step: bool = False,
) -> ResidualState:
    """The state at a point with the pass made there, and the Gauss-Newton step from it.

    `before` is the state that a step was taken from, `full_step` whether it was the whole Gauss-Newton step.
    """
    widest = np.abs(theta) if before is None else np.maximum(before.widest, np.abs(theta))
    if qr is None or not (math.isfinite(value) and is_finite(qr.r) and is_finite(qr.qtr)):
        return _blind(objective, theta, value, widest)
    gradient = gradient_of(qr)
    factor = triangle(qr.r)
    norms = factor.scale
    scale = norms if before is None else np.maximum(before.scale, norms)
    model = ResidualModel(qr.r, qr.qtr, scale, checkpoint)
    bounds = objective.bounds
    direction = model.full(factor) if bounds is None else model.in_box(theta, bounds, math.inf).step
    rate = 0.0
    if full_step and before is not None:
        rate = min(ratio(norm(norms * direction), norm(norms * before.direction)), SLOWEST_RATE)
    eps = epsilon(theta.dtype)
    uncertainty = 10.0 * eps * factor.condition * (1.0 + ratio(math.sqrt(value), norm(norms * theta)))
    state = ResidualState(
        theta=theta,
        value=value,
        gradient=gradient,
        gradient_norm=norm(gradient if bounds is None else bounds.projected(theta, gradient)),
        step_size=0.0 if before is None else 1.0,
        relative_step=relative_length(norms, direction, theta, widest) / (1.0 - rate),
        step_uncertainty=min(uncertainty, math.sqrt(eps)) / (1.0 - rate),
        predicted_decrease=max(0.0, model.predicted(direction)),
        curvature=Curvature.POSITIVE if factor.rank == theta.size else Curvature.FLAT,
        condition=factor.condition,
        rank=factor.rank,
        factorizations=1 if before is None else before.factorizations + 1,
        triangle=qr.r,
        column_norms=norms,
        jacobian_norm=norm(norms),
        qtr=qr.qtr,
        scale=scale,
        direction=direction,
        widest=widest,
        shortened=before is not None and before.shortened,
    )
    if before is not None:
        state = _count_rises(state, before)
    state = replace(state, polishing=full_step and _worth_polishing(state, rate))
    return replace(state, unfinished=state.polishing or due_to_shorten(state, bounds))


def _count_rises(state: ResidualState, before: ResidualState) -> ResidualState:
    """Count the steps that raise f, which they may within its roundoff; so many are not roundoff's doing."""
    rises = 0 if state.value < before.value else before.rises + (state.value > before.value)
    if rises < MOST_RISES:
        return replace(state, rises=rises)
    message = (
        f"f rose within its roundoff in each of {rises} steps, where the Jacobian promises a descent; the gradient "
        f"norm is {state.gradient_norm:.3e}."
    )
    return replace(state, rises=rises, proposal=Finding(Status.LINE_SEARCH_STALLED, message))


def due_to_shorten(state: ResidualState, bounds: Bounds | None) -> bool:
    """Whether the last step, to the shortest theta, is due: nothing else is to be gained."""
    if state.polishing or state.shortened or state.rank >= state.theta.size or bounds is not None:
        return False
    return state.relative_step <= math.sqrt(epsilon(state.theta.dtype)) or state.predicted_decrease <= roundoff(state)


def _worth_polishing(state: ResidualState, rate: float) -> bool:
    """Whether f is as low as can be seen, and one more step, already computed, would double theta's digits."""
    eps = epsilon(state.theta.dtype)
    least = max(eps ** (2 / 3), state.step_uncertainty)
    return rate <= FAST_RATE and least < state.relative_step <= math.sqrt(eps)


def shorten(objective: Objective, state: ResidualState, checkpoint: Callable[[], None]) -> ResidualState:
    """The last step where J lacks rank: to the shortest theta, in the user's units, unless f rises."""
    assert state.triangle is not None
    step = triangle(state.triangle).step(state.qtr, state.theta).step
    theta = state.theta + step
    value = objective.value(theta)
    if not value <= state.value + roundoff(state):
        return replace(state, unfinished=False, shortened=True)
    qr = objective.tsqr(theta)
    if not (is_finite(qr.r) and is_finite(qr.qtr)):
        return replace(state, unfinished=False, shortened=True)
    return look(objective, theta, value, qr, replace(state, shortened=True), checkpoint)


def _blind(objective: Objective, theta: FloatArray, value: float, widest: FloatArray) -> ResidualState:
    """A start where the value or the Jacobian is not finite: the run ends there."""
    gradient = objective.gradient(theta)
    proposal = None
    if math.isfinite(value) and is_finite(gradient):
        proposal = Finding(Status.NONFINITE, "The Jacobian of the residual has NaN or infinite entries.")
    return replace(_bare(theta, value, gradient, proposal), widest=widest)


def _bare(theta: FloatArray, value: float, gradient: FloatArray, proposal: Finding | None) -> ResidualState:
    """A state that knows no more than value and gradient."""
    return ResidualState(
        theta=theta,
        value=value,
        gradient=gradient,
        gradient_norm=norm(gradient),
        triangle=np.zeros((0, theta.size), dtype=theta.dtype),
        qtr=np.zeros(0, dtype=theta.dtype),
        scale=np.ones_like(theta),
        direction=np.zeros_like(theta),
        widest=np.abs(theta),
        proposal=proposal,
    )


def roundoff(state: State) -> float:
    """How far an evaluation of f = ||r||^2 near the state's point may be off."""
    assert state.column_norms is not None
    eps = epsilon(state.theta.dtype)
    change = ROUNDINGS * eps * float(state.column_norms.dot(np.abs(state.theta)))
    return max(change * (2.0 * math.sqrt(state.value) + change), 100.0 * eps * state.value)


def ended(state: ResidualState, status: Status, message: str) -> ResidualState:
    """The end of a run whose search found no lower point: as good as roundoff allows, or stalled."""
    if status is Status.LINE_SEARCH_STALLED and state.predicted_decrease <= roundoff(state):
        status = Status.ROUNDOFF
        message = (
            f"The decrease that the linearized residual promises, {state.predicted_decrease:.1e}, is below the "
            f"roundoff of the value {state.value:.6g}."
        )
    return replace(state, accepted=False, proposal=Finding(status, message))
