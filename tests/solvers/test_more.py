"""Moré, Garbow and Hillstrom's functions from their standard starts: the minima, and no success elsewhere."""

from __future__ import annotations

import pytest

from benchmarks.problems.more import PROBLEMS
from nablad.solvers import BFGS, LBFGS, LevenbergMarquardt, Newton, Status, solve

LONGER = {"Gulf", "Biggs", "Osborne 2", "Watson 9", "Watson 12", "Chebyquad 8", "Chebyquad 9", "Chebyquad 10"}
"""Left to `make bench`: Hessians of large graphs take their time to compile."""
QUICK = [name for name, problem in PROBLEMS.items() if problem.size <= 12 and name not in LONGER]
METHODS = {
    "Newton()": (Newton(), "scalar"),
    "Newton() told the residual": (Newton(), "squares"),
    "LevenbergMarquardt()": (LevenbergMarquardt(), "squares"),
    "BFGS()": (BFGS(), "scalar"),
    "LBFGS()": (LBFGS(), "scalar"),
}


@pytest.mark.parametrize("method", METHODS)
def test_standard_starts(method: str) -> None:
    settings, form = METHODS[method]
    unsolved = []
    for name in QUICK:
        problem = PROBLEMS[name]
        report = solve(getattr(problem, form)().objective(), settings, problem.start())
        if not report.success or not problem.solved(report.value):
            unsolved.append((name, report.value, report.status.name))
    assert not unsolved


@pytest.mark.parametrize("method", METHODS)
def test_a_plateau_is_no_minimum(method: str) -> None:
    """Gulf from 100 times its start: f is constant there, to the last bit, in all directions."""
    settings, form = METHODS[method]
    problem = PROBLEMS["Gulf"]
    report = solve(getattr(problem, form)().objective(), settings, problem.start(100.0))
    assert (report.success, report.evidence.verdict) == (False, "saddle") or report.evidence.verdict == "flat"


@pytest.mark.parametrize("method", METHODS)
def test_a_start_that_overflows_is_told(method: str) -> None:
    settings, form = METHODS[method]
    problem = PROBLEMS["Jennrich-Sampson"]
    report = solve(getattr(problem, form)().objective(), settings, problem.start(100.0))
    assert (report.status, report.iterations) == (Status.NONFINITE_START, 0)


@pytest.mark.parametrize("name", ["Broyden tridiagonal 10", "Broyden banded 10", "Extended Rosenbrock 10", "Wood"])
@pytest.mark.parametrize("method", [BFGS(), LBFGS()], ids=lambda method: method.name)
def test_quasi_newton_methods_look_at_the_curvature_when_it_is_due(name: str, method: BFGS | LBFGS) -> None:
    """From far away a gradient that fell a million times is still large: the method's own model knows, at no cost."""
    problem = PROBLEMS[name]
    report = solve(problem.scalar().objective(), method, problem.start(10.0))
    assert report.success, report.message
    assert problem.solved(report.value)
    assert report.evidence.verdict == "minimum"
    assert report.counts.hessian == 1


@pytest.mark.parametrize("method", ["BFGS()", "LBFGS()"])
def test_a_valley_to_infinity_is_no_minimum(method: str) -> None:
    """Box' function from 100 times its start: negative curvature too small to be seen, and lower values farther off."""
    settings, form = METHODS[method]
    problem = PROBLEMS["Box"]
    report = solve(getattr(problem, form)().objective(), settings, problem.start(100.0))
    assert not report.success, report.message
