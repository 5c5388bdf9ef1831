"""Statistics of a fit against NIST's certified ones, closed forms of linear regression, and simulated data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.problems import nist
from nablad.solvers import Bounds, Expression, InvalidModel, Layer, LeastSquares, Network, Newton, Stopping, solve
from nablad.solvers.autodiff.objective import GraphObjective
from nablad.solvers.statistics import intervals, statistics, with_statistics

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3))
Y = X @ np.array([1.0, -2.0, 0.5]) + 3.0 + 0.4 * RNG.standard_normal(40)
DESIGN = np.column_stack([X, np.ones(40)])
WEIGHTS = np.append(RNG.uniform(0.2, 3.0, 37), np.zeros(3))
NEW = RNG.standard_normal((7, 3))
LOST_IN_ROUNDOFF = {"Lanczos1": 2.0}
"""Residuals of 1e-13 of a response of order 1 have three digits in this arithmetic."""


def fitted(model: Any, **more: Any) -> Any:
    return with_statistics(solve(model.objective(), Newton(), model.start(), **more), model, more.get("bounds"))


def normal_equations(A: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Estimate, s and covariance of a well-conditioned weighted fit, from the textbook's formulas."""
    inverse = np.linalg.inv(A.T @ (w[:, None] * A))
    theta = inverse @ A.T @ (w * y)
    s = math.sqrt(float(w @ (y - A @ theta) ** 2) / (np.count_nonzero(w) - A.shape[1]))
    return theta, s, s**2 * inverse


@pytest.mark.parametrize("name", list(nist.LINEAR))
def test_nist_linear(name: str) -> None:
    problem = nist.linear(name)
    certified = problem.certified
    found = fitted(problem.model()).statistics
    assert found.degrees_of_freedom == certified.degrees_of_freedom
    if certified.residual_standard_deviation == 0.0:
        assert "roundoff" in " ".join(found.warnings)
        assert found.residual_standard_deviation < 1e-9
        return
    assert nist.lre(found.standard_errors, certified.standard_deviations) >= 6.0
    assert nist.lre(found.residual_standard_deviation, certified.residual_standard_deviation) >= 6.0
    assert nist.lre(found.residual_sum_of_squares, certified.residual_sum_of_squares) >= 6.0


@pytest.mark.parametrize("name", list(nist.NONLINEAR))
def test_nist_nonlinear(name: str) -> None:
    """At the certified parameters, refined: how the run gets there is another test's."""
    problem = nist.nonlinear(name)
    model, certified = problem.model(2), problem.certified
    least = LOST_IN_ROUNDOFF.get(name, 6.0)
    stopping = Stopping(max_iterations=20, step_tolerance=0.0, decrement_tolerance=0.0)
    report = solve(model.objective(), Newton(), certified.parameters, stopping)
    found = statistics(model, report.theta)
    assert found.degrees_of_freedom == certified.degrees_of_freedom
    assert found.observations == len(problem.response)
    assert nist.lre(found.standard_errors, certified.standard_deviations) >= least
    assert nist.lre(found.residual_standard_deviation, certified.residual_standard_deviation) >= least


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("weighted", [False, True])
def test_linear_regression_in_closed_form(weighted: bool, reduction: str) -> None:
    w = WEIGHTS if weighted else np.ones(40)
    model = LeastSquares(X, Y, weights=w if weighted else None, intercept=True, reduction=reduction)
    theta, s, covariance = normal_equations(DESIGN, Y, w)
    report = fitted(model)
    found = report.statistics
    assert (found.observations, found.degrees_of_freedom) == ((37, 33) if weighted else (40, 36))
    assert found.residual_standard_deviation == pytest.approx(s, rel=1e-12)
    assert np.allclose(found.covariance, covariance, rtol=1e-11, atol=1e-15)
    assert np.allclose(found.standard_errors**2, np.diag(covariance), rtol=1e-12)
    assert np.allclose(np.diag(found.correlation), 1.0)
    assert np.abs(found.correlation).max() <= 1.0 + 1e-12
    assert bool(found.warnings) == weighted
    G = np.column_stack([NEW, np.ones(7)])
    t = stats.t.ppf(0.95, found.degrees_of_freedom)
    for kind, noise in (("confidence", 0.0), ("prediction", s**2)):
        band = intervals(model, report.theta, NEW, kind=kind, level=0.9, found=found)
        width = t * np.sqrt(np.sum((G @ covariance) * G, axis=1) + noise)
        assert np.allclose(band.centre, G @ theta)
        assert np.allclose(band.upper - band.centre, width, rtol=1e-10)
        assert np.allclose(band.centre - band.lower, width, rtol=1e-10)


def test_units_scale_as_they_should() -> None:
    """y -> 1000 y and one column in other units."""
    plain = fitted(LeastSquares(X, Y, intercept=True)).statistics
    scaled = fitted(LeastSquares(X * [1e6, 1.0, 1.0], 1000.0 * Y, intercept=True)).statistics
    units = np.array([1e-3, 1e3, 1e3, 1e3])
    assert np.allclose(scaled.standard_errors, units * plain.standard_errors, rtol=1e-10)
    assert scaled.residual_standard_deviation == pytest.approx(1000.0 * plain.residual_standard_deviation)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_penalty_is_no_data(reduction: str) -> None:
    ridge = 0.7
    model = LeastSquares(X, Y, ridge=ridge, reduction=reduction)
    found = fitted(model).statistics
    weight = ridge * (40 if reduction == "mean" else 1)
    J = X.T @ X + weight * np.eye(3)
    theta = np.linalg.solve(J, X.T @ Y)
    squares = float(np.sum((Y - X @ theta) ** 2))
    assert (found.observations, found.degrees_of_freedom) == (40, 37)
    assert found.residual_sum_of_squares == pytest.approx(squares, rel=1e-10)
    assert np.allclose(found.covariance, squares / 37 * np.linalg.inv(J), rtol=1e-9)
    assert any("penalty" in warning for warning in found.warnings)


def test_what_the_data_do_not_determine() -> None:
    A = np.column_stack([X, X[:, 0]])
    model = LeastSquares(A, Y)
    report = fitted(model)
    found = report.statistics
    assert found.degrees_of_freedom == 37
    assert found.covariance is None
    assert found.correlation is None
    assert np.isinf(found.standard_errors[[0, 3]]).all()
    _, _, covariance = normal_equations(X, Y, np.ones(40))
    assert np.allclose(found.standard_errors[[1, 2]] ** 2, np.diag(covariance)[[1, 2]])
    assert any("theta[0], theta[3]" in warning for warning in found.warnings)
    # theta_0 + theta_3 is determined, theta_0 alone is not
    band = intervals(model, report.theta, np.array([[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]]))
    assert band.upper[0] - band.centre[0] == pytest.approx(stats.t.ppf(0.975, 37) * math.sqrt(covariance[0, 0]))
    assert math.isinf(band.upper[1])


def test_no_degrees_of_freedom() -> None:
    model = LeastSquares(X[:3], Y[:3])
    found = fitted(model).statistics
    assert found.degrees_of_freedom == 0
    assert found.residual_standard_deviation is None
    assert found.standard_errors is None
    assert found.covariance is None
    assert any("no degrees of freedom" in warning for warning in found.warnings)
    with pytest.raises(InvalidModel, match="degrees of freedom"):
        intervals(model, np.zeros(3), NEW)


def test_a_parameter_that_a_bound_holds_counts_as_known() -> None:
    model = LeastSquares(X, Y)
    free = np.linalg.lstsq(X[:, 1:], Y - 0.25 * X[:, 0], rcond=None)[0]
    theta = np.append(0.25, free)
    bounds = Bounds(np.full(3, -np.inf), np.array([0.25, np.inf, np.inf]))
    found = statistics(model, theta, bounds=bounds)
    _, s, covariance = normal_equations(X[:, 1:], Y - 0.25 * X[:, 0], np.ones(40))
    assert found.degrees_of_freedom == 38
    assert found.residual_standard_deviation == pytest.approx(s)
    assert np.allclose(found.covariance[1:, 1:], covariance)
    assert found.standard_errors[0] == 0.0
    assert any("theta[0]" in warning for warning in found.warnings)


@pytest.mark.parametrize("upper", [[0.1, 0.1], [0.1, 10.0]])
def test_a_fit_whose_parameters_bounds_hold_has_statistics(upper: list[float]) -> None:
    """All of them, or some: what is held is known, and s is of all observations."""
    t = np.linspace(0.0, 2.0, 30)
    y = 2.0 * np.exp(-1.3 * t) + 0.01 * np.sin(9.0 * t)
    model = Expression.parse("A*exp(-k*t)", data={"t": t}, response=y, start={"k": 0.05, "A": 0.05})
    bounds = Bounds(np.zeros(2), np.array(upper))
    report = fitted(model, bounds=bounds)
    assert report.success, report.message
    found = report.statistics
    held = (report.theta == bounds.lower) | (report.theta == bounds.upper)
    assert found.degrees_of_freedom == 30 - np.count_nonzero(~held)
    assert np.all((found.standard_errors == 0.0) == held)
    assert np.all((found.covariance[held] == 0.0) & (found.covariance.T[held] == 0.0))
    assert any("Bounds hold" in warning for warning in found.warnings)


def test_a_run_that_did_not_converge_says_so() -> None:
    problem = nist.nonlinear("Eckerle4")
    model = problem.model(2)
    found = fitted(model, stopping=Stopping(max_iterations=1)).statistics
    assert any("did not converge" in warning for warning in found.warnings)


def test_a_loose_tolerance_warns_as_a_limit_does() -> None:
    """The run is a success by the rule that was given; its point is no minimum, and its errors mean little."""
    t = np.linspace(0.0, 3.0, 30)
    y = 4.0 * np.exp(-1.3 * t) + 0.02 * np.random.default_rng(0).standard_normal(30)
    model = Expression.parse("A*exp(-k*t)", data={"t": t}, response=y, start={"A": 1.0, "k": 0.2})
    for stopping, warned in ((Stopping(target_value=15.0), True), (None, False)):
        report = with_statistics(solve(model.objective(), Newton(), model.start(), stopping), model)
        assert report.success
        assert report.statistics is not None
        assert any("did not converge" in warning for warning in report.statistics.warnings) == warned


def test_curvature_of_the_residuals_is_warned_of() -> None:
    """y = exp(b x) with residuals so large that their second derivatives outweigh J'J."""
    x = np.linspace(0.0, 1.0, 6)
    model = Expression.parse("exp(b*x)", data={"x": x}, response=np.array([9.0, -7, 8, -9, 9, -1]), start={"b": 0.3})
    assert any("curvature changes" in warning for warning in fitted(model).statistics.warnings)
    gentle = Expression.parse("exp(b*x)", data={"x": x}, response=np.exp(0.3 * x) + 0.01, start={"b": 0.2})
    assert fitted(gentle).statistics.warnings == ()


def test_where_linearization_means_nothing_no_percentage_is_told() -> None:
    """A unit that is as good as dead: its weight has next to no column in J, and much curvature."""
    x = np.linspace(-1.0, 1.0, 20)
    model = Expression.parse(
        "a*x+w**3", data={"x": x}, response=2.0 * x + 0.3 * np.cos(9.0 * x) - 0.5, start={"a": 1.0, "w": 1.0}
    )
    warnings = statistics(model, [2.0, 1e-9]).warnings
    (told,) = (warning for warning in warnings if "curvature changes" in warning)
    assert "more than 1,000 %, most along w:" in told


def test_message_and_statistics_name_the_same_undetermined_parameters() -> None:
    """A small share of a null direction is one, too."""
    t = np.linspace(0.0, 1.0, 20)
    A = np.column_stack([t, 1e-3 * t + np.cos(t), np.cos(t), t**2])
    report = fitted(LeastSquares(A, np.exp(t)))
    words = "not determine theta[0], theta[1], theta[2]"
    assert words in report.message
    assert words in report.statistics.warnings[0]
    assert report.evidence.rank == 3


def test_no_statistics_where_there_is_no_sum_of_squares() -> None:
    model = Expression.parse("(a-1)**2", start={"a": 0.0})
    assert fitted(model).statistics is None
    with pytest.raises(InvalidModel, match="sum of squares"):
        statistics(model, np.zeros(1))


def test_a_network_is_a_regression_too() -> None:
    """One linear layer of two outputs: two regressions side by side."""
    targets = np.column_stack([Y, Y**2])
    model = Network(X, targets, [Layer(2)])
    report = fitted(model)
    found = report.statistics
    assert (found.observations, found.degrees_of_freedom) == (80, 72)
    A = np.linalg.inv(DESIGN.T @ DESIGN)
    residual = targets - DESIGN @ np.linalg.lstsq(DESIGN, targets, rcond=None)[0]
    s = math.sqrt(float(np.sum(residual**2)) / 72)
    assert found.residual_standard_deviation == pytest.approx(s)
    assert np.allclose(found.standard_errors[:3], s * np.sqrt(np.diag(A)[:3]))
    band = intervals(model, report.theta, NEW)
    assert band.centre.shape == band.upper.shape == (7, 2)
    G = np.column_stack([NEW, np.ones(7)])
    width = stats.t.ppf(0.975, 72) * s * np.sqrt(np.sum((G @ A) * G, axis=1))
    assert np.allclose(band.upper - band.centre, width[:, None])


def test_coverage_by_simulation() -> None:
    """Of a mildly nonlinear model: 95 % intervals hold the truth 95 times in 100, within three standard errors."""
    rng = np.random.default_rng(5)
    x = np.linspace(0.1, 4.0, 30)
    truth = np.array([2.0, 0.7])
    new = np.array([0.5, 2.0, 5.0])
    mean, hits, runs = 2.0 * np.exp(-0.7 * new), np.zeros(4), 300
    for _ in range(runs):
        y = truth[0] * np.exp(-truth[1] * x) + 0.05 * rng.standard_normal(30)
        model = Expression.parse("a*exp(-b*x)", data={"x": x}, response=y, start={"a": 2.0, "b": 0.7})
        theta = solve(model.objective(), Newton(), model.start()).theta
        found = statistics(model, theta, curvature=False)
        within = stats.t.ppf(0.975, 28) * found.standard_errors[1]
        band = intervals(model, theta, {"x": new}, found=found)
        hits[0] += abs(theta[1] - truth[1]) <= within
        hits[1:] += (band.lower <= mean) & (mean <= band.upper)
    assert np.all(np.abs(hits / runs - 0.95) <= 3.0 * math.sqrt(0.95 * 0.05 / runs))


def test_intervals_at_many_points_are_computed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LeastSquares(X, Y, intercept=True)
    theta = solve(model.objective(), Newton(), model.start()).theta
    many = RNG.standard_normal((50, 3))
    whole = intervals(model, theta, many)
    monkeypatch.setattr("nablad.solvers.statistics.BLOCK_BYTES", 7 * 4 * 8)
    blocks = intervals(model, theta, many)
    assert np.allclose(whole.upper, blocks.upper, rtol=1e-14)
    x = np.linspace(0.0, 1.0, 40)
    text = Expression.parse("a + b*x", data={"x": x}, response=Y, start={"a": 0.0, "b": 0.0})
    theta = solve(text.objective(), Newton(), text.start()).theta
    band = intervals(text, theta, {"x": x})
    assert np.allclose(band.centre, theta[0] + theta[1] * x)


@pytest.mark.parametrize(
    ("more", "field"), [({"kind": "credible"}, "kind"), ({"level": 1.0}, "level"), ({"level": math.nan}, "level")]
)
def test_arguments_are_checked(more: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidModel) as error:
        intervals(LeastSquares(X, Y), np.zeros(3), NEW, **more)
    assert error.value.field == field


@pytest.mark.parametrize("columns", [3, 30])
def test_standard_errors_of_many_rows_are_those_of_qr(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the size from which J'J and Cholesky are used, against the pseudo-inverse of the data."""
    rng = np.random.default_rng(11)
    rows = 120_000 // columns
    X = rng.standard_normal((rows, columns)) @ np.diag(np.geomspace(1.0, 1e3, columns))
    y = X @ np.ones(columns) + rng.standard_normal(rows)
    model = LeastSquares(X, y)

    def refuse(*_: object) -> None:
        raise AssertionError("no QR is needed here")

    monkeypatch.setattr(GraphObjective, "tsqr", refuse)
    report = fitted(model)
    r = y - X @ report.theta
    expected = np.sqrt(r @ r / (rows - columns)) * np.linalg.norm(np.linalg.pinv(X), axis=1)
    np.testing.assert_allclose(report.statistics.standard_errors, expected, rtol=1e-11)
