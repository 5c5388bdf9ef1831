"""Lecture, chapter 7: Hessians, Hessians of vector-valued functions, truncated Taylor series, Newton's method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from lecture import engine, exact

from nablad.solvers import Derivatives, Newton, solve


@dataclass(frozen=True)
class Scalar:
    """f: R^n -> R, written once for numpy and for sympy (`m` has the functions)."""

    name: str
    n: int
    f: Callable[[Any, Any], Any]

    def __str__(self) -> str:
        return self.name


def _twice(x: Any, m: Any) -> Any:
    return m.sin(x[0] * x[1]) * m.exp(x[2]) / (1 + x[1] ** 2)


SCALARS = [
    Scalar("x1^2 x2 + x1 x2^3", 2, lambda x, m: x[0] ** 2 * x[1] + x[0] * x[1] ** 3),
    Scalar("(x + 2y^3)^2", 2, lambda x, m: (x[0] + 2 * x[1] ** 3) ** 2),
    Scalar("exp(x1 x2^2)", 2, lambda x, m: m.exp(x[0] * x[1] ** 2)),
    Scalar("the backpropagation example", 1, lambda x, m: m.sqrt(_c(x, m)) + m.cos(_c(x, m))),
    Scalar(
        "Rosenbrock in 4", 4, lambda x, m: sum(100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(3))
    ),
    Scalar("three variables", 3, _twice),
    Scalar("log(1 + x'x)", 3, lambda x, m: m.log(1 + x[0] ** 2 + x[1] ** 2 + x[2] ** 2)),
]


def _c(x: Any, m: Any) -> Any:
    return x[0] ** 2 + m.exp(x[0] ** 2)


@pytest.mark.parametrize("case", SCALARS, ids=str)
def test_the_hessian_of_a_scalar(case: Scalar) -> None:
    """H is n x n, symmetric to the last bit, and the Jacobian of the gradient."""
    for seed in range(3):
        x = np.random.default_rng(seed).uniform(0.3, 1.4, case.n)
        derivatives = Derivatives(engine.model(lambda x: case.f(x, np), x))
        H = derivatives.hessian(x).array
        assert H.shape == (case.n, case.n)
        assert np.array_equal(H, H.T)
        expected = exact.hessian(lambda x: case.f(x, sympy), x)
        exact.assert_equal(H, expected, exact.size(expected))
        for e, column in zip(np.eye(case.n), expected.T, strict=True):
            exact.assert_equal(derivatives.hvp(x, e), column, exact.size(expected))


def test_the_order_of_differentiation_does_not_matter() -> None:
    """d/dx (df/dy) = d/dy (df/dx), each as a derivative of the other's formula."""
    at = {"x": 0.7, "y": -0.4}
    dx, dy = "2*x*y + y**3", "x**2 + 3*x*y**2"
    model = engine.model("x**2*y + x*y**3", at)
    H = Derivatives(model).hessian(engine.flat(at)).array
    exact.assert_equal(H[0, 1], engine.partials(dx, at)["y"])
    exact.assert_equal(H[1, 0], engine.partials(dy, at)["x"])
    exact.assert_equal(H[0, 0], engine.partials(dx, at)["x"])
    exact.assert_equal(H[1, 1], engine.partials(dy, at)["y"])


VECTORS: list[tuple[str, int, Callable[[Any, Any], list[Any]]]] = [
    ("R^2 -> R^3", 2, lambda x, m: [x[0] * x[1] ** 2, m.exp(x[0]), x[0] + x[1]]),
    ("R^3 -> R^2", 3, lambda x, m: [m.sin(x[0] * x[1] + x[2]), x[2] / (1 + x[0] ** 2)]),
    ("R^1 -> R^4", 1, lambda x, m: [m.exp(x[0]), m.cos(x[0]), x[0] ** 3, m.log(x[0])]),
]


@pytest.mark.parametrize(("name", "n", "f"), VECTORS, ids=[name for name, *_ in VECTORS])
def test_the_hessian_of_a_vector_is_m_by_n_by_n(name: str, n: int, f: Callable[[Any, Any], list[Any]]) -> None:
    x = np.random.default_rng(n).uniform(0.3, 1.4, n)
    H = engine.hessian(lambda x: np.stack(f(x, np)), x)
    expected = exact.hessian(lambda x: np.array(f(x, sympy)), x)
    assert H.shape == (len(expected), n, n)
    assert np.array_equal(H, np.swapaxes(H, 1, 2))
    for i, part in enumerate(expected):
        exact.assert_equal(H[i], part, max(exact.size(part), 1.0))
        exact.assert_equal(H[i], engine.hessian(lambda x, i=i: f(x, np)[i] + 0.0, x), max(exact.size(part), 1.0))


def test_the_second_derivative_by_a_matrix_has_its_axes_twice() -> None:
    """d2 K_pq / dR_ij dR_kl of K = R'R: n x n x (m x n) x (m x n)."""
    R = np.random.default_rng(3).normal(size=(2, 3))
    H = engine.hessian(lambda R: R.T @ R, R)
    assert H.shape == (3, 3, 2, 3, 2, 3)
    one, rows = np.eye(3), np.eye(2)
    product = np.einsum("pj,ql,ik->pqijkl", one, one, rows)
    assert np.array_equal(H, product + np.einsum("pqijkl->pqklij", product))


UNIVARIATE: dict[str, Callable[[Any], Any]] = {
    "sin(x) * exp(x)": lambda x: mpmath.sin(x) * mpmath.exp(x),
    "exp(-x**2)": lambda x: mpmath.exp(-(x**2)),
    "log(x)": mpmath.log,
    "sqrt(1 + x**2)": lambda x: mpmath.sqrt(1 + x**2),
    "tanh(x) / (1 + x**2)": lambda x: mpmath.tanh(x) / (1 + x**2),
    "x**2.5": lambda x: x ** mpmath.mpf(2.5),
    "sqrt(x**2 + exp(x**2)) + cos(x**2 + exp(x**2))": lambda x: (
        mpmath.sqrt(x**2 + mpmath.exp(x**2)) + mpmath.cos(x**2 + mpmath.exp(x**2))
    ),
}
ORDER = 12


@pytest.mark.parametrize("text", UNIVARIATE)
@pytest.mark.parametrize("point", [0.6, 1.1])
def test_the_taylor_series_to_order_twelve(text: str, point: float) -> None:
    found = Derivatives(engine.model(text, {"x": point})).taylor([point], [1.0], ORDER)
    assert found.shape == (ORDER + 1,)
    with mpmath.workdps(60):
        expected = np.array([float(c) for c in mpmath.taylor(UNIVARIATE[text], mpmath.mpf(point), ORDER)])
    # A coefficient may be small beside its neighbours, of whose products it is a difference.
    near_by = np.array([np.max(np.abs(expected[max(0, k - 2) : k + 3])) for k in range(ORDER + 1)])
    exact.assert_equal(found, expected, scale=near_by)


@pytest.mark.parametrize("text", UNIVARIATE)
def test_the_remainder_shrinks_with_the_order(text: str) -> None:
    """It falls by far every two orders, and is never more than the next few terms c_k t^k."""
    point, t, more = 1.1, 0.05, 4
    c = Derivatives(engine.model(text, {"x": point})).taylor([point], [1.0], ORDER + more)
    terms = np.abs(c) * t ** np.arange(ORDER + more + 1.0)
    with mpmath.workdps(60):
        truth, coefficients = UNIVARIATE[text](mpmath.mpf(point) + mpmath.mpf(t)), [mpmath.mpf(x) for x in c]
        partial_sums = [mpmath.polyval(coefficients[k::-1], mpmath.mpf(t)) for k in range(ORDER + 1)]
        remainders = np.array([float(abs(total - truth)) for total in partial_sums])
    rounding = 1e-15 * abs(c[0])
    for k in range(ORDER + 1):
        assert remainders[k] <= 2 * np.sum(terms[k + 1 : k + 1 + more]) + rounding
    for before, after in zip(remainders, remainders[2:], strict=False):
        assert after < before / 4 or after <= rounding


def test_the_first_coefficients_are_the_gradient_and_the_hessian_along_the_direction() -> None:
    """c_1 = df/dx v, c_2 = v' H v / 2; c_3 is the third directional derivative over 3!."""
    x, v = np.array([0.5, -0.3, 1.2]), np.array([1.0, 2.0, -0.5])
    derivatives = Derivatives(engine.model(lambda x: _twice(x, np), x))
    c = derivatives.taylor(x, v, 3)
    t = sympy.Symbol("t", real=True)
    along = _twice([sympy.Rational(a) + t * sympy.Rational(b) for a, b in zip(x, v, strict=True)], sympy)
    expected = [exact.evaluate(along.diff(t, k) / factorial(k), np.array([t]), np.array(0.0)) for k in range(4)]
    exact.assert_equal(c, np.array(expected), scale=exact.size(np.array(expected)))
    exact.assert_equal(derivatives.gradient(x).array @ v, expected[1], scale=5.0)
    exact.assert_equal(v @ derivatives.hessian(x).array @ v / 2, expected[2], scale=5.0)


def test_the_series_of_a_vector_is_that_of_its_elements() -> None:
    x, v = np.array([0.5, 0.8]), np.array([1.0, -1.0])
    found = Derivatives(engine.model(lambda x: np.stack([np.exp(x[0]), x[0] * x[1] ** 3]), x)).taylor(
        x, v, 5, of="output"
    )
    assert found.shape == (6, 2)
    expected = np.array([np.exp(0.5) / factorial(k) for k in range(6)])
    exact.assert_equal(found[:, 0], expected)
    t = sympy.Symbol("t")
    polynomial = sympy.Poly((sympy.Rational(0.5) + t) * (sympy.Rational(0.8) - t) ** 3, t)
    exact.assert_equal(found[:5, 1], np.array([float(c) for c in reversed(polynomial.all_coeffs())]))
    assert found[5, 1] == 0.0


def test_newtons_method_uses_second_derivatives() -> None:
    """One step of theta - H^-1 df' ends a quadratic form; Rosenbrock's valley takes several."""
    G, b = np.array([[3.0, 1.0], [1.0, 2.0]]), np.array([1.0, -1.0])
    model = engine.model(lambda x: x @ G @ x / 2 - b @ x, np.array([5.0, -7.0]))
    report = solve(model.objective(), Newton(), model.initial())
    assert report.success
    exact.assert_equal(report.theta, np.linalg.solve(G, b), scale=1.0)
    valley = engine.model("100*(x2 - x1**2)**2 + (1 - x1)**2", {"x1": -1.2, "x2": 1.0})
    report = solve(valley.objective(), Newton(), valley.initial())
    assert report.success
    np.testing.assert_allclose(report.theta, [1.0, 1.0], rtol=1e-9)
