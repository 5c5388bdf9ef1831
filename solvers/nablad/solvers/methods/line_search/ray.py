r"""What every search along a ray shares: the ray, a trial, an outcome, and one way to evaluate.

phi(a) = f(theta + a d) with slope phi'(0) = m. A value that is NaN counts as +inf, so that no comparison can accept it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from nablad.solvers.linalg.vectors import FloatArray, epsilon
from nablad.solvers.objective import Objective

ROUNDOFF_FACTOR = 100.0
"""Differences of phi within so many eps |phi(0)| are roundoff: an evaluation rounds in every sum it makes."""
NONFINITE_SHRINK = 0.1
"""What a trial that is not finite leaves of the step."""
SNAP = 4.0
"""A move that ends within so many eps of a bound, relative to its length, was meant to end there."""


class Ray(NamedTuple):
    """phi(a) = f(theta + a direction), with what is known of it at a = 0."""

    theta: FloatArray
    direction: FloatArray
    value: float
    slope: float
    bend: float = 0.0
    """d'Hd where it is negative and to be used; 0 else."""


class Trial(NamedTuple):
    """A finite point with its gradient, accepted."""

    step: float
    theta: FloatArray
    value: float
    gradient: FloatArray


class Search(NamedTuple):
    """What a search found; `trial` is None if nothing was acceptable."""

    trial: Trial | None
    trials: int
    nonfinite: int
    """How many of them were NaN or infinite, in value or gradient."""
    last_step: float
    plunged: bool = False
    """A trial's value was -inf."""


def noise(ray: Ray) -> float:
    """The roundoff of phi's differences near a = 0."""
    return ROUNDOFF_FACTOR * epsilon(ray.theta.dtype) * abs(ray.value)


def point_at(objective: Objective, ray: Ray, step: float) -> FloatArray:
    """theta + step direction, for theta within the bounds; what comes within rounding of a bound is on it."""
    move = step * ray.direction
    bounds = objective.bounds
    if bounds is None:
        return ray.theta + move
    bound = np.where(move > 0.0, bounds.upper, bounds.lower)
    nearly = 1.0 - SNAP * epsilon(ray.theta.dtype)
    return np.where(np.abs(move) >= nearly * np.abs(bound - ray.theta), bound, ray.theta + move)


def evaluate(objective: Objective, theta: FloatArray) -> tuple[float, FloatArray]:
    """Value and gradient, a value that is NaN as +inf. Raises Interrupted when a limit of the run is met."""
    value, gradient = objective.value_and_gradient(theta)
    return (math.inf if math.isnan(value) else value), gradient


def evaluate_value(objective: Objective, theta: FloatArray) -> float:
    """The value alone, NaN as +inf."""
    value = objective.value(theta)
    return math.inf if math.isnan(value) else value
