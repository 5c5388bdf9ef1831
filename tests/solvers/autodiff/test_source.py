"""Generated source against the plan: every template, every special value; Rosenbrock; limits; what enters the text."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from nablad.expressions import OPS, ROWS, Graph, Node, Symbol, apply, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers.autodiff import source
from nablad.solvers.autodiff.blocks import Evaluator, compile_program
from nablad.solvers.autodiff.objective import GraphObjective
from nablad.solvers.autodiff.ops import MEANING
from nablad.solvers.autodiff.ops.scalar import NAMES, SCALAR
from nablad.solvers.autodiff.plan import Workspace, compile_plan
from nablad.solvers.autodiff.problem import Compiled, Problem
from nablad.solvers.autodiff.simplify import simplify
from nablad.solvers.autodiff.source import NODE_LIMIT, generate
from nablad.solvers.autodiff.transform import gradient, jvp

FLOAT = np.dtype(np.float64)
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -8.0, 1e-300, 1e300, 710.0, -710.0, np.inf, -np.inf, np.nan)
ATTRIBUTES: dict[str, tuple[tuple[Any, ...], ...]] = {"fixed_power": ((1 / 3,), (0.5,), (-2.0,), (3.0,), (0.0,))}
SIGN_OPEN = ("maximum", "minimum", "sigmoid")
"""numpy leaves the sign of max(0, -0) open; the sigmoid of -1000 is tiny or zero."""
TRUTHS = {"logical_and": (0, 1), "logical_or": (0, 1), "logical_not": (0,), "where": (0,)}
"""Operands that are truths."""


def element(x: Symbol, k: int) -> Symbol:
    return s.reshape(s.slice_of(x, [(k, k + 1)]), ())


def rosenbrock(theta: Symbol, size: int) -> Symbol:
    x = [element(theta, k) for k in range(size)]
    terms = [100.0 * s.square(b - s.square(a)) + s.square(1.0 - a) for a, b in itertools.pairwise(x)]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def by_plan(graph: Graph, inputs: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    with np.errstate(all="ignore"):
        return tuple(x.copy() for x in Workspace(compile_plan(simplify(graph), FLOAT), 1).run(inputs))


@pytest.mark.parametrize("op", sorted(SCALAR))
def test_each_template_is_its_row(op: str) -> None:
    """On special values, all combinations: the same number, the same NaN and infinity, or an exception."""
    assert op in MEANING
    arity = op_arity(op)
    xs = [parameter(f"x{k}", ()) for k in range(arity)]
    for attributes in ATTRIBUTES.get(op, ((),)):
        operands = [s.greater(x, 0.0) if k in TRUTHS.get(op, ()) else x for k, x in enumerate(xs)]
        result = apply(op, *operands, attributes=attributes)
        shown = s.where(result, 1.0, -1.0) if result.node.spec.result == "truth" else result
        graph = Graph(tuple(x.node for x in xs), (shown.node,))
        source = generate(graph, 100)
        assert source is not None
        values = SPECIAL if arity < 3 else SPECIAL[::3]
        raised = 0
        for point in np.stack(np.meshgrid(*[values] * arity), -1).reshape(-1, arity):
            inputs = [np.array(x) for x in point]
            (expected,) = by_plan(graph, inputs)
            found = source.run(inputs)
            if found is None:
                raised += 1
                continue
            np.testing.assert_allclose(found[0], expected, rtol=4e-15, atol=1e-300, err_msg=f"{op}{tuple(point)}")
            # The sign of zero decides between the infinities of its reciprocal.
            if expected == 0.0 and op not in SIGN_OPEN and not is_root(op, (*point, *attributes)):
                assert math.copysign(1.0, found[0]) == math.copysign(1.0, expected), f"{op}{tuple(point)}"
        assert raised < len(values) ** arity


def is_root(op: str, numbers: tuple[float, ...]) -> bool:
    """x ** 0.5: whether that of -0 is 0 or -0 depends on numpy's version."""
    return op in ("power", "fixed_power") and numbers[1] == 0.5


def op_arity(op: str) -> int:
    arity = OPS[op].arity
    assert arity is not None
    return arity


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 0.0, -8.0, 1e200])
def test_what_is_not_finite_comes_out_as_numpys(bad: float) -> None:
    """Also where Python raises, or would give a complex number: then the arrays are asked."""
    x = parameter("theta", (2,))
    a, b = element(x, 0), element(x, 1)
    f = s.log(a) + s.power(a, 1 / 3) * s.exp(b * a) / b + s.reciprocal(a)
    (g,) = gradient(f.node, [x.node])
    graph = Graph((x.node,), (f.node, g.node))
    program = compile_program(graph, FLOAT)
    assert program.source is not None
    for point in (np.array([bad, 0.5]), np.array([0.5, bad]), np.array([bad, bad])):
        found = Evaluator(program, {}, 0).run({"theta": point})
        for ours, theirs in zip(found, by_plan(graph, [point]), strict=True):
            assert ours is not None
            assert ours.dtype == FLOAT
            np.testing.assert_allclose(ours, theirs, rtol=1e-14)


def test_rosenbrock_with_gradient_and_hessian() -> None:
    size = 6
    theta = parameter("theta", (size,))
    f = rosenbrock(theta, size).node
    compiled = Compiled(Problem(theta.node, (), f, f), FLOAT)
    objective = GraphObjective(compiled, {})
    assert compiled.second_order is not None
    x = np.linspace(-1.2, 1.1, size)
    value = np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    slope, curvature = np.zeros(size), np.zeros((size, size))
    for i in range(size - 1):
        inner = x[i + 1] - x[i] ** 2
        slope[i] += -400 * x[i] * inner - 2 * (1 - x[i])
        slope[i + 1] += 200 * inner
        curvature[i, i] += 1200 * x[i] ** 2 - 400 * x[i + 1] + 2
        curvature[i + 1, i + 1] += 200
        curvature[i, i + 1] = curvature[i + 1, i] = -400 * x[i]
    np.testing.assert_allclose(objective.value(x), value, rtol=1e-14)
    np.testing.assert_allclose(objective.gradient(x), slope, rtol=1e-13)
    np.testing.assert_allclose(objective.hessian(x), curvature, rtol=1e-13)
    np.testing.assert_allclose(objective.hvp(x, slope), curvature @ slope, rtol=1e-12)
    assert np.array_equal(objective.hessian(x), objective.hessian(x).T)


def test_the_hessian_is_one_function_that_shares_subexpressions() -> None:
    """Entries far from the diagonal are zero by structure: the function grows with p, not with p^2."""

    def statements(size: int) -> int:
        theta = parameter("theta", (size,))
        f = rosenbrock(theta, size).node
        program = Compiled(Problem(theta.node, (), f, f), FLOAT).second_order
        assert program is not None
        assert program.source is not None
        return program.source.statements

    small, large = statements(8), statements(16)
    assert large < 2.3 * small
    theta = parameter("theta", (4,))
    shared = s.exp(s.sin(element(theta, 0) * element(theta, 1)))
    f = (shared * element(theta, 2) + s.square(shared) * element(theta, 3)).node
    program = Compiled(Problem(theta.node, (), f, f), FLOAT).second_order
    assert program is not None
    assert program.source is not None
    assert program.source.text.count("exp(") == program.source.text.count("sin(") == 1


def test_the_hessian_without_source_is_the_same() -> None:
    theta = parameter("theta", (5,))
    f = (rosenbrock(theta, 5) + s.logsumexp(theta)).node
    assert Compiled(Problem(theta.node, (), f, f), FLOAT).second_order is None
    x = np.linspace(-0.5, 0.7, 5)
    softmax = np.exp(x) / np.exp(x).sum()
    extra = np.diag(softmax) - np.outer(softmax, softmax)
    g = rosenbrock(theta, 5).node
    plain = GraphObjective(Compiled(Problem(theta.node, (), g, g), FLOAT), {}).hessian(x)
    ours = GraphObjective(Compiled(Problem(theta.node, (), f, f), FLOAT), {}).hessian(x)
    np.testing.assert_allclose(ours, plain + extra, rtol=1e-12, atol=1e-12)


def test_matrices_and_moves_are_taken_apart() -> None:
    """Every op that only moves numbers, sums and products, against the plan."""
    x = parameter("x", (2, 3))
    y = s.concatenate([x @ s.transpose(x), s.broadcast_to(s.sum(x, [0], keepdims=True), (2, 3))], 1)
    z = s.scatter([y, s.slice_of(y, [(0, 1), (1, 3)])], (3, 6), [[(1, 3), (0, 5)], [(2, 3), (4, 6)]])
    outputs = [y, z, s.sum(z), s.sum(z, [1]), s.reshape(z, (9, 2)) @ np.array([2.0, -1.0]), x @ np.eye(3)]
    v = parameter("v", (2, 3))
    (moved,) = jvp([s.sum(s.square(z)).node], {x.node: v})
    graph = Graph((x.node, v.node), (*(o.node for o in outputs), moved.node))
    source = generate(graph, 10_000)
    assert source is not None
    rng = np.random.default_rng(0)
    inputs = list(rng.normal(size=(2, 2, 3)))
    found = source.run(inputs)
    assert found is not None
    for ours, theirs in zip(found, by_plan(graph, inputs), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-14)


def long_chain(length: int) -> tuple[Node, Node]:
    x = parameter("x", ())
    y: Symbol = x
    for _ in range(length):
        y = s.sin(y) + x
    return x.node, y.node


def test_limits() -> None:
    assert compile_program(Graph(*split_ends(*long_chain(NODE_LIMIT // 2))), FLOAT).source is not None
    assert compile_program(Graph(*split_ends(*long_chain(NODE_LIMIT // 2 + 1))), FLOAT).source is None
    x, y = long_chain(3)
    assert compile_program(Graph((x,), (y,)), np.dtype(np.float32)).source is None
    rows = data("rows", (ROWS,))
    assert compile_program(Graph((rows.node,), (s.sum(rows).node,)), FLOAT).source is None
    # A long vector is better off with numpy.
    v = parameter("v", (500,))
    assert compile_program(Graph((v.node,), (s.sum(s.square(v)).node,)), FLOAT).source is None


def split_ends(x: Node, y: Node) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    return (x,), (y,)


def words_of(text: str) -> set[str]:
    return set("".join(c if c.isalnum() or c == "_" else " " for c in text).split())


def test_nothing_of_the_client_enters_the_text() -> None:
    x = parameter("__import__('os').abort()", (2,))
    y = s.power(element(x, 0), 2.718) * 31.4159 + element(x, 1)
    source = generate(Graph((x.node,), (y.node,)), 100)
    assert source is not None
    found_words, known_words = words_of(source.text), words_of(" ".join(SCALAR.values()))
    slots = {w for w in found_words if w[0] in "txc" and w[1:].isdigit()}
    assert found_words - slots <= {"def", "evaluate", "return"} | known_words
    assert {w for w in known_words if w.isalpha()} <= {*NAMES, "if", "else", "and", "or", "not", "float", "round"}
    assert "31" not in source.text
    found = source.run([np.array([2.0, 1.0])])
    assert found is not None
    np.testing.assert_allclose(found[0], 2**2.718 * 31.4159 + 1, rtol=1e-15)


def test_what_is_too_large_is_known_before_it_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten products of a 100 x 100 matrix are few nodes, and two hundred thousand statements."""

    def refuse(*_: object) -> None:
        raise AssertionError("a node for each statement would be made")

    monkeypatch.setattr(source, "take_apart", refuse)
    x, A = parameter("x", (100,)), s.lift(np.ones((100, 100)))
    y: Symbol = x
    for _ in range(10):
        y = s.tanh(A @ y)
    assert generate(Graph((x.node,), (y.node,)), 10_000) is None
