"""Limits hold everywhere: inside line searches, trust-region trials, batches and inner iterations (scipy #12023)."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from solvers.properties import problems as p
from solvers.properties.variants import NOISY, every, pairs

from nablad.solvers import Control, Status, Stopping, solve
from solvers import objectives as o


@pairs(every(), p.named(p.long))
def test_iterations(variant, problem) -> None:
    report = solve(problem().f, variant.method, problem().start, Stopping(max_iterations=3))
    assert (report.status, report.iterations, report.success) == (Status.MAX_ITERATIONS, 3, False)
    assert "3" in report.message


@pairs(every(), p.named(p.long))
def test_no_iterations_look_at_the_start_only(variant, problem) -> None:
    report = solve(problem().f, variant.method, problem().start, Stopping(max_iterations=0))
    assert (report.status, report.iterations, report.counts.value) == (Status.MAX_ITERATIONS, 0, 1)


@pytest.mark.parametrize("most", [1, 2, 3, 5, 8, 13])
@pairs(every(), p.named(p.long))
def test_evaluations(variant, problem, most: int) -> None:
    """(scipy #12023)"""
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, Stopping(max_evaluations=most))
    assert report.status is Status.MAX_EVALUATIONS
    assert report.counts.value == most
    assert len(problem.f.seen) <= most
    assert math.isfinite(report.value)


@pytest.mark.parametrize("most", [1, 4, 9])
@pairs(every(but=[NOISY]), p.named(p.long))
def test_no_point_is_looked_at_without_being_paid(variant, problem, most: int) -> None:
    """A trial by its residual, or derivatives where no value was taken, would pass the limit by.

    One point more for each is allowed: where geodesic acceleration looks at how the Jacobian changes.
    """
    problem = problem()
    solve(problem.f, variant.method, problem.start, Stopping(max_evaluations=most))
    assert len({theta.tobytes() for theta in problem.f.asked}) <= 2 * most


@pairs(every(), p.named(p.long))
def test_evaluations_of_this_run_only(variant, problem) -> None:
    problem = problem()
    problem.f.counters.value = 1000
    assert solve(problem.f, variant.method, problem.start, Stopping(max_evaluations=4)).counts.value == 4


@pairs(every(), p.named(p.long))
def test_time_is_seen_inside_an_evaluation(variant, problem) -> None:
    problem, control = problem(), Control()

    def slow() -> None:
        for _ in range(3):
            time.sleep(0.002)
            control.checkpoint()

    problem.f.before = slow
    begin = time.perf_counter()
    report = solve(problem.f, variant.method, problem.start, Stopping(max_seconds=0.03), control=control)
    assert report.status is Status.MAX_TIME
    assert time.perf_counter() - begin < 0.5


@pairs([v for v in every() if v.order == 2], p.named(p.quadratic, p.exponential))
def test_time_is_seen_between_products_with_the_hessian(variant, problem) -> None:
    """An inner iteration of conjugate gradients asks neither for f nor for anything else that ends it."""
    problem, H = problem(), problem().f.H

    def slow(theta: np.ndarray) -> np.ndarray:
        time.sleep(0.02)
        return H(theta)

    problem.f.H = slow
    begin = time.perf_counter()
    report = solve(problem.f, variant.method, problem.start, Stopping(max_seconds=0.03))
    assert report.status is Status.MAX_TIME or report.success
    assert time.perf_counter() - begin < 1.0


@pairs(every(), p.named(p.beale))
def test_seconds_are_split(variant, problem) -> None:
    problem = problem()
    problem.f.before = lambda: time.sleep(0.001)
    seconds = solve(problem.f, variant.method, problem.start, Stopping(max_iterations=5)).seconds
    assert 0.0 <= seconds.linear_algebra < seconds.total
    assert seconds.evaluation > 0.003
    assert seconds.evaluation + seconds.linear_algebra <= seconds.total


@pairs(every(), {"wells": lambda: p.Problem(o.wells(40), np.full(40, 3.0))})
def test_a_limit_reports_the_best_point_so_far(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, Stopping(max_evaluations=7))
    values = [problem.f.value(theta) for theta in list(problem.f.seen)]
    assert report.value <= values[0]
    assert report.value == problem.f.value(report.theta)
