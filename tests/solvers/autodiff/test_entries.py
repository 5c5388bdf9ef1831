"""The Hessian entry by entry is that of forward over reverse with all directions at once, and is had for less."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from benchmarks.problems import nist
from nablad.expressions import Graph, parameter
from nablad.expressions import symbols as s
from nablad.solvers import Expression
from nablad.solvers.autodiff import blocks
from nablad.solvers.autodiff.entries import MOST_PARAMETERS, elements_of, entries_of, slopes_of
from nablad.solvers.autodiff.objective import GraphObjective
from nablad.solvers.autodiff.plan import FusedStep
from nablad.solvers.autodiff.simplify import simplify
from nablad.solvers.autodiff.transform import gradient

RNG = np.random.default_rng(3)


def objective_of(
    text: str, start: dict[str, Any], rows: int = 40, threads: int = 1, dtype: str = "float64"
) -> GraphObjective:
    x = np.linspace(0.1, 2.0, rows).astype(dtype)
    start = {name: np.asarray(value, dtype) for name, value in start.items()}
    model = Expression.parse(text, start=start, data={"x": x}, response=np.sin(x))
    found = model.objective(threads=threads)
    assert isinstance(found, GraphObjective)
    return found


def at_once(objective: GraphObjective, theta: Any) -> Any:
    hessian = objective._batched_hessian(theta)
    return 0.5 * (hessian + hessian.T)


@pytest.mark.parametrize("name", nist.NONLINEAR)
def test_the_entries_of_certified_problems(name: str) -> None:
    model = nist.nonlinear(name).model(1)
    objective, theta = model.objective(), model.initial()
    assert isinstance(objective, GraphObjective)
    assert objective._compiled.entries is not None
    hessian, other = objective.hessian(theta), at_once(objective, theta)
    np.testing.assert_array_equal(hessian, hessian.T)
    np.testing.assert_allclose(hessian, other, rtol=1e-9, atol=1e-12 * np.abs(other).max())


@pytest.mark.parametrize(
    "text",
    [
        "maximum(a*x, b) + where(x > c, c*x, sin(a))",
        "a*x + b + 0*c",
        "a**b * x + log(1 + exp(c*x))",
        "sum(a*x)*x + b*c",
        "a*x**2",
    ],
)
def test_pieces_powers_and_parameters_that_are_hardly_there(text: str) -> None:
    used = [name for name in "abc" if re.search(rf"\b{name}\b", text)]
    objective = objective_of(text, dict.fromkeys(used, 0.7))
    theta = 0.3 + RNG.random(len(used))
    np.testing.assert_allclose(objective.hessian(theta), at_once(objective, theta), rtol=1e-10, atol=1e-10)


def test_what_is_zero_by_structure_is_not_there() -> None:
    objective = objective_of("a*x + exp(b*x)", {"a": 1.0, "b": 0.5})
    theta, u = parameter("theta", (3,)), [s.reshape(parameter("theta", (3,))[k], ()) for k in range(2)]
    f = s.square(u[0]) + s.exp(u[1])
    graph = simplify(Graph((theta.node,), (f.node, gradient(f.node, [theta.node])[0].node)))
    elements, slopes = elements_of(graph, theta.node), slopes_of(graph.outputs[1])
    assert elements is not None
    assert elements[2] is None
    assert slopes is not None
    entries = entries_of(slopes, elements)
    assert entries is not None
    assert len(entries.nodes) == 3  # 0, 2 and exp
    assert [[k > 0 for k in row] for row in entries.places] == np.diag([True, True, False]).tolist()
    assert objective.hessian(np.ones(2)).shape == (2, 2)


def test_parameters_that_are_read_in_another_way_are_left_to_all_directions_at_once() -> None:
    together = Expression.parse("sum(w)*x", start={"w": np.ones(3)}, data={"x": np.ones(4)}, response=np.zeros(4))
    names = [f"b{k}" for k in range(MOST_PARAMETERS + 1)]
    many = objective_of(" + ".join(f"sin({name}*x)" for name in names), dict.fromkeys(names, 0.1))
    for objective in (together.objective(), many):
        assert isinstance(objective, GraphObjective)
        assert objective._compiled.entries is None
        hessian = objective.hessian(np.full(objective.size, 0.3))
        np.testing.assert_array_equal(hessian, hessian.T)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_threads_and_blocks_leave_no_mark(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS", (64, 64))
    theta = np.array([0.4, 1.1])
    one, two = (objective_of("a*exp(-b*x)", {"a": 1.0, "b": 1.0}, 1000, threads=n, dtype=dtype) for n in (1, 3))
    np.testing.assert_array_equal(one.hessian(theta), two.hessian(theta))
    assert one.hessian(theta).dtype == np.dtype(dtype)
    monkeypatch.undo()
    whole = objective_of("a*exp(-b*x)", {"a": 1.0, "b": 1.0}, 1000, dtype=dtype)
    np.testing.assert_allclose(one.hessian(theta), whole.hessian(theta), rtol=1e-12 if dtype == "float64" else 1e-5)


def test_all_that_runs_over_rows_is_one_strip_program() -> None:
    model = nist.nonlinear("Gauss1").model(1)
    objective = model.objective()
    assert isinstance(objective, GraphObjective)
    assert objective._compiled.entries is not None
    program, _ = objective._compiled.entries
    if program.body.native:
        assert [isinstance(step, FusedStep) for step in program.body.steps] == [True]
