r"""Newton's method in a trust region: the least value of the quadratic model within ||D s|| <= radius.

The subproblem is solved to its end, hard case and all (linalg/trust_region.py), so that negative curvature is used as
far as the region goes: saddles and maxima are left, even from the point itself, and every limit point satisfies the
necessary conditions of second order (More and Sorensen 1983; Conn, Gould and Toint 2000, theorem 6.6.8).

**D** takes out the parameters' units: sqrt(H_ii), or Ruiz' scaling where that says nothing (linalg/symmetric.py). It
forgets slowly, D = max(D now, 0.6 D before). The curvature of the moment alone lets a parameter run off where f gets
flat in it, as a rate does in an exponential that has died out; a running maximum, MINPACK's choice, never lets go of a
curvature that was huge at a bad start. The blend of newton_blend.py, whose 2 J'J is never negative, may keep the
maximum, and is cheaper with it. When D changes the radius is measured anew, by the length that the step just taken has
in the new D. Of More, Garbow and Hillstrom's 128 runs (from the standard starts and from 10 and 100 times them), told f
only, 113 were solved with D now, 114 with 0.6 D before, and 111 with the maximum, all without the leaps of
trust_region.py; with those 118, by scipy's trust-exact 117, which takes 317 function-equivalent evaluations to the
minimum where this takes 257 (medians of what both solve; f 1, gradient 2, Hessian 2 p).

**The first radius** is the length of theta itself, ||D theta||: a first step should not change all parameters by more
than their size. Where theta is 0 it is the length of Newton's step, or ||D^-1 g||, that of a step by unit curvature,
where f falls along a direction of none.

**Valleys** (`bend`). In a curved valley a step along the floor leaves it sideways: f rises, though most of the step
was right. The gradient there tells by how much. With B the model's matrix, e = g(theta + s) - g - B s is what the model
missed, and

    c = -(B + lambda I)^-1 e   across s,   c'D^2 s = 0,   ||D c|| <= 0.1 ||D s||

leads back to the floor, at the cost of a gradient and a value, without another Hessian: a second-order correction
(Fletcher 1982, for constraints), or a step of the chord method across s. It is tried where a trial's ratio is not good,
and taken if f is lower there. c must be short beside s, or else it is not the valley's bend that was seen. On NIST's
Bennett5 it takes ratios from -15 to 1.2. Iterations with it and without: Bennett5 209 and 930 from the far start, 10
and 353 from the near one, MGH17 236 and 550, MGH10 212 and 320; all 54 runs together 1,423 and 3,187.

**Bounds.** On the face that the bounds leave free the same is done. Where such a step would leave the box, the model is
minimized in box and region together (linalg/box.py), which begins with the projected gradient's Cauchy point and so
keeps the proof of convergence.

Cost per iteration: value and gradient, a Hessian (or a pass over J in its place), one spectrum (or a few Cholesky
factors, beyond 100 parameters), and a value for each refused trial. Memory: about six p x p matrices, one of them in
the state (and in its bytes).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from nablad.solvers.bounds import Bounds
from nablad.solvers.control import Limits
from nablad.solvers.linalg.box import Mask, box_step, land, room
from nablad.solvers.linalg.symmetric import Curvature, diagonal_scale
from nablad.solvers.linalg.trust_region import Ball
from nablad.solvers.linalg.vectors import FloatArray, is_finite, norm, ratio
from nablad.solvers.methods.newton_blend import (
    DOUBTS,
    FAST,
    GOOD_ENOUGH,
    LAST_PHASE,
    VERY_LAST,
    Curvatures,
    Passes,
)
from nablad.solvers.methods.newton_look import Landing, View, ended, glimpse, look, polished, roundoff
from nablad.solvers.methods.newton_state import GAUSS_NEWTON, HESSIAN, NewtonState
from nablad.solvers.methods.trust_region import Arrival, Outcome, Proposal, Refused, TrustRegion, failure, search
from nablad.solvers.objective import Objective

MEMORY = 0.6
LONG_MEMORY = 1.0
"""The blend's: the running maximum."""
BEND_SHARE = 0.1
AT_EDGE = 0.999


def init(objective: Objective, theta: FloatArray, settings: TrustRegion, blend: bool, limits: Limits) -> NewtonState:
    value = objective.value(theta) if blend else math.nan
    if math.isfinite(value):
        passes = Passes(objective)
        at = Landing(theta, value, passes.arriving(theta))
        state = _glance(objective, at, passes.matrix(theta), None, limits).state
    else:
        state = look(objective, Landing(theta, *objective.value_and_gradient(theta)), None, limits).state
    if state.matrix is None:
        return state
    with limits.algebra():
        scale = region_scale(state.matrix, state.gradient, None)
    model = GAUSS_NEWTON if blend and state.gauss_newton is not None else HESSIAN
    radius = first_radius(state, scale, settings)
    return replace(state, scale=scale, radius=radius, model=model, eager=model == HESSIAN)


def _glance(
    objective: Objective, at: Landing, matrix: FloatArray | None, before: NewtonState | None, limits: Limits
) -> View:
    """The view of a point through 2 J'J, where that will do to go on from; else through the Hessian, too."""
    if matrix is not None and at.gradient.any() and is_finite(at.gradient):
        view = glimpse(objective, at, matrix, before, limits)
        previous = math.inf if before is None else before.relative_step
        fast = math.isfinite(previous) and view.state.relative_step <= FAST * previous
        far = view.state.relative_step > (VERY_LAST if fast else LAST_PHASE)
        if far and view.state.predicted_decrease > roundoff(objective, view.state):
            return view
    view = look(objective, at, before, limits)
    return replace(view, state=replace(view.state, gauss_newton=matrix))


def step(objective: Objective, state: NewtonState, blend: bool, limits: Limits) -> NewtonState:
    assert state.scale is not None
    curvatures = Curvatures(objective, state, limits)
    passes = Passes(objective)
    found = _search(objective, state, curvatures, passes, limits)
    if found.arrival is None and not found.plunged:
        abandoned = curvatures.abandon()
        state = _seen_whole(objective, state, curvatures, limits)
        if abandoned:
            curvatures = Curvatures(objective, state, limits)
            found = _search(objective, state, curvatures, passes, limits)
    noise = roundoff(objective, state)
    arrival = found.arrival
    if arrival is None:
        return replace(ended(state, noise, *failure(found, state.gradient_norm)), radius=found.radius)
    assert state.scale is not None
    proposal = arrival.proposal
    share = math.inf if proposal.at_edge else ratio(proposal.length, norm(state.scale * proposal.theta))
    doubts = state.doubts + 1 if abs(arrival.ratio - 1.0) > GOOD_ENOUGH else 0
    at = Landing(proposal.theta, arrival.value, arrival.gradient, 1.0)
    if blend and curvatures.used == GAUSS_NEWTON and doubts < DOUBTS and share > VERY_LAST:
        view = _glance(objective, at, passes.matrix(at.theta), state, limits)
    else:
        view = look(objective, at, state, limits)
    if view.state.matrix is None:
        return view.state
    if view.state.hessian is not None:
        view = polished(objective, view, noise, limits)
    new, model = view.state, HESSIAN
    if blend:
        new = replace(new, model=curvatures.used, doubts=doubts)
        new, model = _chosen(objective, new, arrival, share, state, limits)
    assert new.matrix is not None
    with limits.algebra():
        scale = region_scale(new.matrix, new.gradient, state.scale, LONG_MEMORY if blend else MEMORY)
    grown = ratio(norm(scale * proposal.step), norm(state.scale * proposal.step))
    return replace(
        new,
        scale=scale,
        radius=found.radius * grown if 0.0 < grown < math.inf else found.radius,
        eager=found.trials == 1 and model == HESSIAN,
        model=model,
        # The state, and a checkpoint of it, holds the matrix that the next step reads.
        hessian=new.hessian if model == HESSIAN else None,
        gauss_newton=new.gauss_newton if model == GAUSS_NEWTON else None,
        gauss_newton_steps=state.gauss_newton_steps + (curvatures.used == GAUSS_NEWTON),
    )


def _seen_whole(objective: Objective, state: NewtonState, curvatures: Curvatures, limits: Limits) -> NewtonState:
    """The state after a search in vain, with the Hessian that was evaluated on the way; its region as it was."""
    hessian = curvatures.of(HESSIAN)
    if state.hessian is not None or hessian is None:
        return state
    whole = look(objective, Landing(state.theta, state.value, state.gradient), state, limits, hessian).state
    return replace(
        whole,
        scale=state.scale,
        radius=state.radius,
        doubts=state.doubts,
        step_size=state.step_size,
        gauss_newton_steps=state.gauss_newton_steps,
    )


def _chosen(
    objective: Objective, new: NewtonState, arrival: Arrival, share: float, before: NewtonState, limits: Limits
) -> tuple[NewtonState, str]:
    """The state at a new point, and the model that the step from there is to use.

    `share` is the length of the step that led there relative to theta's, inf where the radius held it.
    """
    if new.hessian is None:
        return new, GAUSS_NEWTON
    settling = new.curvature is Curvature.POSITIVE and new.relative_step <= LAST_PHASE
    if share <= LAST_PHASE or settling:
        return new, HESSIAN
    if new.doubts >= (DOUBTS if new.model == GAUSS_NEWTON else 1):
        asked = Curvatures(objective, new, limits)
        model = asked.nearer_behind(arrival.proposal.step, before.value - arrival.value)
        new = replace(new, model=model, gauss_newton=asked.of(GAUSS_NEWTON))
    return new, HESSIAN if new.gauss_newton is None else new.model


def _search(
    objective: Objective, state: NewtonState, curvatures: Curvatures, passes: Passes, limits: Limits
) -> Outcome:
    proposer = _Proposer(objective, state, curvatures, roundoff(objective, state), limits)

    def arriving(theta: FloatArray) -> FloatArray:
        # Asked when a trial is taken: the search may have changed its model on the way.
        return passes.arriving(theta) if curvatures.used == GAUSS_NEWTON else passes.gradient(theta)

    return search(
        passes,
        state.value,
        state.gradient,
        proposer,
        state.radius,
        eager=state.eager,
        noise=proposer.noise,
        bend=proposer.bend,
        arriving=arriving,
    )


def region_scale(H: FloatArray, gradient: FloatArray, before: FloatArray | None, memory: float = MEMORY) -> FloatArray:
    """D > 0, shape (p,), from the Hessian (p, p); parameters without any curvature take their slope's units."""
    scale = diagonal_scale(H)
    bare = ~H.any(axis=1)
    if bare.any():
        slopes = np.abs(gradient)
        unit = float(np.max(slopes[~bare] / scale[~bare], initial=0.0)) or 1.0
        scale = np.where(bare, np.where(slopes > 0.0, slopes / unit, 1.0), scale)
    return scale if before is None else np.maximum(scale, memory * before)


def first_radius(state: NewtonState, scale: FloatArray, settings: TrustRegion) -> float:
    share = 1.0 if settings.initial_radius is None else settings.initial_radius
    length = norm(scale * state.theta)
    if length == 0.0:
        # Along a direction without curvature Newton's step has no length: one by unit curvature has.
        length = norm(scale * state.direction if state.predicted_decrease < math.inf else state.gradient / scale)
    # From a stationary point at the origin nothing tells how far to go: a unit of the parameters is tried.
    return share * (length or norm(scale) / math.sqrt(max(scale.size, 1)))


class _Proposer:
    """Steps of one iteration, for one radius after the other."""

    def __init__(
        self, objective: Objective, state: NewtonState, curvatures: Curvatures, noise: float, limits: Limits
    ) -> None:
        assert state.scale is not None
        self.noise = noise
        self.state = state
        self.scale: FloatArray = state.scale
        self.bounds: Bounds | None = objective.bounds
        self.curvatures = curvatures
        self.limits = limits
        self._faces: dict[bytes, Ball] = {}
        self._last: tuple[Ball, Mask] | None = None
        """Of the last step: its model, and the parameters that no side of the box kept from moving as it wanted."""

    def __call__(self, radius: float, refused: Refused | None) -> Proposal:
        self.limits.checkpoint()
        found = self._propose(radius)
        if not found.predicted > self.noise and self.curvatures.abandon():
            self._faces.clear()
            found = self._propose(radius)
        return found

    def _propose(self, radius: float) -> Proposal:
        matrix = self.curvatures.matrix
        with self.limits.algebra():
            return self._unbounded(radius) if self.bounds is None else self._bounded(self.bounds, matrix, radius)

    def _unbounded(self, radius: float) -> Proposal:
        free = np.ones(self.scale.size, dtype=bool)
        ball = self._face(free, self.state.gradient)
        found = ball.step(radius)
        self._last = ball, free
        theta = self.state.theta + found.step / self.scale
        return Proposal(theta, theta - self.state.theta, norm(found.step), found.predicted, found.at_edge)

    def _bounded(self, bounds: Bounds, matrix: FloatArray, radius: float) -> Proposal:
        state = self.state
        lower, upper = room(state.theta, bounds.lower, bounds.upper)

        def solve(free: Mask, fixed: FloatArray, linear: FloatArray, left: float) -> FloatArray:
            self.limits.checkpoint()
            return np.asarray(self._face(free, linear).step(left).step / self.scale[free])

        found = box_step(state.gradient, matrix.__matmul__, lower, upper, self.scale, radius, solve)
        theta = land(state.theta, found.step, bounds.lower, bounds.upper)
        length = norm(self.scale * found.step)
        inside = ~found.active
        ball = self._faces.get(inside.tobytes())
        self._last = None if ball is None else (ball, inside)
        return Proposal(theta, theta - state.theta, length, found.decrease, length >= AT_EDGE * radius)

    def _face(self, free: Mask, linear: FloatArray) -> Ball:
        """The model among the free parameters, with this slope; made once where the slope is the gradient's."""
        key = free.tobytes()
        scale, matrix = self.scale[free], self.curvatures.matrix
        slope = linear / scale
        known = self._faces.get(key)
        if known is not None and np.array_equal(known.g, slope):
            return known
        inner = (matrix if free.all() else matrix[np.ix_(free, free)]) / scale / scale[:, None]
        flat = self.state.curvature is Curvature.FLAT
        ball = Ball(inner, slope, scale * self.state.theta[free], flat)
        self._faces[key] = ball
        return ball

    def bend(self, proposal: Proposal, gradient: FloatArray) -> Proposal | None:
        """The trial led back to the valley's floor; None where that is no short way, or leaves the bounds."""
        if self._last is None:
            return None
        ball, free = self._last
        with self.limits.algebra():
            missed = gradient - self.state.gradient - self.curvatures.matrix @ proposal.step
            scale = self.scale[free]
            longest = BEND_SHARE * proposal.length
            across = ball.correction(missed[free] / scale, scale * proposal.step[free], longest)
        if across is None or not across.any():
            return None
        theta = proposal.theta.copy()
        theta[free] += across / scale
        if self.bounds is not None and not self.bounds.contains(theta):
            return None
        return replace(proposal, theta=theta, step=theta - self.state.theta)
