"""Graphs of 100,000 nodes, 20,000 deep, or with 10,000 reads of one vector: linear work, no recursion, few buffers.

Work is counted, not timed: function calls (Python's and C's) while a graph is made, differentiated, simplified,
compiled and run, at n and at 4 n. Linear work gives a ratio of 4, quadratic work 16; a bit of room is left for what
depends on where dictionaries grow.
"""

from __future__ import annotations

import cProfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nablad.expressions import ROWS, Graph, Node, Symbol, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers.autodiff import source
from nablad.solvers.autodiff.blocks import Evaluator, compile_program
from nablad.solvers.autodiff.plan import compile_plan
from nablad.solvers.autodiff.simplify import simplify
from nablad.solvers.autodiff.transform import gradient, jvp
from nablad.solvers.models import LeastSquares

FLOAT = np.dtype(np.float64)


def chain(length: int) -> tuple[Node, Node]:
    """Every node reads the one before: as deep as it is long."""
    x = parameter("x", ())
    y: Symbol = x
    for k in range(length // 2):
        y = s.sin(y) * 0.999 if k % 2 else y * x + 0.25
    return x.node, y.node


def reads(count: int) -> tuple[Node, Node]:
    """A sum of squares of a vector's elements, read one by one."""
    x = parameter("x", (count,))
    y: Symbol = Symbol(s.lift(0.0))
    for k in range(count):
        y = y + s.square(s.reshape(s.slice_of(x, [(k, k + 1)]), ()))
    return x.node, y.node


def wide(count: int) -> tuple[Node, Node]:
    """One number that `count` others read, summed pairwise."""
    x = parameter("x", ())
    layer = [s.sin(x * (1.0 + k / count)) for k in range(count)]
    while len(layer) > 1:
        layer = [a + b for a, b in zip(layer[::2], layer[1::2], strict=True)]
    return x.node, layer[0].node


SHAPES: dict[str, Callable[[int], tuple[Node, Node]]] = {"chain": chain, "reads": reads, "wide": wide}


def derivatives(x: Node, y: Node) -> Graph:
    """Value, gradient and a product with the Hessian."""
    (g,) = gradient(y, [x])
    v = parameter("v", x.shape)
    (product,) = jvp([g.node], {x: v})
    return Graph((x, v.node), (y, g.node, product.node))


def calls_of(work: Callable[[], Any]) -> int:
    """Function calls made by `work`, Python's and C's."""
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        work()
    finally:
        profiler.disable()
    return sum(entry.callcount for entry in profiler.getstats())


@pytest.mark.parametrize("shape", SHAPES)
def test_work_is_linear(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Generated source costs more to make and less to run: neither size becomes any.
    monkeypatch.setattr(source, "NODE_LIMIT", 1_000)

    def work(n: int) -> Callable[[], Any]:
        def run() -> None:
            x, y = SHAPES[shape](n)
            program = compile_program(derivatives(x, y), FLOAT)
            theta = np.full(x.shape, 0.3)
            Evaluator(program, {}, 0).run({"x": theta, "v": theta})

        return run

    small, large = calls_of(work(512)), calls_of(work(2048))
    assert 3.0 < large / small < 4.6


def test_work_is_linear_where_rows_read_many_shared_numbers() -> None:
    def work(n: int) -> Callable[[], Any]:
        def run() -> None:
            x, theta = data("x", (ROWS,)), parameter("theta", ())
            # Each term's factor is computed once, outside the rows, and is an input of what runs over them.
            terms = [s.exp(x * (theta * (1.0 + k / n))) for k in range(n)]
            y = s.sum(sum(terms[1:], terms[0])).node
            program = compile_program(Graph((theta.node, x.node), (y,)), FLOAT)
            Evaluator(program, {"x": np.linspace(0.0, 1.0, 5)}, 5).run({"theta": np.array(0.5)})

        return run

    work(8)()  # loads the kernels
    small, large = calls_of(work(128)), calls_of(work(512))
    assert 3.0 < large / small < 4.6


@pytest.mark.parametrize("shape", SHAPES)
def test_nodes_steps_slots_and_bytes_are_linear(shape: str) -> None:
    sizes = []
    for n in (256, 1024):
        x, y = SHAPES[shape](n)
        graph = derivatives(x, y)
        plan = compile_plan(simplify(graph), FLOAT)
        pieces = sum(len(node.operands) for node in graph.nodes)
        sizes.append((len(graph.nodes), pieces, len(plan.steps), len(plan.slots), plan.bytes(0)))
    for small, large in zip(*sizes, strict=True):
        assert large <= 4.1 * small


def test_a_hundred_thousand_nodes_twenty_thousand_deep() -> None:
    """Value, slope and curvature of a chain whose every second link reads x: by recurrences, link after link."""
    x, y = chain(30_000)
    graph = derivatives(x, y)
    assert len(graph.nodes) > 100_000
    program = compile_program(graph, FLOAT)
    value, slope, curvature = Evaluator(program, {}, 0).run({"x": np.array(0.5), "v": np.array(1.0)})
    point, tangent, second = 0.5, 1.0, 0.0
    for k in range(15_000):
        if k % 2:
            # (f o y)'' = f''(y) y'^2 + f'(y) y''
            second = 0.999 * (np.cos(point) * second - np.sin(point) * tangent**2)
            point, tangent = 0.999 * np.sin(point), 0.999 * np.cos(point) * tangent
        else:
            second = second * 0.5 + 2.0 * tangent
            point, tangent = point * 0.5 + 0.25, tangent * 0.5 + point
    np.testing.assert_allclose([value, slope, curvature], [point, tangent, second], rtol=1e-9)


def test_ten_thousand_reads_meet_in_one_scatter() -> None:
    x, y = reads(10_000)
    (g,) = gradient(y, [x])
    assert sum(node.op == "scatter" for node in Graph((x,), (g.node,)).nodes) == 1
    program = compile_program(derivatives(x, y), FLOAT)
    rng = np.random.default_rng(0)
    theta, v = rng.normal(size=(2, 10_000))
    value, slope, product = Evaluator(program, {}, 0).run({"x": theta, "v": v})
    np.testing.assert_allclose(value, theta @ theta, rtol=1e-12)
    np.testing.assert_allclose(slope, 2 * theta, rtol=1e-15)
    np.testing.assert_allclose(product, 2 * v, rtol=1e-15)


def test_a_hundred_thousand_nodes_run_in_a_handful_of_buffers() -> None:
    x, y = chain(100_000)
    graph = Graph((x,), (y,))
    assert len(graph.nodes) > 75_000
    program = compile_program(graph, FLOAT)
    live, tape = program.bytes(0), program.tape_bytes(0)
    assert len(program.head.slots) <= 4
    assert live <= 4 * 8
    assert tape >= 70_000 * 8
    (value,) = Evaluator(program, {}, 0).run({"x": np.array(0.5)})
    expected = 0.5
    for k in range(50_000):
        expected = np.sin(expected) * 0.999 if k % 2 else expected * 0.5 + 0.25
    np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_a_chain_over_data_rows_keeps_the_live_set_of_one_block() -> None:
    x, w = data("x", (ROWS,)), parameter("w", ())
    y: Symbol = x * w
    for _ in range(1_000):
        y = s.sin(y) + w
    program = compile_program(Graph((w.node, x.node), (s.sum(y).node,)), FLOAT)
    rows = 1_000_000
    assert program.bytes(rows) < 4 * program.block_rows * 8 + 4096
    assert program.tape_bytes(rows) >= 1_000 * rows * 8


def test_a_model_tells_live_set_and_tape() -> None:
    cost = LeastSquares(np.ones((10_000, 3)), np.ones(10_000)).cost()
    assert 0 < cost.workspace_bytes < cost.tape_bytes
