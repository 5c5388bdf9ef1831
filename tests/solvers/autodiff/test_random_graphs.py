"""Random graphs of all pointwise ops and many others, through five evaluators that share no code path.

One graph of several inputs of different shapes, that broadcast, is evaluated by the interpreter, the plan and generated
source; its derivatives by reverse mode, forward over reverse, complex step (analytic ops) and autograd. Ops come from
the table of meanings, so that a new row takes part by being a row; arguments are kept away from the edges of domains,
which have tests of their own. Work is counted on the same graphs (Baur and Strassen 1983).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import autograd
import autograd.numpy as anp
import autograd.scipy.special as asp
import autograd.scipy.stats as ast
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nablad.expressions import OPS, Graph, Node, Symbol, apply, parameter
from nablad.expressions import symbols as s
from nablad.expressions.dimension import ShapeError, broadcast
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.ops import MEANING, Pointwise
from nablad.solvers.autodiff.plan import Workspace, compile_plan
from nablad.solvers.autodiff.simplify import simplify
from nablad.solvers.autodiff.source import generate
from nablad.solvers.autodiff.transform import gradient, jvp

FLOAT = np.dtype(np.float64)
SHAPES: dict[str, tuple[int, ...]] = {"a": (), "b": (3,), "c": (2, 1), "d": (2, 3), "e": (3, 3)}

DERIVED = ("tanh_slope", "share")
"""Rows that only derivatives use, whose operands depend on one another."""
REAL = [
    name
    for name, meaning in MEANING.items()
    if isinstance(meaning.derivative, Pointwise)
    and OPS[name].result == "real"
    and not OPS[name].truths
    and name not in DERIVED
]
"""The pointwise rows that give numbers from numbers."""
ATTRIBUTES: dict[str, tuple[Any, ...]] = {"fixed_power": (1.7,), "polygamma": (1,)}

Guard = Callable[[Symbol], Symbol]


def positive(x: Symbol) -> Symbol:
    return 1.6 + s.sin(x)


def inner(x: Symbol) -> Symbol:
    return 0.8 * s.sin(x)


def beyond_one(x: Symbol) -> Symbol:
    return 2.4 + s.sin(x)


def moderate(x: Symbol) -> Symbol:
    return 1.3 * s.sin(x)


GUARDS: dict[str, tuple[Guard, ...]] = {
    **dict.fromkeys(("sqrt", "cbrt", "log", "log2", "log10", "log1p", "reciprocal", "fixed_power"), (positive,)),
    **dict.fromkeys(("gamma", "gammaln", "digamma", "polygamma"), (beyond_one,)),
    **dict.fromkeys(("arcsin", "arccos", "arctanh", "erfinv", "tan"), (inner,)),
    "arccosh": (beyond_one,),
    "power": (positive, moderate),
    "divide": (moderate, positive),
    "arctan2": (positive, positive),
    "hypot": (positive, positive),
}
"""What an operand is first put through, so that it lies well inside the domain; `moderate` for all others."""

MOVES: list[Callable[[Symbol], Symbol]] = [
    s.transpose,
    lambda x: s.reshape(x, (math.prod(d for d in x.shape if isinstance(d, int)),)),
    lambda x: s.sum(x),
    lambda x: s.sum(x, [0]) if x.ndim else x,
    lambda x: s.sum(x, [x.ndim - 1], keepdims=True) if x.ndim else x,
    lambda x: s.slice_of(x, [(0, 2), *[None] * (x.ndim - 1)]) if x.ndim and x.shape[0] != 1 else x,
    lambda x: s.concatenate([x, 0.5 * x], x.ndim - 1) if x.ndim else x,
    lambda x: x @ s.transpose(x) if x.ndim == 2 else x,
    lambda x: s.logsumexp(x) if x.ndim else x,
    lambda x: s.broadcast_to(s.reshape(x, (1, *x.shape)), (2, *x.shape)) if x.ndim < 2 else x,
]


@st.composite
def graphs(draw: st.DrawFn, ops: tuple[str, ...]) -> Graph:
    """A scalar function of five inputs: pointwise ops on pairs that broadcast, and moves, sums and products."""
    pool: list[Symbol] = [parameter(name, shape) for name, shape in SHAPES.items()]
    inputs = tuple(x.node for x in pool)
    for _ in range(draw(st.integers(2, 7))):
        if draw(st.integers(0, 3)) == 0:
            moved = draw(st.sampled_from(MOVES))(draw(st.sampled_from(pool)))
            pool.append(moved if _size(moved) <= 24 else s.sum(moved))
            continue
        op = draw(st.sampled_from(ops))
        arity = OPS[op].arity or 2
        operands = [draw(st.sampled_from(pool)) for _ in range(arity)]
        if len(set(operands)) < arity or not _fits(operands):
            operands = (
                [pool[0], *operands][:arity] if arity == 2 and operands[0] is not pool[0] else operands[:1] * arity
            )
        guards = GUARDS.get(op, (moderate,))
        safe = [guards[min(k, len(guards) - 1)](x) for k, x in enumerate(operands)]
        if arity == 2 and safe[0] is safe[1]:
            safe[1] = safe[1] * 0.9
        pool.append(apply(op, *safe, attributes=ATTRIBUTES.get(op, ())))
    total = s.sum(pool[-1])
    for x in draw(st.lists(st.sampled_from(pool), min_size=1, max_size=3)):
        total = total + s.sum(s.square(x) * 0.3)
    return Graph(inputs, (total.node,))


def _size(x: Symbol) -> int:
    return math.prod(d for d in x.shape if isinstance(d, int))


def _fits(operands: list[Symbol]) -> bool:
    try:
        return math.prod(d for d in broadcast("fits", [x.shape for x in operands]) if isinstance(d, int)) <= 24
    except ShapeError:
        return False


def point(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(-1.5, 1.5, shape) for name, shape in SHAPES.items()}


def with_derivatives(graph: Graph) -> tuple[Graph, list[Node]]:
    """Outputs: value, gradients, products with the Hessian; and the direction's inputs."""
    (f,) = graph.outputs
    slopes = gradient(f, graph.inputs)
    along = [parameter(f"along {x.name}", x.shape) for x in graph.inputs]
    products = jvp([g.node for g in slopes], dict(zip(graph.inputs, along, strict=True)))
    outputs = (f, *(g.node for g in slopes), *(p.node for p in products))
    return Graph((*graph.inputs, *(v.node for v in along)), outputs), [v.node for v in along]


def inputs_at(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    values = point(seed)
    return {**values, **{f"along {name}": x for name, x in point(seed + 1).items()}}


def close(found: Any, expected: Any, scale: float, what: str) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10 * scale, err_msg=what)


QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(graphs(tuple(REAL)), st.integers(0, 1000))
def test_interpreter_plan_and_source_agree(graph: Graph, seed: int) -> None:
    whole, _ = with_derivatives(graph)
    inputs = inputs_at(whole, seed)
    with np.errstate(all="ignore"):
        expected = interpret(whole, inputs)
        arrays = [inputs[x.name] for x in whole.inputs]
        simple = simplify(whole)
        by_plan = Workspace(compile_plan(simple, FLOAT), 1).run(arrays)
        source = generate(simple, 100_000)
        by_source = None if source is None else source.run(arrays)
    for k, theirs in enumerate(expected):
        scale = 1.0 + float(np.abs(theirs).max(initial=0.0))
        close(by_plan[k], theirs, scale, "plan")
        if by_source is not None:
            close(by_source[k], theirs, scale, "source")


@QUICK
@given(graphs(tuple(REAL)), st.integers(0, 1000))
def test_reverse_mode_is_the_complex_step(graph: Graph, seed: int) -> None:
    """gradient . v = Im f(x + ih v) / h to roundoff, where every op is analytic; the same for its product with H."""
    if not all(MEANING[node.op].analytic for node in graph.nodes):
        return
    whole, _ = with_derivatives(graph)
    inputs = inputs_at(whole, seed)
    h = 1e-100
    shifted = {name: x + 1j * h * inputs[f"along {name}"] for name, x in point(seed).items()}
    count = len(graph.inputs)
    _, *rest = interpret(whole, inputs)
    slopes, products = rest[:count], rest[count:]
    (moved,) = interpret(graph, shifted)
    terms = [np.sum(g * inputs[f"along {x.name}"]) for g, x in zip(slopes, graph.inputs, strict=True)]
    close(sum(terms), moved.imag / h, 1.0 + float(np.abs(terms).max()), "gradient")
    first = Graph(graph.inputs, whole.outputs[1 : count + 1])
    if all(MEANING[node.op].analytic for node in first.nodes):
        for product, along in zip(products, interpret(first, shifted), strict=True):
            close(product, along.imag / h, 1.0 + float(np.abs(product).max(initial=0.0)), "hvp")


PEER: dict[str, Callable[..., Any]] = {
    "fixed_power": lambda x, exponent: x**exponent,
    "sigmoid": asp.expit,
    "softplus": lambda x: anp.logaddexp(0.0, x),
    "relu": lambda x: anp.maximum(x, 0.0),
    "normal_cdf": ast.norm.cdf,
    "one_minus_square": lambda x: 1 - x**2,
    "polygamma": lambda x, order: asp.polygamma(order, x),
    "logsumexp": lambda x: asp.logsumexp(x, axis=-1),
    "sum": lambda x, axes, keepdims: anp.sum(x, axis=axes, keepdims=keepdims),
    "broadcast_to": lambda x, shape: x + anp.zeros(shape),
    "slice": lambda x, ranges: x[tuple(slice(None) if r is None else slice(*r) for r in ranges)],
    "concatenate": lambda *parts: anp.concatenate(parts[:-1], parts[-1]),
    "constant": lambda dtype, shape, data: np.frombuffer(data, dtype).reshape(shape),
    **{name: getattr(asp, name) for name in ("erf", "erfc", "erfinv", "gamma", "gammaln", "digamma")},
    **{name: getattr(anp, name) for name in ("reshape", "transpose", "matmul")},
}
"""autograd's name for an op, where it is not numpy's, and how it takes attributes."""
LACKING = ("cbrt", "hypot")
"""numpy's functions that autograd does not differentiate."""
SHARED = tuple(name for name in REAL if (name in PEER or hasattr(anp, name)) and name not in LACKING)


def by_autograd(graph: Graph, given: Mapping[str, Any]) -> Any:
    values: dict[Node, Any] = {x: given[x.name] for x in graph.inputs}
    for node in graph.nodes:
        if node not in values:
            call = PEER.get(node.op) or getattr(anp, node.op)
            values[node] = call(*(values[x] for x in node.operands), *node.attributes)
    return values[graph.outputs[0]]


@settings(QUICK, max_examples=100)
@given(graphs(SHARED), st.integers(0, 1000))
def test_autograd_agrees(graph: Graph, seed: int) -> None:
    """Value, gradient, and a product with the Hessian."""
    whole, _ = with_derivatives(graph)
    inputs = inputs_at(whole, seed)
    arrays = [inputs[x.name] for x in whole.inputs]
    value, *rest = Workspace(compile_plan(simplify(whole), FLOAT), 1).run(arrays)
    count = len(graph.inputs)
    names, start = list(SHAPES), point(seed)

    def f(*parts: Any) -> Any:
        return by_autograd(graph, dict(zip(names, parts, strict=True)))

    def along(*parts: Any) -> Any:
        slopes = autograd.grad(f, tuple(range(count)))(*parts)
        return sum(anp.sum(g * inputs[f"along {name}"]) for g, name in zip(slopes, names, strict=True))

    where = [start[name] for name in names]
    slopes, products = autograd.grad(f, tuple(range(count)))(*where), autograd.grad(along, tuple(range(count)))(*where)
    close(value, f(*where), 1.0, "value")
    for ours, theirs in zip(rest, (*slopes, *products), strict=True):
        close(ours, theirs, 1.0 + float(np.abs(theirs).max(initial=0.0)), "derivative")


@QUICK
@given(graphs(tuple(REAL)))
def test_a_gradient_costs_at_most_four_values(graph: Graph) -> None:
    """In operations by the rows' costs, after simplification. A gradient takes two matrix products for each one."""
    (f,) = graph.outputs
    both = Graph(graph.inputs, (f, *(g.node for g in gradient(f, graph.inputs))))
    value, with_gradient = (compile_plan(simplify(g), FLOAT).flops[1] for g in (graph, both))
    assert with_gradient <= 4.0 * value


@pytest.mark.parametrize("op", REAL)
def test_each_row_costs_at_most_four_values(op: str) -> None:
    """The work that one more op adds, with all operands differentiated and their cotangents added up."""

    def flops(length: int) -> tuple[float, float]:
        x, w = parameter("x", (50,)), parameter("w", (50,))
        y: Symbol = x
        for _ in range(length):
            y = apply(op, *[y, w, x][: OPS[op].arity], attributes=ATTRIBUTES.get(op, ()))
        f = s.sum(y).node
        slopes = gradient(f, [x.node, w.node])
        graphs = (f,), (f, *(g.node for g in slopes))
        value, both = (compile_plan(simplify(Graph((x.node, w.node), g)), FLOAT).flops[1] for g in graphs)
        return value, both

    (v1, g1), (v2, g2) = flops(4), flops(8)
    assert g2 - g1 <= 4.0 * (v2 - v1)
