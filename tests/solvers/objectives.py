"""Objectives in plain numpy, for testing methods without the engine: each answers the whole Objective protocol.

An objective is given by its value, gradient and Hessian, or by a residual with its Jacobian and second derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nablad.solvers.bounds import Bounds
from nablad.solvers.objective import Batch, Capabilities, Counters, FloatArray, Gram, Linearization, Tsqr

Function = Callable[[FloatArray], Any]


@dataclass
class Smooth:
    """f with gradient and Hessian given; `before` is called ahead of every evaluation."""

    f: Function
    g: Function
    H: Function
    size: int
    capabilities: Capabilities = field(default_factory=Capabilities)
    rows: int = 0
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float64))
    counters: Counters = field(default_factory=Counters)
    bounds: Bounds | None = None
    before: Callable[[], None] = lambda: None
    seen: list[FloatArray] = field(default_factory=list, repr=False)
    """Where the value was asked for."""
    asked: list[FloatArray] = field(default_factory=list, repr=False)
    """Where anything was."""

    def value(self, theta: FloatArray) -> float:
        self.before()
        self.counters.value += 1
        self.seen.append(theta.copy())
        self.asked.append(self.seen[-1])
        with np.errstate(all="ignore"):
            return float(self.f(theta))

    def gradient(self, theta: FloatArray) -> FloatArray:
        self.counters.gradient += 1
        self.asked.append(theta.copy())
        with np.errstate(all="ignore"):
            return np.asarray(self.g(theta), dtype=self.dtype)

    def value_and_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        return self.value(theta), self.gradient(theta)

    def hessian(self, theta: FloatArray) -> FloatArray:
        self.counters.hessian += 1
        return self._hessian(theta)

    def _hessian(self, theta: FloatArray) -> FloatArray:
        self.asked.append(theta.copy())
        with np.errstate(all="ignore"):
            H = np.asarray(self.H(theta), dtype=self.dtype)
        return 0.5 * (H + H.T)

    def hvp(self, theta: FloatArray, v: FloatArray) -> FloatArray:
        self.counters.hvp += 1
        return self._hessian(theta) @ v

    def linearize(self, theta: FloatArray) -> Linearization:
        return _Linear(self, theta, *self.value_and_gradient(theta))

    def residual(self, theta: FloatArray) -> FloatArray:
        raise NotImplementedError

    def jacobian(self, theta: FloatArray) -> FloatArray:
        raise NotImplementedError

    def column_norms(self, theta: FloatArray) -> FloatArray:
        norms = np.linalg.norm(self.jacobian(theta), axis=0)
        return np.where(norms > 0, norms, 1.0).astype(self.dtype)

    def gram(self, theta: FloatArray) -> Gram:
        J, r = self.jacobian(theta), self.residual(theta)
        return Gram(J.T @ J, J.T @ r, float(r @ r))

    def tsqr(self, theta: FloatArray) -> Tsqr:
        J, r = self.jacobian(theta), self.residual(theta)
        R = np.linalg.qr(np.column_stack([J, r]), mode="r")
        k = min(J.shape)
        qtr = R[:k, -1]
        return Tsqr(R[:k, :-1], qtr, float(r @ r - qtr @ qtr))

    def batch(self, indices: Sequence[int] | NDArray[np.intp]) -> Batch:
        raise NotImplementedError


@dataclass
class _Linear:
    owner: Smooth
    theta: FloatArray
    value: float
    gradient: FloatArray

    def hvp(self, v: FloatArray) -> FloatArray:
        return self.owner.hvp(self.theta, v)


@dataclass
class SumOfSquares(Smooth):
    """f = ||r||^2, from r, J and, unless affine, sum_i r_i Hess(r_i)."""

    r: Function = lambda t: t
    J: Function = lambda t: np.eye(t.size)

    def residual(self, theta: FloatArray) -> FloatArray:
        self.counters.residual += 1
        self.asked.append(theta.copy())
        with np.errstate(all="ignore"):
            return np.asarray(self.r(theta), dtype=self.dtype)

    def jacobian(self, theta: FloatArray) -> FloatArray:
        self.counters.jacobian += 1
        self.asked.append(theta.copy())
        with np.errstate(all="ignore"):
            return np.asarray(self.J(theta), dtype=self.dtype)

    def batch(self, indices: Sequence[int] | NDArray[np.intp]) -> Batch:
        return _Rows(self, np.asarray(indices))


@dataclass
class _Rows:
    """N / b times the squares of b residuals."""

    owner: SumOfSquares
    indices: NDArray[np.intp]

    @property
    def rows(self) -> int:
        return len(self.indices)

    def value_and_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        self.owner.before()
        self.owner.asked.append(theta.copy())
        with np.errstate(all="ignore"):
            r, J = self.owner.r(theta)[self.indices], self.owner.J(theta)[self.indices]
            scale = self.owner.dtype.type(self.owner.rows / self.rows)
            return float(scale * (r @ r)), np.asarray(2 * scale * (J.T @ r), dtype=self.owner.dtype)


def sum_of_squares(r: Function, J: Function, second: Function, size: int, **more: Any) -> SumOfSquares:
    """`second(theta)` is sum_i r_i Hess(r_i). With `rows`, each residual is a data row, and batches may be drawn."""
    return SumOfSquares(
        f=lambda t: (lambda e: e @ e)(r(t)),
        g=lambda t: 2.0 * J(t).T @ r(t),
        H=lambda t: 2.0 * (J(t).T @ J(t) + second(t)),
        size=size,
        r=r,
        J=J,
        **{"capabilities": Capabilities(residual=True, separable="rows" in more)} | more,
    )


def affine(A: FloatArray, b: FloatArray) -> SumOfSquares:
    """||b - A theta||^2."""
    capabilities = Capabilities(residual=True, affine=True, quadratic=True, separable=True)
    zero = np.zeros((A.shape[1], A.shape[1]))
    return sum_of_squares(
        lambda t: A @ t - b,
        lambda t: A,
        lambda t: zero,
        A.shape[1],
        rows=A.shape[0],
        capabilities=capabilities,
        dtype=A.dtype,
    )


def quadratic(spectrum: Sequence[float], seed: int = 0, shift: float = 1.0) -> Smooth:
    """(t - shift)'A(t - shift) / 2 + 3 with A of this spectrum, in a random basis."""
    p = len(spectrum)
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((p, p)))
    A = Q @ np.diag(spectrum) @ Q.T
    A = 0.5 * (A + A.T)
    return Smooth(
        f=lambda t: 0.5 * (t - shift) @ A @ (t - shift) + 3.0,
        g=lambda t: A @ (t - shift),
        H=lambda t: A,
        size=p,
        capabilities=Capabilities(quadratic=True),
    )


def rosenbrock() -> SumOfSquares:
    """Minimum 0 at (1, 1); the usual start is (-1.2, 1)."""
    return sum_of_squares(
        lambda t: np.array([10.0 * (t[1] - t[0] ** 2), 1.0 - t[0]]),
        lambda t: np.array([[-20.0 * t[0], 10.0], [-1.0, 0.0]]),
        lambda t: np.array([[-200.0 * (t[1] - t[0] ** 2), 0.0], [0.0, 0.0]]),
        2,
        rows=2,
    )


def beale() -> SumOfSquares:
    """Minimum 0 at (3, 1/2)."""
    y = np.array([1.5, 2.25, 2.625])
    k = np.array([1.0, 2.0, 3.0])

    def r(t: FloatArray) -> FloatArray:
        return y - t[0] * (1.0 - t[1] ** k)

    def second(t: FloatArray) -> FloatArray:
        cross = k * t[1] ** (k - 1)
        curve = t[0] * k * (k - 1) * t[1] ** np.maximum(k - 2, 0)
        e = r(t)
        return np.array([[0.0, e @ cross], [e @ cross, e @ curve]])

    return sum_of_squares(
        r,
        lambda t: np.column_stack([-(1.0 - t[1] ** k), t[0] * k * t[1] ** (k - 1)]),
        second,
        2,
        rows=3,
    )


def saddle() -> Smooth:
    """x^2 - y^2 + y^4 / 4: a saddle at 0, minima of value -1 at (0, +-sqrt 2)."""
    return Smooth(
        f=lambda t: t[0] ** 2 - t[1] ** 2 + 0.25 * t[1] ** 4,
        g=lambda t: np.array([2.0 * t[0], -2.0 * t[1] + t[1] ** 3]),
        H=lambda t: np.diag([2.0, -2.0 + 3.0 * t[1] ** 2]),
        size=2,
    )


def wells(size: int = 2) -> SumOfSquares:
    """sum (t^2 - 1)^2: a maximum at 0, saddles where some t are 0, minima of value 0 at +-1."""
    return sum_of_squares(
        lambda t: t**2 - 1.0,
        lambda t: np.diag(2.0 * t),
        lambda t: np.diag(2.0 * (t**2 - 1.0)),
        size,
        rows=size,
    )


def hill() -> Smooth:
    """sum t^4 / 4 - t^2 / 2: a maximum at 0, minima of value -p/4 at +-1."""
    return Smooth(
        f=lambda t: np.sum(0.25 * t**4 - 0.5 * t**2),
        g=lambda t: t**3 - t,
        H=lambda t: np.diag(3.0 * t**2 - 1.0),
        size=3,
    )


def monkey_saddle() -> Smooth:
    """x^3 - 3 x y^2 + (x^2 + y^2)^2: the Hessian vanishes at 0, where no minimum is."""
    return Smooth(
        f=lambda t: t[0] ** 3 - 3 * t[0] * t[1] ** 2 + (t @ t) ** 2,
        g=lambda t: np.array([3 * t[0] ** 2 - 3 * t[1] ** 2, -6 * t[0] * t[1]]) + 4 * (t @ t) * t,
        H=lambda t: (
            np.array([[6 * t[0], -6 * t[1]], [-6 * t[1], -6 * t[0]]]) + 4 * (t @ t) * np.eye(2) + 8 * np.outer(t, t)
        ),
        size=2,
    )


def logistic(rows: int = 60, size: int = 4, ridge: float = 0.1, seed: int = 3) -> Smooth:
    """Regularized logistic regression: strictly convex."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, size))
    y = np.where(X @ rng.standard_normal(size) + 0.5 * rng.standard_normal(rows) > 0, 1.0, -1.0)

    def s(t: FloatArray) -> FloatArray:
        return 1.0 / (1.0 + np.exp(y * (X @ t)))

    return Smooth(
        f=lambda t: np.sum(np.logaddexp(0.0, -y * (X @ t))) + ridge * t @ t,
        g=lambda t: -X.T @ (y * s(t)) + 2 * ridge * t,
        H=lambda t: (X * (s(t) * (1 - s(t)))[:, None]).T @ X + 2 * ridge * np.eye(size),
        size=size,
        rows=rows,
    )


def exponential_fit() -> SumOfSquares:
    """b1 exp(-b2 x) to noisy data: a small nonlinear regression with a nonzero residual."""
    x = np.linspace(0.0, 3.0, 25)
    y = 2.5 * np.exp(-1.3 * x) + 0.05 * np.sin(17.0 * x)

    def second(t: FloatArray) -> FloatArray:
        e = np.exp(-t[1] * x)
        r = t[0] * e - y
        return np.array([[0.0, -(r * x) @ e], [-(r * x) @ e, t[0] * (r * x * x) @ e]])

    return sum_of_squares(
        lambda t: t[0] * np.exp(-t[1] * x) - y,
        lambda t: np.column_stack([np.exp(-t[1] * x), -t[0] * x * np.exp(-t[1] * x)]),
        second,
        2,
        rows=25,
    )


def barrier() -> Smooth:
    """t - log t, summed: NaN for t <= 0; minimum at 1."""
    return Smooth(
        f=lambda t: np.sum(np.where(t > 0, t - np.log(np.where(t > 0, t, 1.0)), math.nan)),
        g=lambda t: np.where(t > 0, 1.0 - 1.0 / np.where(t > 0, t, 1.0), math.nan),
        H=lambda t: np.diag(np.where(t > 0, 1.0 / np.where(t > 0, t, 1.0) ** 2, math.nan)),
        size=2,
    )


def logarithms() -> SumOfSquares:
    """sum log(t)^2: NaN for t < 0, infinite at 0; minimum 0 at 1."""
    return sum_of_squares(
        np.log,
        lambda t: np.diag(1.0 / t),
        lambda t: np.diag(-np.log(t) / t**2),
        2,
        rows=2,
    )


def linear(slope: Sequence[float] = (1.0, -2.0)) -> Smooth:
    """Unbounded below."""
    a = np.array(slope)
    return Smooth(f=lambda t: a @ t, g=lambda t: a.copy(), H=lambda t: np.zeros((a.size, a.size)), size=a.size)


def beside_a_slope(square: float = 1.0, slope: float = 1.0) -> Smooth:
    """A valley that descends without end: square w^2 - slope b."""
    return Smooth(
        f=lambda t: square * t[0] ** 2 - slope * t[1],
        g=lambda t: np.array([2.0 * square * t[0], -slope]),
        H=lambda t: np.diag([2.0 * square, 0.0]),
        size=2,
    )


def slope_across() -> Smooth:
    """The same valley, turned: (w - b)^2 - b. From b = 1e16 on no number keeps w - b."""
    return Smooth(
        f=lambda t: (t[0] - t[1]) ** 2 - t[1],
        g=lambda t: np.array([2.0 * (t[0] - t[1]), -2.0 * (t[0] - t[1]) - 1.0]),
        H=lambda t: 2.0 * np.array([[1.0, -1.0], [-1.0, 1.0]]),
        size=2,
    )


def waves() -> Smooth:
    """w + sin(w) falls in steps; far down rounding w leaves no digit of them."""
    return Smooth(
        f=lambda t: float(np.sum(t + np.sin(t))), g=lambda t: 1.0 + np.cos(t), H=lambda t: np.diag(-np.sin(t)), size=1
    )


def root() -> Smooth:
    """w^2 - sqrt(b): convex, and without a minimum."""
    return Smooth(
        f=lambda t: t[0] ** 2 - np.sqrt(t[1]),
        g=lambda t: np.array([2.0 * t[0], -0.5 / np.sqrt(t[1])]),
        H=lambda t: np.diag([2.0, 0.25 * t[1] ** -1.5]),
        size=2,
    )


def far_away(distance: float = 1e6) -> Smooth:
    """w^2 + sqrt(1 + (b - distance)^2): for long nothing but a slope."""
    return Smooth(
        f=lambda t: t[0] ** 2 + np.hypot(1.0, t[1] - distance),
        g=lambda t: np.array([2.0 * t[0], (t[1] - distance) / np.hypot(1.0, t[1] - distance)]),
        H=lambda t: np.diag([2.0, np.hypot(1.0, t[1] - distance) ** -3]),
        size=2,
    )


def unbounded_quartic() -> Smooth:
    """-t^4 - t^2, summed."""
    return Smooth(
        f=lambda t: -np.sum(t**4 + t**2),
        g=lambda t: -4 * t**3 - 2 * t,
        H=lambda t: np.diag(-12 * t**2 - 2.0),
        size=2,
    )


def constant(value: float = 5.0) -> SumOfSquares:
    zero = np.zeros((3, 3))
    return sum_of_squares(lambda t: np.sqrt([value, 0.0, 0.0]), lambda t: zero, lambda t: zero, 3, rows=3)


def everywhere(value: float) -> SumOfSquares:
    """NaN or infinite wherever one looks."""
    return SumOfSquares(
        f=lambda t: value,
        g=lambda t: np.full_like(t, value),
        H=lambda t: np.full((t.size, t.size), value),
        size=2,
        capabilities=Capabilities(residual=True, separable=True),
        rows=2,
        r=lambda t: np.full(2, value),
        J=lambda t: np.full((2, t.size), value),
    )


def rescaled(inner: Smooth, f_scale: float = 1.0, x_scale: float = 1.0) -> Smooth:
    """t -> f_scale * inner(t / x_scale)."""
    c, s = f_scale, x_scale
    if isinstance(inner, SumOfSquares):
        root = math.sqrt(c)
        return SumOfSquares(
            f=lambda t: c * inner.f(t / s),
            g=lambda t: c / s * inner.g(t / s),
            H=lambda t: c / s**2 * inner.H(t / s),
            size=inner.size,
            capabilities=inner.capabilities,
            rows=inner.rows,
            r=lambda t: root * inner.r(t / s),
            J=lambda t: root / s * inner.J(t / s),
        )
    return Smooth(
        f=lambda t: c * inner.f(t / s),
        g=lambda t: c / s * inner.g(t / s),
        H=lambda t: c / s**2 * inner.H(t / s),
        size=inner.size,
        capabilities=inner.capabilities,
    )


def longley() -> tuple[FloatArray, FloatArray, FloatArray]:
    """NIST StRD Longley (public domain): the design with its intercept, the response, the certified coefficients."""
    data = np.array(
        [
            [60323, 83.0, 234289, 2356, 1590, 107608, 1947],
            [61122, 88.5, 259426, 2325, 1456, 108632, 1948],
            [60171, 88.2, 258054, 3682, 1616, 109773, 1949],
            [61187, 89.5, 284599, 3351, 1650, 110929, 1950],
            [63221, 96.2, 328975, 2099, 3099, 112075, 1951],
            [63639, 98.1, 346999, 1932, 3594, 113270, 1952],
            [64989, 99.0, 365385, 1870, 3547, 115094, 1953],
            [63761, 100.0, 363112, 3578, 3350, 116219, 1954],
            [66019, 101.2, 397469, 2904, 3048, 117388, 1955],
            [67857, 104.6, 419180, 2822, 2857, 118734, 1956],
            [68169, 108.4, 442769, 2936, 2798, 120445, 1957],
            [66513, 110.8, 444546, 4681, 2637, 121950, 1958],
            [68655, 112.6, 482704, 3813, 2552, 123366, 1959],
            [69564, 114.2, 502601, 3931, 2514, 125368, 1960],
            [69331, 115.7, 518173, 4806, 2572, 127852, 1961],
            [70551, 116.9, 554894, 4007, 2827, 130081, 1962],
        ]
    )
    certified = np.array(
        [
            -3482258.63459582,
            15.0618722713733,
            -0.358191792925910e-01,
            -2.02022980381683,
            -1.03322686717359,
            -0.511041056535807e-01,
            1829.15146461355,
        ]
    )
    return np.column_stack([np.ones(16), data[:, 1:]]), data[:, 0], certified


def polynomial_columns(degree: int = 10, rows: int = 82) -> FloatArray:
    """Columns 1, x, ..., x^degree on [-8.8, -3.1], where NIST's Filip has its x: condition about 1e15."""
    return np.vander(np.linspace(-8.8, -3.1, rows), degree + 1, increasing=True)
