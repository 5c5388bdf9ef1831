"""Statistics of a fit as the client tells them: Student's t beside scipy's, intervals, names, and the table."""

from __future__ import annotations

import dataclasses
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import stats

from nablad.client import InvalidRequest, NabladError, Statistics
from nablad.client.student import student_t

DEGREES = [1, 2, 3, 4, 5, 7, 10, 29, 30, 100, 298, 299, 300, 301, 1_000, 12_345, 100_000, 1_000_000]
LEVELS = [0.01, 0.1, 0.3, 0.499, 0.5, 0.501, 0.6, 0.8, 0.9, 0.95, 0.99, 0.999, 0.999999, 1 - 1e-9]


@pytest.mark.parametrize("degrees", DEGREES)
def test_students_t_is_scipys(degrees: int) -> None:
    ours = [student_t(level, degrees) for level in LEVELS]
    theirs = [stats.t.isf((1 - level) / 2, degrees) for level in LEVELS]
    np.testing.assert_allclose(ours, theirs, rtol=2e-11)
    assert ours == sorted(ours)


@pytest.mark.parametrize("degrees", [1, 2.5, 6, 299, 300])
@pytest.mark.parametrize("level", [1e-9, 0.2, 0.95, 1 - 1e-12])
def test_students_t_holds_its_probability_in_forty_digits(degrees: float, level: float) -> None:
    with mpmath.workdps(40):
        t, v = mpmath.mpf(student_t(level, degrees)), mpmath.mpf(degrees)
        x = v / (v + t * t)
        beyond = mpmath.betainc(v / 2, 0.5, 0, x, regularized=True)
        wanted = 1 - mpmath.mpf(level)
        share, goal = (beyond, wanted) if level > 0.5 else (1 - beyond, 1 - wanted)
        assert abs(share / goal - 1) < 1e-11


@pytest.mark.parametrize(("level", "degrees"), [(0.0, 3), (1.0, 3), (-1, 3), (np.nan, 3), (0.5, 0), (0.5, np.inf)])
def test_what_is_no_probability_is_refused(level: float, degrees: float) -> None:
    with pytest.raises(ValueError, match=r"level|degrees"):
        student_t(level, degrees)


def line_fit() -> tuple[Statistics, Any]:
    """A straight line by numpy, as the service would tell it, and scipy's regression of the same data."""
    rng = np.random.default_rng(4)
    x = np.linspace(0, 5, 12)
    y = 2.0 * x - 1.0 + 0.1 * rng.normal(size=12)
    design = np.column_stack([x, np.ones(12)])
    theta, (rss,), *_ = np.linalg.lstsq(design, y)
    variance = rss / 10
    covariance = variance * np.linalg.inv(design.T @ design)
    errors = np.sqrt(np.diagonal(covariance))
    layout = {"slope": (), "offset": ()}
    found = Statistics(12, 10, rss, np.sqrt(variance), errors, covariance, (), theta, layout)
    return found, stats.linregress(x, y)


def test_a_straight_line_is_scipys() -> None:
    found, line = line_fit()
    assert found.named_standard_errors is not None
    assert found.named_covariance is not None
    assert found.correlation is not None
    assert found.named_standard_errors["slope"] == pytest.approx(line.stderr, rel=1e-9)
    assert found.named_standard_errors["offset"] == pytest.approx(line.intercept_stderr, rel=1e-9)
    assert found.named_covariance["slope"]["slope"] == pytest.approx(line.stderr**2, rel=1e-9)
    np.testing.assert_allclose(found.correlation, [[1, found.correlation[0, 1]], [found.correlation[0, 1], 1]])
    assert -1 < found.correlation[0, 1] < 0
    for level in (0.5, 0.95, 0.999):
        reach = stats.t.ppf((1 + level) / 2, 10) * np.array([line.stderr, line.intercept_stderr])
        within = found.confidence_intervals(level)
        np.testing.assert_allclose(within.lower, found.theta - reach, rtol=1e-9)
        np.testing.assert_allclose(np.asarray(within), np.column_stack([found.theta - reach, found.theta + reach]))
        assert within["slope"] == (within.lower[0], within.upper[0])
        assert list(within) == ["slope", "offset"]
    with pytest.raises(InvalidRequest, match="level"):
        found.confidence_intervals(95)


def test_it_prints_as_a_table() -> None:
    found, _ = line_fit()
    lines = repr(found).splitlines()
    assert lines[0].startswith("Statistics: residual standard deviation 0.")
    assert lines[0].endswith("; 12 observations, 10 degrees of freedom")
    assert lines[3].split() == ["parameter", "estimate", "standard", "error", "t", "95%", "interval"]
    name, value, error, ratio, low, high = lines[4].split()
    assert (name, float(value)) == ("slope", pytest.approx(found.theta[0], rel=1e-8))
    assert float(value) / float(error) == pytest.approx(float(ratio), rel=1e-3)
    assert float(low.strip("[,")) < float(value) < float(high.strip("]"))


def test_arrays_are_cut_by_parameter_and_long_tables_are_cut_short() -> None:
    size = 40
    covariance = np.diag(np.arange(1.0, size + 1) ** 2)
    errors = np.arange(1.0, size + 1)
    errors[3] = np.inf
    layout = {"A_0": (3, 13), "b_0": (1,)}
    found = Statistics(100, 60, 1.0, 0.1, errors, covariance, ("Beware.",), np.zeros(size), layout)
    assert found.named_standard_errors is not None
    assert found.named_standard_errors["A_0"].shape == (3, 13)
    assert found.confidence_intervals()["b_0"][0].shape == (1,)
    text = repr(found)
    assert "A_0[0,3]" in text
    assert "not determined" in text
    assert "... 16 more" in text
    assert text.endswith("Beware.")


def test_without_degrees_of_freedom_nothing_is_claimed() -> None:
    found = dataclasses.replace(
        line_fit()[0], degrees_of_freedom=0, residual_standard_deviation=None, standard_errors=None, covariance=None
    )
    assert found.correlation is None
    assert found.named_standard_errors is None
    assert found.named_covariance is None
    assert "no residual standard deviation" in repr(found)
    with pytest.raises(NabladError, match="no degrees of freedom"):
        found.confidence_intervals()
