"""Lecture, chapter 6: f(x) = sqrt(x^2 + exp(x^2)) + cos(x^2 + exp(x^2)) through its intermediate variables.

a = x^2, b = exp(a), c = a + b, d = sqrt(c), e = cos(c), f = d + e; adjoints go backward from df/df = 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from lecture import engine, exact

from nablad.solvers import Derivatives

POINTS = [0.7, -0.4, 1.3]
TEXT = "sqrt(x**2 + exp(x**2)) + cos(x**2 + exp(x**2))"


def example(x: Any) -> Any:
    return np.sqrt(x**2 + np.exp(x**2)) + np.cos(x**2 + np.exp(x**2))


def step_by_step(x: Any) -> Any:
    a = x**2
    b = np.exp(a)
    c = a + b
    return np.sqrt(c) + np.cos(c)


def lecture(x: float) -> dict[str, tuple[float, float]]:
    """Variable -> (value, adjoint), by the lecture's formulas in 50 digits."""
    with mpmath.workdps(exact.DIGITS):
        value: dict[str, Any] = {"x": mpmath.mpf(x)}
        value["a"] = value["x"] ** 2
        value["b"] = mpmath.exp(value["a"])
        value["c"] = value["a"] + value["b"]
        value["d"], value["e"] = mpmath.sqrt(value["c"]), mpmath.cos(value["c"])
        value["f"] = value["d"] + value["e"]
        adjoint: dict[str, Any] = {"f": mpmath.mpf(1)}
        adjoint["d"] = adjoint["e"] = adjoint["f"] * 1
        adjoint["c"] = adjoint["d"] / (2 * mpmath.sqrt(value["c"])) + adjoint["e"] * -mpmath.sin(value["c"])
        adjoint["b"] = adjoint["c"] * 1
        adjoint["a"] = adjoint["b"] * mpmath.exp(value["a"]) + adjoint["c"] * 1
        adjoint["x"] = adjoint["a"] * 2 * value["x"]
        return {name: (float(value[name]), float(adjoint[name])) for name in "abcdefx"}


@pytest.mark.parametrize("x", POINTS)
@pytest.mark.parametrize("f", [example, step_by_step])
def test_the_derivative(x: float, f: Callable[[Any], Any]) -> None:
    expected = lecture(x)["x"][1]
    exact.assert_equal(engine.jacobian(f, np.array(x)), expected)
    exact.assert_equal(engine.partials(TEXT, {"x": x})["x"], expected)
    with mpmath.workdps(exact.DIGITS):
        limit = mpmath.diff(
            lambda x: mpmath.sqrt(x**2 + mpmath.exp(x**2)) + mpmath.cos(x**2 + mpmath.exp(x**2)), mpmath.mpf(x)
        )
    exact.assert_equal(float(limit), expected)


LOCAL = {
    "a by x": ("x**2", "x", lambda v: 2 * v["x"]),
    "b by a": ("exp(a)", "a", lambda v: mpmath.exp(v["a"])),
    "c by a": ("a + 0.5", "a", lambda v: 1.0),
    "d by c": ("sqrt(c)", "c", lambda v: 1 / (2 * mpmath.sqrt(v["c"]))),
    "e by c": ("cos(c)", "c", lambda v: -mpmath.sin(v["c"])),
    "f by d": ("d + 0.5", "d", lambda v: 1.0),
}


@pytest.mark.parametrize("name", LOCAL)
def test_derivatives_of_the_intermediate_variables_by_their_inputs(name: str) -> None:
    text, variable, formula = LOCAL[name]
    for x in POINTS:
        values = {key: value for key, (value, _) in lecture(x).items()}
        found = engine.partials(text, {variable: values[variable]})[variable]
        exact.assert_equal(found, float(formula(values)))


@pytest.mark.parametrize("x", POINTS)
def test_an_adjoint_is_the_derivative_of_the_rest_of_the_computation(x: float) -> None:
    """df/dc with everything before c forgotten; df/db with a held; df/da through both of its readers."""
    known = lecture(x)
    rests = {
        "c": ("sqrt(c) + cos(c)", {}),
        "b": ("sqrt(a + b) + cos(a + b)", {"a": np.array(known["a"][0])}),
        "a": ("sqrt(a + exp(a)) + cos(a + exp(a))", {}),
        "d": ("d + e", {"e": np.array(known["e"][0])}),
        "e": ("d + e", {"d": np.array(known["d"][0])}),
    }
    for name, (text, held) in rests.items():
        value, adjoint = known[name]
        found = Derivatives(engine.model(text, {name: value}, held)).gradient([value]).array[0]
        exact.assert_equal(found, adjoint)


@pytest.mark.parametrize("x", POINTS)
@pytest.mark.parametrize("f", [example, TEXT])
def test_the_description_shows_every_variable_with_its_adjoint(x: float, f: Any) -> None:
    """x^2 + exp(x^2) is written twice and is one node: the graph is the lecture's, nodes a to f and x."""
    told = Derivatives(engine.model(f, {"x": x} if isinstance(f, str) else np.array(x))).describe(theta=[x])
    known = lecture(x)
    by_op = {"input": "x", "square": "a", "exp": "b", "sqrt": "d", "cos": "e"}
    order: dict[str, int] = {}
    for node in told.nodes:
        if node.op == "constant":
            continue
        name = by_op.get(node.op) or ("f" if told.nodes[told.output] is node else "c")
        assert node.shape == ()
        assert node.value is not None
        assert node.adjoint is not None
        assert node.adjoint_order is not None
        (value,), (adjoint,) = node.value.elements, node.adjoint.elements
        exact.assert_equal(value, known[name][0])
        exact.assert_equal(adjoint, known[name][1])
        order[name] = node.adjoint_order
    assert sorted(order) == list("abcdefx")
    assert order["f"] == 1
    assert {order["d"], order["e"]} == {2, 3}
    assert [order[name] for name in "cbax"] == [4, 5, 6, 7]


def test_the_cost_of_the_gradient_is_at_most_four_values() -> None:
    """Baur and Strassen: value and gradient together, in operations, for arithmetic and unary operations."""
    told = Derivatives(engine.model(TEXT, {"x": 0.7})).describe()
    assert told.gradient_operations <= 5 * told.value_operations


@pytest.mark.parametrize("n", [3, 30, 300])
def test_the_cost_of_a_gradient_does_not_grow_with_the_number_of_inputs(n: int) -> None:
    """One pass backward for n partial derivatives; n passes forward."""
    x = np.linspace(0.5, 1.5, n)
    derivatives = Derivatives(engine.model(lambda x: np.sum(np.sin(x[:-1] * x[1:]) / (1.0 + x[1:] ** 2)), x))
    told = derivatives.describe()
    assert told.gradient_operations - told.value_operations <= 4 * told.value_operations
    gradient = derivatives.gradient(x)
    assert (gradient.way, gradient.passes) == ("reverse", 1)
    assert derivatives.gradient(x, way="forward").passes == n
    exact.assert_equal(derivatives.gradient(x, way="forward").array, gradient.array, scale=exact.size(gradient.array))


def test_forward_is_taken_where_there_are_more_outputs_than_inputs() -> None:
    t = np.array([0.3, 0.4])
    found = Derivatives(engine.model(lambda t: np.sin(np.arange(50.0) * t[0]) * t[1], t)).jacobian(t)
    assert found.array.shape == (50, 2)
    assert (found.way, found.passes) == ("forward", 2)
