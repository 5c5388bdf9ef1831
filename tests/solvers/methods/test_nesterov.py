"""Nesterov's extrapolation against its recursion, its bound, and gradient descent."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nablad.solvers import Armijo, Constant, GradientDescent, Iterate, RecordTheta, Status, Stopping, run, solve
from solvers import objectives as o


def trajectory(problem: o.Smooth, method: GradientDescent, start: np.ndarray, count: int) -> list[Iterate]:
    stopping = Stopping(max_iterations=count, relative_gradient_tolerance=0.0)
    events = run(problem, method, start, stopping, record_theta=RecordTheta.each())
    return [e for e in events if isinstance(e, Iterate)]


def test_a_constant_step_is_the_recursion_with_restarts() -> None:
    problem = o.quadratic([1.0, 10.0, 80.0], seed=3)
    found = trajectory(problem, GradientDescent(Constant(1.0 / 80.0), nesterov=True), np.array([4.0, -3.0, 0.5]), 90)
    y = x = np.array([4.0, -3.0, 0.5])
    t, restarts = 1.0, 0
    for k in range(90):
        assert found[k].theta is not None
        assert np.allclose(found[k].theta, y, rtol=1e-9, atol=1e-12)
        g = problem.gradient(y)
        new = y - g / 80.0
        if g @ (new - x) > 0.0:
            t, restarts = 1.0, restarts + 1
        following = 0.5 * (1.0 + math.sqrt(1.0 + 4.0 * t**2))
        x, y, t = new, new + (t - 1.0) / following * (new - x), following
    assert restarts >= 2
    assert found[-1].values == 91


def test_the_bound_for_convex_functions_holds() -> None:
    """f(x_k) - f* <= 2 L ||x_0 - x*||^2 / (k + 1)^2, on a chain of springs, where gradients see one link at a time."""
    n, L = 40, 4.0
    H = 2.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    b = np.eye(n)[0]
    problem = o.Smooth(f=lambda t: 0.5 * t @ H @ t - b @ t, g=lambda t: H @ t - b, H=lambda t: H, size=n)
    minimizer = np.linalg.solve(H, b)
    least, reach = problem.value(minimizer), float(minimizer @ minimizer)
    found = trajectory(problem, GradientDescent(Constant(1.0 / L), nesterov=True), np.zeros(n), 60)
    for k in range(1, 60):
        y = np.asarray(found[k].theta)
        x = y - problem.gradient(y) / L
        assert problem.value(x) - least <= 2.0 * L * reach / (k + 2) ** 2


@pytest.mark.parametrize("kappa", [1e2, 1e4])
def test_iterations_grow_with_the_root_of_the_condition(kappa: float) -> None:
    """Without knowing the condition: about sqrt(kappa) iterations a digit, the best step included."""
    problem = o.quadratic(list(np.geomspace(1.0, kappa, 20)))
    for method in (GradientDescent(Constant(1.0 / kappa), nesterov=True), GradientDescent(nesterov=True)):
        report = solve(problem, method, np.zeros(20), Stopping(max_iterations=20_000))
        assert report.success, report.message
        assert report.iterations <= 40 * math.sqrt(kappa)


def test_the_first_step_length_may_be_absurd() -> None:
    problem = o.quadratic([1.0, 30.0])
    for initial in (1e-9, 1e9):
        report = solve(problem, GradientDescent(Armijo(initial=initial), nesterov=True), np.zeros(2))
        assert report.success, report.message
        assert report.iterations < 400


def test_a_step_too_long_fails_and_the_best_point_is_kept() -> None:
    problem = o.quadratic([1.0, 100.0])
    report = solve(problem, GradientDescent(Constant(0.1), nesterov=True), np.zeros(2))
    assert report.status is Status.DIVERGED
    assert report.value <= problem.value(np.zeros(2))
    assert "stable step" in report.message


@pytest.mark.parametrize("method", [GradientDescent(nesterov=True), GradientDescent(Constant(0.4), nesterov=True)])
def test_an_extrapolation_over_a_wall_is_dropped(method: GradientDescent) -> None:
    """t - log t from far out: momentum runs into the wall at 0, where f is NaN."""
    report = solve(o.barrier(), method, np.array([12.0, 6.0]), Stopping(max_iterations=5_000))
    assert report.success, report.message
    assert np.allclose(report.theta, 1.0, atol=1e-4)
