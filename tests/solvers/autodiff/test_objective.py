"""The Objective protocol on problems that no model of this storey makes: without data, mixing rows, with fixed data."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from nablad.expressions import ROWS, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.objective import GraphObjective
from nablad.solvers.autodiff.problem import Compiled, Problem
from nablad.solvers.models import LeastSquares
from nablad.solvers.objective import UnsupportedObjective

FLOAT = np.dtype(np.float64)


def rosenbrock(with_residual: bool) -> GraphObjective:
    theta = parameter("theta", (2,))
    x1, x2 = (s.slice_of(theta, [(k, k + 1)]) for k in range(2))
    residual = s.concatenate([10.0 * (x2 - s.square(x1)), 1.0 - x1], 0)
    objective = s.sum(s.square(residual))
    problem = Problem(theta.node, (), objective.node, residual.node, residual.node if with_residual else None)
    return GraphObjective(Compiled(problem, FLOAT), {})


def test_an_objective_without_data() -> None:
    objective = rosenbrock(True)
    x, y = theta = np.array([-1.2, 1.0])
    assert (objective.rows, objective.size) == (0, 2)
    assert not objective.capabilities.separable
    np.testing.assert_allclose(objective.value(theta), 24.2, rtol=1e-14)
    np.testing.assert_allclose(objective.gradient(theta), [-215.6, -88.0], rtol=1e-13)
    hessian = np.array([[1200 * x * x - 400 * y + 2, -400 * x], [-400 * x, 200]])
    np.testing.assert_allclose(objective.hessian(theta), hessian, rtol=1e-13)
    np.testing.assert_allclose(objective.hvp(theta, np.array([1.0, -2.0])), hessian @ [1.0, -2.0], rtol=1e-13)
    jacobian = np.array([[-20 * x, 10.0], [-1.0, 0.0]])
    np.testing.assert_allclose(objective.jacobian(theta), jacobian, rtol=1e-14)
    tsqr = objective.tsqr(theta)
    np.testing.assert_allclose(tsqr.r.T @ tsqr.r, jacobian.T @ jacobian, rtol=1e-12)
    np.testing.assert_allclose(objective.gram(theta).jtr, objective.gradient(theta) / 2, rtol=1e-13)


def test_what_an_objective_lacks_is_said() -> None:
    objective = rosenbrock(False)
    theta = np.zeros(2)
    for question in (objective.residual, objective.jacobian, objective.gram, objective.tsqr):
        with pytest.raises(UnsupportedObjective, match="sum of squares"):
            question(theta)
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        objective.value(np.zeros(3))


def test_an_objective_that_mixes_rows() -> None:
    """The variance of x theta over the rows: not separable, run whole."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(300, 3))
    theta, columns, shift = parameter("theta", (3,)), data("x", (ROWS, 3)), data("shift", (3,))
    output = columns @ (theta + shift)
    mean = s.sum(output) / s.rows()
    problem = Problem(theta.node, (columns.node, shift.node), s.sum(s.square(output - mean)).node, output.node)
    objective = GraphObjective(Compiled(problem, FLOAT), {"x": x, "shift": np.ones(3)}, threads=2)
    point = rng.normal(size=3)
    centred = x - x.mean(0)
    assert not objective.capabilities.separable
    assert objective.capabilities.quadratic
    np.testing.assert_allclose(objective.value(point), np.sum((centred @ (point + 1)) ** 2), rtol=1e-11)
    np.testing.assert_allclose(objective.gradient(point), 2 * centred.T @ centred @ (point + 1), rtol=1e-10)
    np.testing.assert_allclose(objective.hessian(point), 2 * centred.T @ centred, rtol=1e-10, atol=1e-10)


def test_columns_must_agree() -> None:
    theta, a, b = parameter("theta", ()), data("a", (ROWS,)), data("b", (ROWS,))
    output = a * b * theta
    problem = Problem(theta.node, (a.node, b.node), s.sum(output).node, output.node)
    with pytest.raises(ValueError, match="disagree"):
        GraphObjective(Compiled(problem, FLOAT), {"a": np.ones(3), "b": np.ones(4)})


def test_two_threads_at_once_are_refused_and_leave_it_usable() -> None:
    model = LeastSquares(np.random.default_rng(0).normal(size=(50, 3)), np.ones(50))
    inside, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        inside.set()
        assert go_on.wait(10)

    objective = model.objective(checkpoint=wait)
    theta, found = np.ones(3), []
    other = threading.Thread(target=lambda: found.append(objective.value_and_gradient(theta)))
    other.start()
    assert inside.wait(10)
    with pytest.raises(RuntimeError, match="one thread at a time"):
        objective.value_and_gradient(np.zeros(3))
    go_on.set()
    other.join()
    value, gradient = model.objective().value_and_gradient(theta)
    assert found[0][0] == value == objective.value(theta)
    assert np.array_equal(found[0][1], gradient)
