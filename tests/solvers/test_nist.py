"""NIST's certified regressions, all of them: correct digits, certified standard deviations, and honest ends."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest

from benchmarks.problems.nist import LINEAR, NONLINEAR, linear, lre, nonlinear
from nablad.solvers import LevenbergMarquardt, Newton, solve

RUNS = [(name, which) for name in NONLINEAR for which in (1, 2)]
METHODS = {"Newton()": Newton(), "LevenbergMarquardt()": LevenbergMarquardt()}
FLOORS = {"Filip": 7.4, "Longley": 10.9, "Norris": 12.0, "Wampler5": 5.9}
"""What the issue asked for by name; all sets are held to the exact solution of the rounded design below."""


@pytest.mark.parametrize("method", METHODS)
def test_all_54_runs(method: str) -> None:
    """At least six digits each, nine in the median, and every one known to be a minimum."""
    digits = {}
    for name, which in RUNS:
        problem = nonlinear(name)
        model = problem.model(which)
        report = solve(model.objective(), METHODS[method], model.initial())
        digits[name, which] = lre(report.theta, problem.certified.parameters)
        assert report.success, (name, which, report.message)
        assert report.evidence.verdict == "minimum", (name, which)
    assert min(digits.values()) >= 6.0, {run: d for run, d in digits.items() if d < 6.0}
    assert median(digits.values()) >= 9.0


@pytest.mark.parametrize("name", LINEAR)
def test_linear_sets(name: str) -> None:
    """The digits of the exact solution of the numbers given: rounding the powers of x costs Filip's others."""
    problem = linear(name)
    model = problem.model()
    report = solve(model.objective(), Newton(), model.initial())
    assert report.success, report.message
    digits = lre(report.theta, problem.certified.parameters, problem.digits)
    pivoted = np.linalg.lstsq(problem.design, problem.response, rcond=None)[0]
    assert digits >= FLOORS.get(name, 10.0)
    assert digits >= lre(pivoted, problem.certified.parameters, problem.digits) - 0.1


@pytest.mark.parametrize("name", ["Misra1a", "Thurber", "ENSO", "Rat43", "MGH09"])
def test_a_start_at_the_certified_values_stays_there(name: str) -> None:
    problem = nonlinear(name)
    model = problem.model(2)
    for method in METHODS.values():
        report = solve(model.objective(), method, problem.certified.parameters)
        assert report.success, report.message
        assert report.iterations <= 3
        assert lre(report.theta, problem.certified.parameters) >= 8.0
