"""Lecture, chapter 3: Jacobians of vector-valued functions are m x n, and chain rules are products of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy
from lecture import engine, exact

from nablad.solvers import Derivatives, LeastSquares


def f(x: Any, m: Any = np) -> Any:
    """R^2 -> R^3."""
    return [x[0] * x[1], m.sin(x[0]), x[0] + x[1] ** 2]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("way", ["forward", "reverse"])
def test_the_jacobian_is_m_by_n(seed: int, way: str) -> None:
    x = np.random.default_rng(seed).normal(size=2)
    found = engine.jacobian(lambda x: np.stack(f(x)), x, way)
    assert found.shape == (3, 2)
    exact.assert_equal(found, exact.jacobian(lambda x: np.array(f(x, sympy)), x))


def test_columns_are_partial_derivatives_and_rows_are_gradients() -> None:
    x = np.array([1.0, 2.0])
    derivatives = Derivatives(engine.model(lambda x: np.stack(f(x)), x))
    J = derivatives.jacobian(x).array
    for j, e in enumerate(np.eye(2)):
        exact.assert_equal(derivatives.jvp(x, e), J[:, j])
    for i, e in enumerate(np.eye(3)):
        exact.assert_equal(derivatives.vjp(x, e), J[i])
        exact.assert_equal(engine.jacobian(lambda x, i=i: f(x)[i] + 0.0, x), J[i])


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 3), (3, 2), (4, 4), (1, 5), (5, 1)])
def test_the_derivative_of_ax_is_a(m: int, n: int) -> None:
    rng = np.random.default_rng(m * 10 + n)
    A, x = rng.normal(size=(m, n)), rng.normal(size=n)
    for way in ("forward", "reverse", None):
        found = engine.jacobian(lambda x: A @ x, x, way)
        assert found.shape == (m, n)
        assert np.array_equal(found, A)


@pytest.mark.parametrize("t", [0.9, -0.5, 1.7])
def test_a_chain_of_a_row_and_a_column(t: float) -> None:
    """h = f(g(t)), f(x) = exp(x1 x2^2), g(t) = (t cos t, t sin t)."""

    def outer(x: Any, m: Any = np) -> Any:
        return m.exp(x[0] * x[1] ** 2)

    def inner(t: Any, m: Any = np) -> Any:
        return [t * m.cos(t), t * m.sin(t)]

    expected = exact.jacobian(lambda t: outer(inner(t[()], sympy), sympy), np.array(t))
    whole = engine.jacobian(lambda t: outer(inner(t)), np.array(t))
    x = np.array(inner(t))
    row, column = engine.jacobian(outer, x), engine.jacobian(lambda t: np.stack(inner(t)), np.array(t))
    assert (whole.shape, row.shape, column.shape) == ((), (2,), (2,))
    terms = float(np.abs(row) @ np.abs(column))
    exact.assert_equal(whole, expected, scale=terms)
    exact.assert_equal(row @ column, expected, scale=terms)
    e = np.exp(x[0] * x[1] ** 2)
    exact.assert_equal(row, np.array([e * x[1] ** 2, 2 * e * x[0] * x[1]]))
    exact.assert_equal(column, np.array([np.cos(t) - t * np.sin(t), np.sin(t) + t * np.cos(t)]))


def test_the_text_of_the_chain_is_the_same() -> None:
    expected = exact.jacobian(
        lambda t: sympy.exp(t[()] * sympy.cos(t[()]) * (t[()] * sympy.sin(t[()])) ** 2), np.array(0.9)
    )
    exact.assert_equal(engine.partials("exp(t*cos(t) * (t*sin(t))**2)", {"t": 0.9})["t"], expected)


N, D = 7, 3
RNG = np.random.default_rng(2)
PHI, Y, THETA = RNG.normal(size=(N, D)), RNG.normal(size=N), RNG.normal(size=D)


def loss_gradient() -> Any:
    """By sympy, of ||y - Phi theta||^2."""
    phi, y = exact.rational(PHI), exact.rational(Y)
    return exact.jacobian(lambda theta: sum(e**2 for e in y - phi @ theta), THETA)


def test_the_least_squares_gradient() -> None:
    """dL/dtheta = -2 (y' - theta' Phi') Phi, 1 x D."""
    found = Derivatives(LeastSquares(PHI, Y)).gradient(THETA).array
    expected = loss_gradient()
    assert found.shape == (D,)
    exact.assert_equal(found, expected, exact.size(expected))
    exact.assert_equal(-2 * (Y - THETA @ PHI.T) @ PHI, expected, exact.size(expected))


def test_the_least_squares_gradient_is_the_product_of_its_chain_factors() -> None:
    """dL/de = 2 e', 1 x N, and de/dtheta = -Phi, N x D."""
    derivatives = Derivatives(LeastSquares(PHI, Y))
    e, de = derivatives.value(THETA, of="residual"), derivatives.jacobian(THETA, of="residual").array
    dL = engine.jacobian(lambda e: e @ e, e)
    assert (dL.shape, de.shape) == ((N,), (N, D))
    assert np.array_equal(de, -PHI)
    assert np.array_equal(dL, 2 * e)
    expected = loss_gradient()
    exact.assert_equal(dL @ de, expected, exact.size(expected))


@pytest.mark.parametrize("by", ["objective", "response", "residual"])
def test_the_loss_written_as_an_expression_is_the_same(by: str) -> None:
    data = {"Phi": PHI, "y": Y}
    if by == "objective":
        model = engine.model(lambda p, d: np.sum((d["y"] - d["Phi"] @ p["theta"]) ** 2), {"theta": THETA}, data)
    elif by == "response":
        traced = engine.model("Phi @ theta", {"theta": THETA}, {"Phi": PHI})
        model = type(traced)(traced.graph, {"theta": THETA}, {"Phi": PHI}, response=Y)
    else:
        traced = engine.model("y - Phi @ theta", {"theta": THETA}, data)
        model = type(traced)(traced.graph, {"theta": THETA}, data, residual=True)
    expected = loss_gradient()
    exact.assert_equal(Derivatives(model).gradient(THETA).array, expected, exact.size(expected))
    hessian = Derivatives(model).hessian(THETA).array
    exact.assert_equal(hessian, 2 * PHI.T @ PHI, exact.size(hessian))
