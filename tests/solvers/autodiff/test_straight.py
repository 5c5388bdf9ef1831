"""Where one block is all, an evaluation is one list of calls: how many, and that it sees what has changed.

Counted, since times depend on the machine's mood.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.problems import nist
from nablad.expressions import ROWS, Graph, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers import Expression
from nablad.solvers.autodiff.blocks import Evaluator, compile_program
from nablad.solvers.autodiff.kernels.moves import movable, moves, tiles
from nablad.solvers.autodiff.kernels.native import available, native
from nablad.solvers.autodiff.kernels.sequence import sequenced
from nablad.solvers.autodiff.objective import GraphObjective
from nablad.solvers.autodiff.plan import collected

FLOAT = np.dtype(np.float64)
RNG = np.random.default_rng(17)
kernels = pytest.mark.skipif(not available(), reason="no kernels in this process")


def objective_of(name: str) -> tuple[GraphObjective, Any]:
    model = nist.nonlinear(name).model(1)
    objective = model.objective()
    assert isinstance(objective, GraphObjective)
    return objective, model.initial()


def calls(work: Callable[[], object]) -> Counter[str]:
    """Of Python's functions and of C's, by name."""
    counted: Counter[str] = Counter()

    def count(frame: Any, kind: str, argument: Any) -> None:
        if kind in ("call", "c_call"):
            counted[frame.f_code.co_name if kind == "call" else argument.__name__] += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counted


@kernels
@pytest.mark.parametrize("name", ["Misra1a", "Thurber", "ENSO", "Gauss1"])
def test_an_evaluation_takes_few_calls(name: str) -> None:
    objective, theta = objective_of(name)
    asked: dict[str, Callable[[], object]] = {
        "value and gradient": lambda: objective.value_and_gradient(theta),
        "hessian": lambda: objective.hessian(theta),
    }
    for ask in asked.values():
        for _ in range(3):
            ask()
        counted = calls(ask)
        assert counted.total() <= 20, counted
    for evaluator in objective._evaluators.values():
        assert evaluator._straight is not None
        assert len(evaluator._straight) <= 5


def test_each_answer_is_of_its_own_theta_and_its_own_memory() -> None:
    objective, theta = objective_of("Thurber")
    points = [theta, theta * 1.01, theta * 0.99, theta]
    answers = []
    moving = theta.copy()
    for point in points:
        moving[:] = point
        answers.append((*objective.value_and_gradient(moving), objective.hessian(moving)))
    for point, (value, slope, hessian) in zip(points, answers, strict=True):
        fresh, _ = objective_of("Thurber")
        expected = fresh.value_and_gradient(point)
        assert value == expected[0]
        np.testing.assert_array_equal(slope, expected[1])
        np.testing.assert_array_equal(hessian, fresh.hessian(point))


def test_a_checkpoint_that_raises_leaves_the_objective_usable() -> None:
    x = np.linspace(0.0, 1.0, 20)
    model = Expression.parse("a*exp(b*x)", start={"a": 1.0, "b": 0.5}, data={"x": x}, response=np.cos(x))
    theta, seen, fail = model.initial(), 0, {2, 5}

    def checkpoint() -> None:
        nonlocal seen
        seen += 1
        if seen in fail:
            raise KeyboardInterrupt

    objective = model.objective(checkpoint=checkpoint)
    expected = model.objective().value_and_gradient(theta)
    for turn in range(1, 8):
        if turn in fail:
            with pytest.raises(KeyboardInterrupt):
                objective.value_and_gradient(theta)
        else:
            value, slope = objective.value_and_gradient(theta)
            assert value == expected[0]
            np.testing.assert_array_equal(slope, expected[1])
    assert seen == 7  # once an evaluation


def test_arrays_that_are_attached_later_are_read() -> None:
    x, w, c = data("x", (ROWS, 3)), parameter("w", (3,)), parameter("c", ())
    graph = Graph((w.node, c.node, x.node), ((c * s.sum(s.tanh(x * w))).node, (x @ w).node))
    first, second = RNG.normal(size=(2, 9, 3))
    weights = RNG.normal(size=3)
    ours = Evaluator(compile_program(graph, FLOAT), {"x": first}, 9)
    for array, factor in ((first, 2.0), (second, 3.0), (first, -1.0)):
        attached = {"x": array, "c": np.array(factor)}
        for _ in range(4):
            ours.attach(attached)
            value, rows = ours.run({"w": weights})
            assert value == pytest.approx(factor * np.tanh(array * weights).sum(), rel=1e-13)
            np.testing.assert_allclose(rows, array @ weights, rtol=1e-13)
        assert ours._straight is not None


def test_outputs_by_places() -> None:
    x, w = data("x", (ROWS,)), parameter("w", ())
    graph = Graph((w.node, x.node), (s.sum(x * w).node, (2.0 * w).node, s.sum(s.square(x)).node))
    column, places = RNG.normal(size=700), np.array([[2, 0], [0, 1]])
    for rows, population in ((700, None), (70, 700)):
        part = column[:rows]
        ours = Evaluator(compile_program(graph, FLOAT), {"x": part}, rows, population=population, places=places)
        scale = 700 / rows
        for weight in (3.0, 4.0, 5.0):
            (found,) = ours.run({"w": np.array(weight)})
            total = scale * weight * part.sum()
            expected = [[scale * part @ part, total], [total, 2.0 * weight]]
            np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_numbers_are_collected_wherever_they_lie(dtype: str) -> None:
    base = np.arange(12, dtype=dtype).reshape(3, 4)
    out = np.empty(3, dtype)
    program, keep = sequenced([collected([base[0, 1], base[2, 3:4].reshape(()), np.array(7, dtype)], out)])
    del base
    for call, arguments in program:
        call(*arguments)
    assert out.tolist() == [1.0, 11.0, 7.0]
    assert len(keep) == (dtype != "float16" and available())


@kernels
def test_moves_and_what_may_be_moved() -> None:
    out = np.full(6, np.nan)
    pieces = [np.array([1.0, 2.0]), np.array([3.0]), np.array([[4.0], [5.0], [6.0]])]
    targets = [out[4:], out[:1], out[1:4]]
    assert tiles(targets, out)
    assert movable([*pieces, *targets], FLOAT)
    program, _keep = sequenced([moves(native("float64"), targets, pieces)])
    for call, arguments in program:
        call(*arguments)
    assert out.tolist() == [3.0, 4.0, 5.0, 6.0, 1.0, 2.0]
    assert not tiles([out[:3], out[2:5]], out)
    assert not tiles([out[:3], out[:3]], out)
    assert not tiles([out[:3]], out)
    assert not movable([out[::2]], FLOAT)
    assert not movable([out], np.dtype(np.float32))


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 255, 256, 511, 512, 513, 1030])
@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 3)])
def test_sums_over_a_strip_or_less_and_a_little_more(rows: int, shape: tuple[Any, ...]) -> None:
    x = data("x", shape)
    graph = Graph((x.node,), (s.sum(s.square(x)).node, s.sum(s.exp(x)).node, s.square(x).node))
    column = RNG.normal(size=(rows, *shape[1:]))
    total, other, kept = Evaluator(compile_program(graph, FLOAT), {"x": column}, rows).run({})
    assert total == pytest.approx(np.square(column).sum(), rel=1e-14)
    assert other == pytest.approx(np.exp(column).sum(), rel=1e-14)
    np.testing.assert_array_equal(kept, np.square(column))


@kernels
def test_numbers_that_are_computed_from_sums_are_one_call() -> None:
    x, w = data("x", (ROWS,)), parameter("w", ())
    total = s.sum(x * w)
    f = s.exp(s.square(total) * 0.001) / (1.0 + s.square(w)) - 3.0 * w
    ours = Evaluator(compile_program(Graph((w.node, x.node), (f.node,)), FLOAT), {"x": np.linspace(0.0, 1.0, 9)}, 9)
    for weight in (0.5, 0.7, 0.9):
        (value,) = ours.run({"w": np.array(weight)})
        expected = np.exp((weight * 4.5) ** 2 * 0.001) / (1.0 + weight**2) - 3.0 * weight
        assert value == pytest.approx(expected, rel=1e-14)
    assert ours._straight is not None
    assert len(ours._straight) == 1
