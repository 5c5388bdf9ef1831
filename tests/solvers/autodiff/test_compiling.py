"""The way from a definition to its first numbers: how often a graph is walked, how much is made, what is shared.

Counts, never times. Shortcuts are held against the long way: what is simplified with what was known before is the very
node that simplifying afresh gives; a node remade without its shape rule is the one that the rule makes.
"""

from __future__ import annotations

import cProfile
import gc
from collections.abc import Callable
from types import CodeType
from typing import Any

import numpy as np
import pytest

from benchmarks.problems import nist
from nablad.expressions import Graph, Node, Symbol, make, rebuild, remake, topological
from nablad.expressions.collecting import collection_put_off
from nablad.solvers import Expression, Layer, LeastSquares, Network
from nablad.solvers.autodiff.blocks import compile_program
from nablad.solvers.autodiff.plan import compile_plan
from nablad.solvers.autodiff.problem import Problem
from nablad.solvers.autodiff.simplify import simplify
from nablad.solvers.autodiff.structure import degree
from nablad.solvers.autodiff.transform import gradient, jvp
from nablad.solvers.models.base import Model

WALKS = {"gradient": 12, "hessian": 14}
"""Over a graph or a part of one, from text to numbers: as many as passes that read one another's results."""
PLANS = {"gradient": 3, "hessian": 6}
"""A head, a body and a tail for each program; one program for value and gradient, one for the Hessian."""
MADE = {"gradient": 7, "hessian": 17}
"""Nodes for each node of the definition."""
LOOPED = {"gradient": 12, "hessian": 40}
"""The same of a loop over rows, where hardly a node is a leaf."""
CALLS = {"gradient": 700, "hessian": 2_000}
"""Function calls, Python's and C's, for each node of the definition."""


def counted(work: Callable[[], Any]) -> Callable[..., int]:
    """How often each function was called: count(f, g, ...), or count() of all calls."""
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        work()
    finally:
        profiler.disable()
    entries = profiler.getstats()

    def count(*functions: Any) -> int:
        codes = {function.__code__ for function in functions}
        return sum(
            entry.callcount
            for entry in entries
            if not functions or (isinstance(entry.code, CodeType) and entry.code in codes)
        )

    return count


def peaks(mark: str) -> Expression:
    """NIST's Gauss1, in names of its own."""
    given = nist.nonlinear("Gauss1")
    names = [f"{name}_{mark}" for name in given.names]
    text = given.text
    for old, new in zip(given.names, names, strict=True):
        text = text.replace(old, new)
    column = f"x_{mark}"
    text = text.replace("*x)", f"*{column})").replace("(x ", f"({column} ")
    start = dict(zip(names, given.starts[1].tolist(), strict=True))
    return Expression.parse(text, data={column: given.columns["x"]}, response=given.response, start=start)


def looped(steps: int, mark: float) -> Expression:
    """A recurrence over data rows, written as a loop."""

    def f(p: Any, d: Any) -> Any:
        y = d["x"] * p["a"]
        for _ in range(steps):
            y = y + 0.01 * (p["b"] * np.sin(y) - mark * y * p["g"])
        return y

    x = np.linspace(0.0, 1.0, 20)
    return Expression.trace(f, start={"a": 1.0, "b": 0.8, "g": 0.6}, data={"x": x}, response=np.ones(20))


def first(build: Callable[[], Model], what: str) -> Callable[[], None]:
    def run() -> None:
        model = build()
        objective, theta = model.objective(), model.initial()
        objective.value_and_gradient(theta)
        if what == "hessian":
            objective.hessian(theta)

    return run


@pytest.mark.parametrize("what", WALKS)
def test_the_first_evaluation_of_a_small_expression(what: str) -> None:
    first(lambda: peaks(f"before_{what}"), what)()
    size = len(peaks(f"size_{what}").graph.nodes)
    count = counted(first(lambda: peaks(f"now_{what}"), what))
    assert count(topological) <= WALKS[what]
    assert count(compile_plan) <= PLANS[what]
    assert count(Node.__init__) <= MADE[what] * size
    assert count() <= CALLS[what] * size


@pytest.mark.parametrize("what", WALKS)
def test_a_long_loop_takes_no_more_walks_than_a_short_expression(what: str) -> None:
    size = len(looped(40, 1.25).graph.nodes)
    count = counted(first(lambda: looped(40, 1.5), what))
    assert count(topological) <= WALKS[what]
    assert count(compile_plan) <= PLANS[what]
    assert count(Node.__init__) <= LOOPED[what] * size
    assert count() <= CALLS[what] * size


def test_a_model_of_a_form_that_is_known_is_not_compiled_again() -> None:
    kept = peaks("known")
    first(lambda: kept, "hessian")()
    count = counted(first(lambda: peaks("known"), "hessian"))
    assert count(compile_plan, simplify, gradient, jvp) == 0


# What is shared is what would have been made


def models() -> dict[str, Model]:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    found: dict[str, Model] = {name: nist.nonlinear(name).model(1) for name in nist.NONLINEAR}
    found |= {
        "network": Network(x, y, (Layer(4, "tanh"), Layer(3, "relu"), Layer(2))),
        "mean with a ridge": Network(x, y, (Layer(4, "sigmoid"), Layer(2)), reduction="mean", ridge=0.1),
        "least squares": LeastSquares(x, y[:, 0], ridge=0.5),
        "loop": looped(5, 1.0),
        "a product of sums": Expression.parse(
            "sum(a*x)*sum(exp(b*x))", start={"a": 1.0, "b": 0.1}, data={"x": x[:, 0], "z": x[:, 1]}
        ),
        "rows in pairs": Expression.parse("sum(outer(x, x)*w)", start={"w": 1.0}, data={"x": x[:, 0]}),
        "no rows": Expression.parse("sum(c**2)*c[0]", start={"c": np.arange(1.0, 4.0)}),
    }
    return found


MODELS = models()


def graphs(problem: Problem) -> list[Graph]:
    """Value, value and gradient, product with the Hessian: each holds most of the one before."""
    theta = problem.parameters
    v = make("input", (), ("direction", theta.shape, "parameter"))
    (slope,) = gradient(problem.objective, [theta])
    (product,) = jvp([slope.node], {theta: Symbol(v)})
    inputs = (theta, v, *problem.data)
    return [
        Graph(inputs, outputs) for outputs in ((problem.objective,), (problem.objective, slope.node), (product.node,))
    ]


@pytest.mark.parametrize("name", MODELS)
def test_simplifying_with_what_is_known_gives_the_same_nodes(name: str) -> None:
    known: dict[Node, Node] = {}
    for graph in graphs(MODELS[name].problem):
        assert simplify(graph, known).outputs == simplify(graph).outputs


@pytest.mark.parametrize("name", MODELS)
def test_remade_nodes_are_those_that_the_shape_rules_make(name: str) -> None:
    for graph in graphs(MODELS[name].problem):
        stand_in = {x: make("input", (), (f"other {x.name}", x.shape, "data")) for x in graph.inputs}
        new: dict[Node, Node] = dict(stand_in)
        for node in graph.nodes:
            if node not in new:
                operands = tuple(new[x] for x in node.operands)
                new[node] = make(node.op, operands, node.attributes)
                assert remake(node, operands) is new[node]
        assert rebuild(graph.outputs, stand_in) == tuple(new[x] for x in graph.outputs)


@pytest.mark.parametrize("name", MODELS)
def test_a_sum_over_rows_is_proven_as_by_the_tail_of_its_program(name: str) -> None:
    compiled = MODELS[name].compiled
    program = compile_program(compiled.graph((compiled.problem.objective,)), compiled.dtype)
    tail = program.tail.graph
    sums = tail.inputs[: program.sums]
    assert compiled.is_sum_over_rows == (program.separable and all(degree(x, sums) <= 1.0 for x in tail.outputs))


@pytest.mark.parametrize("name", MODELS)
def test_a_product_never_takes_more_than_was_foretold_without_its_program(name: str) -> None:
    compiled = MODELS[name].compiled
    assert compiled.product_bytes >= compiled.program("hvp").body.bytes_per_row


# The collector


def test_the_collector_waits_and_is_put_back() -> None:
    assert gc.isenabled()
    with collection_put_off():
        with collection_put_off():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), collection_put_off():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collection_put_off():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_graphs_are_freed_without_the_collector() -> None:
    """What lets it wait: nothing that is made here is part of a cycle."""
    gc.collect()
    gc.disable()
    try:
        alive = len(gc.get_objects())
        model = looped(50, 1.75)
        graph = simplify(graphs(model.problem)[2])
        program = compile_program(graph, np.dtype(np.float64))
        assert len(gc.get_objects()) > alive + 5_000
        del model, graph, program
        assert len(gc.get_objects()) < alive + 500
    finally:
        gc.enable()
