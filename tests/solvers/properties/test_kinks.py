"""Kinks: a gradient that jumps where the minimum is. Methods may stop beside it, and must not claim or break."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from solvers.properties.variants import NOISY, SEARCHES, Problem, every, pairs

from nablad.solvers import Family, Status, Stopping, solve
from solvers import objectives as o


def kink(weights: Sequence[float], at: Sequence[float], start: Sequence[float]) -> Problem:
    """sum_i w_i |t_i - a_i|, without any curvature."""
    w, a = np.array(weights), np.array(at)
    f = o.Smooth(
        f=lambda t: w @ np.abs(t - a),
        g=lambda t: w * np.sign(t - a),
        H=lambda t: np.zeros((w.size, w.size)),
        size=w.size,
    )
    return Problem(f, np.array(start))


KINKS = {
    "at zero": lambda: kink([1.0, 1.0], [0.0, 0.0], [1.0, 2.0]),
    "beside zero": lambda: kink([1.0, 3.0], [0.0, 2.0], [1.3, 0.2]),
    "one": lambda: kink([1.0], [0.0], [1.0]),
}


@pytest.mark.parametrize("scale", [1.0, 1e-150, 1e150])
@pairs(every(but=[NOISY]), KINKS)
def test_a_kink_breaks_nothing(variant, problem, scale: float) -> None:
    problem = problem()
    f = o.rescaled(problem.f, scale)
    report = solve(f, variant.method, problem.start, Stopping(max_iterations=2000))
    assert report.status is not Status.INTERNAL, report.message
    assert math.isfinite(report.value)
    assert report.value <= f.value(problem.start)
    if report.success:
        assert report.value <= 1e-6 * f.value(problem.start), report.message
    if SEARCHES in variant.promises:
        assert report.status.family is not Family.FAILED, report.message
