"""Derivatives of whole graphs: the lecture's examples, depth, structure, and what simplification must not do."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from nablad.expressions import ROWS, Graph, Symbol, constant, data, parameter, topological
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.batching import batch
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.plan import Workspace, compile_plan
from nablad.solvers.autodiff.simplify import simplify
from nablad.solvers.autodiff.structure import Linearity, linearity
from nablad.solvers.autodiff.transform import gradient, jvp, vjp


@pytest.mark.parametrize("point", [-1.3, 0.4, 1.1])
def test_the_lectures_backpropagation_example(point: float) -> None:
    """f(x) = sqrt(x^2 + exp(x^2)) + cos(x^2 + exp(x^2)), and its second derivative by reverse over reverse."""
    x = parameter("x", ())
    inner = s.square(x) + s.exp(s.square(x))
    f = s.sqrt(inner) + s.cos(inner)
    (first,) = gradient(f.node, [x.node])
    (second,) = gradient(first.node, [x.node])
    ours = interpret(simplify(Graph((x.node,), (f.node, first.node, second.node))), {"x": point})

    def exact(t: mpmath.mpf) -> mpmath.mpf:
        c = t**2 + mpmath.exp(t**2)
        return mpmath.sqrt(c) + mpmath.cos(c)

    with mpmath.workdps(40):
        expected = [float(mpmath.diff(exact, mpmath.mpf(point), k)) for k in range(3)]
    np.testing.assert_allclose(ours, expected, rtol=1e-13)


def test_common_subexpressions_are_shared_with_the_derivative() -> None:
    x = parameter("x", ())
    f = s.exp(s.square(x))
    (first,) = gradient(f.node, [x.node])
    ops = [node.op for node in topological([f.node, first.node])]
    assert ops.count("exp") == 1
    assert ops.count("square") == 1


def test_broadcasting_is_undone() -> None:
    rng = np.random.default_rng(0)
    a, b, c = parameter("a", (3, 1)), parameter("b", (4,)), parameter("c", ())
    f = s.sum(s.tanh(a * b + c))
    grads = gradient(f.node, [a.node, b.node, c.node])
    assert [g.shape for g in grads] == [(3, 1), (4,), ()]
    values = {"a": rng.normal(size=(3, 1)), "b": rng.normal(size=4), "c": rng.normal()}
    ours = interpret(Graph((a.node, b.node, c.node), tuple(g.node for g in grads)), values)
    slope = 1 - np.tanh(values["a"] * values["b"] + values["c"]) ** 2
    np.testing.assert_allclose(ours[0], (slope * values["b"]).sum(1, keepdims=True))
    np.testing.assert_allclose(ours[1], (slope * values["a"]).sum(0))
    np.testing.assert_allclose(ours[2], slope.sum())


def test_what_does_not_matter_has_a_zero_derivative() -> None:
    x, y = parameter("x", (2,)), parameter("y", (3,))
    f = s.sum(s.exp(x))
    (g,) = gradient(f.node, [y.node])
    (t,) = jvp([f.node], {y.node: s.ones((3,))})
    results = interpret(Graph((x.node, y.node), (g.node, t.node)), {"x": np.ones(2), "y": np.ones(3)})
    assert [r.tolist() for r in results] == [[0.0] * 3, 0.0]


def test_element_by_element_reads_stay_linear() -> None:
    """Reading n elements one by one: the gradient has O(n) nodes, whose cotangents meet in one scatter."""
    n = 2_000
    x = parameter("x", (n,))
    total = Symbol(constant(0.0))
    for k in range(n):
        total = total + s.square(s.reshape(s.slice_of(x, [(k, k + 1)]), ()))
    (g,) = gradient(total.node, [x.node])
    nodes = topological([g.node])
    assert sum(node.op == "scatter" and len(node.operands) > 1 for node in nodes) == 1
    point = np.arange(n, dtype=float)
    (ours,) = interpret(simplify(Graph((x.node,), (g.node,))), {"x": point})
    np.testing.assert_array_equal(ours, 2 * point)


def test_a_hundred_thousand_nodes_deep() -> None:
    depth = 25_000
    x = parameter("x", ())
    y: Symbol = x
    for _ in range(depth):
        y = s.sin(y) + 1.0
    (g,) = gradient(y.node, [x.node])
    graph = simplify(Graph((x.node,), (y.node, g.node)))
    assert len(graph.nodes) >= 4 * depth
    plan = compile_plan(graph, np.dtype(float))
    value, slope = Workspace(plan, 1).run([np.array(0.3)])
    t, dt = 0.3, 1.0
    for _ in range(depth):
        t, dt = np.sin(t) + 1.0, dt * np.cos(t)
    assert value == pytest.approx(t, rel=1e-12)
    assert slope == pytest.approx(dt, rel=1e-9, abs=1e-300)


def test_reverse_and_forward_agree_on_a_mixed_graph() -> None:
    rng = np.random.default_rng(1)
    A, b = parameter("A", (4, 3)), parameter("b", (3,))
    f = s.logsumexp(s.concatenate([A @ b, s.softplus(b)], 0) * 0.5)
    values = {"A": rng.normal(size=(4, 3)), "b": rng.normal(size=3)}
    dA, db = rng.normal(size=(4, 3)), rng.normal(size=3)
    grads = vjp([f.node], [A.node, b.node], [Symbol(constant(1.0))])
    (t,) = jvp([f.node], {A.node: Symbol(constant(dA)), b.node: Symbol(constant(db))})
    gA, gb, forward = interpret(Graph((A.node, b.node), (*(g.node for g in grads), t.node)), values)
    np.testing.assert_allclose(np.sum(gA * dA) + gb @ db, forward, rtol=1e-13)


def test_only_scalars_have_gradients() -> None:
    x = parameter("x", (2,))
    with pytest.raises(ValueError, match="scalar"):
        gradient(x.node, [x.node])


def test_zero_times_x_is_never_zero() -> None:
    x = parameter("x", (2,))
    graph = simplify(Graph((x.node,), ((0.0 * x).node, (x * 0.0 + s.square(x) * 0.0).node)))
    with np.errstate(all="ignore"):
        results = interpret(graph, {"x": np.array([np.nan, np.inf])})
    assert np.all(np.isnan(results))


def test_simplification_changes_no_value() -> None:
    rng = np.random.default_rng(5)
    x = parameter("x", (3, 4))
    y = -(-1.0 * x) + (-s.exp(x)) - (-s.reshape(s.reshape(x, (12,)), (3, 4)))
    y = s.transpose(s.transpose(y)) / 1.0 + s.broadcast_to(s.sum(x, [0]), (3, 4)) * s.broadcast_to(2.0, (3, 4))
    y = y + y - (-(3.0 * x))
    graph = Graph((x.node,), (y.node,))
    simpler = simplify(graph)
    point = {"x": rng.normal(size=(3, 4))}
    np.testing.assert_array_equal(interpret(graph, point), interpret(simpler, point))
    assert len(simpler.nodes) < len(graph.nodes) - 8


def test_the_jacobian_of_an_affine_map_is_its_matrix_and_costs_no_product() -> None:
    features, theta = data("features", (ROWS, 3)), parameter("theta", (3,))
    v = parameter("v", (3,))
    (column,) = jvp([(features @ theta).node], {theta.node: v})
    (jacobian,) = batch([column.node], {v.node: s.eye(3)}, 3)
    graph = simplify(Graph((theta.node, features.node), (jacobian.node,)))
    assert [node.op for node in graph.nodes] == ["input", "transpose"]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda x: s.zeros((2,)) + 1.0, Linearity.CONSTANT),
        (lambda x: 3.0 * x - 1.0, Linearity.AFFINE),
        (lambda x: s.matmul(np.eye(2), x), Linearity.AFFINE),
        (lambda x: s.concatenate([x, s.reshape(x, (2,))], 0) / 2.0, Linearity.AFFINE),
        (lambda x: s.where(s.greater(np.ones(2), 0.0), x, 0.0), Linearity.AFFINE),
        (lambda x: s.sum(s.square(x)) + 1.0, Linearity.QUADRATIC),
        (lambda x: x * s.sum(x), Linearity.QUADRATIC),
        (lambda x: s.square(x) * x, Linearity.NONE),
        (lambda x: s.power(x, 3) - s.power(x, 3.0), Linearity.NONE),
        (lambda x: s.square(s.sqrt(x)), Linearity.NONE),
        (lambda x: s.power(x, 0), Linearity.CONSTANT),
        (lambda x: s.mean(x) + s.prod(x), Linearity.QUADRATIC),
        (lambda x: 1.0 / x, Linearity.NONE),
        (lambda x: s.relu(x), Linearity.NONE),
        (lambda x: s.where(s.greater(x, 0.0), x, 0.0), Linearity.NONE),
        (lambda x: 0.0 * s.exp(x), Linearity.NONE),
    ],
)
def test_linearity_classes(build: object, expected: Linearity) -> None:
    x = parameter("x", (2,))
    assert linearity(build(x).node, [x.node]) is expected  # type: ignore[operator]
