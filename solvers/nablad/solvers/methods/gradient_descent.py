r"""Gradient descent: steps along the negative gradient, with or without momentum.

    d_k = -g_k + beta d_{k-1},    theta_{k+1} = theta_k + alpha_k d_k

beta = 0 is Cauchy's method (1847). On a quadratic with curvature in [m, L], kappa = L / m, it gains at best the factor
(kappa - 1) / (kappa + 1) a step; heavy-ball momentum (Polyak 1964) with the best alpha and beta = ((sqrt kappa - 1) /
(sqrt kappa + 1))^2 brings (sqrt kappa - 1) / (sqrt kappa + 1), and so does Nesterov's extrapolation, `nesterov=True`
(nesterov.py), without knowing kappa.

alpha_k is a row of the table `step_lengths`, each argued in its own module:

    Armijo            (default) backtracking; needs to know nothing, never rises
    Constant          the plain recursion; cheapest where L is known
    Wolfe             a search that refuses short steps, too
    BarzilaiBorwein   by the last change of the gradient, nonmonotone; the fastest without momentum
    Exact             the minimizer along d, for quadratics only

Momentum goes with all but BarzilaiBorwein, whose formulas mean steps along gradients; Nesterov's with Constant and
Armijo, whose theory asks for alpha <= 1 / L.

**Bounds** are kept by projection with Constant, Armijo and BarzilaiBorwein, without momentum: theta(alpha) = P(theta -
alpha g) (projection_arc.py). What the direction is of then is the projected gradient.

When a gradient is roundoff, and the first step: first_order.py. Values may rise with momentum, constant steps,
BarzilaiBorwein and Nesterov; the driver keeps the best point. f -> cf and x -> cx change no decision, except that a
constant step and a given `initial` have units.

Cost per iteration: one value and gradient, and what the step length's module says. Memory: six vectors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, cast

from nablad.solvers.control import Limits
from nablad.solvers.linalg.vectors import FloatArray
from nablad.solvers.methods.descent_state import DescentState, start
from nablad.solvers.methods.first_order import confirmed, projected
from nablad.solvers.methods.line_search import Armijo
from nablad.solvers.methods.nesterov import nesterov_step
from nablad.solvers.methods.step_lengths import STEP_LENGTHS, StepLength
from nablad.solvers.methods.step_lengths.constant import Constant
from nablad.solvers.objective import InvalidSetting, Objective, UnsupportedObjective

NESTEROV = "Nesterov's extrapolation"


@dataclass(frozen=True)
class GradientDescent:
    """Settings of gradient descent."""

    step_length: StepLength = field(default_factory=Armijo)
    momentum: float = 0.0
    """The heavy-ball coefficient beta, in [0, 1). 0, for its best value depends on the problem's condition."""
    nesterov: bool = False
    """Nesterov's extrapolation with adaptive restart, in place of `momentum`. The run's points are the extrapolated."""

    name: ClassVar[str] = "gradient_descent"
    order: ClassVar[int] = 1
    bounded: ClassVar[bool] = True
    """With the step lengths that are, without momentum; others are refused at the start."""
    needs: ClassVar[tuple[str, ...]] = ()
    state_type: ClassVar[type[DescentState]] = DescentState

    def __post_init__(self) -> None:
        row = STEP_LENGTHS[type(self.step_length)]
        if not 0.0 <= self.momentum < 1.0:
            raise ValueError(f"momentum must lie in [0, 1), got {self.momentum}")
        if self.momentum and (self.nesterov or not row.momentum):
            other = NESTEROV if self.nesterov else row.words
            raise InvalidSetting("momentum", f"must be 0 with {other}; it is {self.momentum}")
        if self.nesterov and not row.nesterov:
            fitting = " or ".join(other.words for other in STEP_LENGTHS.values() if other.nesterov)
            raise InvalidSetting("nesterov", f"must be off with {row.words}; it goes with {fitting}")

    def init(self, objective: Objective, theta: FloatArray, limits: Limits) -> DescentState:
        row = STEP_LENGTHS[type(self.step_length)]
        return confirmed(objective, start(objective, theta, row.given(self.step_length)))

    def step(self, objective: Objective, state: DescentState, limits: Limits) -> DescentState:
        if self.nesterov:
            return confirmed(objective, nesterov_step(objective, state, cast(Constant | Armijo, self.step_length)))
        direction = -projected(objective, state.theta, state.gradient)
        if self.momentum:
            direction += self.momentum * state.direction
        row = STEP_LENGTHS[type(self.step_length)]
        return confirmed(objective, row.take(objective, state, direction, self.step_length))

    def check(self, objective: Objective) -> None:
        """Raise UnsupportedObjective for what only some of the settings can do."""
        row = STEP_LENGTHS[type(self.step_length)]
        if row.quadratic and not objective.capabilities.quadratic:
            message = f"{row.words} needs a quadratic objective, such as least squares; this one is not known to be"
            raise UnsupportedObjective(self.name, "quadratic", message, "step_length")
        if objective.bounds is None or (row.bounded and not self.momentum and not self.nesterov):
            return
        asked = {"nesterov": (self.nesterov, NESTEROV), "momentum": (self.momentum, "momentum")}
        unable = {setting: words for setting, (given, words) in asked.items() if given} | {"step_length": row.words}
        setting, words = next(iter(unable.items()))
        message = f"{words} cannot keep parameters within bounds"
        raise UnsupportedObjective(self.name, "no bounds", message, setting)
