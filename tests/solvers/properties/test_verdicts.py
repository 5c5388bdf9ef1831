"""What is said of a point where a run was told to end, by a loose tolerance or a target: no minimum without one."""

from __future__ import annotations

import numpy as np
import pytest
from solvers.properties import problems as p
from solvers.properties.variants import LONG, NOISY, SEARCHES, Problem, every, over, pairs, plain

from nablad.solvers import LeastSquares, Status, Stopping, solve
from solvers import objectives as o

SMOOTH = {
    **p.named(p.rosenbrock, p.exponential, p.quadratic, p.logistic, p.wells),
    "slope": lambda: Problem(
        o.Smooth(f=lambda t: np.exp(t[0]), g=np.exp, H=lambda t: np.diag(np.exp(t)), size=1), np.zeros(1)
    ),
}
LOOSE = {
    "gradient": Stopping(relative_gradient_tolerance=0.9),
    "step": Stopping(step_tolerance=0.5),
    "decrement": Stopping(decrement_tolerance=1.0),
}


def newton_step(f: o.Smooth, theta: np.ndarray) -> float:
    """Its length."""
    return float(np.linalg.norm(np.linalg.lstsq(f._hessian(theta), f.g(theta), rcond=None)[0]))


@pytest.mark.parametrize("rule", list(LOOSE))
@pairs(every(but=[NOISY]), SMOOTH)
def test_a_loose_tolerance_makes_no_minimum(variant, problem, rule: str) -> None:
    """The run ends by the rule that was given; whether a minimum is there, Newton's step from the point tells."""
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, LOOSE[rule])
    lengths = [np.linalg.norm(report.theta), np.linalg.norm(report.theta - problem.start)]
    if newton_step(problem.f, report.theta) > 0.1 * max(lengths):
        assert report.evidence.verdict not in ("minimum", "flat"), report.message
        assert "a minimum" not in report.message


@pairs(every(but=[NOISY]), SMOOTH)
def test_a_target_makes_no_minimum(variant, problem) -> None:
    problem = problem()
    goal = 0.9 * float(problem.f.f(problem.start)) + 0.1 * problem.minimum
    report = solve(problem.f, variant.method, problem.start, Stopping(target_value=goal, max_iterations=2000))
    if report.status is Status.TARGET and newton_step(problem.f, report.theta) > 0.1:
        assert report.evidence.verdict in ("unverified", "saddle", "maximum"), report.message
        assert "a minimum" not in report.message.replace(report.status.advice, "")


@pairs(every(SEARCHES), p.named(p.quadratic, p.logistic, p.exponential))
def test_by_default_a_minimum_is_called_one(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, LONG)
    assert (report.success, report.evidence.verdict) == (True, "minimum"), report.message


@over(plain())
def test_a_start_that_overflows_says_nothing_of_its_point(variant) -> None:
    """The residual is finite, and its square is not: nor is anything that could be told from them."""
    model = LeastSquares(np.ones((2, 1)), np.array([1e200, 2e200]))
    report = solve(model.objective(), variant.method, model.start())
    assert report.status is Status.NONFINITE_START
    assert (report.evidence.verdict, report.evidence.rank, report.evidence.decrement) == ("unverified", None, None)
    assert "determine" not in report.message
    assert "curvature" not in report.message
