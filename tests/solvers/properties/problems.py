"""The objectives of the property suites, with a start each, made anew for every test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from solvers.properties.variants import Problem

from solvers import objectives as o


def rosenbrock() -> Problem:
    return Problem(o.rosenbrock(), np.array([-1.2, 1.0]))


def beale() -> Problem:
    return Problem(o.beale(), np.array([1.0, 0.8]))


def exponential() -> Problem:
    return Problem(o.exponential_fit(), np.array([1.0, 0.5]), 0.0308613849)


def quadratic() -> Problem:
    return Problem(o.quadratic([5.0, 10.0, 20.0]), np.zeros(3), 3.0)


def hill() -> Problem:
    return Problem(o.hill(), np.array([0.1, -0.2, 3.0]), -0.75)


def wells() -> Problem:
    return Problem(o.wells(), np.array([0.3, -2.0]))


def logistic() -> Problem:
    f = o.logistic()
    return Problem(f, np.zeros(4), 19.0911)


def straight() -> Problem:
    """A line through five points: ||b - A t||^2 with an affine residual."""
    x = np.linspace(-1.0, 1.0, 5)
    A, b = np.column_stack([np.ones(5), x]), np.array([0.9, 1.1, 2.2, 2.7, 3.6])
    least = b - A @ np.linalg.lstsq(A, b, rcond=None)[0]
    return Problem(o.affine(A, b), np.zeros(2), float(least @ least))


def deficient(dtype: Any = np.float64) -> Problem:
    """Three columns of ones: only their sum is determined."""
    return Problem(o.affine(np.ones((5, 3), dtype=dtype), np.arange(5, dtype=dtype)), np.ones(3), 10.0)


def long() -> Problem:
    """A singular minimum at the end of a curved valley: nobody is there within twenty steps."""
    f = o.sum_of_squares(
        lambda t: np.array([3.0 * (t[1] - t[0] ** 2), t[0] ** 2]),
        lambda t: np.array([[-6.0 * t[0], 3.0], [2.0 * t[0], 0.0]]),
        lambda t: np.array([[-18.0 * (t[1] - t[0] ** 2) + 2.0 * t[0] ** 2, 0.0], [0.0, 0.0]]),
        2,
        rows=2,
    )
    return Problem(f, np.array([-1.2, 1.0]))


def steep() -> Problem:
    """Newton's first step on log(t)^2 from here leaves the domain."""
    return Problem(o.logarithms(), np.array([8.0, 0.1]))


def barrier() -> Problem:
    return Problem(o.barrier(), np.array([8.0, 0.01]), 2.0)


def named(*makers: Callable[[], Problem]) -> dict[str, Callable[[], Problem]]:
    return {make.__name__: make for make in makers}
