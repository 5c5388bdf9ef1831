"""Units guessed from the start: what they are, and that they free three methods of the user's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nablad.solvers import BFGS, LBFGS, Bounds, NonlinearConjugateGradient, Wolfe, solve
from nablad.solvers.methods.units import units_of
from solvers import objectives as o

METHODS: dict[str, Any] = {"bfgs": BFGS(), "lbfgs": LBFGS(), "conjugate": NonlinearConjugateGradient()}


@pytest.mark.parametrize(
    ("start", "units"),
    [
        ([200.0, -2e-4], [1.0, 1e-6]),
        ([1.0, 20.0], [1.0, 1.0]),
        ([200.0, 0.0, 2e-4], [1.0, 1.0, 1.0]),
        ([0.0, 0.0], [1.0, 1.0]),
        ([], []),
    ],
    ids=["spread", "alike", "a zero", "zeros", "none"],
)
def test_units_are_the_sizes_where_they_spread(start: list[float], units: list[float]) -> None:
    assert np.allclose(units_of(np.array(start)), units, rtol=1e-15)
    assert np.array_equal(units_of(2.0**40 * np.array(start)), units_of(np.array(start)))


def in_units(scale: np.ndarray) -> o.Smooth:
    """The exponential fit with each parameter in a unit of its own."""
    problem = o.exponential_fit()
    return o.Smooth(
        f=lambda t: problem.f(t / scale),
        g=lambda t: problem.g(t / scale) / scale,
        H=lambda t: problem.H(t / scale) / scale / scale[:, None],
        size=2,
    )


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_each_parameters_unit_is_free_where_the_start_tells(method: Any) -> None:
    """From (1, 1) in the fit's own parameters, so that |start| is the units themselves."""
    for scale in (np.array([1e6, 1e-5]), np.array([1e-3, 1e3])):
        plain = solve(in_units(np.ones(2)), method, np.ones(2))
        other = solve(in_units(scale), method, scale * np.ones(2))
        assert other.success, other.message
        assert other.iterations <= plain.iterations + 5
        assert np.allclose(other.theta / scale, plain.theta, rtol=1e-4)


def test_bounds_are_kept_in_any_units() -> None:
    scale = np.array([1e6, 1e-5])
    problem, bounds = in_units(scale), Bounds(scale * np.array([0.0, 0.0]), scale * np.array([10.0, 1.1]))
    report = solve(problem, LBFGS(), scale * np.ones(2), bounds=bounds)
    assert report.success, report.message
    assert report.theta[1] == bounds.upper[1]
    assert all(bounds.contains(theta) for theta in problem.seen)


def test_with_an_initial_step_of_the_users_parameters_are_taken_as_they_are() -> None:
    scale = np.array([1e2, 1e-2])
    problem, start = in_units(scale), scale * np.ones(2)
    solve(problem, BFGS(Wolfe(initial=1e-7)), start)
    assert np.array_equal(problem.seen[1], start - 1e-7 * problem.g(start))


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("start", [[1e-160, 1e5], [1e-200, 1.0]])
def test_a_start_that_is_nearly_zero_tells_no_unit(method: Any, start: list[float]) -> None:
    """x^2 / (1 + y^2): the gradient in such units underflows to zero, and Cauchy's step once divided by it."""
    problem = o.Smooth(
        f=lambda t: t[0] ** 2 / (1.0 + t[1] ** 2),
        g=lambda t: np.array([2.0 * t[0] / (1.0 + t[1] ** 2), -2.0 * t[1] * (t[0] / (1.0 + t[1] ** 2)) ** 2]),
        H=lambda t: np.diag([2.0 / (1.0 + t[1] ** 2), 0.0]),
        size=2,
    )
    assert np.array_equal(units_of(np.array(start)), np.ones(2))
    assert solve(problem, method, np.array(start)).value == 0.0
