r"""Newton's method for many parameters: the Hessian is asked for products only.

    minimize g's + s'H s / 2   subject to   ||D s|| <= radius,   s in a Krylov space

Each product H v costs about as much as one or two gradients (`objective.linearize`). The step is conjugate gradients'
where that lies inside the trust region, and at its edge the best step in the same Krylov space, negative curvature
used to the full (linalg/lanczos.py). Radius and refusals are trust_region.py's.

**How exact.** ||(H + lambda I) s + g|| <= eta ||g||, by D: eta = 0.9 (||g_k|| / ||g_{k-1}||)^2, between 1e-4 and 1/2
(Eisenstat and Walker 1996, choice 2 with their safeguard), so that few products are spent far from the minimum, and
convergence near it is superlinear.

**D, and preconditioning.** Steps are measured, and the Krylov space is made, in parameters scaled by D, which is a
diagonal preconditioner and takes each parameter's unit out. D equilibrates the rows: D_i^2 = ||(H W)_i|| / w_i, with W
= diag(w) and w = |theta| at first, then 1 / D. The norms are estimated from products with random signs z, for
E[(H (w z))_i^2] = ||(H W)_i||^2: sums of squares, of which four are enough (the diagonal itself by such probes, after
Bekas, Kokiopoulou and Saad 2007, is a small difference of large numbers where H is not diagonally dominant). They are
made anew every ten iterations; beyond that D is as newton_trust.py's, and forgets as slowly. Products in all, four
networks of 433 parameters: 13,200 beside 8,300 without D where inputs are scaled alike, and 12,500 beside 17,000 where
they differ by 100.

**Saddles.** A Krylov space holds only what the gradient reaches, and at a stationary point nothing. Before a point may
count as a minimum, a space from a random vector is searched for negative curvature; if it has any, that is the next
step. Where it has none the point is as good as some `SEARCH` products can tell, and the verdict of the report is the
driver's own, where it can afford one.

Within bounds the same space is made on the free parameters, and the model minimized in box and region (linalg/box.py).

Cost per iteration: one value and gradient, and some tens of products. Memory: up to 200 vectors, but no more than 64
MiB of them (20 at least).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from nablad.solvers.bounds import inward
from nablad.solvers.control import Limits
from nablad.solvers.linalg.box import Mask, box_step, land, room
from nablad.solvers.linalg.lanczos import Lanczos
from nablad.solvers.linalg.symmetric import Curvature, classify, curvature_tolerance
from nablad.solvers.linalg.vectors import FloatArray, epsilon, is_finite, norm, ratio
from nablad.solvers.methods.newton_look import RESOLVED, ROUNDINGS, ended, free_parameters
from nablad.solvers.methods.newton_state import GRADIENT_MARGIN, NewtonState, relative_length
from nablad.solvers.methods.newton_trust import AT_EDGE, MEMORY, first_radius
from nablad.solvers.methods.trust_region import (
    NOISE_FACTOR,
    Proposal,
    Refused,
    TrustRegion,
    failure,
    search,
)
from nablad.solvers.objective import Linearization, Objective
from nablad.solvers.status import Finding, Status

LEAST_FORCING, MOST_FORCING = 1e-4, 0.5
PROBES = 4
REFRESH = 10
MOST_PRODUCTS, LEAST_PRODUCTS, BASIS_BYTES = 200, 20, 64 * 2**20
SEARCH = 40
MAX_FACES = 10
LEAST_ROW = 1e-4
"""Of the largest row's norm, by the weights: smaller ones are taken for it, so that no parameter is set free."""

Product = Callable[[FloatArray], FloatArray]


class NotFinite(Exception):
    """A product with the Hessian was NaN or infinite."""


def init(objective: Objective, theta: FloatArray, settings: TrustRegion, limits: Limits) -> NewtonState:
    line = objective.linearize(theta)
    blank = _blank(objective, theta, line.value, line.gradient)
    if not (math.isfinite(line.value) and is_finite(line.gradient)):
        return blank
    try:
        point = _Point(objective, line, blank, limits)
        scale = point.diagonal(None)
        begun = replace(blank, scale=scale, forcing=MOST_FORCING)
        begun = replace(begun, scaled_gradient=norm((line.gradient / scale)[point.free]))
        begun = replace(begun, direction=point.cauchy(scale))
        return point.aimed(replace(begun, radius=first_radius(begun, scale, settings)))
    except NotFinite:
        return _nonfinite(blank)


def step(objective: Objective, state: NewtonState, limits: Limits) -> NewtonState:
    assert state.scale is not None
    surface = _Surface(objective)
    propose = _Proposer(objective, state, limits)
    noise = _roundoff(objective, state)
    reached: NewtonState | None = None
    try:
        found = search(surface, state.value, state.gradient, propose, state.radius, eager=state.eager, noise=noise)
        arrival = found.arrival
        if arrival is None:
            return replace(ended(state, noise, *failure(found, state.gradient_norm)), radius=found.radius)
        line, taken = surface.last, arrival.proposal
        assert line is not None
        size = np.maximum(state.widest, np.abs(taken.theta))
        new = reached = replace(
            _blank(objective, taken.theta, arrival.value, arrival.gradient),
            widest=size,
            step_size=1.0,
            eager=found.trials == 1,
        )
        point = _Point(objective, line, new, limits)
        fresh = state.scale_age + 1 >= REFRESH
        scale = point.diagonal(state.scale) if fresh else state.scale
        scaled = norm((arrival.gradient / scale)[point.free])
        grown = ratio(norm(scale * taken.step), norm(state.scale * taken.step))
        return point.aimed(
            replace(
                new,
                scale=scale,
                scale_age=0 if fresh else state.scale_age + 1,
                scaled_gradient=scaled,
                forcing=_forcing(state.forcing, ratio(scaled, state.scaled_gradient)),
                radius=found.radius * grown if 0.0 < grown < math.inf else found.radius,
            )
        )
    except NotFinite:
        return replace(_nonfinite(state), accepted=False) if reached is None else _nonfinite(reached)


def _forcing(before: float, fallen: float) -> float:
    """Eisenstat and Walker's eta, from the last one and the ratio of the gradients' norms."""
    eta = 0.9 * fallen * fallen
    kept = 0.9 * before * before
    return min(max(eta, kept if kept > 0.1 else 0.0, LEAST_FORCING), MOST_FORCING)


@dataclass(frozen=True)
class _Aim:
    """The next step (p,), what it promises, and whether the radius alone holds it."""

    step: FloatArray
    predicted: float
    at_edge: bool


class _Point:
    """The model at a state's point: products, the diagonal, and the steps."""

    def __init__(self, objective: Objective, line: Linearization, state: NewtonState, limits: Limits) -> None:
        self.objective = objective
        self.line = line
        self.limits = limits
        self.theta = state.theta
        self.gradient = state.gradient
        self.free = free_parameters(objective, state.theta, state.gradient)
        self._spaces: dict[bytes, tuple[FloatArray, Lanczos]] = {}

    def product(self, v: FloatArray) -> FloatArray:
        """H v, shape (p,). Raises NotFinite."""
        self.limits.checkpoint()
        found = self.line.hvp(v)
        if not is_finite(found):
            raise NotFinite
        return found

    def diagonal(self, before: FloatArray | None) -> FloatArray:
        """D (p,), estimated; not below its memory of what it was."""
        weights = _first_weights(self.theta, self.gradient) if before is None else 1.0 / before
        for _ in range(2 if before is None else 1):
            sizes = self._row_norms(weights)
            floor = LEAST_ROW * float(sizes.max(initial=0.0))
            scale = np.sqrt(np.maximum(sizes, floor)) / weights if floor > 0.0 else 1.0 / weights
            weights = 1.0 / scale
        return np.asarray(scale if before is None else np.maximum(scale, MEMORY * before), dtype=self.theta.dtype)

    def _row_norms(self, weights: FloatArray) -> FloatArray:
        """w_i ||(H W)_i||, from the root mean square of some probes, shape (p,)."""
        generator = np.random.default_rng(0)
        rows = np.empty((PROBES, self.theta.size), self.theta.dtype)
        for row in rows:
            z = np.where(generator.random(self.theta.size) < 0.5, -1.0, 1.0).astype(self.theta.dtype)
            row[:] = weights * self.product(weights * z)
        # Squares of what is divided by the largest: a Hessian may well be 1e200 in its own units.
        largest = float(np.max(np.abs(rows), initial=0.0))
        if not 0.0 < largest < math.inf:
            return np.full_like(self.theta, largest)
        return np.asarray(largest * np.sqrt(np.mean((rows / largest) ** 2, axis=0)), dtype=self.theta.dtype)

    def cauchy(self, scale: FloatArray) -> FloatArray:
        """The minimizer along the scaled gradient, by the size of the curvature there, shape (p,)."""
        slope = np.where(self.free, self.gradient / scale, 0.0)
        length = norm(slope)
        if length == 0.0:
            return np.zeros_like(slope)
        unit = slope / length
        size = norm(self.product(unit / scale) / scale)
        return np.asarray(-(unit / scale) * (length / size if size > 0.0 else length), dtype=slope.dtype)

    def space(self, free: Mask, slope: FloatArray, scale: FloatArray, most: int) -> Lanczos:
        """The Krylov space of these parameters, of a scaled slope (m,); made once for each pair."""
        key = free.tobytes()
        known = self._spaces.get(key)
        if known is not None and np.array_equal(known[0], slope):
            return known[1]

        def scaled(v: FloatArray) -> FloatArray:
            whole = np.zeros_like(self.theta)
            whole[free] = v / scale[free]
            return np.asarray(self.product(whole)[free] / scale[free])

        made = Lanczos(scaled, slope, most)
        self._spaces[key] = slope, made
        return made

    def aim(self, state: NewtonState, radius: float) -> _Aim:
        """The step for this radius."""
        assert state.scale is not None
        scale, bounds = state.scale, self.objective.bounds
        most = _most_products(self.theta)

        def solve(free: Mask, fixed: FloatArray, linear: FloatArray, left: float) -> FloatArray:
            slope = linear / scale[free]
            if not slope.any():
                return np.zeros_like(slope)
            found = self.space(free, slope, scale, most).step(left, state.forcing)
            return np.asarray(found.step / scale[free])

        if bounds is not None:
            lower, upper = room(self.theta, bounds.lower, bounds.upper)
            found = box_step(self.gradient, self.product, lower, upper, scale, radius, solve, MAX_FACES)
            return _Aim(found.step, found.decrease, norm(scale * found.step) >= AT_EDGE * radius)
        slope = self.gradient / scale
        if not slope.any():
            return _Aim(np.zeros_like(slope), 0.0, False)
        inner = self.space(self.free, slope, scale, most).step(radius, state.forcing)
        return _Aim(inner.step / scale, inner.predicted, inner.at_edge)

    def aimed(self, state: NewtonState) -> NewtonState:
        """The state with its next step, and what is known of the curvature."""
        assert state.scale is not None
        scale, free = state.scale, self.free
        if not free.any():
            return replace(state, relative_step=0.0, predicted_decrease=0.0, curvature=Curvature.POSITIVE, rank=0)
        aim = self.aim(state, state.radius)
        curvature, condition = self._seen(free, scale, aim)
        eps = epsilon(self.theta.dtype)
        size = norm((scale * self.theta)[free])
        over = ratio(float(np.max(np.abs(self.gradient[free]) / scale[free])), GRADIENT_MARGIN * eps * size)
        length = relative_length(scale[free], aim.step[free], self.theta[free], state.widest[free])
        new = replace(
            state,
            direction=aim.step,
            slope=float(self.gradient.dot(aim.step)),
            at_edge=aim.at_edge,
            predicted_decrease=aim.predicted,
            relative_step=length,
            step_uncertainty=0.0,
            curvature=curvature,
            condition=condition,
        )
        noise = _roundoff(self.objective, new)
        if aim.predicted > noise:
            over = max(over, RESOLVED)
        new = replace(new, gradient_over_roundoff=over)
        near = length <= math.sqrt(eps) or aim.predicted <= noise
        return self._searched(new) if near and curvature is not Curvature.NEGATIVE else new

    def _seen(self, free: Mask, scale: FloatArray, aim: _Aim) -> tuple[Curvature, float]:
        """What the gradient's own space shows: a sign, and a lower bound of the condition."""
        known = self._spaces.get(free.tobytes())
        if known is None:
            return Curvature.UNKNOWN, math.nan
        values = known[1].values
        eps = epsilon(self.theta.dtype)
        kind = classify(float(values[0]), float(values[-1]), curvature_tolerance(values.size, eps))
        if kind is Curvature.NEGATIVE:
            return kind, math.nan
        if aim.at_edge:
            return Curvature.UNKNOWN, math.nan
        return kind, float(values[-1] / values[0]) if values[0] > 0.0 else math.nan

    def _searched(self, state: NewtonState) -> NewtonState:
        """The state after a search for negative curvature from a random vector."""
        assert state.scale is not None
        scale, free = state.scale, self.free
        first = np.random.default_rng(1).standard_normal(int(np.count_nonzero(free))).astype(self.theta.dtype)
        space = self.space(free, first, scale, min(SEARCH, _most_products(self.theta)))
        lowest, vector = space.lowest()
        largest = float(space.values[-1])
        tolerance = curvature_tolerance(self.theta.size, epsilon(self.theta.dtype))
        kind = classify(lowest, largest, tolerance)
        if kind is not Curvature.NEGATIVE:
            # Without any curvature at all nothing is positive either.
            return replace(state, curvature=Curvature.POSITIVE if largest > 0.0 else Curvature.FLAT)
        direction = np.zeros_like(self.theta)
        direction[free] = vector / scale[free]
        if float(self.gradient.dot(direction)) > 0.0:
            direction = -direction
        if self.objective.bounds is None or self.objective.bounds.reach(self.theta, direction) > 0.0:
            return self._along(state, direction, lowest)
        return self._inward(state, direction, tolerance * max(largest, -lowest))

    def _inward(self, state: NewtonState, direction: FloatArray, zero: float) -> NewtonState:
        """The state with a step along what the box leaves of the direction or its opposite, if f curves down there.

        If it does not, the curvature is negative only on the way out: nothing says that it is positive inside.
        """
        bounds, scale = self.objective.bounds, state.scale
        assert bounds is not None
        assert scale is not None
        for cut in inward(bounds, self.theta, direction):
            length = norm(scale * cut)
            if not length > 0.0:
                continue
            unit = cut / length
            curvature = float(unit.dot(self.product(unit)))
            if curvature < -zero and float(self.gradient.dot(unit)) <= 0.0:
                return self._along(state, unit, curvature)
        return replace(state, curvature=Curvature.UNKNOWN)

    def _along(self, state: NewtonState, direction: FloatArray, curvature: float) -> NewtonState:
        """The state with a step along a direction of negative curvature, of unit length by D, as long as may be."""
        radius, bounds = state.radius, self.objective.bounds
        if bounds is not None:
            radius = min(radius, bounds.reach(self.theta, direction))
        slope = float(self.gradient.dot(direction))
        return replace(
            state,
            direction=radius * direction,
            slope=radius * slope,
            at_edge=True,
            predicted_decrease=-(slope + 0.5 * radius * curvature) * radius,
            relative_step=math.inf,
            curvature=Curvature.NEGATIVE,
        )


class _Proposer:
    """The step that the state holds, and shorter ones where that is refused."""

    def __init__(self, objective: Objective, state: NewtonState, limits: Limits) -> None:
        self.objective = objective
        self.state = state
        self.limits = limits
        self._point: _Point | None = None

    def __call__(self, radius: float, refused: Refused | None) -> Proposal:
        state = self.state
        assert state.scale is not None
        aim = _Aim(state.direction, state.predicted_decrease, state.at_edge)
        if refused is not None:
            aim = self._shorter(radius)
        bounds = self.objective.bounds
        theta = state.theta + aim.step
        if bounds is not None:
            theta = land(state.theta, aim.step, bounds.lower, bounds.upper)
        length = norm(state.scale * aim.step)
        return Proposal(theta, theta - state.theta, length, aim.predicted, aim.at_edge)

    def _shorter(self, radius: float) -> _Aim:
        state = self.state
        assert state.scale is not None
        if math.isinf(state.relative_step):
            # Along a direction of negative curvature that the gradient's own space does not hold.
            length = norm(state.scale * state.direction)
            share = min(radius / length, 1.0)
            rest = state.predicted_decrease + state.slope
            return _Aim(share * state.direction, share * (share * rest - state.slope), True)
        if self._point is None:
            self._point = _Point(self.objective, self.objective.linearize(state.theta), state, self.limits)
        return self._point.aim(state, radius)


class _Surface:
    """What a search asks, answered by linearizations: the products at the point that is taken then cost less."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.last: Linearization | None = None
        """Of the point whose gradient was asked for last."""

    def value(self, theta: FloatArray) -> float:
        return self.objective.value(theta)

    def gradient(self, theta: FloatArray) -> FloatArray:
        self.last = self.objective.linearize(theta)
        return self.last.gradient

    def value_and_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        gradient = self.gradient(theta)
        assert self.last is not None
        return self.last.value, gradient


def _first_weights(theta: FloatArray, gradient: FloatArray) -> FloatArray:
    """|theta|, or what stands for it where theta is 0: the same change of f, to first order, as the others' median."""
    size, slope = np.abs(theta), np.abs(gradient)
    known = size[(size > 0.0) & (slope > 0.0)] * slope[(size > 0.0) & (slope > 0.0)]
    change = float(np.median(known)) if known.size else 1.0
    instead = np.divide(change, slope, out=np.ones_like(slope), where=slope > 0.0)
    return np.where(size > 0.0, size, instead)


def _most_products(theta: FloatArray) -> int:
    held = BASIS_BYTES // max(theta.nbytes, 1)
    return int(min(MOST_PRODUCTS, max(held, LEAST_PRODUCTS)))


def _roundoff(objective: Objective, state: NewtonState) -> float:
    """How far an evaluation of f may be off; newton_look.roundoff with D for the Hessian's diagonal."""
    assert state.scale is not None
    eps = epsilon(state.theta.dtype)
    change = ROUNDINGS * eps * math.sqrt(0.5) * norm(state.scale * state.theta)
    size = math.sqrt(state.value) if objective.capabilities.residual else 0.0
    return max(NOISE_FACTOR * eps * abs(state.value), change * (2.0 * size + change))


def _blank(objective: Objective, theta: FloatArray, value: float, gradient: FloatArray) -> NewtonState:
    """A state that knows no more than value and gradient."""
    bounds = objective.bounds
    return NewtonState(
        theta=theta,
        value=value,
        gradient=gradient,
        gradient_norm=norm(gradient if bounds is None else bounds.projected(theta, gradient)),
        direction=np.zeros_like(theta),
        slope=0.0,
        widest=np.abs(theta),
    )


def _nonfinite(state: NewtonState) -> NewtonState:
    # Where the gradient vanishes the run may end: x^1.5 has no curvature at its minimum.
    if state.gradient_norm == 0.0:
        return state
    message = f"The value {state.value:.6g} and the gradient are finite, but a product with the Hessian is not."
    return replace(state, proposal=Finding(Status.NONFINITE, message))
