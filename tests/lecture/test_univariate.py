"""Lecture, chapter 1: difference quotients, the derivative as their limit, and the rules of differentiation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from lecture import engine, exact

from nablad.solvers import Derivatives

FUNCTIONS = [
    "x**3 - 2*x + 1",
    "sin(x) * exp(x)",
    "sqrt(1 + x**2)",
    "log(x) / x",
    "exp(-x**2) * cos(3*x)",
    "tanh(x) + x**2.5",
    "arctan(x**2)",
    "x**x",
]
NAMES = {"arctan": sympy.atan}


def by_sympy(text: str) -> tuple[Any, sympy.Symbol]:
    """The text as sympy reads it; decimal fractions are exact."""
    x = sympy.Symbol("x", real=True)
    return sympy.sympify(text, locals={"x": x, **NAMES}, rational=True), x


@pytest.mark.parametrize("text", FUNCTIONS)
@pytest.mark.parametrize("point", [0.4, 1.0, 1.7])
def test_the_derivative(text: str, point: float) -> None:
    f, x = by_sympy(text)
    expected = exact.evaluate(sympy.diff(f, x), np.array([x]), point)
    found = engine.partials(text, {"x": point})["x"]
    assert found.shape == ()
    exact.assert_equal(found, expected)


@pytest.mark.parametrize("text", FUNCTIONS)
def test_difference_quotients_converge_to_the_derivative(text: str) -> None:
    """(f(x+h) - f(x)) / h misses by h f''/2, (f(x+h) - f(x-h)) / 2h by h^2 f'''/6."""
    point, h = 1.3, 2.0 ** -np.arange(4.0, 11.0)
    model = engine.model(text, {"x": point})
    values = Derivatives(model).value(np.concatenate([[point], point + h, point - h])[:, None])
    centre, ahead, behind = values[0], values[1:8], values[8:]
    derivative = engine.partials(text, {"x": point})["x"]
    f, x = by_sympy(text)
    second, third = (float(f.diff(x, k).subs(x, sympy.Rational(point)).evalf(30)) for k in (2, 3))
    forward = (ahead - centre) / h - derivative
    central = (ahead - behind) / (2 * h) - derivative
    np.testing.assert_allclose(forward[-3:] / h[-3:], second / 2, rtol=0.02, atol=0.02)
    np.testing.assert_allclose(central[-3:] / h[-3:] ** 2, third / 6, rtol=0.02, atol=0.02)
    orders = [np.log2(np.abs(e[:-1] / e[1:])) for e in (forward, central)]
    assert orders[0][-3:] == pytest.approx([1.0] * 3, abs=0.05)
    assert orders[1][-3:] == pytest.approx([2.0] * 3, abs=0.05)


@pytest.mark.parametrize("text", FUNCTIONS)
def test_the_check_of_derivatives_observes_second_order(text: str) -> None:
    check = Derivatives(engine.model(text, {"x": 1.3})).check([1.3])
    assert check.passed
    assert check.blocks[0].order == pytest.approx(2.0, abs=0.1)
    assert check.blocks[0].best_error < 1e-8


@dataclass(frozen=True)
class Pair:
    """One function, as the engine's text and as sympy's expression."""

    text: str
    exact: Any

    def __str__(self) -> str:
        return self.text


X = sympy.Symbol("x", real=True)
UNARY = {
    "sin": sympy.sin,
    "cos": sympy.cos,
    "tanh": sympy.tanh,
    "arctan": sympy.atan,
    "exp": sympy.exp,
    "sqrt": sympy.sqrt,
    "log1p": lambda u: sympy.log(1 + u),
}
NEEDS_POSITIVE = {"sqrt", "log1p"}
NUMBERS = st.floats(0.25, 2.0).map(lambda c: round(c * 64) / 64)


@st.composite
def functions(draw: st.DrawFn) -> Pair:
    """p(x), u(p(x)) or u(v(p(x))) with p(x) = a + b x^n > 0, and u, v from the table."""
    a, b, power = draw(NUMBERS), draw(NUMBERS), draw(st.integers(1, 3))
    made = Pair(f"({a} + {b}*x**{power})", sympy.Rational(a) + sympy.Rational(b) * X**power)
    for name in draw(st.lists(st.sampled_from(sorted(UNARY)), max_size=2)):
        inner = Pair(f"({made.text})**2", made.exact**2) if name in NEEDS_POSITIVE else made
        inner = Pair(f"sin({made.text})", sympy.sin(made.exact)) if name == "exp" else inner
        made = Pair(f"{name}({inner.text})", UNARY[name](inner.exact))
    return made


POINTS = st.floats(0.1, 1.5)
few = settings(max_examples=20)


def computed(text: str, point: float) -> tuple[float, float]:
    """f(x), f'(x), by the engine."""
    derivatives = Derivatives(engine.model(text, {"x": point}))
    return float(derivatives.value([point])), float(derivatives.gradient([point]).array[0])


def derivative(f: Any, point: float) -> float:
    return float(exact.evaluate(sympy.diff(f, X), np.array([X]), point))


def assert_rule(whole: float, by_rule: float, expected: float, terms: float) -> None:
    """All three are equal, as far as the size of the rule's terms allows."""
    exact.assert_equal(whole, expected, scale=terms)
    exact.assert_equal(by_rule, expected, scale=terms)


@few
@given(functions(), functions(), POINTS)
def test_sum_rule(f: Pair, g: Pair, point: float) -> None:
    (_, df), (_, dg) = computed(f.text, point), computed(g.text, point)
    _, whole = computed(f"{f} + {g}", point)
    assert_rule(whole, df + dg, derivative(f.exact + g.exact, point), 1 + abs(df) + abs(dg))


@few
@given(functions(), functions(), POINTS)
def test_product_rule(f: Pair, g: Pair, point: float) -> None:
    (f_x, df), (g_x, dg) = computed(f.text, point), computed(g.text, point)
    _, whole = computed(f"({f}) * ({g})", point)
    terms = (1 + abs(df)) * (1 + abs(g_x)) + (1 + abs(f_x)) * (1 + abs(dg))
    assert_rule(whole, df * g_x + f_x * dg, derivative(f.exact * g.exact, point), terms)


@few
@given(functions(), functions(), POINTS)
def test_quotient_rule(f: Pair, g: Pair, point: float) -> None:
    """The denominator is 1 + g^2, which no point makes small."""
    under = Pair(f"(1 + ({g})**2)", 1 + g.exact**2)
    (f_x, df), (g_x, dg) = computed(f.text, point), computed(under.text, point)
    _, whole = computed(f"({f}) / {under}", point)
    terms = (1 + abs(df)) / g_x + (1 + abs(f_x)) * (1 + abs(dg)) / g_x**2
    assert_rule(whole, (df * g_x - f_x * dg) / g_x**2, derivative(f.exact / under.exact, point), terms)


@few
@given(functions(), st.sampled_from(["sin", "cos", "tanh", "arctan"]), POINTS)
def test_chain_rule(f: Pair, outer: str, point: float) -> None:
    """g'(f(x)) is asked for at the number f(x), of g as a function of its own."""
    f_x, df = computed(f.text, point)
    _, outer_at = computed(f"{outer}(x)", f_x)
    _, whole = computed(f"{outer}({f})", point)
    terms = (1 + abs(f_x)) * (1 + abs(df))
    assert_rule(whole, outer_at * df, derivative(UNARY[outer](f.exact), point), terms)


def test_the_derivative_is_the_limit_to_fifty_digits() -> None:
    """mpmath takes the limit; the engine's number is that, rounded."""
    with mpmath.workdps(exact.DIGITS):
        limit = float(mpmath.diff(lambda x: mpmath.sin(x) * mpmath.exp(x), mpmath.mpf(1)))
    exact.assert_equal(engine.partials("sin(x) * exp(x)", {"x": 1.0})["x"], np.float64(limit))
