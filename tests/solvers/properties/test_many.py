"""Many parameters, whose Hessian costs more than the run: what is no minimum is no success there either."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from solvers.properties.variants import CURVES, FAST, LONG, NOISY, SEARCHES, Problem, Problems, every, pairs

from nablad.solvers import Family, Status, Stopping, solve
from solvers import objectives as o

MANY, MORE = 70, 600
PRODUCTS_ONLY = [v for v in every(but=[NOISY]) if v.order == 1 or "cg" in v.name]
"""The variants for which a Hessian of many more is never formed."""


def separate(f, g, h, size: int) -> o.Smooth:
    """A sum over parameters, of f with its derivatives g and h."""
    return o.Smooth(f=lambda t: np.sum(f(t)), g=g, H=lambda t: np.diag(h(t)), size=size)


def crest(size: int = MANY) -> Problem:
    """sum cos(t) at its maximum."""
    return Problem(separate(np.cos, lambda t: -np.sin(t), lambda t: -np.cos(t), size), np.zeros(size), -float(size))


def ridge(size: int = MANY) -> Problem:
    """A start that is aimed at a saddle: sum (t^2 - 1)^2, where a half of the parameters begin at 0."""
    return Problem(o.wells(size), np.append(np.full(size // 2, 0.6), np.zeros(size - size // 2)))


STATIONARY = {
    "maximum": crest,
    "maximum of squares": lambda: Problem(o.wells(MANY), np.zeros(MANY)),
}


@pairs(every(), STATIONARY, (PRODUCTS_ONLY, {"maximum of more": lambda: crest(MORE)}))
def test_a_stationary_start_that_is_no_minimum(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start)
    if CURVES in variant.promises:
        assert report.value == pytest.approx(problem.minimum, abs=1e-9)
    else:
        assert report.status is Status.SADDLE, report.message
        assert report.evidence.verdict == "saddle"
        assert report.counts.hvp <= 8


@pytest.mark.parametrize("scale", [1e-3, 1e4])
@pytest.mark.parametrize("factor", [1e-200, 1e-3, 1e200])
@pairs(every(SEARCHES), {"maximum": crest})
def test_in_any_units(variant, problem, factor: float, scale: float) -> None:
    problem = problem()
    report = solve(o.rescaled(problem.f, factor, scale), variant.method, scale * problem.start)
    assert report.status is Status.SADDLE or report.value < 0.0, report.message


@pairs(every(but=[NOISY]), {"saddle": ridge}, (PRODUCTS_ONLY, {"saddle of more": lambda: ridge(MORE)}))
def test_a_saddle_that_the_start_is_aimed_at(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start)
    assert report.status is not Status.INTERNAL, report.message
    assert not report.success or report.value == pytest.approx(0.0, abs=1e-9), report.message
    if report.status.family is Family.STALLED:
        assert report.evidence.verdict == "saddle", report.message


def decay(size: int) -> Problem:
    return Problem(separate(lambda t: np.exp(-t), lambda t: -np.exp(-t), lambda t: np.exp(-t), size), np.zeros(size))


def above(size: int) -> Problem:
    problem = decay(size)
    inner = problem.f.f
    problem.f.f = lambda t: 1.0 + inner(t)
    return problem


def reciprocal(size: int) -> Problem:
    return Problem(separate(lambda t: 1.0 / t, lambda t: -(t**-2.0), lambda t: 2.0 * t**-3.0, size), np.ones(size))


def logarithm(size: int) -> Problem:
    return Problem(separate(lambda t: -np.log(t), lambda t: -1.0 / t, lambda t: t**-2.0, size), np.ones(size))


def tail(size: int) -> Problem:
    f = o.sum_of_squares(
        lambda t: np.exp(-t), lambda t: np.diag(-np.exp(-t)), lambda t: np.diag(np.exp(-2.0 * t)), size, rows=size
    )
    return Problem(f, np.zeros(size))


def classes(size: int) -> Problem:
    """Logistic regression with more parameters than rows: the classes are separable."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, size))
    X *= np.sign(X @ rng.standard_normal(size))[:, None]

    def s(t: np.ndarray) -> np.ndarray:
        return np.exp(-np.logaddexp(0.0, X @ t))

    return Problem(
        o.Smooth(
            f=lambda t: np.sum(np.logaddexp(0.0, -(X @ t))),
            g=lambda t: -X.T @ s(t),
            H=lambda t: (X * (s(t) * (1.0 - s(t)))[:, None]).T @ X,
            size=size,
        ),
        np.zeros(size),
    )


def named(size: int, *makers: Callable[[int], Problem]) -> Problems:
    return {f"{make.__name__} of {size}": partial(make, size) for make in makers}


@pairs(
    every(but=[NOISY]),
    named(MANY, decay, above, reciprocal, logarithm, tail) | named(100, classes),
    (PRODUCTS_ONLY, named(MORE, above, reciprocal)),
)
def test_a_minimum_at_infinity_is_none(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, Stopping(max_iterations=2000))
    assert report.status is not Status.INTERNAL, report.message
    assert report.status.family is not Family.CONVERGED, report.message
    assert report.evidence.verdict != "minimum"


def spread(size: int) -> Problem:
    return Problem(o.quadratic(np.geomspace(1.0, 100.0, size).tolist()), np.zeros(size), 3.0)


def flat(size: int = 100) -> Problem:
    """||tanh(A t) - b||^2 with fewer rows than parameters: the minimizers are a surface."""
    rng = np.random.default_rng(1)
    A = rng.standard_normal((size // 2, size)) / np.sqrt(size)
    b = np.tanh(A @ rng.standard_normal(size)) * 0.5

    def slopes(t: np.ndarray) -> np.ndarray:
        return 1.0 - np.tanh(A @ t) ** 2

    f = o.sum_of_squares(
        lambda t: np.tanh(A @ t) - b,
        lambda t: slopes(t)[:, None] * A,
        lambda t: (A * ((np.tanh(A @ t) - b) * -2.0 * np.tanh(A @ t) * slopes(t))[:, None]).T @ A,
        size,
        rows=size // 2,
    )
    return Problem(f, np.zeros(size))


MINIMA = {
    "quadratic": lambda: spread(MANY),
    "wells": lambda: Problem(o.wells(MANY), np.linspace(0.3, 2.0, MANY)),
    "surface": flat,
}


@pairs(every(SEARCHES, FAST), MINIMA, (PRODUCTS_ONLY, {"quadratic of more": lambda: spread(MORE)}))
def test_a_minimum_stays_a_success(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, LONG)
    assert report.success, report.message
    assert report.value == pytest.approx(problem.minimum, rel=1e-7, abs=1e-9)
    if report.evidence.verdict == "unverified":
        assert "met no negative curvature" in report.evidence.note


def kinks(size: int = MANY) -> Problem:
    """sum |t - 1|: no curvature, and no slope that fades."""
    f = separate(lambda t: np.abs(t - 1.0), lambda t: np.sign(t - 1.0), np.zeros_like, size)
    return Problem(f, np.linspace(-1.0, 3.1, size))


@pairs(every(but=[NOISY]), {"kinks": kinks})
def test_a_kink_is_no_minimum_of_no_curvature(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, Stopping(max_iterations=500))
    assert report.status is not Status.INTERNAL, report.message
    assert not report.success or report.value < 1e-6, report.message
