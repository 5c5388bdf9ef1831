r"""Geodesic acceleration: a step bent by the residual's second derivative along it (Transtrum and Sethna 2012).

A Levenberg-Marquardt step v is the velocity of a curve in parameter space along which the model, seen as a surface in
the space of residuals, moves straight. Its acceleration

    a = -(J'J + l D^2)^-1 J' r_vv,        r_vv = d^2/dt^2 r(theta + t v) at t = 0,

takes the curve of the surface into account to second order, and the step is v + a / 2. In a narrow curved valley v is
short where v + a / 2 may be long. As in their section 2, r_vv comes from one more residual, at a tenth of the step,

    r_vv ~ 2 ((r(theta + h v) - r) / h - J v) / h,    h = 0.1,

and the bend is left out where it is not small, ||D a|| > 3/4 ||D v||: the curve is then not told by two derivatives.

Cost: one residual a trial. J'r_vv needs J itself: in place of its triangle alone, J (N, p) is held.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nablad.solvers.linalg.vectors import FloatArray, epsilon, is_finite, norm
from nablad.solvers.methods.residual_model import ResidualModel
from nablad.solvers.objective import Objective

SHARE = 0.1
"""h: their choice; a smaller one loses digits, a larger one leaves the neighbourhood."""
LARGEST_BEND = 0.75
"""alpha, the largest acceleration relative to the velocity: their choice, too."""


@dataclass(frozen=True)
class Geodesic:
    """What bends the steps from one point."""

    objective: Objective
    theta: FloatArray
    residual: FloatArray
    jacobian: FloatArray

    @classmethod
    def at(cls, objective: Objective, theta: FloatArray) -> Geodesic:
        return cls(objective, theta, objective.residual(theta), objective.jacobian(theta))

    def bent(self, model: ResidualModel, velocity: FloatArray, damping: float) -> FloatArray:
        """velocity + acceleration / 2, or the velocity itself where the bend is large, or cannot be seen."""
        length = norm(model.scale * velocity)
        if length <= epsilon(self.theta.dtype) ** 0.5 * norm(model.scale * self.theta):
            return velocity
        there = self.objective.residual(self.theta + SHARE * velocity)
        curve = (2.0 / SHARE) * ((there - self.residual) / SHARE - self.jacobian @ velocity)
        if not is_finite(curve):
            return velocity
        slope = (self.jacobian.T @ curve) / model.scale
        acceleration = model.whole.response(slope, damping) / model.scale
        if not norm(model.scale * acceleration) <= LARGEST_BEND * length:
            return velocity
        return np.asarray(velocity + 0.5 * acceleration)
