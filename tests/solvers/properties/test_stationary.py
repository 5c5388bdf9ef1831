"""Points where the gradient vanishes and no minimum is; functions without any minimum; and constants."""

from __future__ import annotations

import numpy as np
import pytest
from solvers.properties.variants import CURVES, LONG, NOISY, SEARCHES, Problem, every, pairs

from nablad.solvers import Bounds, Family, Status, Stopping, solve
from solvers import objectives as o

STATIONARY = {
    "saddle": lambda: Problem(o.saddle(), np.zeros(2), -1.0),
    "maximum": lambda: Problem(o.hill(), np.zeros(3), -0.75),
    "maximum of squares": lambda: Problem(o.wells(3), np.zeros(3), 0.0),
    "saddle of squares": lambda: Problem(o.wells(3), np.array([1.0, 0.0, -1.0]), 0.0),
}


@pairs(every(), STATIONARY)
def test_no_success_without_a_minimum(variant, problem) -> None:
    """(scipy #20213) Whoever stays there says what it is; whoever succeeds has left."""
    problem = problem()
    report = solve(problem.f, variant.method, problem.start)
    if report.success:
        assert report.value == pytest.approx(problem.minimum, abs=1e-9)
        assert report.evidence.verdict == "minimum"
    else:
        assert report.status is Status.SADDLE
        assert report.evidence.verdict in ("saddle", "maximum")
        assert (report.theta == problem.start).all()


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e4])
@pairs(every(CURVES), STATIONARY)
def test_negative_curvature_leaves_saddles_and_maxima(variant, problem, scale: float) -> None:
    problem = problem()
    report = solve(o.rescaled(problem.f, 1e-3, scale), variant.method, scale * problem.start)
    assert report.success, report.message
    assert report.evidence.verdict == "minimum"
    assert report.value == pytest.approx(1e-3 * problem.minimum, abs=1e-11)


@pairs(every(CURVES), {"saddle": lambda: Problem(o.saddle(), np.array([1.0, 0.0]), -1.0)})
def test_a_saddle_that_the_start_is_aimed_at(variant, problem) -> None:
    problem = problem()
    assert solve(problem.f, variant.method, problem.start).value == pytest.approx(-1.0)


@pairs(every(SEARCHES), {"monkey": lambda: Problem(o.monkey_saddle(), np.zeros(2))})
def test_a_saddle_without_curvature_is_no_minimum(variant, problem) -> None:
    """The Hessian is zero there, and f falls like a cube in three directions."""
    problem = problem()
    report = solve(problem.f, variant.method, problem.start)
    assert report.evidence.verdict != "minimum" or report.value < 0.0
    assert not (report.success and report.evidence.verdict == "minimum" and (report.theta == 0.0).all())


@pairs(
    every(SEARCHES),
    {
        "linear": lambda: Problem(o.linear(), np.full(2, 0.5)),
        "quartic": lambda: Problem(o.unbounded_quartic(), np.full(2, 0.5)),
    },
)
def test_unbounded_below(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start)
    assert report.status is Status.UNBOUNDED, report.message
    assert not report.success


SLOPES = {
    "from the valley's floor": lambda: Problem(o.beside_a_slope(), np.zeros(2)),
    "from beside it": lambda: Problem(o.beside_a_slope(), np.array([1.0, 0.0])),
    "from afar": lambda: Problem(o.beside_a_slope(1e-6, 1e-9), np.array([3.0, 5.0])),
    "a gentle slope": lambda: Problem(o.beside_a_slope(1.0, 1e-3), np.array([1.0, 0.0])),
    "a root": lambda: Problem(o.root(), np.ones(2)),
    "across": lambda: Problem(o.slope_across(), np.array([1.0, 0.0])),
}


@pairs(every(SEARCHES), SLOPES)
def test_a_slope_beside_a_valley_has_no_end(variant, problem) -> None:
    """Far down |f| and ||theta|| are so large that the slope is small beside both: it is no roundoff for that."""
    problem = problem()
    report = solve(problem.f, variant.method, problem.start)
    assert report.status is Status.UNBOUNDED, report.message
    assert report.evidence.verdict == "unverified"


@pairs(every(SEARCHES), {"waves": lambda: Problem(o.waves(), np.array([0.3]))})
def test_waves_on_a_slope_are_no_minimum(variant, problem) -> None:
    """Some end at an inflection, where f is level; so far away that every slope is roundoff nobody is at a minimum."""
    problem = problem()
    report = solve(problem.f, variant.method, problem.start)
    assert report.status in (Status.UNBOUNDED, Status.SADDLE), report.message
    assert report.evidence.verdict != "minimum"


BELOW = Bounds(np.full(2, -np.inf), np.array([np.inf, 1e3]))


@pairs(every(SEARCHES), {"beside a valley": SLOPES["from beside it"]}, bounds=BELOW)
def test_a_slope_that_a_bound_ends(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, LONG, bounds=BELOW)
    assert report.success, report.message
    assert report.theta == pytest.approx([0.0, 1e3], abs=1e-6)


FAR = {
    "far": lambda: Problem(o.far_away(1e6), np.array([1.0, 0.0]), 1.0),
    "farther": lambda: Problem(o.far_away(1e10), np.array([1.0, 0.0]), 1.0),
}


@pairs(every(but=[NOISY]), FAR)
def test_a_minimum_far_away_is_one(variant, problem) -> None:
    """Whoever does not get there has not seen f fall without end."""
    problem = problem()
    report = solve(problem.f, variant.method, problem.start)
    assert report.status not in (Status.UNBOUNDED, Status.RECEDING), report.message
    if report.success:
        assert report.value == pytest.approx(problem.minimum)


@pairs(every(), {"constant": lambda: Problem(o.constant(), np.ones(3))})
def test_constant(variant, problem) -> None:
    """(optimistix #195)"""
    problem = problem()
    report = solve(problem.f, variant.method, problem.start)
    assert (report.status, report.iterations) == (Status.GRADIENT, 0)
    assert report.evidence.verdict == "flat"


def tail() -> Problem:
    """exp(-t)^2: the infimum 0 is at infinity."""
    f = o.sum_of_squares(
        lambda t: np.exp(-t), lambda t: np.diag(-np.exp(-t)), lambda t: np.diag(np.exp(-2.0 * t)), 1, rows=1
    )
    return Problem(f, np.zeros(1))


@pairs(every(but=[NOISY]), {"tail": tail})
def test_a_minimum_at_infinity_is_none(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, Stopping(max_iterations=2000))
    assert report.evidence.verdict != "minimum"
    assert report.status.family is not Family.CONVERGED, report.message


def dixon_price() -> Problem:
    """(x_1 - 1)^2 + sum i (2 x_i^2 - x_(i-1))^2 for i = 2 to 4: at (1/3, 0, 0, 0) f falls along x_3 = 2 x_4^2 and
    x_2 = 2 x_3^2 alone, like the eighth power of x_4."""
    weights = np.sqrt(np.array([1.0, 2.0, 3.0, 4.0]))

    def r(t: np.ndarray) -> np.ndarray:
        return weights * np.append(t[0] - 1.0, 2.0 * t[1:] ** 2 - t[:-1])

    def slopes(t: np.ndarray) -> np.ndarray:
        return weights[:, None] * (np.diag(np.append(1.0, 4.0 * t[1:])) - np.diag([1.0, 1.0, 1.0], -1))

    def second(t: np.ndarray) -> np.ndarray:
        return np.diag(np.append(0.0, 4.0 * (weights * r(t))[1:]))

    return Problem(o.sum_of_squares(r, slopes, second, 4, rows=4), np.zeros(4))


@pytest.mark.parametrize("scale", [1.0, 1e4])
@pairs(every(SEARCHES), {"dixon and price": dixon_price})
def test_a_valley_in_a_valley_is_no_minimum(variant, problem, scale: float) -> None:
    problem = problem()
    report = solve(o.rescaled(problem.f, 1e-3, scale), variant.method, scale * problem.start)
    assert not report.success or report.value < 1e-9, report.message
