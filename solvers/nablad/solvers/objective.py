"""The Objective protocol: everything that a method may know of a problem.

A method minimizes f: R^p -> R and sees f only through this page. Whoever can answer these questions can be minimized:
a traced graph evaluated by the engine, or three lines of numpy in a test. Shapes are in numerator layout, with the
1 x p gradient row kept as a vector of length p.

When `capabilities.residual` is true the objective is exactly a sum of squares,

    f(theta) = ||r(theta)||^2,   r: R^p -> R^m,   J = dr/dtheta in R^(m x p),

with every scale (the mean's 1/N, square roots of weights) and every penalty row already inside r. Then
gradient = 2 J'r, and the Gauss-Newton matrix is 2 J'J, which is the Hessian itself when r is affine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nablad.solvers.bounds import Bounds

FloatArray = NDArray[Any]


@dataclass(frozen=True)
class Capabilities:
    """What an objective can answer, and what is proven of its shape."""

    residual: bool = False
    """f is the sum of squares of `residual(theta)`: residual, jacobian, column_norms, gram and tsqr may be called."""
    affine: bool = False
    """The residual is affine in theta: its Jacobian is the same everywhere."""
    quadratic: bool = False
    """f is a quadratic in theta: its Hessian is the same everywhere."""
    separable: bool = False
    """f is a sum or mean over data rows, with or without a penalty: `batch` may be called."""


@dataclass
class Counters:
    """How often each question was asked; value_and_gradient counts one of each."""

    value: int = 0
    gradient: int = 0
    hessian: int = 0
    hvp: int = 0
    residual: int = 0
    jacobian: int = 0
    cached: int = 0
    """How many of all these were answered from J'J, without a pass over the data (expansion.py)."""

    def in_gradients(self, size: int) -> int:
        """What the first derivatives of a run of `size` parameters cost, in gradients: a column of J is about one."""
        return self.gradient + size * self.jacobian

    def snapshot(self) -> Counters:
        return Counters(self.value, self.gradient, self.hessian, self.hvp, self.residual, self.jacobian, self.cached)


@dataclass(frozen=True)
class Gram:
    """The normal equations' ingredients: J'J (p, p), J'r (p,), r'r."""

    jtj: FloatArray
    jtr: FloatArray
    rtr: float


@dataclass(frozen=True)
class Tsqr:
    """The triangle of a QR factorization of J streamed over row blocks (Demmel et al. 2012).

    With J = Q R: r (k, p) upper trapezoidal, k = min(m, p); qtr = Q'r (k,); rest = ||r||^2 - ||Q'r||^2, the part of the
    residual that no step can reduce.
    """

    r: FloatArray
    qtr: FloatArray
    rest: float


class Linearization(Protocol):
    """The objective at one point, kept for repeated products."""

    @property
    def value(self) -> float: ...
    @property
    def gradient(self) -> FloatArray: ...
    def hvp(self, v: FloatArray) -> FloatArray:
        """H v at the point; v and the result have shape (p,)."""
        ...


class Batch(Protocol):
    """An estimate of an objective from b of its N data rows, unbiased where they are drawn evenly at random.

    With f(theta) = c(theta) + sum_n h_n(theta), it is c + (N / b) sum of h_n over the batch: the mean over all batches
    of a partition, weighted by their rows, is f itself. A mean's 1 / N belongs to h_n, a penalty to c.
    """

    @property
    def rows(self) -> int:
        """b."""
        ...

    def value_and_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """The estimates of f and df/dtheta, shape (p,); may be NaN or infinite. A Counters does not count them."""
        ...


class Objective(Protocol):
    """A function to be minimized. Values may be NaN or infinite; no call raises because of that."""

    @property
    def size(self) -> int:
        """The number of parameters p."""
        ...

    @property
    def rows(self) -> int:
        """The number of data rows N, 0 where there are none."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def capabilities(self) -> Capabilities: ...
    @property
    def counters(self) -> Counters: ...
    @property
    def bounds(self) -> Bounds | None:
        """The box that every evaluation must lie in; None if there is none. The run's own, not the model's."""
        ...

    def value(self, theta: FloatArray) -> float: ...
    def gradient(self, theta: FloatArray) -> FloatArray:
        """df/dtheta, shape (p,)."""
        ...

    def value_and_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]: ...
    def hessian(self, theta: FloatArray) -> FloatArray:
        """d2f/dtheta2, shape (p, p), exactly symmetric."""
        ...

    def hvp(self, theta: FloatArray, v: FloatArray) -> FloatArray:
        """H(theta) v, shape (p,)."""
        ...

    def linearize(self, theta: FloatArray) -> Linearization: ...
    def residual(self, theta: FloatArray) -> FloatArray:
        """r(theta), shape (m,), with f = ||r||^2 exactly."""
        ...

    def jacobian(self, theta: FloatArray) -> FloatArray:
        """dr/dtheta, shape (m, p)."""
        ...

    def column_norms(self, theta: FloatArray) -> FloatArray:
        """The lengths of J's columns, shape (p,), 1 where a column is zero."""
        ...

    def gram(self, theta: FloatArray) -> Gram: ...
    def tsqr(self, theta: FloatArray) -> Tsqr: ...
    def batch(self, indices: Sequence[int] | NDArray[np.intp]) -> Batch:
        """An unbiased estimate of this objective from these rows."""
        ...


@runtime_checkable
class Explaining(Protocol):
    """An objective that can tell where a value or derivative that is not finite comes from."""

    def explain(self, theta: FloatArray) -> str | None:
        """A sentence on the first result that is NaN or infinite at theta; None if all are finite."""
        ...


@runtime_checkable
class Refining(Protocol):
    """An objective with an affine residual that can tell its gradient to more digits than it computes with."""

    def refined_gradient(self, theta: FloatArray) -> FloatArray | None:
        """2 J'r at theta, shape (p,), float64, as exact as its last digit for J and r(0) as computed; None where that
        cannot be had. Evaluates at 0: not for runs within bounds. Costs a pass over J and 21 operations an entry of
        it, about a second pass's time; without native kernels 60, and twenty times as long."""
        ...


@runtime_checkable
class Naming(Protocol):
    """An objective that has names for its parameters."""

    def parameter_name(self, index: int) -> str:
        """Of the element `index` of theta, such as "A_0[3,1]"."""
        ...


class Interrupted(Exception):
    """Raised from inside an evaluation, between row blocks, when the run must end now."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidSetting(ValueError):
    """A setting that does not go with another. `setting` is its name, `text` what is wrong and what would be right."""

    def __init__(self, setting: str, text: str) -> None:
        super().__init__(f"{setting} {text}")
        self.setting = setting
        self.text = text


class UnsupportedObjective(Exception):
    """A method was asked to minimize an objective that lacks what it needs: a fault of the field `method`, or of the
    `setting` that needs it."""

    def __init__(self, method: str, needs: str, message: str, setting: str = "") -> None:
        super().__init__(message)
        self.method = method
        self.needs = needs
        self.setting = setting
