"""Gradient descent against the theory of quadratics."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest

from nablad.solvers import Armijo, Constant, GradientDescent, Iterate, RecordTheta, Status, Stopping, run, solve
from solvers import objectives as o


def path(problem: o.Smooth, method: GradientDescent, start: np.ndarray, iterations: int) -> np.ndarray:
    stopping = Stopping(max_iterations=iterations, relative_gradient_tolerance=0.0)
    events = run(problem, method, start, stopping, record_theta=RecordTheta.each())
    return np.array([e.theta for e in events if isinstance(e, Iterate)])


def test_constant_step_is_the_plain_recursion() -> None:
    problem, theta = o.rosenbrock(), np.array([-1.2, 1.0])
    for found in path(o.rosenbrock(), GradientDescent(Constant(1e-3)), theta, 20):
        assert np.array_equal(found, theta)
        theta = theta + 1e-3 * -problem.gradient(theta)


def test_momentum_is_the_heavy_ball() -> None:
    problem = o.quadratic([1.0, 7.0])
    found = path(problem, GradientDescent(Constant(0.05), momentum=0.6), np.array([4.0, -3.0]), 30)
    for k in range(1, 30):
        expected = found[k] - 0.05 * problem.gradient(found[k]) + 0.6 * (found[k] - found[k - 1])
        assert np.allclose(found[k + 1], expected, rtol=1e-12)


@pytest.mark.parametrize("kappa", [3.0, 20.0, 100.0])
def test_the_best_constant_step_contracts_as_theory_says(kappa: float) -> None:
    """Each error is at most (kappa - 1) / (kappa + 1) of the last, and from the worst start exactly that."""
    problem = o.quadratic([1.0, 0.5 * (1.0 + kappa), kappa], seed=4)
    _, V = np.linalg.eigh(problem.hessian(np.zeros(3)))
    start = 1.0 + V[:, 0] + V[:, 2]
    errors = np.linalg.norm(path(problem, GradientDescent(Constant(2.0 / (1.0 + kappa))), start, 20) - 1.0, axis=1)
    assert np.allclose(errors[1:] / errors[:-1], (kappa - 1.0) / (kappa + 1.0), rtol=1e-6)


@pytest.mark.parametrize("size", [1.0, 250.0])
def test_a_step_too_long_fails_and_names_the_stable_one(size: float) -> None:
    problem = o.quadratic([1.0, size])
    report = solve(problem, GradientDescent(Constant(3.0)), np.zeros(2))
    if size == 1.0:
        report = solve(o.rescaled(problem, 2.0), GradientDescent(Constant(3.0)), np.zeros(2))
        size = 2.0
    assert report.status is Status.DIVERGED
    assert not report.success
    assert report.value <= problem.value(np.zeros(2)) * max(1.0, size)
    named = re.search(r"about ([-+.e0-9]+)\.", report.message)
    assert named is not None
    assert float(named[1]) == pytest.approx(2.0 / size, rel=0.05)
    assert "Lower the step" in report.message


def test_armijo_decreases_at_every_iteration() -> None:
    problem = o.beale()
    values = [problem.value(t) for t in path(problem, GradientDescent(), np.array([1.0, 0.8]), 200)]
    assert all(b < a for a, b in pairwise(values))


@pytest.mark.parametrize("initial", [1e-12, 1e12])
def test_armijo_finds_its_step_from_a_bad_first_one(initial: float) -> None:
    report = solve(o.quadratic([1.0, 10.0]), GradientDescent(Armijo(initial=initial)), np.zeros(2))
    assert report.success
    assert report.iterations < 250


def test_large_values_do_not_hide_the_descent() -> None:
    """f = 1e12 + a quadratic: differences of f drown in roundoff long before the gradient does."""
    inner = o.quadratic([1.0, 10.0])
    problem = o.Smooth(f=lambda t: 1e12 + inner.f(t), g=inner.g, H=inner.H, size=2)
    report = solve(problem, GradientDescent(), np.zeros(2))
    assert report.success, report.message
    assert np.allclose(report.theta, 1.0, atol=1e-4)


def test_verdict_is_unverified_where_a_hessian_would_cost_more_than_the_run() -> None:
    p = 600
    problem = o.Smooth(f=lambda t: float(t @ t), g=lambda t: 2 * t, H=lambda t: 2 * np.eye(p), size=p)
    report = solve(problem, GradientDescent(), np.ones(p))
    assert report.success
    assert report.evidence.verdict == "unverified"
    assert "would cost more" in report.evidence.note
    assert report.counts.hessian == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(0.0),
        lambda: Constant(float("nan")),
        lambda: Armijo(shrink=1.0),
        lambda: Armijo(sufficient_decrease=0.5),
        lambda: Armijo(initial=-1.0),
        lambda: Armijo(grow=0.5),
        lambda: Armijo(max_trials=0),
        lambda: GradientDescent(momentum=1.0),
        lambda: Stopping(max_iterations=-1),
        lambda: Stopping(max_seconds=0.0),
        lambda: Stopping(target_value=float("nan")),
    ],
)
def test_settings_out_of_range_are_refused(make: object) -> None:
    with pytest.raises(ValueError, match="must"):
        make()  # type: ignore[operator]
