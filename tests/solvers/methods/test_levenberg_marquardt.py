"""Levenberg-Marquardt and Gauss-Newton: against scipy, certified values, and what a linear rate asks of an end."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares, lsq_linear, nnls

from nablad.solvers import (
    Checkpoint,
    Counters,
    Done,
    Expression,
    GaussNewton,
    Iterate,
    LevenbergMarquardt,
    Status,
    Stopping,
    run,
    solve,
)
from nablad.solvers.bounds import Bounds
from nablad.solvers.objective import UnsupportedObjective
from solvers import objectives as o

METHODS: dict[str, Any] = {
    "levenberg_marquardt": LevenbergMarquardt(),
    "bent": LevenbergMarquardt(geodesic_acceleration=True),
    "gauss_newton": GaussNewton(),
}
PLAIN = ["levenberg_marquardt", "gauss_newton"]


@pytest.fixture(params=list(METHODS))
def method(request: pytest.FixtureRequest) -> Any:
    return METHODS[request.param]


@pytest.fixture(params=PLAIN)
def plain(request: pytest.FixtureRequest) -> Any:
    return METHODS[request.param]


def curved(weight: float) -> o.SumOfSquares:
    """(t, t^2 / 2 + weight): Gauss-Newton's steps at the minimum 0 shrink by -weight, exactly."""
    return o.sum_of_squares(
        lambda t: np.array([t[0], 0.5 * t[0] ** 2 + weight]),
        lambda t: np.array([[1.0], [t[0]]]),
        lambda t: np.array([[0.5 * t[0] ** 2 + weight]]),
        1,
    )


@pytest.mark.parametrize(
    ("problem", "start", "answer"),
    [
        (o.rosenbrock(), np.array([-1.2, 1.0]), [1.0, 1.0]),
        (o.beale(), np.array([1.0, 0.8]), [3.0, 0.5]),
        (o.exponential_fit(), np.array([1.0, 0.5]), None),
    ],
    ids=["rosenbrock", "beale", "exponential"],
)
def test_converges_to_scipys_answer(method: Any, problem: Any, start: Any, answer: Any) -> None:
    report = solve(problem, method, start)
    assert report.success, report.message
    assert report.evidence.verdict == "minimum"
    if answer is None:
        answer = least_squares(problem.r, start, jac=problem.J, xtol=1e-15, ftol=1e-15, gtol=1e-15).x
    assert np.allclose(report.theta, answer, rtol=1e-9)


@pytest.mark.parametrize("weight", [0.05, 0.5, 0.9, -0.6])
def test_a_linear_rate_does_not_end_the_run_early(plain: Any, weight: float) -> None:
    """The next step is |weight| of the last, so that it tells little of the error: theta is known all the same."""
    problem = curved(weight)
    shifted = o.SumOfSquares(
        f=lambda t: problem.f(t - 1.0),
        g=lambda t: problem.g(t - 1.0),
        H=lambda t: problem.H(t - 1.0),
        size=1,
        capabilities=problem.capabilities,
        r=lambda t: problem.r(t - 1.0),
        J=lambda t: problem.J(t - 1.0),
    )
    report = solve(shifted, plain, np.array([1.3]))
    assert report.success, report.message
    assert abs(report.theta[0] - 1.0) <= 3e-8


def test_where_gauss_newton_repels_levenberg_marquardt_still_converges() -> None:
    """weight > 1: full steps grow."""
    report = solve(curved(3.0), LevenbergMarquardt(), np.array([0.4]))
    assert abs(report.theta[0]) <= 1e-6
    assert report.value == pytest.approx(9.0, rel=1e-12)


def test_no_evaluation_is_wasted(plain: Any) -> None:
    """A value a trial, a pass over J an iteration, and no gradient beside it."""
    problem = o.exponential_fit()
    report = solve(problem, plain, np.array([2.4, 1.2]))
    assert report.counts.gradient == report.counts.hvp == 0
    # All but the verdict's Hessian, and the trials that were refused.
    assert report.counts.value == report.counts.jacobian == report.iterations + 1


@pytest.mark.parametrize("units", [(1e6, 1e-5), (2.0**-30, 2.0**40)])
def test_units_of_each_parameter_change_no_decision(method: Any, units: tuple[float, float]) -> None:
    problem, c = o.exponential_fit(), np.array(units)
    scaled = o.SumOfSquares(
        f=lambda t: problem.f(t / c),
        g=lambda t: problem.g(t / c) / c,
        H=lambda t: problem.H(t / c) / c / c[:, None],
        size=2,
        capabilities=problem.capabilities,
        r=lambda t: problem.r(t / c),
        J=lambda t: problem.J(t / c) / c,
    )
    start = np.array([1.0, 0.5])
    first, second = solve(problem, method, start), solve(scaled, method, c * start)
    assert first.iterations == second.iterations
    assert np.allclose(second.theta / c, first.theta, rtol=1e-10)
    if c[0] == 2.0**-30:
        assert np.array_equal(second.theta / c, first.theta)


BOXES = [
    (np.array([0.0, 0.0]), np.array([2.0, 2.0]), np.array([1.0, 0.5])),
    (np.array([2.6, -np.inf]), np.array([np.inf, 1.2]), np.array([3.0, 0.0])),
    (np.array([1.5, 1.0]), np.array([1.5, 9.0]), np.array([1.5, 2.0])),
    (np.array([0.0, 3.0]), np.array([9.0, 4.0]), np.array([0.0, 4.0])),
]


@pytest.mark.parametrize("box", BOXES, ids=["upper", "mixed", "fixed", "corner"])
def test_bounds(method: Any, box: Any) -> None:
    lower, upper, start = box
    problem = o.exponential_fit()
    report = solve(problem, method, start, bounds=Bounds(lower, upper))
    assert report.success, report.message
    assert all((lower <= t).all() and (t <= upper).all() for t in problem.seen)
    free = lower < upper
    slope = problem.g(report.theta)
    inside = (report.theta > lower) & (report.theta < upper)
    assert (np.abs(slope[inside]) <= 1e-7).all()
    assert (slope[(report.theta == lower) & free] >= 0).all()
    assert (slope[(report.theta == upper) & free] <= 0).all()
    assert report.evidence.gradient_norm <= 1e-7


@pytest.mark.parametrize("seed", range(6))
def test_affine_within_bounds_is_the_active_set_solution(plain: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((30, 8)), rng.standard_normal(30)
    lower, upper = -0.1 * rng.random(8), 0.1 * rng.random(8)
    report = solve(o.affine(A, b), plain, np.zeros(8), bounds=Bounds(lower, upper))
    expected = lsq_linear(A, b, (lower, upper), method="bvls", tol=1e-15).x
    assert report.success, report.message
    assert np.allclose(report.theta, expected, atol=1e-12)
    assert report.iterations <= 2
    cone = solve(o.affine(A, b), plain, np.ones(8), bounds=Bounds(np.zeros(8), np.full(8, np.inf)))
    assert np.allclose(cone.theta, nnls(A, b)[0], atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rank_deficient_affine_ends_at_the_minimum_norm_from_any_start(method: Any, dtype: Any) -> None:
    rng = np.random.default_rng(5)
    A = (rng.standard_normal((20, 3)) @ rng.standard_normal((3, 5))).astype(dtype)
    b = rng.standard_normal(20).astype(dtype)
    expected = np.linalg.lstsq(A.astype(float), b.astype(float), rcond=1e-5)[0]
    for start in (np.zeros(5), 10.0 * np.arange(5.0)):
        report = solve(o.affine(A, b), method, start.astype(dtype))
        assert report.success, report.message
        assert report.evidence.rank == 3
        assert np.allclose(report.theta, expected, atol=2e-3 if dtype is np.float32 else 1e-9)


def test_rank_deficient_along_a_line_ends_at_the_minimum_norm() -> None:
    """exp(-(a + b) x) cannot tell a from b."""
    x = np.linspace(0.0, 2.0, 15)
    model = Expression.parse("exp(-(a + b)*x)", data={"x": x}, response=np.exp(-1.4 * x), start={"a": 3.0, "b": 0.0})
    report = solve(model.objective(), LevenbergMarquardt(), model.start())
    assert report.evidence.rank == 1
    assert np.allclose(report.theta, [0.7, 0.7], rtol=1e-9)


def test_a_curved_set_of_minimizers_ends_where_it_was_reached() -> None:
    """a b = 2: the shortest point of the tangent is no minimizer, and is refused."""
    problem = o.sum_of_squares(
        lambda t: np.array([t[0] * t[1] - 2.0, t[0] * t[1] - 4.0]),
        lambda t: np.array([[t[1], t[0]], [t[1], t[0]]]),
        lambda t: np.array([[0.0, 2 * t[0] * t[1] - 6.0], [2 * t[0] * t[1] - 6.0, 0.0]]),
        2,
    )
    report = solve(problem, LevenbergMarquardt(), np.array([9.0, 1.0]))
    assert report.success, report.message
    assert math.prod(report.theta) == pytest.approx(3.0)


@pytest.mark.parametrize("box", [None, Bounds(np.array([-2.0, 0.5]), np.array([0.9, 2.0]))], ids=["open", "box"])
def test_resume_equals_uninterrupted(method: Any, box: Bounds | None) -> None:
    problem, start = o.rosenbrock(), np.array([-1.2, 1.0])
    problem.counters = Counters()
    whole = list(run(problem, method, start, checkpoint_every=1, bounds=box))
    expected = [(e.iteration, e.value, e.gradient_norm, e.values) for e in whole if isinstance(e, Iterate)]
    for point in [e for e in whole if isinstance(e, Checkpoint)][::3]:
        again = list(run(problem, method, start, resume=point.state, bounds=box))
        rest = [(e.iteration, e.value, e.gradient_norm, e.values) for e in again if isinstance(e, Iterate)]
        assert rest == expected[point.iteration + 1 :]
        first, second = whole[-1], again[-1]
        assert isinstance(first, Done)
        assert isinstance(second, Done)
        assert first.report.theta.tobytes() == second.report.theta.tobytes()


def test_a_jacobian_that_is_not_finite(method: Any) -> None:
    problem = o.rosenbrock()
    inner = problem.J
    problem.J = lambda t: inner(t) * (math.nan if t[0] > -1.0 else 1.0)
    report = solve(problem, method, np.array([-1.2, 1.0]))
    assert not report.success
    assert report.status in (Status.NONFINITE, Status.LINE_SEARCH_STALLED, Status.NO_PROGRESS)
    assert math.isfinite(report.value)
    problem.J = lambda t: np.full((2, 2), math.nan)
    assert solve(problem, method, np.array([-1.2, 1.0])).status is Status.NONFINITE


def test_a_sum_of_squares_is_needed(method: Any) -> None:
    with pytest.raises(UnsupportedObjective, match="sum of squares"):
        solve(o.logistic(), method, np.zeros(4))


@pytest.mark.parametrize("radius", [0.0, -1.0, math.nan, math.inf])
def test_a_radius_that_is_none(radius: float) -> None:
    with pytest.raises(ValueError, match="initial_radius"):
        LevenbergMarquardt(initial_radius=radius)


def test_the_first_step_is_as_long_as_was_asked() -> None:
    problem, start = o.rosenbrock(), np.array([-1.2, 1.0])
    solve(problem, LevenbergMarquardt(initial_radius=1e-3), start, Stopping(max_iterations=1))
    D = np.linalg.norm(problem.J(start), axis=0)
    assert np.linalg.norm(D * (problem.seen[1] - start)) == pytest.approx(1e-3 * np.linalg.norm(D * start), rel=2e-3)


def test_gauss_newton_fails_honestly_where_its_steps_are_too_long() -> None:
    """Powell's example of 1970, r = (x, 10 x / (x + 0.1) + 2 y^2): the Jacobian is singular along y = 0."""
    problem = o.sum_of_squares(
        lambda t: np.array([t[0], 10 * t[0] / (t[0] + 0.1) + 2 * t[1] ** 2]),
        lambda t: np.array([[1.0, 0.0], [1.0 / (t[0] + 0.1) ** 2, 4 * t[1]]]),
        lambda t: np.diag([-2.0 / (t[0] + 0.1) ** 3, 4.0]) * (10 * t[0] / (t[0] + 0.1) + 2 * t[1] ** 2),
        2,
    )
    report = solve(problem, GaussNewton(), np.array([3.0, 1.0]))
    assert report.value < 1e-10 or not report.success
