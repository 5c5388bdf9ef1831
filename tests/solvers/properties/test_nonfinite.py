"""NaN and infinity at the start, in a trial, in a derivative: told, refused, and never a success."""

from __future__ import annotations

import math

import numpy as np
import pytest
from solvers.properties import problems as p
from solvers.properties.variants import LONG, NOISY, SEARCHES, Problem, every, pairs

from nablad.solvers import Family, Status, Stopping, solve
from solvers import objectives as o


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pairs(every(), {"everywhere": lambda: Problem(o.everywhere(1.0), np.ones(2))})
def test_at_the_start(variant, problem, value: float) -> None:
    """(scipy #4793, ceres #988)"""
    report = solve(o.everywhere(value), variant.method, np.ones(2))
    assert (report.status, report.success, report.iterations) == (Status.NONFINITE_START, False, 0)
    assert "2 of the gradient's 2" in report.message


@pairs(every(SEARCHES), p.named(p.steep, p.barrier))
def test_trials_are_refused(variant, problem) -> None:
    """(scipy #12503)"""
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, LONG)
    assert report.success, report.message
    assert np.allclose(report.theta, 1.0, atol=1e-3)


@pytest.mark.parametrize("beyond", [math.nan, math.inf, 1e300])
@pairs(every(SEARCHES), p.named(p.exponential))
def test_a_wall_is_kept_away_from(variant, problem, beyond: float) -> None:
    """f is not finite, or hardly, beyond b1 = 2; the minimum is at 2.5: nobody gets there, and nobody says so."""
    problem = problem()
    f, r, g, J = problem.f.f, problem.f.r, problem.f.g, problem.f.J
    wall = math.sqrt(beyond) if beyond == beyond else beyond

    def bad(t: np.ndarray) -> bool:
        return bool(t[0] > 2.0)

    problem.f.f = lambda t: beyond if bad(t) else f(t)
    problem.f.r = lambda t: np.full_like(r(t), wall) if bad(t) else r(t)
    problem.f.g = lambda t: np.full_like(g(t), math.nan) if bad(t) else g(t)
    problem.f.J = lambda t: np.full_like(J(t), math.nan) if bad(t) else J(t)
    report = solve(problem.f, variant.method, problem.start, Stopping(max_iterations=200))
    assert not report.success, report.message
    assert report.theta[0] <= 2.0
    assert math.isfinite(report.value)


@pytest.mark.parametrize("what", ["g", "H"])
@pairs(every(but=[NOISY]), p.named(p.quadratic))
def test_in_derivatives(variant, problem, what: str) -> None:
    """A finite value with NaN derivatives beyond a wall: never a false success, never an endless loop."""
    problem = problem()
    inner = getattr(problem.f, what)
    setattr(problem.f, what, lambda t: inner(t) * (math.nan if t[0] > 0.5 else 1.0))
    report = solve(problem.f, variant.method, problem.start, LONG)
    if report.success:
        assert np.isfinite(problem.f.gradient(report.theta)).all()
        assert np.allclose(report.theta, 1.0, atol=1e-4)
    assert report.success or report.status.family in (Family.FAILED, Family.STALLED), report.message
    assert np.isfinite(report.theta).all()
    assert math.isfinite(report.value)


@pytest.mark.parametrize("what", ["value", "gradient"])
@pairs(every(NOISY), p.named(p.straight))
def test_in_a_batch(variant, problem, what: str) -> None:
    """Rows that are not finite past the first step end the run; the point before that epoch stands."""
    problem = problem()
    name = {"value": "r", "gradient": "J"}[what]
    inner = getattr(problem.f, name)
    setattr(problem.f, name, lambda t: inner(t) * (math.nan if t[0] != 0.0 else 1.0))
    report = solve(problem.f, variant.method, problem.start)
    assert not report.success
    assert report.status.family is Family.FAILED
    assert report.iteration <= 1
    assert np.isfinite(report.gradient).all()
