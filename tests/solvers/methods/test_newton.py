"""Newton's method: its order of convergence, its accuracy on linear least squares, its use of negative curvature."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import scipy.linalg

from nablad.solvers import (
    Armijo,
    Bounds,
    Done,
    Iterate,
    Newton,
    RecordTheta,
    Status,
    Stopping,
    UnsupportedObjective,
    run,
    solve,
)
from nablad.solvers.events import Warning
from nablad.solvers.linalg.symmetric import factorize
from nablad.solvers.methods import newton_line_search
from nablad.solvers.methods.newton_state import NewtonState
from solvers import objectives as o


def digits(found: np.ndarray, certified: np.ndarray) -> float:
    """The least number of correct digits (NIST's log relative error)."""
    return float(np.min(-np.log10(np.abs(found / certified - 1.0) + 1e-16)))


def test_quadratic_convergence_shown_by_its_own_iterates() -> None:
    problem = o.logistic()
    exact = solve(problem, Newton(), np.zeros(4), Stopping(step_tolerance=0.0, decrement_tolerance=0.0)).theta
    events = run(problem, Newton(), np.full(4, 0.3), record_theta=RecordTheta.each())
    errors = np.array([np.linalg.norm(e.theta - exact) for e in events if isinstance(e, Iterate)])
    errors = errors[(errors > 1e-13) & (errors < 1.0)]
    assert len(errors) >= 4
    constants = errors[1:] / errors[:-1] ** 2
    assert constants.max() < 10.0
    order = np.log(errors[2:] / errors[1:-1]) / np.log(errors[1:-1] / errors[:-2])
    assert order[-1] > 1.8


@pytest.mark.parametrize("shape", [(30, 4), (200, 12), (8, 8)])
def test_affine_residual_in_at_most_two_iterations(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[0])
    A, b = rng.standard_normal(shape), rng.standard_normal(shape[0])
    expected, _, _, _ = scipy.linalg.lstsq(A, b)
    problem = o.affine(A, b)
    report = solve(problem, Newton(), 100.0 * rng.standard_normal(shape[1]))
    assert report.success
    assert report.iterations <= 2
    assert np.allclose(report.theta, expected, rtol=1e-11, atol=1e-12)
    if shape[0] > shape[1]:
        assert report.value == pytest.approx(float(np.sum((b - A @ expected) ** 2)), rel=1e-12)
    assert report.counts.hessian == 0
    assert (report.evidence.rank, report.evidence.verdict) == (shape[1], "minimum")
    singular = np.linalg.svd(A, compute_uv=False)
    assert report.evidence.largest_curvature == pytest.approx(2.0 * singular[0] ** 2)
    assert report.evidence.smallest_curvature == pytest.approx(2.0 * singular[-1] ** 2)


def test_longley_has_ten_point_nine_digits() -> None:
    A, b, certified = o.longley()
    report = solve(o.affine(A, b), Newton(), np.zeros(7))
    assert report.success
    assert report.iterations <= 2
    assert digits(report.theta, certified) >= 10.9
    assert report.value == pytest.approx(836424.055505915, rel=1e-12)


def test_a_straight_line_has_twelve_digits() -> None:
    """A line through 36 points over three orders of magnitude, as NIST's Norris, against exact rational arithmetic."""
    x = np.concatenate([np.linspace(0.2, 999.0, 31), [10.1, 11.1, 118.1, 120.2, 228.1]])
    y = np.round(1.002 * x - 0.26 + 0.8 * np.sin(37.0 * x), 1)
    X, Y = [Fraction(float(v)) for v in x], [Fraction(float(v)) for v in y]
    n = len(X)
    slope = (n * sum(a * c for a, c in zip(X, Y, strict=True)) - sum(X) * sum(Y)) / (
        n * sum(a * a for a in X) - sum(X) ** 2
    )
    exact = np.array([float((sum(Y) - slope * sum(X)) / n), float(slope)])
    A = np.column_stack([np.ones(n), x])
    report = solve(o.affine(A, y), Newton(), np.zeros(2))
    assert digits(A @ report.theta, A @ exact) >= 12.0
    # Roundoff in units of the columns: the intercept, small beside the line, has fewer digits of its own.
    error = np.abs(report.theta - exact) * np.linalg.norm(A, axis=0)
    assert error.max() <= 10.0 * np.finfo(np.float64).eps * np.linalg.norm(y)


def test_a_far_start_costs_no_digits() -> None:
    A, b, certified = o.longley()
    report = solve(o.affine(A, b), Newton(), 1e12 * np.ones(7))
    assert report.success
    assert digits(report.theta, certified) >= 10.5


def test_rank_deficient_least_squares_tells_its_rank_and_returns_the_shortest() -> None:
    rng = np.random.default_rng(8)
    A = rng.standard_normal((20, 3)) @ rng.standard_normal((3, 5))
    b = rng.standard_normal(20)
    for start in (np.zeros(5), np.arange(5.0)):
        events = list(run(o.affine(A, b), Newton(), start))
        assert isinstance(events[-1], Done)
        report = events[-1].report
        assert report.success
        assert (report.evidence.rank, report.evidence.verdict) == (3, "flat")
        assert np.allclose(report.theta, np.linalg.lstsq(A, b, rcond=None)[0], atol=1e-12)
        assert [e.code for e in events if isinstance(e, Warning)] == ["rank_deficient"]


def test_rank_deficient_without_a_residual() -> None:
    """The same through a Hessian that is singular: any of the minimizers, rank told."""
    H = np.diag([1.0, 2.0, 0.0])
    H[0, 1] = H[1, 0] = 0.3
    b = np.array([1.0, -1.0, 0.0])
    problem = o.Smooth(f=lambda t: 0.5 * t @ H @ t - b @ t, g=lambda t: H @ t - b, H=lambda t: H, size=3)
    report = solve(problem, Newton(), np.array([3.0, 4.0, 5.0]))
    assert report.success, report.message
    assert (report.evidence.rank, report.evidence.verdict) == (2, "flat")
    assert report.theta[2] == 5.0


def test_quadratic_in_one_step() -> None:
    report = solve(o.quadratic([1e-3, 1.0, 1e3]), Newton(), np.full(3, 50.0))
    assert report.iterations <= 2
    assert np.allclose(report.theta, 1.0, rtol=1e-9)
    assert report.evidence.smallest_curvature == pytest.approx(1e-3, rel=1e-6)


def test_a_saddle_without_curvature_is_no_success() -> None:
    report = solve(o.monkey_saddle(), Newton(), np.zeros(2))
    assert not report.success
    away = solve(o.monkey_saddle(), Newton(), np.array([1e-3, 0.0]))
    assert away.evidence.verdict == "minimum"


def test_a_singular_minimum_is_reached() -> None:
    """t^4: the Hessian vanishes at the minimum, and convergence is linear there."""
    problem = o.Smooth(f=lambda t: float(np.sum(t**4)), g=lambda t: 4 * t**3, H=lambda t: np.diag(12 * t**2), size=2)
    report = solve(problem, Newton(), np.array([1.0, 2.0]))
    assert report.success, report.message
    assert np.abs(report.theta).max() < 1e-8


def test_a_line_search_refuses_bounds_with_the_field_named() -> None:
    box = Bounds(np.full(2, -1.0), np.full(2, 1.0))
    with pytest.raises(UnsupportedObjective) as caught:
        solve(o.rosenbrock(), Newton(Armijo()), np.zeros(2), bounds=box)
    assert (caught.value.method, caught.value.setting) == ("newton", "globalization")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_way_along_negative_curvature_has_a_square(dtype: type) -> None:
    """However far the last step went: f32 ends at 3.4e38."""
    factor = factorize(np.diag([1.0, -1.0]).astype(dtype))
    zero = np.zeros(2, dtype)
    state = NewtonState(theta=zero, value=0.0, gradient=zero, gradient_norm=0.0, direction=zero, slope=0.0, widest=zero)
    v, bend = newton_line_search._choose(factor, state, 0.0, 0.1 * float(np.finfo(dtype).max))
    assert np.isfinite(v.dot(v))
    assert -np.inf < bend < 0.0


def test_jacobian_that_is_not_finite() -> None:
    A = np.ones((4, 2))
    problem = o.affine(A, np.ones(4))
    problem.J = lambda t: A * np.nan
    report = solve(problem, Newton(), np.zeros(2))
    assert report.status is Status.NONFINITE
