"""Relative accuracy of values, first and second derivatives of pointwise functions, near 0 and far out, by mpmath.

The oracle takes difference quotients in hundreds of digits, so that what remains of a tail still has dozens of them;
the gamma family, slow in so many digits, has mpmath's own derivatives. Everything is to be right to 1e-13 of itself.
Left out are the close neighbourhoods of a function's zeros other than x = 0, where no function of rounded numbers is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import mpmath as m
import numpy as np
import pytest

from nablad.expressions import Graph, Symbol, constant, parameter
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.kernels.native import available
from nablad.solvers.autodiff.plan import Workspace, compile_plan
from nablad.solvers.autodiff.transform import jvp

TOLERANCE = 1e-13
LIBRARY = {"normal_cdf": 4e-13, "gelu": 4e-13}
"""scipy's ndtr rounds x / sqrt(2), which the left tail multiplies by x^2; the kernels' does not."""

DIGITS = 420
"""1 - tanh(300) is 1e-260; its second difference at h = 1e-25 still has a hundred digits."""

Function = Callable[[Any], Any]


def around_zero(*points: float) -> list[float]:
    return [-x for x in points] + list(points)


NEAR = (1e-8, 1e-5, 1e-3, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
ALL = around_zero(*NEAR)
FAR = around_zero(*NEAR, 40.0, 100.0, 300.0)
BELL = around_zero(*NEAR, 4.0, 8.0, 15.0, 26.0)
INSIDE = around_zero(1e-8, 1e-5, 0.1, 0.5, 0.9, 0.999, 1 - 1e-9, 1 - 1e-15)
RIGHT = [1e-120, 1e-8, 0.1, 0.999999, 1.0000001, 1.5, 10.0, 1e8, 1e150]
LEFT_OF_ZERO = [-0.6, -1.3, -2.7, -20.6, -150.3]
GAMMA = [1e-8, 0.1, 0.4, 1.1, 1.4, 1.7, 2.2, 3.3, 10.0, 50.0, 150.0]


def _logistic(x: Any) -> Any:
    return 1 / (1 + m.exp(-x))


def _normal(x: Any) -> Any:
    return m.erfc(-x / m.sqrt(2)) / 2


UNARY: dict[str, tuple[Callable[[Symbol], Symbol], Function, Sequence[float]]] = {
    "square": (s.square, lambda x: x**2, around_zero(1e-100, 1e-8, 0.5, 3.0, 1e50)),
    "reciprocal": (s.reciprocal, lambda x: 1 / x, around_zero(1e-90, 1e-8, 0.5, 3.0, 1e90)),
    "sqrt": (s.sqrt, m.sqrt, [1e-150, 1e-8, 0.5, 1.0, 2.0, 3e5, 1e150]),
    "cbrt": (s.cbrt, lambda x: m.sign(x) * m.cbrt(abs(x)), around_zero(1e-150, 1e-8, 0.5, 2.0, 3e5, 1e150)),
    "x ** 2.5": (lambda x: s.power(x, 2.5), lambda x: x ** m.mpf(2.5), [1e-90, 1e-8, 0.5, 3.0, 1e50]),
    "x ** 3": (lambda x: s.power(x, 3), lambda x: x**3, around_zero(1e-90, 1e-8, 0.5, 3.0, 1e50)),
    "x ** -2": (lambda x: s.power(x, -2), lambda x: x**-2, around_zero(1e-50, 1e-8, 0.5, 3.0, 1e50)),
    "one_minus_square": (s.one_minus_square, lambda x: 1 - x**2, INSIDE),
    "exp": (s.exp, m.exp, around_zero(*NEAR, 700.0)),
    "exp2": (s.exp2, lambda x: m.mpf(2) ** x, around_zero(*NEAR, 1000.0)),
    "expm1": (s.expm1, m.expm1, FAR),
    "log": (s.log, m.log, RIGHT),
    "log2": (s.log2, lambda x: m.log(x) / m.log(2), RIGHT),
    "log10": (s.log10, m.log10, RIGHT),
    "log1p": (s.log1p, m.log1p, [-1 + 1e-12, -0.999, -0.5, *around_zero(1e-3, 1e-8), 0.5, 3.0, 1e8]),
    "sigmoid": (s.sigmoid, _logistic, FAR),
    "sigmoid_slope": (s.sigmoid_slope, lambda x: _logistic(x) * _logistic(-x), FAR),
    "softplus": (s.softplus, lambda x: m.log1p(m.exp(x)), FAR),
    "silu": (s.silu, lambda x: x * _logistic(x), [x for x in FAR if abs(x) != 1.5]),
    "sin": (s.sin, m.sin, around_zero(*NEAR, 3.14159, 100.0, 1e5)),
    "cos": (s.cos, m.cos, around_zero(*NEAR, 1.570796, 100.0, 1e5)),
    "tan": (s.tan, m.tan, around_zero(*NEAR, 1.57, 100.0, 1e5)),
    "sinc": (s.sinc, lambda x: m.sinpi(x) / (m.pi * x), around_zero(1e-8, 1e-3, 0.1, 0.3, 0.31, 0.32, 0.5, 0.9, 1.6)),
    "arcsin": (s.arcsin, m.asin, INSIDE),
    "arccos": (s.arccos, m.acos, INSIDE),
    "arctan": (s.arctan, m.atan, [*ALL, 1e5, 1e50]),
    "sinh": (s.sinh, m.sinh, FAR),
    "cosh": (s.cosh, m.cosh, FAR),
    "tanh": (s.tanh, m.tanh, [*FAR, 2.7, 2.77, 3.4, 3.46, 3.47, 3.5, 9.0]),
    "arcsinh": (s.arcsinh, m.asinh, [*ALL, 1e8, 1e90]),
    "arccosh": (s.arccosh, m.acosh, [1 + 1e-12, 1.001, 1.1, 2.0, 10.0, 1e8, 1e90]),
    "arctanh": (s.arctanh, m.atanh, INSIDE),
    "erf": (s.erf, m.erf, BELL),
    "erfc": (s.erfc, m.erfc, BELL),
    "normal_cdf": (s.normal_cdf, _normal, [*BELL, -37.0, 37.0]),
    "gelu": (s.gelu, lambda x: x * _normal(x), [x for x in BELL if abs(x) not in (0.5, 1.5)]),
}


def derivatives(f: Callable[[Symbol], Symbol], points: Sequence[float]) -> dict[str, list[Any]]:
    """f, f' and f'' at all points, by the interpreter and by a plan."""
    x = parameter("x", (len(points),))
    outputs = [f(x)]
    for _ in range(2):
        outputs += jvp([outputs[-1].node], {x.node: Symbol(constant(np.ones(len(points))))})
    graph = Graph((x.node,), tuple(y.node for y in outputs))
    given = np.array(points)
    with np.errstate(all="ignore"):
        results = interpret(graph, {"x": given})
        planned = Workspace(compile_plan(graph, np.dtype(float)), 1).run([given])
    return {"interpreted": list(results), "planned": list(planned)}


def step(x: Any) -> Any:
    """Small beside x and beside its distance from the singularities at -1 and 1."""
    return m.mpf(10) ** -25 * min(d for d in (abs(x), abs(1 - x), abs(1 + x)) if d)


def exact(f: Function, point: float) -> list[Any]:
    x = m.mpf(point)
    h = step(x)
    before, here, after = f(x - h), f(x), f(x + h)
    return [here, (after - before) / (2 * h), (after - 2 * here + before) / h**2]


def assert_close(
    ours: Any, exact_values: Sequence[Any], points: Sequence[Any], what: str, tolerance: float = TOLERANCE
) -> None:
    for computed, true, point in zip(ours, exact_values, points, strict=True):
        if abs(true) < 1e-300:  # below the normal numbers there are no relative errors
            assert abs(computed) < 1e-299, (what, point)
        else:
            assert abs((m.mpf(float(computed)) - true) / true) <= tolerance, (what, point, computed)


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_variable(name: str) -> None:
    f, g, points = UNARY[name]
    ours = derivatives(f, points)
    with m.workdps(DIGITS):
        truth = [exact(g, x) for x in points]
        for way, order in itertools.product(ours, range(3)):
            assert_close(
                ours[way][order],
                [t[order] for t in truth],
                points,
                f"{name}, {way}, derivative {order}",
                LIBRARY.get(name, TOLERANCE) if way == "interpreted" or not available() else TOLERANCE,
            )


SPECIAL: dict[str, tuple[Callable[[Symbol], Symbol], Sequence[Function], Sequence[float]]] = {
    "gamma": (
        s.gamma,
        [
            m.gamma,
            lambda x: m.gamma(x) * m.digamma(x),
            lambda x: m.gamma(x) * (m.digamma(x) ** 2 + m.polygamma(1, x)),
        ],
        [*GAMMA, *LEFT_OF_ZERO],
    ),
    "gammaln": (s.gammaln, [m.loggamma, m.digamma, lambda x: m.polygamma(1, x)], [*GAMMA, 1e5, 1e90]),
    "digamma": (s.digamma, [lambda x, n=n: m.polygamma(n, x) for n in range(3)], [*GAMMA, *LEFT_OF_ZERO, 1e5]),
    "polygamma(1)": (
        lambda x: s.polygamma(1, x),
        [lambda x, n=n: m.polygamma(n, x) for n in range(1, 4)],
        [*GAMMA, *LEFT_OF_ZERO, 1e5],
    ),
    "polygamma(4)": (
        lambda x: s.polygamma(4, x),
        [lambda x, n=n: m.polygamma(n, x) for n in range(4, 7)],
        [*GAMMA[1:], *LEFT_OF_ZERO, 1e5],
    ),
    "erfinv": (
        s.erfinv,
        [
            m.erfinv,
            lambda x: m.sqrt(m.pi) / 2 * m.exp(m.erfinv(x) ** 2),
            lambda x: m.pi / 2 * m.erfinv(x) * m.exp(2 * m.erfinv(x) ** 2),
        ],
        around_zero(1e-8, 1e-5, 1e-3, 0.1, 0.5, 0.9, 0.99, 0.999999, 1 - 1e-12),
    ),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_the_gamma_family_and_the_inverse_error_function(name: str) -> None:
    f, exact_values, points = SPECIAL[name]
    ours = derivatives(f, points)
    with m.workdps(50):
        for order, g in enumerate(exact_values):
            truth = [g(m.mpf(x)) for x in points]
            for way, found in ours.items():
                assert_close(found[order], truth, points, f"{name}, {way}, derivative {order}")


BINARY: dict[str, tuple[Callable[..., Symbol], Callable[..., Any], list[tuple[float, float]]]] = {
    "x / y": (s.divide, lambda x, y: x / y, [(1e-90, 3.0), (2.0, -1e80), (-0.7, 0.3)]),
    "x ** y": (
        s.power,
        lambda x, y: x**y,
        [(0.5, 3.0), (2.0, -1.5), (1e-8, 0.25), (1.001, 200.0), (9.0, 1e-8), (3.0, 0.0)],
    ),
    "hypot": (
        s.hypot,
        lambda x, y: m.sqrt(x**2 + y**2),
        [(3.0, 4.0), (0.1, 0.2), (-5.0, 2.0), (1e90, -2e90), (1e-90, 3e-90)],
    ),
    "arctan2": (
        s.arctan2,
        lambda y, x: m.atan2(y, x),
        [(1.0, 2.0), (1e-8, -1.0), (-3.0, 1e-5), (-2.0, -0.5), (1e90, 2e90)],
    ),
    "logaddexp": (
        s.logaddexp,
        lambda x, y: m.log(m.exp(x) + m.exp(y)),
        [(1.0, 2.0), (300.0, 1.0), (-5.0, -300.0), (0.1, 0.1)],
    ),
}


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_variables(name: str) -> None:
    """Value, gradient, and all of the Hessian."""
    f, g, points = BINARY[name]
    given = np.array(points)
    x, y = parameter("x", (len(points),)), parameter("y", (len(points),))
    one = Symbol(constant(np.ones(len(points))))
    value = f(x, y)
    first = [jvp([value.node], {v.node: one})[0] for v in (x, y)]
    second = [jvp([d.node], {v.node: one})[0] for d in first for v in (x, y)]
    graph = Graph((x.node, y.node), tuple(z.node for z in [value, *first, *second]))
    ours = interpret(graph, {"x": given[:, 0], "y": given[:, 1]})
    with m.workdps(DIGITS):
        truth = [exact_plane(g, *point) for point in points]
        for k, what in enumerate(["value", "x", "y", "xx", "xy", "yx", "yy"]):
            assert_close(ours[k], [t[k] for t in truth], points, f"{name}, {what}")


def exact_plane(g: Callable[..., Any], x: float, y: float) -> list[Any]:
    a, b = m.mpf(x), m.mpf(y)
    h, k = (m.mpf(10) ** -25 * (abs(v) or 1) for v in (a, b))
    here = g(a, b)
    mixed = (g(a + h, b + k) - g(a + h, b - k) - g(a - h, b + k) + g(a - h, b - k)) / (4 * h * k)
    return [
        here,
        (g(a + h, b) - g(a - h, b)) / (2 * h),
        (g(a, b + k) - g(a, b - k)) / (2 * k),
        (g(a + h, b) - 2 * here + g(a - h, b)) / h**2,
        mixed,
        mixed,
        (g(a, b + k) - 2 * here + g(a, b - k)) / k**2,
    ]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_polygamma_far_left_of_zero_is_quick(order: int) -> None:
    """scipy's series would have a million million terms."""
    x = -1e12 - 0.5
    x_node = parameter("x", ())
    (ours,) = interpret(Graph((x_node.node,), (s.polygamma(order, x_node).node,)), {"x": x})
    # Far left the other half of the reflection is negligible, and at half a period it is a table value.
    expected = {1: math.pi**2, 2: 0.0, 3: 2 * math.pi**4}[order]
    np.testing.assert_allclose(ours, expected, rtol=1e-11, atol=1e-13)
