"""Claims of a minimum where a Hessian costs more than the run: a few products must disprove what is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nablad.solvers import BFGS, LBFGS, Expression, NonlinearConjugateGradient, solve


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
