"""Taylor mode: against mpmath to order 20, against nested forward mode, along directions, and for every op row."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from math import factorial
from typing import Any

import mpmath
import numpy as np
import pytest
from solvers.autodiff.derivatives.functions import EXAMPLES, RNG, Example
from solvers.autodiff.opcases import CASES, Case

from nablad.expressions import OPS, Graph, Node, Symbol, make, parameter
from nablad.expressions import symbols as s
from nablad.solvers import Derivatives, Expression, InvalidModel
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.taylor import taylor
from nablad.solvers.autodiff.transform import jvp

FUNCTIONS: dict[str, tuple[Callable[[Symbol], Symbol], Callable[[Any], Any]]] = {
    "sin": (s.sin, mpmath.sin),
    "exp": (s.exp, mpmath.exp),
    "log": (s.log, mpmath.log),
    "log1p": (s.log1p, mpmath.log1p),
    "sqrt": (s.sqrt, mpmath.sqrt),
    "tanh": (s.tanh, mpmath.tanh),
    "erf": (s.erf, mpmath.erf),
    "arctan": (s.arctan, mpmath.atan),
    "reciprocal": (s.reciprocal, lambda x: 1 / x),
    "softplus": (s.softplus, lambda x: mpmath.log1p(mpmath.exp(x))),
    "x^2.5": (lambda x: s.power(x, 2.5), lambda x: x ** mpmath.mpf("2.5")),
    "x^-3": (lambda x: s.power(x, -3.0), lambda x: x**-3),
    "x^3": (lambda x: s.power(x, 3.0), lambda x: x**3),
    "x^x": (lambda x: s.power(x, x), lambda x: x**x),
    "sin / (1 + x^2)": (lambda x: s.sin(x) / (1.0 + s.square(x)), lambda x: mpmath.sin(x) / (1 + x * x)),
    "lecture": (
        lambda x: s.sqrt(s.square(x) + s.exp(s.square(x))) + s.cos(s.square(x) + s.exp(s.square(x))),
        lambda x: mpmath.sqrt(x * x + mpmath.exp(x * x)) + mpmath.cos(x * x + mpmath.exp(x * x)),
    ),
}


def model_of(f: Callable[[Symbol], Symbol], start: Any) -> Expression:
    x = parameter("x", np.shape(start))
    return Expression(Graph((x.node,), (f(x).node,)), {"x": start})


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("point", [0.7, 1.25])
def test_order_twenty_against_mpmath(name: str, point: float) -> None:
    ours, exact = FUNCTIONS[name]
    found = Derivatives(model_of(ours, point)).taylor([point], [1.0], 20)
    with mpmath.workdps(60):
        expected = np.array([float(c) for c in mpmath.taylor(exact, mpmath.mpf(point), 20)])
    # A coefficient may be small beside its neighbours, of whose products it is a difference.
    near_by = np.array([np.max(np.abs(expected[max(0, k - 2) : k + 3])) for k in range(21)])
    assert np.all(np.abs(found - expected) <= 1e-12 * near_by)


def test_polynomials_end_exactly_also_where_a_power_vanishes() -> None:
    found = Derivatives(model_of(lambda x: s.power(x, 3.0) - 2.0 * x + 1.0, 0.0)).taylor([0.0], [1.0], 6)
    assert found.tolist() == [1.0, -2.0, 0.0, 1.0, 0.0, 0.0, 0.0]


def test_log_gamma_whose_derivatives_are_new_functions() -> None:
    found = Derivatives(model_of(s.gammaln, 2.5)).taylor([2.5], [1.0], 12)
    with mpmath.workdps(40):
        polygammas = [float(mpmath.psi(k - 1, mpmath.mpf(2.5)) / mpmath.factorial(k)) for k in range(1, 13)]
    np.testing.assert_allclose(found[1:], polygammas, rtol=1e-13)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_along_directions_against_gradient_and_hessian(example: Example) -> None:
    model = example.model()
    derivatives, theta, v = Derivatives(model), model.start(), RNG.normal(size=model.size)
    found = derivatives.taylor(theta, v, 3)
    assert found.shape == (4, *derivatives.value(theta).shape)
    for k, expected in enumerate(
        [derivatives.value(theta), derivatives.jvp(theta, v), derivatives.hvp(theta, v) @ v / 2.0]
    ):
        np.testing.assert_allclose(found[k], expected, rtol=1e-12, atol=1e-12)
    points = np.stack([theta, theta + 0.125, theta - 0.25])
    several = derivatives.taylor(points, v, 3)
    np.testing.assert_allclose(several, [derivatives.taylor(x, v, 3) for x in points], rtol=1e-13, atol=1e-13)
    # the series is the function nearby
    near = derivatives.value(theta + 1e-3 * v)
    np.testing.assert_allclose(np.tensordot(1e-3 ** np.arange(4), found, 1), near, rtol=1e-8, atol=1e-9)


def nested(node: Node, moved: dict[Node, Symbol], order: int) -> list[Node]:
    """Forward mode of forward mode of ...: k! c_k."""
    found = [node]
    for _ in range(order):
        found.append(jvp([found[-1]], moved)[0].node)
    return found


@pytest.mark.parametrize("case", [c for c in CASES if OPS[c.op].result == "real"], ids=str)
def test_every_op_row_against_nested_forward_mode(case: Case) -> None:
    rng = np.random.default_rng(zlib.crc32(case.op.encode()))
    operands, pieces, values = [], 0, []
    drawn = {}
    for k, shape in enumerate(case.shapes):
        if k not in case.fixed:
            x = rng.uniform(case.low, case.high, shape)
            drawn[k] = x if case.prepare is None else case.prepare(x)
    theta = parameter("theta", (sum(x.size for x in drawn.values()),))
    for k in range(len(case.shapes)):
        if k in case.fixed:
            array = np.asarray(case.fixed[k])
            operands.append(s.greater(np.where(array, 1.0, 0.0), 0.5) if array.dtype == bool else Symbol(s.lift(array)))
            continue
        part = s.slice_of(theta, [(pieces, pieces + drawn[k].size)])
        # Curved, so that every operand has coefficients of every order.
        operands.append(s.reshape(part * s.exp(0.25 * (part - drawn[k].ravel())), drawn[k].shape))
        pieces += drawn[k].size
        values.append(drawn[k].ravel())
    node = make(case.op, [x.node for x in operands], case.attributes)
    v = Symbol(s.lift(0.5 * rng.normal(size=theta.shape)))
    coefficients = taylor(node, theta.node, v, 3)
    ours = [s.zeros(node.shape).node if c is None else c.node for c in coefficients]
    point = {"theta": np.concatenate(values)}
    found = interpret(Graph((theta.node,), tuple(ours)), point)
    expected = interpret(Graph((theta.node,), tuple(nested(node, {theta.node: v}, 3))), point)
    for k, (x, y) in enumerate(zip(found, expected, strict=True)):
        scale = max(1.0, float(np.max(np.abs(y), initial=0.0)))
        np.testing.assert_allclose(x * factorial(k), y, rtol=1e-10, atol=1e-10 * scale)


def test_inverse_and_determinant_of_a_moving_matrix() -> None:
    A, B = RNG.normal(size=(3, 3)) + 3 * np.eye(3), RNG.normal(size=(3, 3))
    inverse = Derivatives(model_of(s.inv, A)).taylor(A.ravel(), B.ravel(), 6)
    term = np.linalg.inv(A)
    for coefficient in inverse:
        np.testing.assert_allclose(coefficient, term, rtol=1e-11, atol=1e-13)
        term = -np.linalg.inv(A) @ B @ term
    determinant = Derivatives(model_of(s.det, A)).taylor(A.ravel(), B.ravel(), 5)
    t = np.arange(4) / 2.0
    cubic = np.linalg.solve(np.vander(t, increasing=True), [np.linalg.det(A + x * B) for x in t])
    np.testing.assert_allclose(determinant, [*cubic, 0.0, 0.0], rtol=1e-10, atol=1e-10)


def test_a_system_whose_matrix_and_right_side_move() -> None:
    """(A + t B) y = b + t c: A y_0 = b, A y_1 = c - B y_0, A y_k = -B y_(k-1)."""
    A, B = RNG.normal(size=(3, 3)) + 3 * np.eye(3), RNG.normal(size=(3, 3))
    for b, c in [(RNG.normal(size=3), RNG.normal(size=3)), (RNG.normal(size=(3, 2)), RNG.normal(size=(3, 2)))]:
        model = Expression.trace(lambda p: np.linalg.solve(p["A"], p["b"]), start={"A": A, "b": b})
        found = Derivatives(model).taylor(model.start(), np.concatenate([B.ravel(), c.ravel()]), 5)
        rest = b
        for k, coefficient in enumerate(found):
            expected = np.linalg.solve(A, rest)
            np.testing.assert_allclose(coefficient, expected, rtol=1e-11, atol=1e-13)
            rest = (c if k == 0 else 0.0) - B @ expected


def test_a_deep_chain_is_expanded_without_recursion() -> None:
    def chain(x: Symbol) -> Symbol:
        for _ in range(2_000):
            x = s.sin(x)
        return x

    found = Derivatives(model_of(chain, 0.5)).taylor([0.5], [1.0], 2)
    x, slope = 0.5, 1.0
    for _ in range(2_000):
        slope *= np.cos(x)
        x = np.sin(x)
    np.testing.assert_allclose(found[:2], [x, slope], rtol=1e-10)


def test_orders_that_cannot_be() -> None:
    derivatives = Derivatives(model_of(s.exp, 0.5))
    for order in (-1, 65, 1.5, True):
        with pytest.raises(InvalidModel, match="from 0 to 64") as refused:
            derivatives.taylor([0.5], [1.0], order)  # type: ignore[arg-type]
        assert refused.value.field == "order"
    np.testing.assert_allclose(
        derivatives.taylor([0.5], [1.0], 64), [np.exp(0.5) / factorial(k) for k in range(65)], rtol=1e-13
    )
