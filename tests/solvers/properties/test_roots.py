"""Minima without curvature, values lost in the roundoff of larger terms, and steps carried from a plateau."""

from __future__ import annotations

import numpy as np
import pytest
from solvers.properties.variants import CURVES, FAST, NOISY, SEARCHES, Problem, every, pairs

from nablad.solvers import Family, Status, Stopping, solve
from solvers import objectives as o


def cusp(start: float) -> Problem:
    """|x|^1.5: the slope vanishes at the minimum, where the curvature is infinite."""
    return Problem(
        o.Smooth(
            f=lambda t: np.sum(np.abs(t) ** 1.5),
            g=lambda t: 1.5 * np.sign(t) * np.abs(t) ** 0.5,
            H=lambda t: np.diag(0.75 * np.abs(t) ** -0.5),
            size=1,
        ),
        np.array([start]),
    )


@pairs(every(SEARCHES), {"from 4": lambda: cusp(4.0), "from 0.3": lambda: cusp(0.3), "from -2": lambda: cusp(-2.0)})
def test_a_minimum_of_infinite_curvature(variant, problem) -> None:
    """Newton's step from anywhere leads to its mirror image or, shortened, to the minimum itself."""
    problem = problem()
    report = solve(problem.f, variant.method, problem.start)
    assert report.success or report.value < 1e-12, report.message
    assert report.status.family is not Family.FAILED, report.message


def peak(size: int = 1) -> Problem:
    problem = cusp(0.0)
    f, g, H = problem.f.f, problem.f.g, problem.f.H
    problem.f.f, problem.f.g, problem.f.H = (lambda t: -f(t)), (lambda t: -g(t)), (lambda t: -H(t))
    problem.f.size = size
    return Problem(problem.f, np.zeros(size))


@pairs(every(but=[NOISY]), {"peak": peak, "peak of many": lambda: peak(70)})
def test_a_maximum_of_infinite_curvature_is_no_success(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start)
    assert report.status is Status.SADDLE, report.message
    assert report.evidence.verdict == "saddle"


def griewank() -> Problem:
    """0 at the minimum is 1 less 1: f's roundoff there is eps, not eps times f."""
    w = np.sqrt(2.0)
    return Problem(
        o.Smooth(
            f=lambda t: 1.0 + t @ t / 4000.0 - np.cos(t[0]) * np.cos(t[1] / w),
            g=lambda t: t / 2000.0 + np.array([np.sin(t[0]) * np.cos(t[1] / w), np.cos(t[0]) * np.sin(t[1] / w) / w]),
            H=lambda t: (
                np.eye(2) / 2000.0
                + np.array(
                    [
                        [np.cos(t[0]) * np.cos(t[1] / w), -np.sin(t[0]) * np.sin(t[1] / w) / w],
                        [-np.sin(t[0]) * np.sin(t[1] / w) / w, np.cos(t[0]) * np.cos(t[1] / w) / 2.0],
                    ]
                )
            ),
            size=2,
        ),
        np.ones(2),
    )


@pytest.mark.parametrize("factor", [1.0, 1e-12, 1e12])
@pairs(every(SEARCHES, FAST), {"griewank": griewank})
def test_a_value_of_zero_has_the_roundoff_of_its_terms(variant, problem, factor: float) -> None:
    problem = problem()
    report = solve(o.rescaled(problem.f, factor), variant.method, problem.start)
    assert report.success, report.message
    assert report.evidence.verdict == "minimum"


def easom() -> Problem:
    """A well in a plateau: from (10, 10) the gradient is 1e-33, and at the well's foot 1e-5."""

    def e(t: np.ndarray) -> float:
        return float(np.exp(-np.sum((t - np.pi) ** 2)))

    def logarithmic(t: np.ndarray) -> np.ndarray:
        return -np.tan(t) - 2.0 * (t - np.pi)

    def f(t: np.ndarray) -> float:
        return -float(np.cos(t[0]) * np.cos(t[1])) * e(t)

    return Problem(
        o.Smooth(
            f=f,
            g=lambda t: f(t) * logarithmic(t),
            H=lambda t: f(t) * (np.outer(logarithmic(t), logarithmic(t)) + np.diag(-1.0 / np.cos(t) ** 2 - 2.0)),
            size=2,
        ),
        np.array([10.0, 10.0]),
        -1.0,
    )


@pairs([v for v in every(SEARCHES, but=[CURVES]) if v.order == 1], {"easom": easom})
def test_a_step_carried_from_a_plateau_is_forgotten(variant, problem) -> None:
    """Local minima surround the well; nobody stalls on a slope."""
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, Stopping(max_iterations=2000))
    assert report.status is not Status.LINE_SEARCH_STALLED, report.message
