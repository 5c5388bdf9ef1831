"""Plans with kernels against the interpreter, on random pointwise graphs; schedules; buffers taken over."""

from __future__ import annotations

import math
import threading
import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nablad.expressions import ROWS, Graph, Symbol, data, parameter, topological
from nablad.expressions import symbols as s
from nablad.solvers import Layer, Network
from nablad.solvers.autodiff.blocks import compile_program
from nablad.solvers.autodiff.fusion import Fused, schedule
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.kernels.native import available
from nablad.solvers.autodiff.plan import FusedStep, Plan, Workspace, compile_plan
from nablad.solvers.autodiff.transform import gradient

pytestmark = pytest.mark.skipif(not available(), reason="this process has no kernels")

Array = NDArray[Any]
FLOAT = np.dtype(np.float64)
WIDTHS = (1, 3, 7, 512, 513, 5000)
ROW_COUNTS = (0, 1, 2, 5, 600)
TOLERANCE = {"float64": 1e-13, "float32": 1e-4}
"""Chains of ten rows, each of a few units, that at most double an error."""

# Each keeps values moderate and errors small: no differences of nearly equal numbers are blown up. The inputs are
# x (N, W), y (N, W), a row (W,), a column (N, 1) and a scalar.
RULES = [
    lambda p, q, c: s.tanh(p + q),
    lambda p, q, c: p * s.sigmoid(q),
    lambda p, q, c: 0.5 * (p - q),
    lambda p, q, c: s.relu(p) + c,
    lambda p, q, c: s.where(s.greater(c, 0.3), p, q),
    lambda p, q, c: s.where(s.logical_and(s.greater(c, 0.3), s.greater(2.0, c)), q, p),
    lambda p, q, c: s.maximum(p, q),
    lambda p, q, c: s.power(s.square(p) + 1.0, 1.3) * 0.2,
    lambda p, q, c: p / (1.0 + s.square(q)),
    lambda p, q, c: s.sin(p) * c,
    lambda p, q, c: s.tanh(p + s.sum(q, [1], keepdims=True) * 1e-4),
    lambda p, q, c: s.tanh(p + s.sum(q, [0]) * 1e-3),
    lambda p, q, c: s.tanh(p + s.sum(q) * 1e-6),
    lambda p, q, c: s.transpose(s.transpose(p) * 0.5 + s.sin(s.transpose(q))),
    lambda p, q, c: s.reshape(s.tanh(s.reshape(p, (ROWS, 1, p.shape[1]))), p.shape) + q,
    lambda p, q, c: s.broadcast_to(s.tanh(s.sum(p, [0]) * 1e-3), p.shape) + q,
]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    width = draw(st.sampled_from(WIDTHS))
    x, y = data("x", (ROWS, width)), data("y", (ROWS, width))
    column, row, scalar = data("column", (ROWS, 1)), parameter("row", (width,)), parameter("scalar", ())
    inputs = (x, y, column, row, scalar)
    pool: list[Symbol] = [x + row, y * column]
    for _ in range(draw(st.integers(1, 10))):
        rule = draw(st.sampled_from(RULES))
        p, q = draw(st.sampled_from(pool)), draw(st.sampled_from(pool))
        # Truths are asked of inputs only: rounding may not decide.
        c = draw(st.sampled_from([x, y, x + 0.0 * scalar, s.broadcast_to(row, x.shape)]))
        pool.append(rule(p, q, c))
    last = pool[-1]
    sums = [s.sum(last), s.sum(last, [0]), s.sum(last, [1]), s.sum(draw(st.sampled_from(pool)) * row, [1])]
    outputs = [last, draw(st.sampled_from(pool)), *draw(st.lists(st.sampled_from(sums), min_size=1, max_size=3))]
    return Graph(tuple(k.node for k in inputs), tuple(k.node for k in outputs))


def _laid_out(array: Array, how: str) -> Array:
    """The same numbers, otherwise in memory."""
    if not array.ndim:
        return array
    if how == "transposed":
        return np.ascontiguousarray(array.T).T
    if how == "sliced":
        wide = np.zeros(tuple(2 * d for d in array.shape), array.dtype)
        inside = wide[tuple(slice(None, None, 2) for _ in array.shape)]
        inside[...] = array
        return inside
    if how == "reversed":
        return np.ascontiguousarray(array[::-1])[::-1]
    return array


def _inputs(graph: Graph, rows: int, dtype: str, seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    shapes = [tuple(rows if d is ROWS else d for d in node.shape) for node in graph.inputs]
    return [np.asarray(rng.uniform(-1.5, 1.5, shape)).astype(dtype) for shape in shapes]


def _interpreted(graph: Graph, inputs: Sequence[Array], rows: int) -> tuple[Array, ...]:
    given = {node.name: x for node, x in zip(graph.inputs, inputs, strict=True)}
    return interpret(graph, given, rows)


def _agree(ours: Sequence[Array], theirs: Sequence[Array], dtype: str) -> None:
    rows, width = theirs[0].shape
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        np.testing.assert_array_equal(np.isinf(a), np.isinf(b))
        finite = np.isfinite(b)
        # All values are moderate, so a sum's terms are too: a bound relative to the sum of their sizes.
        scale = 3.0 * (rows * width, max(rows, width), 1)[b.ndim]
        np.testing.assert_allclose(a[finite], b[finite], rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale)


@settings(max_examples=40)
@given(
    graphs(),
    st.sampled_from(ROW_COUNTS),
    st.sampled_from(["float64", "float64", "float32"]),
    st.lists(st.sampled_from(["plain", "transposed", "sliced", "reversed"]), min_size=5, max_size=5),
    st.sampled_from([None, math.nan, math.inf, -math.inf]),
)
def test_kernels_agree_with_the_interpreter(
    graph: Graph, rows: int, dtype: str, layouts: list[str], odd: float | None
) -> None:
    if graph.inputs[0].shape[1] == 5000:
        rows = min(rows, 5)
    inputs = _inputs(graph, rows, dtype, seed=rows)
    if odd is not None and rows:
        inputs[0][rows // 2, 0] = odd
    expected = _interpreted(graph, inputs, rows)
    workspace = Workspace(compile_plan(graph, np.dtype(dtype)), 600)
    given = [_laid_out(x, how) for x, how in zip(inputs, layouts, strict=True)]
    first = [x.copy() for x in workspace.run(given, rows)]
    _agree(first, expected, dtype)
    # Other arrays, other rows, then the same again: the same bits.
    few = _inputs(graph, 2, dtype, seed=1)
    alone = [x.copy() for x in Workspace(compile_plan(graph, np.dtype(dtype)), 2).run(few, 2)]
    _agree(workspace.run(inputs, rows), expected, dtype)
    for _ in range(2):
        np.testing.assert_equal(list(workspace.run(few, 2)), alone)
        np.testing.assert_equal(list(workspace.run(given, rows)), first)


@settings(max_examples=20)
@given(graphs())
def test_a_schedule_computes_before_it_reads_and_is_the_same_each_time(graph: Graph) -> None:
    nodes = graph.nodes
    position = {node: k for k, node in enumerate(nodes)}
    operands = [tuple(position[x] for x in node.operands) for node in nodes]
    outputs = [position[node] for node in graph.outputs]
    order = schedule(nodes, operands, outputs)
    assert schedule(nodes, operands, outputs) == order
    done = {k for k in range(len(nodes)) if not operands[k]}
    for item in order:
        assert done.issuperset(item.operands if isinstance(item, Fused) else operands[item])
        results = set(item.results) if isinstance(item, Fused) else {item}
        assert not results & done
        done |= results
    assert done.issuperset(outputs)


def test_two_workspaces_in_two_threads_give_the_bits_of_one() -> None:
    x, w = data("x", (ROWS, 40)), parameter("w", (40,))
    loss = s.sum(s.square(s.tanh(x * w) + s.sigmoid(x - w)))
    (slope,) = gradient(loss.node, [w.node])
    plan = compile_plan(Graph((x.node, w.node), (loss.node, slope.node)), FLOAT)
    rng = np.random.default_rng(0)
    inputs = [(rng.normal(size=(2000, 40)), rng.normal(size=40)) for _ in range(2)]
    alone = [[x.copy() for x in Workspace(plan, 2000).run(given, 2000)] for given in inputs]
    found: list[list[list[Array]]] = [[], []]

    def work(k: int) -> None:
        workspace = Workspace(plan, 2000)
        for _ in range(10):
            found[k].append([x.copy() for x in workspace.run(inputs[k], 2000)])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(2):
        assert len(found[k]) == 10
        for one in found[k]:
            np.testing.assert_array_equal(one[0], alone[k][0])
            np.testing.assert_array_equal(one[1], alone[k][1])


# counts


class _Counted(list[Any]):
    """A list that counts how often an element is read."""

    reads = 0

    def __getitem__(self, index: Any) -> Any:
        type(self).reads += 1
        return super().__getitem__(index)


def _reads(outputs: Sequence[Symbol]) -> int:
    """How often the schedule of a graph looks at a node."""
    nodes = topological([x.node for x in outputs])
    position = {node: k for k, node in enumerate(nodes)}
    operands = [tuple(position[x] for x in node.operands) for node in nodes]
    _Counted.reads = 0
    schedule(_Counted(nodes), operands, [position[x.node] for x in outputs])
    return _Counted.reads


def _chain(length: int) -> list[Symbol]:
    x = data("x", (ROWS, 3))
    for k in range(length):
        x = s.tanh(x) if k % 3 else x + s.sum(x, [0])
    return [x]


def _ladder(length: int) -> list[Symbol]:
    """Branches of one shape that each alternate pointwise and other ops."""
    x, w = data("x", (ROWS, 3)), parameter("w", (3, 3))
    branches = [s.tanh(x + float(k)) for k in range(length // 6)]
    for _ in range(3):
        branches = [s.tanh(b @ w) for b in branches]
    return branches


def _stretched(length: int) -> list[Symbol]:
    """Operands for which no split of the shape into rows and columns is there."""
    x = data("x", (ROWS, 4, 5))
    y = parameter("y", (4, 1))
    return [
        s.broadcast_to(s.tanh(s.reshape(s.sum(x * float(k), [1]), (ROWS, 1, 5))), (ROWS, 4, 5)) * y
        for k in range(length // 8)
    ]


@pytest.mark.parametrize("grow", [_chain, _ladder, _stretched])
def test_scheduling_is_linear(grow: Any) -> None:
    few, many = _reads(grow(1000)), _reads(grow(10_000))
    assert many < 12 * few


def _steps(plan: Plan) -> int:
    """Calls a run: views are none."""
    return sum(isinstance(step, FusedStep) or step.slot is not None for step in plan.steps)


def test_truths_shared_by_groups_are_computed_in_them_alone() -> None:
    x, w = data("x", (ROWS, 3)), parameter("w", (3, 3))
    inside = s.logical_and(s.greater(x, 0.0), s.greater(1.0, x))
    first = s.where(inside, x, 0.5 * x)
    second = s.where(inside, first @ w, x)
    graph = Graph((x.node, w.node), (second.node,))
    assert _steps(compile_plan(graph, FLOAT)) == 3


@pytest.mark.parametrize(
    ("activation", "loss", "most"),
    [
        ("tanh", "squared_error", 17),
        ("gelu", "squared_error", 17),
        ("relu", "squared_error", 17),
        ("tanh", "softmax_cross_entropy", 19),
    ],
)
def test_a_gradient_of_a_network_takes_few_calls_and_allocates_no_arrays(activation: str, loss: str, most: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 20))
    y = rng.integers(0, 5, 600) if loss == "softmax_cross_entropy" else rng.normal(size=(600, 5))
    model = Network(x, y, (Layer(64, activation), Layer(64, activation), Layer(5)), loss=loss)
    program = compile_program(model.objective()._compiled.program("value_and_gradient").graph, FLOAT)
    assert sum(_steps(plan) for plan in (program.head, program.body, program.tail)) <= most
    objective, theta = model.objective(), model.start()
    for _ in range(2):
        objective.value_and_gradient(theta)
    tracemalloc.start()
    try:
        objective.value_and_gradient(theta)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        _, slope = objective.value_and_gradient(theta)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Less than a column of the data, beside the gradient itself.
    assert peak - before < slope.nbytes + 600 * 8


def test_a_formula_and_its_gradient_are_a_few_calls() -> None:
    """The size of a NIST problem: b1 (1 - exp(-b2 x)) + b3 / (1 + b4 x) fitted to 200 rows."""
    x, y = data("x", (ROWS,)), data("y", (ROWS,))
    b = parameter("b", (4,))
    b1, b2, b3, b4 = (s.reshape(s.slice_of(b, [(k, k + 1)]), ()) for k in range(4))
    loss = s.sum(s.square(b1 * (1.0 - s.exp(-b2 * x)) + b3 / (1.0 + b4 * x) - y))
    (slope,) = gradient(loss.node, [b.node])
    program = compile_program(Graph((b.node, x.node, y.node), (loss.node, slope.node)), FLOAT)
    assert sum(_steps(plan) for plan in (program.head, program.body, program.tail)) <= 3


# buffers taken over


def _in_place(plan: Plan) -> int:
    """How many results lie where an operand of their group lay."""
    slot_of: dict[int, int] = {}
    found = 0
    for step in plan.steps:
        if isinstance(step, FusedStep):
            found += len({slot_of[k] for k in step.group.operands if k in slot_of} & set(step.slots))
            slot_of.update(zip(step.group.results, step.slots, strict=True))
        elif step.slot is not None:
            slot_of[step.position] = step.slot
    return found


def test_a_result_takes_the_buffer_of_an_operand_that_is_read_no_more() -> None:
    x, w = data("x", (ROWS, 3)), parameter("w", (3, 3))
    a = x @ w
    graph = Graph((x.node, w.node), ((s.tanh(s.square(a) + a) @ w).node,))
    plan = compile_plan(graph, FLOAT)
    assert _in_place(plan) == 1
    assert len(plan.slots) == 2


@pytest.mark.parametrize("rows", [1, 5, 171, 600])
def test_an_operand_is_not_written_over_before_its_last_read(rows: int) -> None:
    """Three results of one group, of which only the last is written when its dying operand is read no more."""
    x, w = data("x", (ROWS, 3)), parameter("w", (3, 3))
    a = x @ w
    first = s.tanh(a)
    second = s.sigmoid(first)
    third = s.sin(second) + a
    graph = Graph((x.node, w.node), (s.concatenate([first, second, third], 1).node,))
    plan = compile_plan(graph, FLOAT)
    (group,) = [step.group for step in plan.steps if isinstance(step, FusedStep)]
    assert len(group.results) == 3
    assert _in_place(plan) == 1
    rng = np.random.default_rng(rows)
    inputs = [rng.normal(size=(rows, 3)), rng.normal(size=(3, 3))]
    workspace = Workspace(plan, rows)
    for _ in range(2):
        for ours, theirs in zip(workspace.run(inputs, rows), _interpreted(graph, inputs, rows), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


def test_sums_of_nothing_are_zero() -> None:
    for shape in ((3, 0), (0, 3)):
        x = data("x", shape)
        y = s.tanh(x)
        graph = Graph((x.node,), (s.sum(y, [1]).node, s.sum(y, [0]).node, s.sum(y).node))
        workspace = Workspace(compile_plan(graph, FLOAT), 1)
        for buffer in workspace._buffers:
            buffer.fill(7.0)
        for ours in workspace.run([np.zeros(shape)]):
            np.testing.assert_array_equal(ours, np.zeros(ours.shape))
