"""Row blocks: the separability proof, and bits that depend on shapes only."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nablad.expressions import ROWS, Graph, Symbol, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers.autodiff import blocks
from nablad.solvers.autodiff.blocks import Evaluator, MemoryLimit, compile_program, stripes_of
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.rows import classify, split
from nablad.solvers.autodiff.simplify import simplify
from nablad.solvers.autodiff.transform import gradient
from nablad.solvers.models import Layer, LeastSquares, Network
from nablad.solvers.objective import Interrupted

FLOAT = np.dtype(np.float64)
RNG = np.random.default_rng(11)


def graph_of(build: Callable[[Symbol, Symbol], Symbol]) -> Graph:
    x, w = data("x", (ROWS, 3)), parameter("w", (3,))
    output = build(x, w)
    (slope,) = gradient(output.node, [w.node])
    return simplify(Graph((w.node, x.node), (output.node, slope.node)))


SEPARABLE = [
    lambda x, w: s.sum(s.square(x @ w)),
    lambda x, w: s.sum(s.square(x @ w)) / s.rows() + s.sum(s.square(w)),
    lambda x, w: s.sum(s.logsumexp(x * w, -1)),
    lambda x, w: s.sum(s.transpose(x) @ s.tanh(x @ w)),
    lambda x, w: s.sum(s.reshape(s.reshape(x, (ROWS, 3, 1)) * s.reshape(w, (1, 3, 1)), (ROWS, 3))),
    lambda x, w: s.sum(w),
]
# The value of the first could be cut; its gradient multiplies rows by 1 / (2 sqrt(a sum over all rows)).
NOT_SEPARABLE = [
    lambda x, w: s.sqrt(s.sum(s.square(x @ w))) * s.exp(s.sum(x @ w) / s.rows()),
    lambda x, w: s.sum(s.square(x @ w - s.sum(x @ w) / s.rows())),
    lambda x, w: s.logsumexp(x @ w, -1),
    lambda x, w: s.sum(s.tanh(x @ s.transpose(x)) @ (x @ w)),
    lambda x, w: s.sum(s.reshape(x @ w, (ROWS, 1)) * s.reshape(x @ w, (1, ROWS))),
]


@pytest.mark.parametrize("build", SEPARABLE + NOT_SEPARABLE)
def test_blocks_agree_with_the_interpreter(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS", (4, 4))
    graph = graph_of(build)
    program = compile_program(graph, FLOAT)
    assert program.separable == (build in SEPARABLE)
    for rows in (1, 3, 4, 5, 50):
        x, w = RNG.normal(size=(rows, 3)), RNG.normal(size=3)
        expected = interpret(graph, {"x": x, "w": w}, rows)
        evaluator = Evaluator(program, {"x": x}, rows)
        for _ in range(2):
            for ours, theirs in zip(evaluator.run({"w": w}), expected, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("build", NOT_SEPARABLE)
def test_what_mixes_rows_is_not_split(build: Any) -> None:
    assert split(graph_of(build)) is None


def test_classes_are_the_definitions() -> None:
    x, w = data("x", (ROWS, 3)), parameter("w", (3,))
    total = s.sum(s.square(x @ s.exp(w)))
    graph = Graph((w.node, x.node), (s.sqrt(total).node,))
    classes = classify(graph)
    assert classes is not None
    found = {node.op: kind for node, kind in classes.items() if node.op != "input"}
    assert found == {"exp": "free", "matmul": "row", "square": "row", "sum": "sum", "sqrt": "after"}
    parts = split(graph)
    assert parts is not None
    assert [node.op for node in parts.body.nodes if node.operands and node not in parts.body.given] == [
        "matmul",
        "square",
        "sum",
    ]


def test_outputs_with_rows_come_back_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS", (4, 4))
    x, w = data("x", (ROWS, 3)), parameter("w", (3,))
    graph = Graph((w.node, x.node), (s.transpose(x * w).node, s.sum(w).node, (x @ w).node))
    point, weights = RNG.normal(size=(30, 3)), RNG.normal(size=3)
    a, b, c = Evaluator(compile_program(graph, FLOAT), {"x": point}, 30, threads=2).run({"w": weights})
    np.testing.assert_array_equal(a, (point * weights).T)
    assert b == pytest.approx(weights.sum())
    np.testing.assert_allclose(c, point @ weights, rtol=1e-13)


@pytest.mark.parametrize(("rows", "block"), [(1, 64), (64, 64), (65, 64), (1000, 64), (513, 64)])
def test_stripes_cover_the_rows_in_order(rows: int, block: int) -> None:
    stripes = stripes_of(rows, block)
    flat = [bounds for stripe in stripes for bounds in stripe]
    assert [a for a, _ in flat] == [0, *(b for _, b in flat[:-1])]
    assert flat[-1][1] == rows
    assert len(stripes) <= blocks.STRIPES
    assert all(stripes)
    lengths = [b - a for a, b in flat]
    assert max(lengths) <= block
    assert max(lengths) - min(lengths) <= 1
    # So that threads end together.
    assert len(flat) % blocks.EVEN == 0 or rows < 8 * block


def objectives() -> list[Any]:
    x = RNG.normal(size=(3001, 6))
    y = RNG.normal(size=(3001, 2))
    return [
        LeastSquares(RNG.normal(size=(40_003, 12)), RNG.normal(size=40_003), intercept=True, ridge=0.1),
        Network(x, y, [Layer(9, "tanh"), Layer(2)], reduction="mean", ridge=0.1),
        Network(x, RNG.integers(0, 3, 3001), [Layer(9, "gelu"), Layer(3)], loss="softmax_cross_entropy"),
    ]


@pytest.mark.parametrize("index", range(3))
def test_bits_do_not_depend_on_the_number_of_threads(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS", (64, 512))
    model = objectives()[index]
    theta = model.start() + np.linspace(-0.3, 0.4, model.size)

    def answers(threads: int) -> list[bytes]:
        objective = model.objective(threads=threads)
        value, gradient = objective.value_and_gradient(theta)
        results = [np.array(value), gradient, objective.hvp(theta, gradient), objective.hessian(theta)]
        if objective.capabilities.residual:
            gram, tsqr = objective.gram(theta), objective.tsqr(theta)
            results += [gram.jtj, gram.jtr, np.array(gram.rtr), tsqr.r, tsqr.qtr, np.array(tsqr.rest)]
            results.append(objective.residual(theta))
        assert len(stripes_of(model.rows, objective._compiled.program("value").block_rows)) > 3
        return [np.asarray(r).tobytes() for r in results]

    one = answers(1)
    for threads in (2, 3, 7):
        assert answers(threads) == one
    assert answers(1) == one


@pytest.mark.parametrize("threads", [1, 3])
def test_an_interrupted_evaluation_leaves_the_objective_usable(threads: int) -> None:
    calls = 0
    armed = True

    def checkpoint() -> None:
        nonlocal calls
        calls += 1
        if armed and calls > 5:
            raise Interrupted("cancelled")

    model = LeastSquares(RNG.normal(size=(50_000, 10)), RNG.normal(size=50_000))
    objective = model.objective(checkpoint, threads=threads)
    theta = np.ones(10)
    with pytest.raises(Interrupted, match="cancelled"):
        objective.gradient(theta)
    armed = False
    np.testing.assert_array_equal(objective.gradient(theta), model.objective().gradient(theta))


def test_memory_does_not_grow_with_the_rows() -> None:
    """Value and gradient over 400,000 rows of a network allocate far less than one layer's activations."""
    rows = 400_000
    x = np.ones((rows, 2), np.float32)
    model = Network(x, np.ones(rows, np.float32), [Layer(32, "tanh"), Layer(1)])
    tracemalloc.start()
    try:
        model.objective().value_and_gradient(model.start())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20 < rows * 32 * 4 / 4


def test_what_cannot_be_cut_is_refused_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    program = compile_program(graph_of(NOT_SEPARABLE[4]), FLOAT)
    monkeypatch.setattr(blocks, "WHOLE_LIMIT", program.body.bytes(2000) - 1)
    with pytest.raises(MemoryLimit, match="mixes rows"):
        Evaluator(program, {"x": np.ones((2000, 3))}, 2000)
