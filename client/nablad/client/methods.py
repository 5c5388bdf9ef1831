"""Methods, as data: how a model is minimized.

    first derivatives    GradientDescent, NonlinearConjugateGradient, BFGS, LBFGS
    second derivatives   Newton: the one to begin with
    sums of squares      GaussNewton, LevenbergMarquardt
    batches of rows      StochasticGradientDescent, Adam (stochastic.py)

Whatever is None is the server's default; the result's `settings_used` tells what was in force. Without a method at all
the server chooses by the model, and `method_reason` tells why. docs/solvers.md says which is for what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from nablad.client.core.encode import assign, assign_as
from nablad.client.errors import invalid
from nablad.client.settings import expect
from nablad.client.steps import ArmijoSearch, BarzilaiBorwein, ConstantStep, ExactStep, TrustRegion, WolfeSearch
from nablad.v1 import method_pb2


class Method(Protocol):
    """Anything that can describe itself as a nablad.v1.Method."""

    def to_proto(self) -> method_pb2.Method:
        """The message."""
        ...


_STEPS: dict[type, str] = {
    ConstantStep: "constant",
    ArmijoSearch: "armijo",
    WolfeSearch: "wolfe",
    BarzilaiBorwein: "barzilai_borwein",
    ExactStep: "exact",
}


@dataclass(frozen=True)
class GradientDescent:
    """Steepest descent: theta <- theta - alpha g. The simplest, with the cheapest iterations, and the most of them.

    Each iteration costs a gradient, and the memory is a few vectors; the number of iterations grows with the condition
    of the Hessian. Good for looks at how a problem behaves, and for very many parameters; otherwise LBFGS is faster.
    """

    step: float | ConstantStep | ArmijoSearch | WolfeSearch | BarzilaiBorwein | ExactStep | None = None
    """How far: a number is a constant step; an ArmijoSearch unless given."""
    momentum: float | None = None
    """The heavy-ball coefficient, in [0, 1): so much of the last step is added. 0 unless given."""
    nesterov: bool = False
    """Nesterov's extrapolation, restarted where it overshoots: the square root of the condition in place of the
    condition. Excludes momentum; with a ConstantStep or an ArmijoSearch."""

    def to_proto(self) -> method_pb2.Method:
        """As a nablad.v1.Method."""
        message = method_pb2.GradientDescent()
        if self.step is not None:
            self._fill_step(message)
        assign(message, "method", momentum=self.momentum, nesterov=self.nesterov)
        return method_pb2.Method(gradient_descent=message)

    def _fill_step(self, message: method_pb2.GradientDescent) -> None:
        step: Any = self.step
        kind = _STEPS.get(type(step))
        if kind is None:
            message.constant.SetInParent()
            assign_as(message.constant, "method.step", step_size=step)
        else:
            step.fill(getattr(message, kind), "method.step")


@dataclass(frozen=True)
class Newton:
    """Newton's method with the exact Hessian. The one to begin with.

    Quadratic convergence near a minimum, units of parameters that do not matter, and directions of negative curvature
    that lead away from saddles. Each iteration costs a Hessian and its factorization, p^2 numbers and p^3 / 3
    operations, or with many parameters some Hessian-vector products. Keeps bounds.
    """

    line_search: ArmijoSearch | None = None
    """Backtracking along Newton's direction in place of a trust region; the first trial is the full step."""
    trust_region: TrustRegion | None = None
    """Settings of the trust region, which is used unless a line search is given."""
    curvature: str | None = None
    """Of a sum of squares: "blend" (the default) takes the Gauss-Newton matrix 2 J'J or the Hessian, whichever predicts
    better; "exact" always the Hessian."""
    linear_solver: str | None = None
    """"dense" factorizes the Hessian; "cg" solves by conjugate gradients on Hessian-vector products, without ever
    forming it. Chosen by size unless given."""

    def to_proto(self) -> method_pb2.Method:
        """As a nablad.v1.Method."""
        message = method_pb2.Newton()
        line_search = expect(self.line_search, ArmijoSearch, "method.line_search")
        trust_region = expect(self.trust_region, TrustRegion, "method.trust_region")
        if line_search is not None and trust_region is not None:
            raise invalid("method.trust_region", "excludes line_search; give one of them")
        if line_search is not None:
            line_search.fill(message.line_search, "method.line_search")
        if trust_region is not None:
            trust_region.fill(message.trust_region, "method.trust_region")
        assign(message, "method", curvature=self.curvature, linear_solver=self.linear_solver)
        return method_pb2.Method(newton=message)


@dataclass(frozen=True)
class GaussNewton:
    """Least squares with the residual made linear at each iterate: theta <- theta - alpha (J'J)^+ J'r.

    For sums of squares whose residual is small at the solution, or nearly linear: then as fast as Newton's method,
    without second derivatives. Levenberg-Marquardt survives more starts.
    """

    line_search: ArmijoSearch | None = None
    """The first trial is the full step."""

    def to_proto(self) -> method_pb2.Method:
        """As a nablad.v1.Method."""
        message = method_pb2.GaussNewton()
        line_search = expect(self.line_search, ArmijoSearch, "method.line_search")
        if line_search is not None:
            line_search.fill(message.line_search, "method.line_search")
        return method_pb2.Method(gauss_newton=message)


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Gauss-Newton steps, damped where they fail: the usual method for fitting curves (Levenberg 1944, More 1978).

    For sums of squares. Needs first derivatives only; in place of the inverse of J'J that of J'J + lambda D, with the
    parameters' units in D, and lambda such that the step stays where the linear model is good. Keeps bounds.
    """

    initial_radius: float | None = None
    """The first step's length, as a share of the start's, in units of the Jacobian's columns. Positive. Smaller is more
    careful."""
    geodesic_acceleration: bool | None = None
    """Bends each step by the residual's second derivative along it (Transtrum and Sethna 2012): fewer iterations in
    long curved valleys, each dearer."""

    def to_proto(self) -> method_pb2.Method:
        """As a nablad.v1.Method."""
        message = method_pb2.LevenbergMarquardt()
        given = {"initial_radius": self.initial_radius, "geodesic_acceleration": self.geodesic_acceleration}
        assign(message, "method", **given)
        return method_pb2.Method(levenberg_marquardt=message)


@dataclass(frozen=True)
class NonlinearConjugateGradient:
    """Conjugate directions from gradients alone: three vectors of memory.

    Between GradientDescent and LBFGS: of a quadratic with n distinct curvatures it needs n iterations. For so many
    parameters that even LBFGS's pairs are too much.
    """

    formula: str | None = None
    """How much of the last direction is kept: "hager_zhang" (the default), "polak_ribiere" or "fletcher_reeves"."""
    line_search: WolfeSearch | None = None

    def to_proto(self) -> method_pb2.Method:
        """As a nablad.v1.Method."""
        message = method_pb2.NonlinearConjugateGradient()
        assign(message, "method", formula=self.formula)
        _fill_wolfe(self.line_search, message)
        return method_pb2.Method(nonlinear_conjugate_gradient=message)


@dataclass(frozen=True)
class BFGS:
    """A dense approximation of the inverse Hessian, built from gradients (Broyden, Fletcher, Goldfarb, Shanno 1970).

    Superlinear, without second derivatives: p^2 numbers of memory and p^2 operations an iteration. For up to some
    thousand parameters where Hessians are dear.
    """

    line_search: WolfeSearch | None = None

    def to_proto(self) -> method_pb2.Method:
        """As a nablad.v1.Method."""
        message = method_pb2.BFGS()
        _fill_wolfe(self.line_search, message)
        return method_pb2.Method(bfgs=message)


@dataclass(frozen=True)
class LBFGS:
    """BFGS from the last few gradients only (Nocedal 1980): for many parameters, up to millions.

    2 * memory vectors, and about that many inner products an iteration. Keeps bounds.
    """

    memory: int | None = None
    """So many pairs of steps and gradient changes are kept. At least 1; 10 unless given, more than 30 rarely help."""
    line_search: WolfeSearch | None = None

    def to_proto(self) -> method_pb2.Method:
        """As a nablad.v1.Method."""
        message = method_pb2.LBFGS()
        assign(message, "method", memory=self.memory)
        _fill_wolfe(self.line_search, message)
        return method_pb2.Method(lbfgs=message)


def _fill_wolfe(value: WolfeSearch | None, message: Any) -> None:
    line_search = expect(value, WolfeSearch, "method.line_search")
    if line_search is not None:
        line_search.fill(message.line_search, "method.line_search")
