r"""The Levenberg-Marquardt method as a trust region (More 1978), for f = ||r||^2.

    minimize ||r + J s||   subject to   ||D s|| <= radius,        s = -(J'J + l D^2)^-1 J'r

From the triangle of J alone (residual_model.py). Where the Gauss-Newton step lies inside the region it is taken, by one
triangular solve; elsewhere the damping l follows from the singular values of R D^-1 (linalg/damped.py). Ratio, radius
and refusals are trust_region.py's. Within bounds the same model is minimized in box and region (linalg/box.py).

D, the scale. The norms of J's columns take the parameters' units out, and D keeps the largest seen so far, as More's
does: a column that shrinks, such as a rate's in an exponential that has died out, would otherwise set that parameter
free to run off, where it cannot come back from. (On NIST's 54 nonlinear runs: running maxima solve 54, norms of the
moment 51.) Since D grows, the radius is measured anew at each step, by the length that the step just taken has in the
new D. Otherwise each growth of D would shorten all steps to come: MGH17 and Bennett5 from their far starts then crawl
into other ends (52 of 54).

initial_radius. The first step may be as long as theta itself, both measured by D: 1. MINPACK's 100 fails on BoxBOD from
its far start, where the first Gauss-Newton step leads to where the model is flat; 0.1 costs a few iterations more. A
residual that is affine needs no region: it is solved as by Newton's method, and refined (newton_affine.py).

geodesic_acceleration (geodesic.py). Measured, plain beside bent: NIST 54 and 54 of 54; the evaluations of all 54
together 24,600 and 21,500, but their median 143 and 216, for J is passed over twice an iteration, once for its triangle
and once to be held. It is off by default. In long curved valleys it is what helps: Bennett5 from its far start takes 45
iterations in place of 788.

Measured, with these defaults: NIST's 54 nonlinear runs all solved, 10.4 digits in the median. More-Garbow-Hillstrom
from 1, 10 and 100 times the starts: 111 of 128 solved, where scipy's trf solves 108; on the 106 that both solve it
finds the minimum at a median of 165 function-equivalents, trf at 178 (a value 1, a pass over J 2 p).

Convergence is quadratic for small residuals and linear for large ones; where the residual curves so much that
Gauss-Newton's own steps would grow, it is slow, and Newton is the method.

Cost per iteration: a value per trial; a pass over J, 2 N p^2; up to about 20 p^3 where damped. Memory: 3 p^2 for each
stripe of row blocks, and R in the state; N p more with geodesic acceleration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from nablad.solvers.control import Limits
from nablad.solvers.linalg.vectors import FloatArray, norm, ratio
from nablad.solvers.methods import newton_affine
from nablad.solvers.methods.base import fields_of
from nablad.solvers.methods.geodesic import Geodesic
from nablad.solvers.methods.residual_model import (
    Passes,
    ResidualModel,
    ResidualState,
    affine_start,
    due_to_shorten,
    ended,
    look,
    moved,
    roundoff,
    shorten,
)
from nablad.solvers.methods.trust_region import Proposal, Refused, failure, search
from nablad.solvers.objective import Objective


@dataclass(frozen=True, kw_only=True)
class LevenbergMarquardtState(ResidualState):
    radius: float
    """Of the next step: ||D s|| <= radius."""


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Settings; the module's docstring argues the defaults. Raises ValueError for an initial_radius that is not
    positive and finite."""

    initial_radius: float | None = None
    """The first step's greatest length as a share of the start's, both by D; of the Gauss-Newton step's where the start
    is 0. None: 1."""
    geodesic_acceleration: bool = False
    """Bend each step by the residual's second derivative along it. Holds J, N p numbers; not within bounds."""

    name: ClassVar[str] = "levenberg_marquardt"
    order: ClassVar[int] = 2
    bounded: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("residual",)
    state_type: ClassVar[type[LevenbergMarquardtState]] = LevenbergMarquardtState

    def __post_init__(self) -> None:
        if self.initial_radius is not None and not 0.0 < self.initial_radius < math.inf:
            raise ValueError(f"initial_radius must be positive and finite, got {self.initial_radius}")

    def init(self, objective: Objective, theta: FloatArray, limits: Limits) -> LevenbergMarquardtState:
        if objective.capabilities.affine:
            return newton_affine.begin(
                objective, theta, lambda *known: _with_radius(affine_start(theta, *known), math.inf), limits
            )
        value = objective.value(theta)
        qr = objective.tsqr(theta) if math.isfinite(value) else None
        with limits.algebra():
            state = look(objective, theta, value, qr, None, limits.checkpoint)
        return _with_radius(state, self._first_radius(state))

    def _first_radius(self, state: ResidualState) -> float:
        share = 1.0 if self.initial_radius is None else self.initial_radius
        length = norm(state.scale * state.theta) or norm(state.scale * state.direction)
        return share * length or math.inf

    def step(self, objective: Objective, state: LevenbergMarquardtState, limits: Limits) -> LevenbergMarquardtState:
        if objective.capabilities.affine:
            return newton_affine.step(objective, state, limits)
        if due_to_shorten(state, objective.bounds):
            return _with_radius(shorten(objective, state, limits.checkpoint), state.radius)
        passes = Passes(objective)
        propose = _Proposer(objective, state, limits, self.geodesic_acceleration)
        found = search(passes, state.value, state.gradient, propose, state.radius, eager=False, noise=roundoff(state))
        arrival = found.arrival
        if arrival is None:
            return _with_radius(ended(state, *failure(found, state.gradient_norm)), found.radius)
        proposal = arrival.proposal
        with limits.algebra():
            new = look(
                objective,
                proposal.theta,
                arrival.value,
                passes.last,
                state,
                limits.checkpoint,
                full_step=not proposal.at_edge,
            )
        grown = ratio(norm(new.scale * proposal.step), norm(state.scale * proposal.step))
        return _with_radius(new, found.radius * grown)


def _with_radius(state: ResidualState, radius: float) -> LevenbergMarquardtState:
    return LevenbergMarquardtState(**fields_of(state) | {"radius": radius})


class _Proposer:
    """Steps of one iteration, for one radius after the other."""

    def __init__(self, objective: Objective, state: LevenbergMarquardtState, limits: Limits, bend: bool) -> None:
        assert state.triangle is not None
        self.objective = objective
        self.state = state
        self.limits = limits
        self.model = ResidualModel(state.triangle, state.qtr, state.scale, limits.checkpoint)
        self.full_length = norm(state.scale * state.direction)
        bend = bend and objective.bounds is None
        self.geodesic = Geodesic.at(objective, state.theta) if bend else None

    def __call__(self, radius: float, refused: Refused | None) -> Proposal:
        self.limits.checkpoint()
        with self.limits.algebra():
            step, damping = self._step(radius)
            length, predicted = norm(self.state.scale * step), self.model.predicted(step)
        if self.geodesic is not None:
            step = self.geodesic.bent(self.model, step, damping)
        theta = moved(self.objective, self.state.theta, step)
        return Proposal(theta, step, length, predicted, at_edge=damping > 0.0)

    def _step(self, radius: float) -> tuple[FloatArray, float]:
        """The step, and its damping; in a box, where damping is the faces' own, any number if there is some."""
        if self.full_length <= radius:
            return self.state.direction, 0.0
        bounds = self.objective.bounds
        if bounds is None:
            return self.model.within(radius)
        return self.model.in_box(self.state.theta, bounds, radius).step, math.inf
