"""Plans against the interpreter: random graphs, buffers by liveness, nothing allocated."""

from __future__ import annotations

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nablad.expressions import OPS, ROWS, Graph, Symbol, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.ops import MEANING
from nablad.solvers.autodiff.plan import Workspace, compile_plan
from nablad.solvers.autodiff.simplify import simplify
from nablad.solvers.autodiff.transform import gradient

FLOAT = np.dtype(np.float64)

# Each grows a list of (N, 3) matrices by one; `where`, views and reductions are there to provoke aliasing mistakes.
GROWTH = [
    lambda a, b, w: s.tanh(a),
    lambda a, b, w: a + b,
    lambda a, b, w: a * b,
    lambda a, b, w: a - s.relu(b),
    lambda a, b, w: s.where(s.greater(a, b), a, b),
    lambda a, b, w: s.where(s.greater(a, 0.0), b, a),
    lambda a, b, w: a @ w,
    lambda a, b, w: s.transpose(s.transpose(a) + s.transpose(b)),
    lambda a, b, w: s.reshape(s.reshape(s.transpose(a), (3, ROWS, 1)), (3, ROWS)).T + b,
    lambda a, b, w: s.concatenate([s.slice_of(a, [None, (1, 3)]), s.slice_of(b, [None, (0, 1)])], 1),
    lambda a, b, w: s.scatter([s.slice_of(a, [None, (0, 2)]), b], (ROWS, 3), [[None, (1, 3)], [None, (0, 3)]]),
    lambda a, b, w: a * s.reshape(s.logsumexp(b, -1), (ROWS, 1)),
    lambda a, b, w: s.sin(a + s.sum(w @ w, [0])),
    lambda a, b, w: s.broadcast_to(s.sum(a, [1], keepdims=True), (ROWS, 3)) * 0.5,
    lambda a, b, w: a / (1.0 + s.square(b)),
]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    w, x = parameter("w", (3, 3)), data("x", (ROWS, 3))
    pool: list[Symbol] = [x, s.sin(x)]
    for _ in range(draw(st.integers(1, 12))):
        rule = draw(st.sampled_from(GROWTH))
        a, b = draw(st.sampled_from(pool)), draw(st.sampled_from(pool))
        pool.append(s.tanh(rule(a, b, w)) if draw(st.booleans()) else 0.3 * rule(a, b, w))
    loss = s.sum(s.square(pool[-1]))
    (g,) = gradient(loss.node, [w.node])
    kept = draw(st.lists(st.sampled_from(pool), max_size=2))
    return Graph((w.node, x.node), (loss.node, g.node, pool[-1].node, *(k.node for k in kept)))


@settings(max_examples=120)
@given(graphs(), st.integers(1, 6))
def test_plans_agree_with_the_interpreter(graph: Graph, rows: int) -> None:
    rng = np.random.default_rng(rows)
    w, x = rng.normal(size=(3, 3)), rng.normal(size=(rows, 3))
    expected = interpret(graph, {"w": w, "x": x})
    for version in (graph, simplify(graph)):
        workspace = Workspace(compile_plan(version, FLOAT), 6)
        for _ in range(2):
            for ours, theirs in zip(workspace.run([w, x], rows), expected, strict=True):
                scale = 1.0 + np.abs(theirs).max()
                np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-10 * scale)


IN_PLACE = sorted(name for name, meaning in MEANING.items() if meaning.in_place and (OPS[name].arity or 0) > 1)


@pytest.mark.parametrize("op", IN_PLACE)
def test_an_operand_given_twice_is_read_before_it_is_written_over(op: str) -> None:
    x = data("x", (4,))
    twice = 2.0 * x
    places = [k for k in range(OPS[op].arity or 0) if k not in OPS[op].truths]
    operands: list[Symbol] = [s.greater(x, 0.0)] * (OPS[op].arity or 0)
    for chosen in combinations(places, 2):
        for k in places:
            operands[k] = twice if k in chosen else x + x  # the same numbers, in memory of their own
        graph = Graph((x.node,), (s.apply(op, *operands).node,))
        point = np.array([0.5, 0.25, 0.125, 1.5])
        (expected,) = interpret(graph, {"x": point})
        np.testing.assert_array_equal(Workspace(compile_plan(graph, FLOAT), 1).run([point])[0], expected)


def chain(length: int) -> Graph:
    x = data("x", (ROWS,))
    y: Symbol = x
    for _ in range(length):
        y = s.sin(y) * s.cos(y)
    return Graph((x.node,), (y.node,))


def test_memory_is_the_live_set_not_the_tape() -> None:
    assert len(compile_plan(chain(5), FLOAT).slots) == len(compile_plan(chain(500), FLOAT).slots) <= 3


def test_the_smallest_free_slot_is_taken() -> None:
    """Two widths alternate: what one frees the other uses."""
    x, w, u = data("x", (ROWS, 2)), parameter("w", (2, 7)), parameter("u", (7, 2))
    y: Symbol = x
    for _ in range(10):
        y = s.tanh(s.tanh(y @ w) @ u)
    plan = compile_plan(Graph((x.node, w.node, u.node), (y.node,)), FLOAT)
    assert plan.bytes(10) <= 10 * (7 + 7) * 8


def test_views_keep_their_memory_alive() -> None:
    x = data("x", (ROWS, 4))
    base = s.exp(x)
    view = s.transpose(s.slice_of(base, [None, (1, 3)]))
    busy = s.sin(s.cos(s.sin(x)))
    out = view + s.transpose(s.slice_of(busy, [None, (0, 2)]))
    point = np.random.default_rng(0).normal(size=(5, 4))
    (ours,) = Workspace(compile_plan(Graph((x.node,), (out.node,)), FLOAT), 5).run([point], 5)
    expected = np.exp(point)[:, 1:3].T + np.sin(np.cos(np.sin(point)))[:, :2].T
    np.testing.assert_allclose(ours, expected, rtol=1e-14)


def test_inputs_are_never_written() -> None:
    x = data("x", (ROWS,))
    plan = compile_plan(Graph((x.node,), ((-x + 1.0).node,)), FLOAT)
    point = np.arange(3.0)
    point.flags.writeable = False
    (ours,) = Workspace(plan, 3).run([point], 3)
    assert ours.tolist() == [1.0, 0.0, -1.0]


def test_no_array_is_allocated_after_the_first_run() -> None:
    x, w = data("x", (ROWS, 4)), parameter("w", (4, 4))
    y = s.softplus(s.tanh(x @ w) @ w)
    loss = s.sum(s.logsumexp(y, -1))
    (g,) = gradient(loss.node, [w.node])
    plan = compile_plan(simplify(Graph((w.node, x.node), (loss.node, g.node))), FLOAT)
    rows = 9_216
    workspace = Workspace(plan, rows)
    inputs = [np.ones((4, 4)) / 4, np.ones((rows, 4))]
    workspace.run(inputs, rows)
    tracemalloc.start()
    try:
        workspace.run(inputs, rows)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        workspace.run(inputs, rows)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # numpy's own casting buffer, 8192 numbers, is not an array of ours.
    assert peak - before < 8192 * 8 + 4096 < rows * 8


def test_other_inputs_and_row_counts_are_bound_anew() -> None:
    x, w = data("x", (ROWS, 2)), parameter("w", (2,))
    workspace = Workspace(compile_plan(Graph((x.node, w.node), ((s.square(x) @ w).node,)), FLOAT), 8)
    rng = np.random.default_rng(0)
    for rows in (8, 3, 8, 1, 3):
        a, b = rng.normal(size=(rows, 2)), rng.normal(size=2)
        np.testing.assert_allclose(workspace.run([a, b], rows)[0], a**2 @ b, rtol=1e-13)
    with pytest.raises(ValueError, match="workspace for 8 rows"):
        workspace.run([np.ones((9, 2)), np.ones(2)], 9)
