"""Reductions: numpy's values over any axes, derivatives where they are delicate, extremes, and rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special

from nablad.expressions import ROWS, Graph, ShapeError, Symbol, constant, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.plan import Workspace, compile_plan
from nablad.solvers.autodiff.simplify import simplify
from nablad.solvers.autodiff.transform import gradient, jvp, vjp

REDUCTIONS: dict[str, tuple[Callable[..., Symbol], Callable[..., Any]]] = {
    "sum": (s.sum, np.sum),
    "mean": (s.mean, np.mean),
    "prod": (s.prod, np.prod),
    "max": (s.max, np.max),
    "min": (s.min, np.min),
    "var": (s.var, np.var),
    "std": (s.std, np.std),
    "sample variance": (
        lambda x, axes=None, keepdims=False: s.var(x, axes, keepdims, ddof=1),
        lambda x, axis, keepdims: np.var(x, axis, keepdims=keepdims, ddof=1),
    ),
    "norm": (
        lambda x, axes=None, keepdims=False: s.norm(x, axes, keepdims=keepdims),
        lambda x, axis, keepdims: np.sqrt(np.sum(x**2, axis, keepdims=keepdims)),
    ),
    "sum of absolute values": (
        lambda x, axes=None, keepdims=False: s.norm(x, axes, 1, keepdims),
        lambda x, axis, keepdims: np.sum(np.abs(x), axis, keepdims=keepdims),
    ),
    "largest absolute value": (
        lambda x, axes=None, keepdims=False: s.norm(x, axes, np.inf, keepdims),
        lambda x, axis, keepdims: np.max(np.abs(x), axis, keepdims=keepdims),
    ),
    "logsumexp": (s.logsumexp, scipy.special.logsumexp),
}


def values_of(x: Symbol, outputs: list[Symbol], point: Any) -> list[Any]:
    with np.errstate(all="ignore"):
        return list(interpret(Graph((x.node,), tuple(y.node for y in outputs)), {"x": point}))


def gradient_at(f: Callable[[Symbol], Symbol], point: Any) -> Any:
    x = parameter("x", np.shape(point))
    return values_of(x, list(gradient(f(x).node, [x.node])), point)[0]


def hessian_at(f: Callable[[Symbol], Symbol], point: Any) -> Any:
    x = parameter("x", np.shape(point))
    (first,) = gradient(f(x).node, [x.node])
    columns = [jvp([first.node], {x.node: Symbol(constant(e))})[0] for e in np.eye(len(point))]
    return np.stack(values_of(x, columns, point))


@pytest.mark.filterwarnings("ignore:Degrees of freedom")
@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axes", [None, 0, -1, (0, 2), (1,), (2, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 5, 1)])
def test_numpys_values_over_any_axes(name: str, axes: Any, keepdims: bool, shape: tuple[int, ...]) -> None:
    ours, theirs = REDUCTIONS[name]
    point = np.random.default_rng(0).normal(size=shape)
    x = parameter("x", shape)
    y = ours(x, axes, keepdims)
    with np.errstate(all="ignore"):
        expected = theirs(point, axis=axes, keepdims=keepdims)
    (value,) = values_of(x, [y], point)
    assert value.shape == y.shape == np.shape(expected)
    np.testing.assert_allclose(value, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("axis", [None, 0, -1])
def test_running_sums(axis: int | None) -> None:
    point = np.random.default_rng(1).normal(size=(3, 4))
    x = parameter("x", (3, 4))
    (value,) = values_of(x, [s.cumsum(x, axis)], point)
    np.testing.assert_allclose(value, np.cumsum(point, axis), rtol=1e-14)


@pytest.mark.parametrize(
    "point",
    [[2.0, 3.0, 5.0, 7.0, 0.5], [0.0, 3.0, 5.0, 7.0, 0.5], [2.0, 0.0, 5.0, 0.0, 0.5], [0.0, 0.0, 0.0, 1.0, 2.0]],
)
def test_derivatives_of_a_product_with_zero_factors(point: list[float]) -> None:
    """Each is the product of the factors that are left."""

    def without(*places: int) -> float:
        return float(np.prod([v for k, v in enumerate(point) if k not in places]))

    n = len(point)
    np.testing.assert_allclose(gradient_at(s.prod, point), [without(k) for k in range(n)], rtol=1e-15)
    second = [[0.0 if j == k else without(j, k) for k in range(n)] for j in range(n)]
    np.testing.assert_allclose(hessian_at(s.prod, point), second, rtol=1e-15)


def test_the_product_of_nothing_is_one() -> None:
    x = parameter("x", (3, 0))
    (value,) = values_of(x, [s.prod(x, 1)], np.ones((3, 0)))
    np.testing.assert_array_equal(value, [1.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("f", "point", "expected"),
    [
        (s.max, [1.0, 3.0, 3.0], [0.0, 0.5, 0.5]),
        (s.min, [1.0, 1.0, 1.0, 2.0], [1 / 3, 1 / 3, 1 / 3, 0.0]),
        (s.norm, [0.0, 0.0], [0.0, 0.0]),
        (s.norm, [3e-310, 4e-310], [0.6, 0.8]),
        (s.norm, [3e200, 4e200], [0.6, 0.8]),
        (s.std, [2.0, 2.0, 2.0], [0.0, 0.0, 0.0]),
        (lambda x: s.norm(x, order=1), [0.0, -2.0, 3.0], [0.0, -1.0, 1.0]),
        (lambda x: s.norm(x, order=np.inf), [2.0, 1.0, -2.0], [0.5, 0.0, -0.5]),
        (lambda x: s.sqrt(s.max(x)), [-1.0, 0.0], [0.0, np.inf]),
    ],
)
def test_documented_conventions(f: Callable[[Symbol], Symbol], point: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(gradient_at(f, point), expected, rtol=1e-12)


def test_a_norm_at_zero_leaks_no_nan_into_second_derivatives() -> None:
    np.testing.assert_array_equal(hessian_at(lambda x: s.norm(x) + s.sum(s.square(x)), [0.0, 0.0]), 2 * np.eye(2))


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e300])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_norm_neither_overflows_nor_underflows(scale: float, dtype: Any) -> None:
    with np.errstate(all="ignore"):
        point = (np.array([[3.0, -4.0], [1.0, 1.0], [0.0, 0.0], [np.inf, 1.0]]) * scale).astype(dtype)
        expected = np.hypot(point[:, 0], point[:, 1])
    x = parameter("x", (4, 2))
    graph = Graph((x.node,), (s.norm(x, 1).node,))
    with np.errstate(all="ignore"):
        results = [
            interpret(graph, {"x": point})[0],
            Workspace(compile_plan(graph, np.dtype(dtype)), 1).run([point])[0],
        ]
    for result in results:
        assert result.dtype == dtype
        np.testing.assert_allclose(result, expected, rtol=4 * np.finfo(dtype).eps)


def test_the_curvature_of_a_norm() -> None:
    """(I - u u') / ||x||, against 40 digits."""
    point = [1.5, -2.0, 0.25]
    with mpmath.workdps(40):
        length = mpmath.norm([mpmath.mpf(v) for v in point])
        exact = [
            [((j == k) - mpmath.mpf(a) * b / length**2) / length for k, b in enumerate(point)]
            for j, a in enumerate(point)
        ]
        expected = np.array(exact, dtype=float)
    np.testing.assert_allclose(hessian_at(s.norm, point), expected, rtol=1e-14)


@pytest.mark.parametrize("axis", [-1, 0])
def test_logsumexp_near_zero_keeps_its_digits(axis: int) -> None:
    rows = [[0.0, -40.0, -50.0], [-1e-3, -7.0, -300.0], [-45.0, 0.0, -44.0], [-30.0, 1e-9, -np.inf]]
    points = np.array(rows) if axis else np.array(rows).T
    with mpmath.workdps(60):
        wanted = [float(mpmath.log(sum(mpmath.exp(mpmath.mpf(t)) for t in row))) for row in rows]
    x = parameter("x", points.shape)
    y = s.logsumexp(x, axis)
    graph = Graph((x.node,), (y.node,))
    np.testing.assert_allclose(values_of(x, [y], points)[0], wanted, rtol=4e-15)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(Workspace(compile_plan(graph, points.dtype), 1).run([points])[0], wanted, rtol=4e-15)
    (alone,) = values_of(parameter("x", (3,)), [s.logsumexp(parameter("x", (3,)))], rows[0])
    np.testing.assert_allclose(alone, wanted[0], rtol=4e-15)


def test_logsumexp_and_softmax_of_large_numbers() -> None:
    x = parameter("x", (3,))
    point = np.array([1000.0, 1000.0, -1000.0])
    value, share = values_of(x, [s.logsumexp(x), s.softmax(x)], point)
    np.testing.assert_allclose(value, 1000 + np.log(2))
    np.testing.assert_allclose(share, [0.5, 0.5, 0.0], rtol=1e-12)
    np.testing.assert_allclose(gradient_at(s.logsumexp, point), [0.5, 0.5, 0.0], rtol=1e-12)


@pytest.mark.parametrize("name", sorted(set(REDUCTIONS) - {"prod"}))
@pytest.mark.parametrize("axes", [None, 0, (0, 1), 1])
def test_over_the_data_rows(name: str, axes: Any) -> None:
    """N is not known while the graph is made; values and gradients are those of numpy and of the graph with N known."""
    ours, theirs = REDUCTIONS[name]
    point = np.random.default_rng(2).normal(size=(6, 3))
    columns, theta = data("x", (ROWS, 3)), parameter("theta", (3,))
    y = ours(columns * theta, axes)
    (slope,) = vjp([y.node], [theta.node], [s.broadcast_to(1.0, y.shape)])
    given = {"x": point, "theta": np.array([0.5, -1.0, 2.0])}
    free = interpret(simplify(Graph((columns.node, theta.node), (y.node, slope.node))), given)
    np.testing.assert_allclose(free[0], theirs(point * given["theta"], axis=axes, keepdims=False), rtol=1e-13)
    fixed = data("x", (6, 3))
    z = ours(fixed * theta, axes)
    (again,) = vjp([z.node], [theta.node], [s.broadcast_to(1.0, z.shape)])
    bound = interpret(simplify(Graph((fixed.node, theta.node), (z.node, again.node))), given)
    np.testing.assert_allclose(free[1], bound[1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: s.prod(data("x", (ROWS, 2)), 0), "axis of the data rows"),
        (lambda: s.max(parameter("x", (0, 2)), 0), "of no numbers"),
        (lambda: s.logsumexp(parameter("x", (2, 0)), 1), "at least one"),
        (lambda: s.sum(parameter("x", (2,)), 1), "axis 1 is not an axis"),
        (lambda: s.mean(parameter("x", (2, 2)), (0, 0)), "twice"),
        (lambda: s.cumsum(parameter("x", (2,)), -2), "axis -2 is not an axis"),
    ],
)
def test_what_does_not_fit_is_said(build: Callable[[], Symbol], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        build()


def test_norms_of_other_orders_are_refused() -> None:
    with pytest.raises(ValueError, match="order may be 1, 2, inf"):
        s.norm(parameter("x", (2,)), order=3)
