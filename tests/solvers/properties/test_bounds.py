"""Within bounds: every point looked at lies inside (jaxopt #590), and the minimum of the box is found and known.

The oracle is scipy's L-BFGS-B with tolerances near roundoff.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import optimize
from solvers.properties import problems as p
from solvers.properties.events import trace
from solvers.properties.variants import CURVES, FAST, LONG, NOISY, SEARCHES, Problem, every, pairs

from nablad.solvers import METHODS, Bounds, Checkpoint, Done, Status, Stopping, UnsupportedObjective, run, solve
from solvers import objectives as o

INF = np.inf
ANY = Bounds(np.full(2, -INF), np.full(2, INF))


@dataclass(frozen=True)
class Box(Problem):
    lower: tuple[float, ...] = ()
    upper: tuple[float, ...] = ()

    @property
    def bounds(self) -> Bounds:
        return Bounds(np.array(self.lower), np.array(self.upper))


def box(problem: Problem, start: list[float], lower: list[float], upper: list[float]) -> Box:
    return Box(problem.f, np.array(start), lower=tuple(lower), upper=tuple(upper))


CURVED = {
    "minimum inside": lambda: box(p.rosenbrock(), [-1.2, 1.0], [-2.0, -1.0], [3.0, 3.0]),
    "minimum outside": lambda: box(p.rosenbrock(), [-1.2, 1.0], [-2.0, -1.0], [0.5, 3.0]),
}
BOXES = {
    "half open": lambda: box(p.exponential(), [1.0, 0.5], [-INF, 0.0], [INF, 1.0]),
    "start on a bound": lambda: box(p.exponential(), [1.0, 0.5], [1.0, 0.5], [2.0, INF]),
    "a corner": lambda: box(p.wells(), [0.5, 0.4], [0.2, 0.3], [0.6, 0.8]),
    "a fixed parameter": lambda: box(p.beale(), [1.0, 0.3], [-4.0, 0.3], [4.0, 0.3]),
    "domain": lambda: box(p.steep(), [8.0, 0.1], [1e-3, 1e-3], [9.0, 0.5]),
    "line": lambda: box(p.straight(), [0.0, 0.0], [-1.0, -1.0], [1.0, 5.0]),
}


def least_in(problem: Box) -> optimize.OptimizeResult:
    return optimize.minimize(
        problem.f.f,
        problem.start,
        jac=problem.f.g,
        method="L-BFGS-B",
        bounds=optimize.Bounds(problem.bounds.lower, problem.bounds.upper),
        options={"ftol": 0.0, "gtol": 1e-12, "maxiter": 5000},
    )


@pairs(every(SEARCHES), BOXES, (every(FAST), CURVED), bounds=ANY)
def test_the_minimum_of_a_box(variant, problem) -> None:
    """(jaxopt #590)"""
    problem = problem()
    bounds = problem.bounds
    report = solve(problem.f, variant.method, problem.start, LONG, bounds=bounds)
    assert report.success, report.message
    assert report.value == pytest.approx(float(least_in(problem).fun), rel=1e-6, abs=1e-9)
    assert all(bounds.contains(theta) for theta in problem.f.asked)
    assert bounds.contains(report.theta)
    assert report.evidence.verdict == "minimum"
    gradient = problem.f.gradient(report.theta)
    assert report.evidence.gradient_norm == pytest.approx(np.linalg.norm(bounds.projected(report.theta, gradient)))
    assert report.evidence.active_bounds == int(bounds.active(report.theta, gradient).sum())


@pairs(every(FAST), BOXES | CURVED, bounds=ANY)
def test_a_warm_start_at_the_boxs_minimum(variant, problem) -> None:
    problem = problem()
    answer = least_in(problem).x
    report = solve(problem.f, variant.method, answer, bounds=problem.bounds)
    assert report.success, report.message
    assert report.iterations <= 4
    assert np.allclose(report.theta, answer, atol=1e-6)


@pytest.mark.parametrize("most", [2, 5])
@pairs(every(), BOXES | CURVED, bounds=ANY)
def test_limits_within_bounds(variant, problem, most: int) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, Stopping(max_evaluations=most), bounds=problem.bounds)
    assert report.counts.value <= most
    assert all(problem.bounds.contains(theta) for theta in problem.f.asked)


@pairs(every(), {"half open": BOXES["half open"]} | CURVED, bounds=ANY)
def test_resume_within_bounds(variant, problem) -> None:
    stopping = Stopping(max_iterations=12)

    def events(**more):
        made = problem()
        return list(run(made.f, variant.method, made.start, stopping, bounds=made.bounds, checkpoint_every=1, **more))

    whole = events()
    expected = trace(whole)
    for point in [e for e in whole if isinstance(e, Checkpoint)][::3]:
        assert trace(events(resume=point.state)) == expected[point.iteration + 1 :]


@pairs(every(but=[NOISY]), {"a ridge": lambda: Problem(o.wells(), np.array([0.0, 0.4]))}, bounds=ANY)
def test_bounds_that_hold_nothing_change_nothing(variant, problem) -> None:
    """Wide ones, and the minimum that a method finds without."""
    free = solve(problem().f, variant.method, np.array([0.5, 0.4]), LONG)
    wide = solve(
        problem().f, variant.method, np.array([0.5, 0.4]), LONG, bounds=Bounds(np.full(2, -9.0), np.full(2, 9.0))
    )
    assert wide.success == free.success
    assert np.allclose(wide.theta, free.theta, atol=1e-4)
    assert wide.evidence.active_bounds == 0


def test_a_start_outside_is_refused() -> None:
    bounds = Bounds(np.zeros(2), np.ones(2))
    for variant in every():
        if variant.fits(o.rosenbrock(), bounds):
            with pytest.raises(ValueError, match="outside"):
                solve(o.rosenbrock(), variant.method, np.array([-1.2, 1.0]), bounds=bounds)


def test_methods_that_cannot_keep_bounds_refuse_them() -> None:
    bounds = Bounds(np.zeros(2), np.ones(2))
    refusing = [
        variant for variant in every() if not variant.fits(o.rosenbrock(), bounds) and variant.fits(o.rosenbrock())
    ]
    assert {variant.method.name for variant in refusing} >= {name for name, cls in METHODS.items() if not cls.bounded}
    for variant in refusing:
        with pytest.raises(UnsupportedObjective, match="bounds"):
            list(run(o.rosenbrock(), variant.method, np.full(2, 0.5), bounds=bounds))


def test_the_issue_names_three_that_must_keep_them() -> None:
    assert {name for name, cls in METHODS.items() if cls.bounded} >= {"newton", "levenberg_marquardt", "lbfgs"}


@pairs(every(), {"outside": CURVED["minimum outside"]}, bounds=ANY)
def test_the_streamed_points_lie_inside(variant, problem) -> None:
    problem = problem()
    for event in run(problem.f, variant.method, problem.start, Stopping(max_iterations=20), bounds=problem.bounds):
        if isinstance(event, Done):
            assert problem.bounds.contains(event.report.theta)
            assert problem.bounds.contains(event.report.last_theta)


def function(f, g, H, size: int) -> o.Smooth:
    return o.Smooth(f=f, g=g, H=H, size=size)


def form(A: list[list[float]]) -> o.Smooth:
    """t'A t / 2."""
    H = np.array(A)
    return function(lambda t: 0.5 * t @ H @ t, lambda t: H @ t, lambda t: H, len(H))


CORNERS = {
    "product": lambda: box(Problem(form([[0, 1], [1, 0]]), np.zeros(2)), [1.0, 1.0], [0.0, 0.0], [INF, INF]),
    "copositive": lambda: box(Problem(form([[1, 3], [3, 1]]), np.zeros(2)), [1.0, 2.0], [0.0, 0.0], [5.0, 5.0]),
    "from above": lambda: box(Problem(form([[1, 3], [3, 1]]), np.zeros(2)), [-1.0, -2.0], [-5.0, -5.0], [0.0, 0.0]),
    "of three": lambda: box(
        Problem(form([[1, 2, 0], [2, 1, 3], [0, 3, 1]]), np.zeros(3)), [1.0, 1.0, 1.0], [0.0] * 3, [5.0] * 3
    ),
    "beside one inside": lambda: box(
        Problem(form([[1, 3, 0.1], [3, 1, 0], [0.1, 0, 2]]), np.zeros(3)), [1.0, 1.0, 1.0], [0.0, 0.0, -9.0], [5.0] * 3
    ),
}
"""Zero is the minimum within the box, and its gradient vanishes."""


@pairs(every(SEARCHES, but=[NOISY]), CORNERS, bounds=ANY)
def test_curvature_that_leads_out_of_the_box_makes_no_saddle(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, LONG, bounds=problem.bounds)
    assert report.success, report.message
    assert report.value == pytest.approx(0.0, abs=1e-12)
    assert report.evidence.verdict in ("minimum", "flat")
    at = solve(problem.f, variant.method, np.zeros(problem.f.size), LONG, bounds=problem.bounds)
    assert at.success, at.message


FALLING = {
    "parabola": lambda: box(Problem(form([[-2.0]]), np.zeros(1), -1.0), [0.0], [-1.0], [0.0]),
    "edge": lambda: box(Problem(form([[-2, 0], [0, 2]]), np.zeros(2), -1.0), [0.0, 0.0], [0.0, -1.0], [1.0, 1.0]),
    "diagonal": lambda: box(Problem(form([[2, -3], [-3, 2]]), np.zeros(2), -1.0), [0.0, 0.0], [0.0, 0.0], [1.0, 1.0]),
    "beside one inside": lambda: box(
        Problem(form([[1, 0, 2], [0, 1, 0], [2, 0, 1]]), np.zeros(3), -1.5),
        [0.0, 0.0, 0.0],
        [0.0, 0.0, -1.0],
        [1.0] * 3,
    ),
}


@pairs(every(but=[NOISY]), FALLING, bounds=ANY)
def test_curvature_that_leads_into_the_box_is_seen_at_its_corner(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, LONG, bounds=problem.bounds)
    if CURVES in variant.promises and variant.name != "newton line-search":
        assert report.value < 0.0, report.message
        assert report.success, report.message
    else:
        assert report.status is Status.SADDLE, report.message
