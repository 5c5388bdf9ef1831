"""Every method reaches minima, says so, and knows them when it starts there."""

from __future__ import annotations

import numpy as np
import pytest
from solvers.properties import problems as p
from solvers.properties.events import trace
from solvers.properties.variants import FAST, LONG, NOISY, SEARCHES, VARIANTS, every, over, pairs

from nablad.solvers import METHODS, Family, Newton, Status, Stopping, run, solve


def test_the_table_is_covered() -> None:
    assert {type(variant.method) for variant in VARIANTS.values()} == set(METHODS.values())
    assert all(cls.name == name for name, cls in METHODS.items())


@pairs(every(but=[NOISY]), p.named(p.quadratic, p.wells, p.straight), (every(SEARCHES), p.named(p.exponential, p.hill)))
def test_converges(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, LONG)
    assert report.success, report.message
    assert report.value == pytest.approx(problem.minimum, abs=1e-6)
    assert report.evidence.verdict == "minimum"
    assert report.evidence.smallest_curvature is not None
    assert report.evidence.smallest_curvature > 0


@pairs(every(SEARCHES), p.named(p.beale, p.logistic), (every(FAST), p.named(p.rosenbrock)))
def test_searches_converge_in_valleys(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, LONG)
    assert report.success, report.message
    newton = solve(problem.f, Newton(), problem.start)
    assert np.allclose(report.theta, newton.theta, atol=2e-3)


@pairs(every(NOISY), p.named(p.exponential, p.straight))
def test_noisy_methods_come_near(variant, problem) -> None:
    problem = problem()
    first = problem.f.value(problem.start)
    report = solve(problem.f, variant.method, problem.start, Stopping(max_iterations=300))
    assert report.value - problem.minimum < 0.1 * (first - problem.minimum)


@pairs(every(but=[NOISY]), p.named(p.exponential, p.logistic, p.rosenbrock, p.straight))
def test_a_warm_start_at_the_answer_is_a_success_at_once(variant, problem) -> None:
    problem = problem()
    answer = solve(problem.f, Newton(), problem.start).theta
    report = solve(problem.f, variant.method, answer)
    assert report.success, report.message
    assert report.iterations <= 1


@pairs(every(SEARCHES), p.named(p.rosenbrock))
def test_target_value(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, Stopping(target_value=0.5))
    assert report.status is Status.TARGET
    assert report.value <= 0.5


@pairs(every(), p.named(p.rosenbrock))
def test_the_same_run_twice_has_the_same_bits(variant, problem) -> None:
    first, second = (
        trace(run(problem().f, variant.method, problem().start, Stopping(max_iterations=100))) for _ in range(2)
    )
    assert first == second


@pairs(every(), p.named(p.beale))
def test_settings_given_and_used_are_told(variant, problem) -> None:
    report = solve(problem().f, variant.method, problem().start, Stopping(max_iterations=5))
    assert report.stopping_given == {"max_iterations": 5}
    assert report.stopping_used["gradient_tolerance"] == 0.0
    assert report.method_settings["kind"] == type(variant.method).__name__


@over(every())
def test_a_method_is_a_value(variant) -> None:
    assert variant.method == type(variant.method)(**vars(variant.method))
    assert hash(variant.method) == hash(type(variant.method)(**vars(variant.method)))


def test_success_is_the_converged_family_only() -> None:
    assert {s for s in Status if s.success} == {s for s in Status if s.family is Family.CONVERGED}
    assert all(s.advice.endswith(".") for s in Status)
