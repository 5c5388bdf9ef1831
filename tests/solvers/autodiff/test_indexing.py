"""Reads at given places, and numpy's functions that move numbers about: values, derivatives, batches, rows, edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nablad.expressions import ROWS, Graph, ShapeError, Symbol, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.batching import batch
from nablad.solvers.autodiff.blocks import Evaluator, compile_program
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.plan import Workspace, compile_plan
from nablad.solvers.autodiff.structure import Linearity, linearity
from nablad.solvers.autodiff.transform import gradient, jvp, vjp

FUNCTIONS: list[tuple[str, tuple[int, ...], Callable[[Any, Any], Any]]] = [
    ("flip", (3, 4), lambda m, x: m.flip(x)),
    ("flip one axis", (3, 4), lambda m, x: m.flip(x, 1)),
    ("flip axes", (3, 4, 2), lambda m, x: m.flip(x, (0, -1))),
    ("flip empty", (0, 2), lambda m, x: m.flip(x, 0)),
    ("swapaxes", (2, 3, 4), lambda m, x: m.swapaxes(x, 0, -1)),
    ("moveaxis", (2, 3, 4), lambda m, x: m.moveaxis(x, 0, -1)),
    ("moveaxis several", (2, 3, 4, 5), lambda m, x: m.moveaxis(x, (0, 2), (-1, 0))),
    ("squeeze", (1, 3, 1), lambda m, x: m.squeeze(x)),
    ("squeeze one", (1, 3, 1), lambda m, x: m.squeeze(x, -1)),
    ("expand_dims", (3, 4), lambda m, x: m.expand_dims(x, (0, -1))),
    ("ravel", (3, 4), lambda m, x: m.ravel(x)),
    ("reshape", (3, 4), lambda m, x: m.reshape(x, (2, -1))),
    ("roll", (3, 4), lambda m, x: m.roll(x, 5)),
    ("roll axis", (3, 4), lambda m, x: m.roll(x, -1, 1)),
    ("roll axes", (3, 4), lambda m, x: m.roll(x, (1, 2), (0, 1))),
    ("tile", (2, 3), lambda m, x: m.tile(x, 2)),
    ("tile more", (3,), lambda m, x: m.tile(x, (2, 1, 3))),
    ("repeat", (2, 3), lambda m, x: m.repeat(x, 2)),
    ("repeat axis", (2, 3), lambda m, x: m.repeat(x, 3, 1)),
    ("repeat counts", (2, 3), lambda m, x: m.repeat(x, [2, 0, 1], -1)),
    ("stack", (2, 3), lambda m, x: m.stack([x, 2.0 * x], -1)),
    ("vstack", (3,), lambda m, x: m.vstack([x, 2.0 * x])),
    ("hstack", (3,), lambda m, x: m.hstack([x, 2.0 * x])),
    ("hstack matrices", (2, 3), lambda m, x: m.hstack([x, 2.0 * x])),
    ("concatenate flat", (2, 3), lambda m, x: m.concatenate([x, 2.0 * x], None)),
    ("take", (4, 3), lambda m, x: m.take(x, [[3, -1], [0, 0]], 0)),
    ("take flat", (4, 3), lambda m, x: m.take(x, [7, -2])),
    ("diagonal", (3, 4, 3), lambda m, x: m.diagonal(x)),
    ("diagonal offset", (2, 3, 4), lambda m, x: m.diagonal(x, 2, 1, 2)),
    ("diagonal below", (4, 3), lambda m, x: m.diagonal(x, -2)),
    ("diagonal outside", (4, 3), lambda m, x: m.diagonal(x, 7)),
    ("diag", (3,), lambda m, x: m.diag(x)),
    ("diag below", (3,), lambda m, x: m.diag(x, -2)),
    ("diag of a matrix", (3, 4), lambda m, x: m.diag(x, 1)),
    ("trace", (3, 4), lambda m, x: m.trace(x)),
    ("trace of a stack", (3, 3, 2), lambda m, x: m.trace(x, 1)),
    ("tril", (2, 3, 4), lambda m, x: m.tril(x, -1)),
    ("triu", (4, 3), lambda m, x: m.triu(x)),
]


def evaluate(x: Symbol, y: Symbol, point: Any) -> Any:
    """Through a plan, checked against the interpreter."""
    graph = Graph((x.node,), (y.node,))
    (slow,) = interpret(graph, {x.node.name: point})
    (fast,) = Workspace(compile_plan(graph, np.dtype(float)), 1).run([point])
    np.testing.assert_array_equal(fast, slow)
    assert slow.shape == y.shape
    return slow


@pytest.mark.parametrize(("name", "shape", "function"), FUNCTIONS, ids=[row[0] for row in FUNCTIONS])
def test_functions_are_numpys_and_linear(name: str, shape: tuple[int, ...], function: Any) -> None:
    """The value is numpy's; being linear, f(v) is the derivative along v, and <u, f(v)> = <f'(u), v>."""
    rng = np.random.default_rng(7)
    point, v = rng.normal(size=shape), rng.normal(size=shape)
    x = parameter("x", shape)
    y = function(s, x)
    np.testing.assert_array_equal(evaluate(x, y, point), function(np, point))
    u = rng.normal(size=y.shape)
    (pulled,) = vjp([y.node], [x.node], [Symbol(s.lift(u))])
    np.testing.assert_allclose(np.sum(evaluate(x, pulled, point) * v), np.sum(u * function(np, v)), rtol=1e-13)
    (pushed,) = jvp([y.node], {x.node: Symbol(s.lift(v))})
    np.testing.assert_array_equal(evaluate(x, pushed, point), function(np, v))
    assert linearity(s.sum(y).node, [x.node]) is Linearity.AFFINE or 0 in y.shape


def test_an_index_outside_the_axis_reads_nan_and_adds_nothing() -> None:
    index = np.array([0.0, 3.0, -3.0, -4.0, 0.5, np.nan, np.inf, 2.0])
    x, places = parameter("x", (3,)), data("places", (8,))
    y = s.take(x, places)
    (pulled,) = vjp([y.node], [x.node], [Symbol(s.lift(np.arange(1.0, 9.0)))])
    graph = Graph((x.node, places.node), (y.node, pulled.node))
    values = {"x": np.array([10.0, 20.0, 30.0]), "places": index}
    nan = np.nan
    for results in (
        interpret(graph, values),
        Workspace(compile_plan(graph, np.dtype(float)), 1).run(list(values.values())),
    ):
        np.testing.assert_array_equal(results[0], [10.0, nan, 10.0, nan, nan, nan, nan, 30.0])
        np.testing.assert_array_equal(results[1], [1.0 + 3.0, 0.0, 8.0])


@pytest.mark.parametrize("wrong", [3, -4, 0.5, np.nan])
def test_a_constant_index_outside_the_axis_is_refused(wrong: float) -> None:
    with pytest.raises(IndexError, match="length 3"):
        s.take(parameter("x", (3,)), [0, wrong], 0)
    with pytest.raises(IndexError, match="mask"):
        s.take(parameter("x", (3,)), [True, False, True], 0)


@pytest.mark.parametrize("which", ["x", "index", "both"])
@pytest.mark.parametrize(("shape", "axis", "inner"), [((3,), 0, (2,)), ((2, 3, 4), 1, ()), ((2, 3, 4), 1, (2, 2))])
def test_batched_reads_are_a_loop(which: str, shape: tuple[int, ...], axis: int, inner: tuple[int, ...]) -> None:
    rng = np.random.default_rng(8)
    size = 5
    values = {"x": rng.normal(size=(size, *shape)), "index": rng.integers(-3, 3, (size, *inner)).astype(float)}
    values["index"][1] = 3.0
    values["index"][2] = 0.5
    x, index = parameter("x", shape), data("index", inner)
    read = s.take(x, index, axis)
    values["t"] = rng.normal(size=(size, *read.shape))
    t = data("t", read.shape)
    added = s.apply("scatter_add", t, index, attributes=(shape, axis))
    chosen = {"x": [x, t], "index": [index], "both": [x, t, index]}[which]
    many = {k.node: data(f"many_{k.node.name}", (size, *k.shape)) for k in chosen}
    results = batch([read.node, added.node], many, size)
    inputs = (x.node, index.node, t.node)
    given = {name: value[0] for name, value in values.items()}
    ours = interpret(
        Graph((*inputs, *(k.node for k in many.values())), tuple(r.node for r in results)),
        {**given, **{k.node.name: values[old.name] for old, k in many.items()}},
    )
    one = Graph(inputs, (read.node, added.node))
    for k in range(size):
        own = {**given, **{old.name: values[old.name][k] for old in many}}
        for batched, single in zip(ours, interpret(one, own), strict=True):
            np.testing.assert_allclose(batched[k], single, rtol=1e-14)


def test_groups_are_read_row_by_row_and_their_gradient_is_a_sum_over_rows() -> None:
    rows, groups = 20_000, 7
    rng = np.random.default_rng(9)
    theta, group, y = parameter("theta", (groups, 2)), data("group", (ROWS,)), data("y", (ROWS, 2))
    residual = y - s.take(theta, group, 0)
    loss = s.sum(s.square(residual))
    (slope,) = gradient(loss.node, [theta.node])
    program = compile_program(Graph((theta.node, group.node, y.node), (loss.node, slope.node)), np.dtype(float))
    assert program.separable
    values = {"group": rng.integers(0, groups, rows).astype(float), "y": rng.normal(size=(rows, 2))}
    point = rng.normal(size=(groups, 2))
    total, ours = Evaluator(program, values, rows).run({"theta": point})
    r = values["y"] - point[values["group"].astype(int)]
    expected = np.stack([-2 * r[values["group"] == k].sum(0) for k in range(groups)])
    np.testing.assert_allclose(total, np.sum(r * r), rtol=1e-13)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


@pytest.mark.parametrize("counts", [[1, 2], [1, -1, 2], [0, 0, 1 << 40]])
def test_counts_of_repeat_are_checked_before_anything_is_built(counts: list[int]) -> None:
    with pytest.raises(ShapeError, match="3 counts"):
        s.repeat(parameter("x", (3,)), counts, 0)
    assert s.repeat(parameter("x", (3,)), np.array([1, 0, 4]), 0).shape == (5,)


def test_degree_of_reads() -> None:
    x, i = parameter("x", (3,)), parameter("i", ())
    assert linearity(s.take(x, i).node, [x.node]) is Linearity.AFFINE
    assert linearity(s.take(x, i).node, [i.node]) is Linearity.NONE


def test_the_axis_of_the_data_rows_stays_whole() -> None:
    x = data("x", (ROWS, 3))
    for attempt in (
        lambda: s.concatenate([x, x], 0),
        lambda: s.flip(x, 0),
        lambda: s.take(x, [0], 0),
        lambda: s.roll(x, 1, 0),
        lambda: s.slice_of(x, [(0, 1), None]),
        lambda: s.ravel(x),
        lambda: s.diagonal(x),
        lambda: s.tril(x),
    ):
        with pytest.raises(ShapeError, match=r"N|rows"):
            attempt()
    assert s.concatenate([x, x], 1).shape == (ROWS, 6)
    assert s.ravel(data("column", (ROWS, 1))).shape == (ROWS,)


@pytest.mark.parametrize(
    ("bounds", "fits"),
    [((0, 5), True), ((0, 6), False), ((4, -1, -1), True), ((5, -1, -1), False), ((0, -1), False), ((3, 5, -1), True)],
)
def test_ranges_lie_in_their_axis(bounds: Any, fits: bool) -> None:
    x = parameter("x", (5,))
    if fits:
        point = np.arange(5.0)
        np.testing.assert_array_equal(evaluate(x, s.slice_of(x, [bounds]), point), point[list(range(*bounds))])
    else:
        with pytest.raises(ShapeError, match="does not lie"):
            s.slice_of(x, [bounds])


def test_stacking_ten_thousand_numbers_is_linear_in_nodes() -> None:
    count = 10_000
    x = parameter("x", (count,))
    reads = [s.reshape(s.slice_of(x, [(k, k + 1)]), ()) for k in reversed(range(count))]
    y = s.sum(s.square(s.stack(reads)))
    (slope,) = gradient(y.node, [x.node])
    graph = Graph((x.node,), (slope.node,))
    assert len(graph.nodes) < 10 * count
    point = np.arange(float(count))
    np.testing.assert_array_equal(interpret(graph, {"x": point})[0], 2 * point)


def test_triangles_and_diagonals_hide_what_they_do_not_read() -> None:
    point = np.array([[1.0, np.nan], [np.inf, 2.0]])
    x = parameter("x", (2, 2))
    np.testing.assert_array_equal(evaluate(x, s.triu(s.tril(x)), point), np.diag([1.0, 2.0]))
    np.testing.assert_array_equal(evaluate(x, s.diag(s.diag(x)), point), np.diag([1.0, 2.0]))
