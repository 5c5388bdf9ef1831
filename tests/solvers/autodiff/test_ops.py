"""Every op row, from the table itself: values' shapes, first and second derivatives, adjoints, plans."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
import pytest
import scipy.special
from solvers.autodiff.opcases import CASES, Case

from nablad.expressions import OPS, Graph, Node, Symbol, make, parameter, topological
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.batching import batch
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.ops import MEANING
from nablad.solvers.autodiff.plan import Workspace, compile_plan
from nablad.solvers.autodiff.transform import jvp, vjp

LEAVES = {"input", "constant", "rows", "eye"}


cases = pytest.mark.parametrize("case", CASES, ids=str)
REAL = [case for case in CASES if OPS[case.op].result == "real"]
real_cases = pytest.mark.parametrize("case", REAL, ids=str)


def build(case: Case) -> tuple[Node, list[Node], dict[str, np.ndarray]]:
    """The op on inputs x0, x1, ..., fixed operands aside, and a point."""
    rng = np.random.default_rng(zlib.crc32(case.op.encode()))
    operands: list[Symbol] = []
    inputs: list[Node] = []
    values: dict[str, np.ndarray] = {}
    for k, shape in enumerate(case.shapes):
        if k in case.fixed:
            operands.append(held(case.fixed[k]))
            continue
        drawn = rng.uniform(case.low, case.high, shape)
        x = parameter(f"x{k}", shape)
        operands.append(x)
        inputs.append(x.node)
        values[x.node.name] = drawn if case.prepare is None else case.prepare(drawn)
    return make(case.op, [x.node for x in operands], case.attributes), inputs, values


def held(value: Any) -> Symbol:
    """A constant operand; a truth is a comparison of constants."""
    array = np.asarray(value)
    return s.greater(np.where(array, 1.0, 0.0), 0.5) if array.dtype == np.bool_ else Symbol(s.lift(array))


def operand_values(case: Case, values: dict[str, np.ndarray]) -> list[Any]:
    return [case.fixed[k] if k in case.fixed else values[f"x{k}"] for k in range(len(case.shapes))]


def ulps_apart(x: Any, y: Any, scale: float = 1.0) -> None:
    np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-13 * scale)


def test_the_two_tables_have_the_same_rows() -> None:
    assert set(OPS) == set(MEANING)
    assert {case.op for case in CASES} | LEAVES == set(OPS)
    assert all(spec.name == name == MEANING[name].name and spec.domain for name, spec in OPS.items())


@real_cases
def test_the_degree_bounds_the_growth_along_a_line(case: Case) -> None:
    """Of a row that calls itself a polynomial of degree k, the difference of order k + 1 along a line is zero."""
    node, inputs, values = build(case)
    degree = MEANING[case.op].degree([1.0 if x in inputs else 0.0 for x in node.operands], node.attributes)
    if math.isinf(degree):
        return
    v = directions(inputs, 9)
    graph = Graph(tuple(inputs), (node,))
    order = int(degree) + 1
    steps = [interpret(graph, {k: x + n * v[k] for k, x in values.items()})[0] for n in range(order + 1)]
    scale = max(1.0, *(float(np.max(np.abs(y), initial=0)) for y in steps))
    np.testing.assert_allclose(np.diff(np.stack(steps), order, axis=0), 0.0, atol=1e-12 * scale)


@cases
def test_shape_and_value_are_numpys(case: Case) -> None:
    node, inputs, values = build(case)
    (result,) = interpret(Graph(tuple(inputs), (node,)), values)
    assert result.shape == node.shape
    if case.expected is not None:
        ulps_apart(result, case.expected(*operand_values(case, values), *case.attributes))


def directional(outputs: tuple[Node, ...], inputs: list[Node], values: Any, v: Any, analytic: bool) -> list[Any]:
    """d outputs . v by complex step where the op is analytic, by a fourth-order difference elsewhere."""
    graph = Graph(tuple(inputs), outputs)

    def at(h: complex) -> list[Any]:
        return list(interpret(graph, {k: x + h * v[k] for k, x in values.items()}))

    if analytic:
        return [y.imag / 1e-100 if np.iscomplexobj(y) else np.zeros_like(y) for y in at(1e-100j)]
    h = 1e-3
    points = [at(-2 * h), at(-h), at(h), at(2 * h)]
    return [(a - 8 * b + 8 * c - d) / (12 * h) for a, b, c, d in zip(*points, strict=True)]


def directions(inputs: list[Node], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {x.name: rng.normal(size=x.shape) for x in inputs}


def analytic_throughout(outputs: tuple[Node, ...]) -> bool:
    return all(MEANING[node.op].analytic for node in topological(outputs))


@real_cases
def test_first_and_second_derivatives(case: Case) -> None:
    node, inputs, values = build(case)
    v, w = directions(inputs, 1), directions(inputs, 2)
    tangent = {x: s.data(f"v_{x.name}", x.shape) for x in inputs}
    moved = {f"v_{k}": x for k, x in v.items()}
    (first,) = jvp([node], tangent)
    extra = tuple(t.node for t in tangent.values())
    (ours,) = interpret(Graph((*inputs, *extra), (first.node,)), {**values, **moved})
    analytic = MEANING[case.op].analytic
    (oracle,) = directional((node,), inputs, values, v, analytic)
    tolerance = 1e-12 if analytic else 1e-9
    np.testing.assert_allclose(ours, oracle, rtol=tolerance, atol=tolerance)

    second_tangent = {x: Symbol(s.lift(w[x.name])) for x in inputs}
    fixed = {x: Symbol(s.lift(v[x.name])) for x in inputs}
    (first_fixed,) = jvp([node], fixed)
    (second,) = jvp([first_fixed.node], second_tangent)
    (ours,) = interpret(Graph(tuple(inputs), (second.node,)), values)
    analytic = analytic_throughout((first_fixed.node,))
    (oracle,) = directional((first_fixed.node,), inputs, values, w, analytic)
    tolerance = 1e-11 if analytic else 1e-8
    np.testing.assert_allclose(ours, oracle, rtol=tolerance, atol=tolerance)


@real_cases
def test_reverse_mode_is_the_adjoint_of_forward_mode(case: Case) -> None:
    """<u, J v> = <u J, v>, and the same for the derivative of J v."""
    node, inputs, values = build(case)
    rng = np.random.default_rng(3)
    v = directions(inputs, 4)
    (forward,) = jvp([node], {x: Symbol(s.lift(v[x.name])) for x in inputs})
    for output in (node, forward.node):
        u = rng.normal(size=output.shape)
        (moved,) = jvp([output], {x: Symbol(s.lift(v[x.name])) for x in inputs})
        pulled = vjp([output], inputs, [Symbol(s.lift(u))])
        left, *right = interpret(Graph(tuple(inputs), (moved.node, *(x.node for x in pulled))), values)
        assert [x.shape for x in pulled] == [x.shape for x in inputs]
        inner = sum(np.sum(x * v[k.name]) for x, k in zip(right, inputs, strict=True))
        np.testing.assert_allclose(np.sum(u * left), inner, rtol=1e-10, atol=1e-12)


CHOICES = [(case, which) for case in CASES for which in range(1, 4) if which < 1 << len(case.shapes) - len(case.fixed)]


@pytest.mark.parametrize(("case", "which"), CHOICES, ids=str)
def test_batching_is_a_loop(case: Case, which: int) -> None:
    """Batching any choice of operands equals evaluating them one by one."""
    node, inputs, values = build(case)
    chosen = [x for k, x in enumerate(inputs) if which >> k & 1]
    stacks = {x.name: np.stack([values[x.name] + 0.1 * k for k in range(3)]) for x in chosen}
    stretched = {x: s.data(f"many_{x.name}", (3, *x.shape)) for x in chosen}
    (result,) = batch([node], stretched, 3)
    graph = Graph((*inputs, *(x.node for x in stretched.values())), (result.node,))
    (ours,) = interpret(graph, {**values, **{f"many_{k}": x for k, x in stacks.items()}})
    single = Graph(tuple(inputs), (node,))
    for k in range(3):
        (one,) = interpret(single, {**values, **{name: x[k] for name, x in stacks.items()}})
        ulps_apart(ours[k], one)


@cases
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_plan_agrees_with_interpreter(case: Case, dtype: Any) -> None:
    """Also through views, repeated operands and in-place reuse: the op is applied to freshly computed operands."""
    node, inputs, values = build(case)
    fresh = {x: s.apply("negative", s.apply("negative", x)).node for x in inputs}
    operands = [fresh.get(x, x) for x in node.operands]
    again = make(node.op, operands, node.attributes)
    graph = Graph(tuple(inputs), (node, again))
    given = {k: x.astype(dtype) for k, x in values.items()}
    expected = interpret(graph, given)
    workspace = Workspace(compile_plan(graph, np.dtype(dtype)), 1)
    for _ in range(2):
        results = workspace.run([given[x.name] for x in inputs])
        for ours, theirs in zip(results, expected, strict=True):
            assert ours.dtype == (np.bool_ if OPS[case.op].result == "truth" else dtype)
            np.testing.assert_allclose(ours, theirs, rtol=1e-12 if dtype is np.float64 else 1e-5, atol=1e-6)


def test_logsumexp_of_extremes() -> None:
    x = parameter("x", (4, 2))
    y = s.logsumexp(x, -1)
    point = np.array([[1e4, 1e4], [-1e4, -1e4], [-np.inf, -np.inf], [np.inf, 0.0]])
    expected = scipy.special.logsumexp(point, axis=-1)
    graph = Graph((x.node,), (y.node,))
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(interpret(graph, {"x": point})[0], expected, rtol=1e-14)
        np.testing.assert_allclose(Workspace(compile_plan(graph, np.dtype(float)), 1).run([point])[0], expected)


def test_a_branch_not_chosen_leaks_nothing() -> None:
    x = parameter("x", (3,))
    y = s.sum(s.where(s.greater(x, 0.0), s.sqrt(s.where(s.greater(x, 0.0), x, 1.0)), 0.0))
    (gradient,) = vjp([y.node], [x.node], [Symbol(s.lift(1.0))])
    (ours,) = interpret(Graph((x.node,), (gradient.node,)), {"x": np.array([-1.0, 0.0, 4.0])})
    np.testing.assert_array_equal(ours, [0.0, 0.0, 0.25])
