"""At the ends of the range of numbers, and where arithmetic of our own fails: no run is lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from solvers.properties import problems as p
from solvers.properties.variants import FAST, NOISY, SEARCHES, Problem, every, pairs

from nablad.solvers import Family, Status, Stopping, solve
from solvers import objectives as o

SMALLEST = 1e3 * float(np.finfo(float).tiny) * float(np.finfo(float).eps)
"""Of a value with a few last bits nobody can tell whether it still falls."""
BRIEF = Stopping(max_iterations=800)


def separable() -> Problem:
    """Classes that a plane separates: f falls to the smallest numbers there are."""
    A = np.random.default_rng(1).standard_normal((40, 3))
    X = A * np.sign(A @ np.array([1.0, 2.0, -1.0]))[:, None]

    def s(t: np.ndarray) -> np.ndarray:
        return np.exp(-np.logaddexp(0.0, X @ t))

    return Problem(
        o.Smooth(
            f=lambda t: np.sum(np.logaddexp(0.0, -(X @ t))),
            g=lambda t: -X.T @ s(t),
            H=lambda t: (X * (s(t) * (1.0 - s(t)))[:, None]).T @ X,
            size=3,
        ),
        np.zeros(3),
    )


def peano() -> Problem:
    """(x - y^2)(x - 2 y^2) falls without end along a parabola, and along no line."""
    return Problem(
        o.Smooth(
            f=lambda t: (t[0] - t[1] ** 2) * (t[0] - 2.0 * t[1] ** 2),
            g=lambda t: np.array([2.0 * t[0] - 3.0 * t[1] ** 2, -6.0 * t[0] * t[1] + 8.0 * t[1] ** 3]),
            H=lambda t: np.array([[2.0, -6.0 * t[1]], [-6.0 * t[1], -6.0 * t[0] + 24.0 * t[1] ** 2]]),
            size=2,
        ),
        np.array([0.1, 0.1]),
    )


@pairs(every(but=[NOISY]), p.named(separable, peano))
def test_where_f_has_no_minimum_the_range_of_numbers_is_left_without_an_error(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, BRIEF)
    assert report.status is not Status.INTERNAL, report.message
    assert report.status.family is not Family.CONVERGED or 0.0 < report.value < SMALLEST, report.message


@pytest.mark.parametrize("scale", [1e-290, 1e290])
@pairs(every(SEARCHES), p.named(separable, peano))
def test_nor_is_there_an_error_at_the_edge_of_the_range(variant, problem, scale: float) -> None:
    problem = problem()
    report = solve(o.rescaled(problem.f, scale, 1.0), variant.method, problem.start, BRIEF)
    assert report.status is not Status.INTERNAL, report.message
    assert report.status.family is not Family.CONVERGED or 0.0 < report.value < SMALLEST, report.message


def himmelblau() -> Problem:
    """(x^2 + y - 11)^2 + (x + y^2 - 7)^2, as a function: four minima of value 0."""

    def r(t: np.ndarray) -> np.ndarray:
        return np.array([t[0] ** 2 + t[1] - 11.0, t[0] + t[1] ** 2 - 7.0])

    def slopes(t: np.ndarray) -> np.ndarray:
        return np.array([[2.0 * t[0], 1.0], [1.0, 2.0 * t[1]]])

    return Problem(
        o.Smooth(
            f=lambda t: r(t) @ r(t),
            g=lambda t: 2.0 * slopes(t).T @ r(t),
            H=lambda t: 2.0 * (slopes(t).T @ slopes(t) + np.diag(2.0 * r(t))),
            size=2,
        ),
        np.array([1.0, 1.0]),
    )


@pytest.mark.parametrize("scale", [1e-290, 1e-200, 1e200, 1e290])
@pairs(every(SEARCHES, FAST), p.named(himmelblau))
def test_the_extreme_scale_of_a_function_is_harmless(variant, problem, scale: float) -> None:
    """Products of two gradients leave the range of numbers where neither does."""
    problem = problem()
    plain = solve(problem.f, variant.method, problem.start)
    report = solve(o.rescaled(problem.f, scale, 1.0), variant.method, problem.start)
    assert report.success, report.message
    assert np.allclose(report.theta, plain.theta, rtol=1e-4)
    assert report.iterations <= 2 * plain.iterations + 10


def failing(after: int, error: Exception) -> Callable[[], None]:
    """What raises from its call number `after` on."""
    calls = itertools.count()

    def call() -> None:
        if next(calls) >= after:
            raise error

    return call


ERRORS = [ZeroDivisionError("float division by zero"), OverflowError("too large"), np.linalg.LinAlgError("no end")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pairs(every(), p.named(p.long))
def test_an_arithmetic_error_keeps_the_best_point_and_tells_its_iteration(variant, problem, error: Exception) -> None:
    problem = problem()
    problem.f.before = failing(6, error)
    report = solve(problem.f, variant.method, problem.start)
    assert report.status is Status.INTERNAL
    assert type(error).__name__ in report.message
    assert f"in iteration {report.iterations + 1}." in report.message
    assert str(error) in report.message
    assert np.isfinite(report.value)
    assert report.value <= problem.f.f(problem.start)
    assert report.value == problem.f.f(report.theta)


@pairs([v for v in every(SEARCHES) if v.order == 1], p.named(p.quadratic))
def test_an_arithmetic_error_of_the_last_look_keeps_the_run_too(variant, problem) -> None:
    """A tolerance that was given is not verified on the way: the Hessian is asked for at the end alone."""
    problem, stopping = problem(), Stopping(relative_gradient_tolerance=1e-2)
    whole = solve(problem.f, variant.method, problem.start, stopping)
    assert whole.success
    inner, fail = problem.f.hessian, failing(0, ZeroDivisionError("float division by zero"))
    problem.f.hessian = lambda theta: (fail(), inner(theta))[1]
    report = solve(problem.f, variant.method, problem.start, stopping)
    assert report.status is Status.INTERNAL
    assert "when the point" in report.message
    assert (report.iterations, report.value) == (whole.iterations, whole.value)
    assert (report.theta == whole.theta).all()
