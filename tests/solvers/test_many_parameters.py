"""Claims of a minimum where a Hessian costs more than the run: a few products must disprove what is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from solvers.objectives import Smooth

from nablad.solvers import BFGS, LBFGS, Expression, NonlinearConjugateGradient, Stopping, solve


@pytest.mark.parametrize("factor", [1.0, 10.0, 100.0])
@pytest.mark.parametrize("method", [BFGS(), LBFGS(), NonlinearConjugateGradient()], ids=lambda method: method.name)
def test_a_far_start_makes_no_gradient_small(method: Any, factor: float) -> None:
    """From far away the gradient falls by 1e-6 long before the minimum: f was 6,096 at such a claim."""

    def rosenbrock(x: Any) -> Any:
        return (100.0 * (x[1::2] - x[0::2] ** 2) ** 2 + (1.0 - x[0::2]) ** 2).sum()

    start = factor * np.tile([-1.2, 1.0], 50)
    report = solve(Expression.trace(rosenbrock, start=start).objective(), method, start)
    assert report.success
    assert report.value < 1e-11
    assert report.counts.hvp < 0.2 * report.counts.gradient


def test_a_linear_function_is_flat_nowhere() -> None:
    """A tolerance that somebody gave ends the run at its start; no product meets any curvature there."""
    c = np.random.default_rng(0).standard_normal(3000)
    f = Smooth(f=lambda t: c @ t, g=lambda t: c, H=lambda t: np.zeros(()), size=c.size)
    f.hvp = lambda t, v: np.zeros_like(v)  # type: ignore[method-assign]
    report = solve(f, LBFGS(), np.zeros(c.size), Stopping(gradient_tolerance=1e3))
    assert report.evidence.verdict == "unverified"
    assert "not unique" not in report.message
    assert "not stationary" in report.message
