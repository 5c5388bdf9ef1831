"""Lecture, chapter 2: partial derivatives, the gradient as a row, its rules, and total derivatives along curves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy
from lecture import engine, exact

from nablad.solvers import Derivatives

POINTS = [(1.0, 2.0), (0.7, -1.3), (-2.5, 0.4)]


@pytest.mark.parametrize(("x", "y"), POINTS)
def test_the_first_worked_example(x: float, y: float) -> None:
    """f(x, y) = (x + 2y^3)^2: 2(x + 2y^3) and 12(x + 2y^3)y^2."""
    found = engine.partials("(x + 2*y**3)**2", {"x": x, "y": y})
    expected = exact.jacobian(lambda v: (v[0] + 2 * v[1] ** 3) ** 2, np.array([x, y]))
    exact.assert_equal(np.array([found["x"], found["y"]]), expected)
    closed = np.array([2 * (x + 2 * y**3), 12 * (x + 2 * y**3) * y**2])
    exact.assert_equal(closed, expected)


def test_the_first_worked_example_in_whole_numbers() -> None:
    assert engine.partials("(x + 2*y**3)**2", {"x": 1.0, "y": 2.0}) == {"x": 34.0, "y": 816.0}


@pytest.mark.parametrize("point", POINTS)
def test_the_second_worked_example(point: tuple[float, float]) -> None:
    """f(x1, x2) = x1^2 x2 + x1 x2^3: (2 x1 x2 + x2^3, x1^2 + 3 x1 x2^2), the row of both partial derivatives."""
    x = np.array(point)
    found = engine.jacobian(lambda x: x[0] ** 2 * x[1] + x[0] * x[1] ** 3, x)
    assert found.shape == (2,)
    exact.assert_equal(found, exact.jacobian(lambda x: x[0] ** 2 * x[1] + x[0] * x[1] ** 3, x))
    exact.assert_equal(found, np.array([2 * x[0] * x[1] + x[1] ** 3, x[0] ** 2 + 3 * x[0] * x[1] ** 2]))


def test_a_partial_derivative_varies_one_variable_and_keeps_the_rest() -> None:
    """With the others as data, which are not differentiated, one parameter's derivative is the same number."""
    text, at = "exp(x*y) * sin(z) + x*z**2", {"x": 0.3, "y": -0.8, "z": 1.1}
    together = engine.partials(text, at)
    for name, number in at.items():
        others = {other: np.array(v) for other, v in at.items() if other != name}
        alone = Derivatives(engine.model(text, {name: number}, others)).jacobian([number]).array[0]
        exact.assert_equal(alone, together[name])


def test_the_gradient_collects_the_limits_of_one_variable_at_a_time() -> None:
    x, h = np.array([0.6, -0.4, 1.2]), 1e-5

    def f(x: Any) -> Any:
        return np.sin(x[0] * x[1]) + np.exp(x[2]) * x[0]

    gradient = engine.jacobian(f, x)
    assert gradient.shape == (3,)
    quotients = [(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(3)]
    np.testing.assert_allclose(gradient, quotients, rtol=1e-9)


A = np.array([1.0, -2.0, 0.5])


def f(x: Any) -> Any:
    return x @ x


def g(x: Any) -> Any:
    return np.sin(A @ x) + 2.0


def f_exact(x: Any) -> Any:
    return sum(c**2 for c in x)


def g_exact(x: Any) -> Any:
    return sympy.sin(sum(a * c for a, c in zip(exact.rational(A), x, strict=True))) + 2


RULES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[..., Any]]] = {
    "product": (lambda x: f(x) * g(x), lambda x: f_exact(x) * g_exact(x), lambda a, da, b, db: da * b + a * db),
    "sum": (lambda x: f(x) + g(x), lambda x: f_exact(x) + g_exact(x), lambda a, da, b, db: da + db),
    "chain": (lambda x: np.exp(f(x)), lambda x: sympy.exp(f_exact(x)), lambda a, da, b, db: np.exp(a) * da),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("seed", range(4))
def test_the_rules_for_partial_differentiation(name: str, seed: int) -> None:
    whole, symbolic, rule = RULES[name]
    x = np.random.default_rng(seed).normal(size=3)
    expected = exact.jacobian(symbolic, x)
    scale = exact.size(expected)
    exact.assert_equal(engine.jacobian(whole, x), expected, scale)
    parts = [engine.value(f, x), engine.jacobian(f, x), engine.value(g, x), engine.jacobian(g, x)]
    exact.assert_equal(rule(*parts), expected, scale)


@pytest.mark.parametrize("t", [0.7, -1.9, 3.0])
def test_the_total_derivative_along_a_curve(t: float) -> None:
    """f = x1^2 + 2 x2, x1 = sin t, x2 = cos t: df/dt = 2 sin t (cos t - 1)."""

    def curve(t: Any) -> Any:
        return np.stack([np.sin(t), np.cos(t)])

    def along(x: Any) -> Any:
        return x[0] ** 2 + 2 * x[1]

    time = sympy.Symbol("t", real=True)
    expected = exact.evaluate(
        sympy.diff(sympy.sin(time) ** 2 + 2 * sympy.cos(time), time), np.array([time]), np.array([t])
    )
    whole = engine.jacobian(lambda t: along(curve(t)), np.array(t))
    assert whole.shape == ()
    exact.assert_equal(whole, expected, scale=1.0)
    row, column = engine.jacobian(along, curve(np.array(t))), engine.jacobian(curve, np.array(t))
    assert row.shape == column.shape == (2,)
    exact.assert_equal(row @ column, expected, scale=1.0)
    exact.assert_equal(np.float64(2 * np.sin(t) * (np.cos(t) - 1)), expected, scale=1.0)


@pytest.mark.parametrize("point", [(0.4, 1.3), (2.0, -0.6)])
def test_the_total_derivative_over_a_surface(point: tuple[float, float]) -> None:
    """df/d(s, t) = df/dx dx/d(s, t): a row 1 x 2 is a row 1 x 2 times a matrix 2 x 2."""

    def surface(v: Any, m: Any = np) -> Any:
        return [v[0] * m.cos(v[1]), v[0] ** 2 * m.sin(v[1])]

    def over(x: Any, m: Any = np) -> Any:
        return x[0] ** 2 * x[1] + m.exp(x[1])

    st = np.array(point)
    x = np.array(surface(st))
    whole = engine.jacobian(lambda v: over(surface(v)), st)
    row, matrix = engine.jacobian(over, x), engine.jacobian(lambda v: np.stack(surface(v)), st)
    assert (whole.shape, row.shape, matrix.shape) == ((2,), (2,), (2, 2))
    expected = exact.jacobian(lambda v: over(surface(v, sympy), sympy), st)
    exact.assert_equal(whole, expected, exact.size(expected))
    exact.assert_equal(row @ matrix, expected, exact.size(expected))
    exact.assert_equal(matrix, exact.jacobian(lambda v: np.array(surface(v, sympy)), st))


def test_partial_derivatives_over_a_surface_are_the_two_sums_of_the_lecture() -> None:
    """df/ds = df/dx1 dx1/ds + df/dx2 dx2/ds, and the same with t."""
    at = {"s": 0.4, "t": 1.3}
    x1, x2 = "(s*cos(t))", "(s**2*sin(t))"
    whole = engine.partials(f"{x1}**2*{x2} + exp({x2})", at)
    first, second = engine.partials(x1, at), engine.partials(x2, at)
    x = {"x1": 0.4 * np.cos(1.3), "x2": 0.16 * np.sin(1.3)}
    outer = engine.partials("x1**2*x2 + exp(x2)", x)
    for name in at:
        exact.assert_equal(outer["x1"] * first[name] + outer["x2"] * second[name], whole[name], scale=1.0)
