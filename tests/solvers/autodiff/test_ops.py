"""Every op row, from the table itself: values' shapes, first and second derivatives, adjoints, plans."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.special

from nablad.expressions import OPS, Graph, Node, Symbol, make, parameter, topological
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.batching import batch
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.ops import MEANING
from nablad.solvers.autodiff.plan import Workspace, compile_plan
from nablad.solvers.autodiff.transform import jvp, vjp

LEAVES = {"input", "constant", "rows", "eye"}


@dataclass(frozen=True)
class Case:
    op: str
    shapes: tuple[tuple[int, ...], ...]
    attributes: tuple[Any, ...] = ()
    low: float = -2.0
    high: float = 2.0
    expected: Callable[..., Any] | None = None
    """numpy's or scipy's own answer."""

    def __str__(self) -> str:
        return f"{self.op}{self.shapes}{self.attributes}"


def _logsumexp(x: Any) -> Any:
    return scipy.special.logsumexp(x, axis=-1)


CASES = [
    Case("add", ((3, 4), (4,)), expected=np.add),
    Case("subtract", ((3, 1), (1, 4)), expected=np.subtract),
    Case("multiply", ((4,), (3, 4)), expected=np.multiply),
    Case("divide", ((3, 4), (3, 1)), low=0.5, expected=np.divide),
    Case("negative", ((3, 4),), expected=np.negative),
    Case("square", ((3, 4),), expected=np.square),
    Case("reciprocal", ((3, 4),), low=0.5, expected=np.reciprocal),
    Case("sqrt", ((3, 4),), low=0.5, expected=np.sqrt),
    Case("power", ((3, 4),), (2.5,), low=0.5, expected=lambda x, a: x**a),
    Case("power", ((3, 4),), (3.0,), expected=lambda x, a: x**a),
    Case("power", ((3, 4),), (0.0,), expected=lambda x, a: x**a),
    Case("exp", ((3, 4),), expected=np.exp),
    Case("expm1", ((3, 4),), expected=np.expm1),
    Case("log", ((3, 4),), low=0.5, expected=np.log),
    Case("log1p", ((3, 4),), low=-0.5, expected=np.log1p),
    Case("tanh", ((3, 4),), expected=np.tanh),
    Case("sin", ((3, 4),), expected=np.sin),
    Case("cos", ((3, 4),), expected=np.cos),
    Case("erf", ((3, 4),), expected=scipy.special.erf),
    Case("normal_cdf", ((3, 4),), expected=scipy.special.ndtr),
    Case("sigmoid", ((3, 4),), expected=scipy.special.expit),
    Case("softplus", ((3, 4),), expected=lambda x: np.logaddexp(0, x)),
    Case("relu", ((3, 4),), expected=lambda x: np.maximum(x, 0)),
    Case("greater", ((3, 4), (4,)), expected=np.greater),
    Case("equal", ((3, 4), (4,)), expected=np.equal),
    Case("where", ((3, 4), (3, 4), (4,)), expected=np.where),
    Case("sum", ((3, 4),), ((0,), False), expected=lambda x, a, k: x.sum(0)),
    Case("sum", ((2, 3, 4),), ((0, 2), True), expected=lambda x, a, k: x.sum((0, 2), keepdims=True)),
    Case("sum", ((3, 4),), ((0, 1), False), expected=lambda x, a, k: x.sum()),
    Case("logsumexp", ((3, 4),), expected=_logsumexp),
    Case("broadcast_to", ((3, 1),), ((2, 3, 4),), expected=np.broadcast_to),
    Case("reshape", ((3, 4),), ((2, 6),), expected=np.reshape),
    Case("transpose", ((2, 3, 4),), ((2, 0, 1),), expected=np.transpose),
    Case("slice", ((5, 4),), (((1, 4), None),), expected=lambda x, _: x[1:4]),
    Case("scatter", ((2, 4), (3, 2)), ((5, 4), (((0, 2), None), ((1, 4), (1, 3)))), expected=None),
    Case("concatenate", ((3, 2), (3, 4)), (1,), expected=lambda x, y, a: np.concatenate([x, y], a)),
    Case("matmul", ((3, 4), (4,)), expected=np.matmul),
    Case("matmul", ((3, 4), (4, 2)), expected=np.matmul),
    Case("matmul", ((5, 3, 4), (4, 2)), expected=np.matmul),
    Case("matmul", ((3, 4), (5, 4, 2)), expected=np.matmul),
    Case("matmul", ((5, 3, 4), (5, 4, 2)), expected=np.matmul),
]
cases = pytest.mark.parametrize("case", CASES, ids=str)
REAL = [case for case in CASES if OPS[case.op].result == "real"]
real_cases = pytest.mark.parametrize("case", REAL, ids=str)


def build(case: Case) -> tuple[Node, list[Node], dict[str, np.ndarray]]:
    """The op on inputs x0, x1, ... and a point; `where` chooses by a comparison of constants."""
    rng = np.random.default_rng(zlib.crc32(case.op.encode()))
    inputs = [parameter(f"x{k}", shape) for k, shape in enumerate(case.shapes)]
    values = {x.node.name: rng.uniform(case.low, case.high, x.shape) for x in inputs}
    operands: list[Symbol] = list(inputs)
    if case.op == "where":
        operands[0] = s.greater(rng.normal(size=case.shapes[0]), 0.0)
        inputs = inputs[1:]
        del values["x0"]
    node = make(case.op, [x.node for x in operands], case.attributes)
    return node, [x.node for x in inputs], values


def ulps_apart(x: Any, y: Any, scale: float = 1.0) -> None:
    np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-13 * scale)


def test_the_two_tables_have_the_same_rows() -> None:
    assert set(OPS) == set(MEANING)
    assert {case.op for case in CASES} | LEAVES == set(OPS)
    assert all(spec.name == name == MEANING[name].name and spec.domain for name, spec in OPS.items())


@cases
def test_shape_and_value_are_numpys(case: Case) -> None:
    node, inputs, values = build(case)
    (result,) = interpret(Graph(tuple(inputs), (node,)), values)
    assert result.shape == node.shape
    if case.expected is not None and case.op != "where":
        ulps_apart(result, case.expected(*values.values(), *case.attributes))


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


CHOICES = [
    (case, which)
    for case in CASES
    for which in range(1, 4)
    if which < 1 << len(case.shapes) and not (case.op == "where" and which > 3)
]


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
    fresh = [s.apply("negative", s.apply("negative", x)) for x in inputs]
    operands = [*node.operands[: len(node.operands) - len(fresh)], *(x.node for x in fresh)]
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


@pytest.mark.parametrize(
    ("op", "point", "value", "slope"),
    [
        ("relu", 0.0, 0.0, 0.0),
        ("sqrt", 0.0, 0.0, np.inf),
        ("log", 0.0, -np.inf, np.inf),
        ("sigmoid", -800.0, 0.0, 0.0),
        ("softplus", 800.0, 800.0, 1.0),
        ("softplus", -800.0, 0.0, 0.0),
        ("tanh", 800.0, 1.0, 0.0),
        ("relu", np.nan, np.nan, 0.0),
    ],
)
def test_documented_edges(op: str, point: float, value: float, slope: float) -> None:
    x = parameter("x", ())
    y = s.apply(op, x)
    (dy,) = vjp([y.node], [x.node], [Symbol(s.lift(1.0))])
    with np.errstate(all="ignore"):
        ours = interpret(Graph((x.node,), (y.node, dy.node)), {"x": point})
    np.testing.assert_array_equal(ours, (value, slope))


def test_logsumexp_of_extremes() -> None:
    x = parameter("x", (4, 2))
    y = s.logsumexp(x)
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
