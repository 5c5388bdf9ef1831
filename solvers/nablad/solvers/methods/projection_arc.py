r"""Backtracking along a projected path: Armijo's search for problems with bounds.

    theta(a) = P(theta + a d),   P the projection onto the box,   a = first, then shorter

A trial is accepted if f(theta(a)) <= f + c g'(theta(a) - theta) (Bertsekas 1976; Nocedal and Wright 2006, section
16.7): the promise counts only the way that was gone. With d the steepest descent of the free parameters, g'(theta(a) -
theta) is negative for every a > 0 unless theta is stationary, and parameters that meet a bound stay on it while the
others go on: many bounds may become active in one iteration, where a search along the ray would end at the first.

Differences of f within its roundoff are decided by slopes, NaN counts as +inf, and the step shrinks to the parabola's
minimizer, all as in line_search/armijo.py.
"""

from __future__ import annotations

import math

from nablad.solvers.linalg.vectors import FloatArray, is_finite
from nablad.solvers.methods.line_search.armijo import Armijo, shorter
from nablad.solvers.methods.line_search.ray import Ray, Search, Trial, evaluate, evaluate_value, noise
from nablad.solvers.objective import Objective


def backtrack_arc(objective: Objective, ray: Ray, gradient: FloatArray, first: float, settings: Armijo) -> Search:
    """Search from `first` downwards, within the objective's bounds; `gradient` is the whole one at `ray.theta`.

    `ray.value` is what f must fall below, `ray.slope` and `ray.bend` are not used. Raises Interrupted when a limit of
    the run is met.
    """
    bounds = objective.bounds
    assert bounds is not None
    roundoff, c = noise(ray), settings.sufficient_decrease
    step, nonfinite = first, 0
    for count in range(1, settings.max_trials + 1):
        theta = bounds.project(ray.theta + step * ray.direction)
        way = theta - ray.theta
        if not way.any():
            return Search(None, count - 1, nonfinite, step)
        promised = float(gradient.dot(way))
        value, slope = evaluate(objective, theta) if count == 1 else (evaluate_value(objective, theta), None)
        if value == -math.inf:
            return Search(None, count, nonfinite, step, plunged=True)
        acceptable = value <= ray.value + c * promised
        if acceptable or abs(value - ray.value) <= roundoff:
            if slope is None:
                slope = objective.gradient(theta)
            if not is_finite(slope):
                value = math.inf
            elif acceptable or (promised < 0.0 and float(slope.dot(way)) <= (2.0 * c - 1.0) * promised):
                return Search(Trial(step, theta, value, slope), count, nonfinite, step)
        nonfinite += not math.isfinite(value)
        step = shorter(ray._replace(slope=promised / step), step, value, settings.shrink)
    return Search(None, settings.max_trials, nonfinite, step)
