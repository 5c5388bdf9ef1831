"""Minima that are not strict: curvatures of either sign are rounding there, and no method may take one for a saddle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nablad.solvers import (
    BFGS,
    LBFGS,
    Expression,
    GaussNewton,
    LevenbergMarquardt,
    Newton,
    NonlinearConjugateGradient,
    Status,
    solve,
)

RING = {
    "ring": (lambda t: (t[0] ** 2 + t[1] ** 2 - 1.0) ** 2, [0.5, 0.0]),
    "valley": (lambda t: 2.0 + t[0] ** 2 * (1.0 + t[1] ** 2), [1.0, 1.0]),
    "bowl of e": (lambda t: t[0] ** 2 * np.exp(t[1]), [1.0, 0.5]),
}
"""Minima that are not strict, by their function and a start."""


@pytest.mark.parametrize("name", RING)
@pytest.mark.parametrize("method", [Newton(), BFGS(), LBFGS(), NonlinearConjugateGradient()], ids=lambda m: m.name)
def test_curvature_that_rounding_made_negative_is_no_saddle(name: str, method: Any) -> None:
    f, start = RING[name]
    model = Expression.trace(f, start=np.array(start))
    report = solve(model.objective(), method, model.start())
    assert report.status is not Status.SADDLE, report.message
    assert report.success, report.message
    assert report.evidence.verdict in ("flat", "minimum")


@pytest.mark.parametrize("method", [Newton(), LevenbergMarquardt(), GaussNewton(), BFGS()], ids=lambda m: m.name)
def test_a_superfluous_term_is_flat_and_no_saddle(method: Any) -> None:
    t = np.linspace(0.0, 4.0, 30)
    model = Expression.parse(
        "c + a*exp(-b*t)", data={"t": t}, response=np.full(30, 2.0), start={"c": 2.0, "a": 0.5, "b": 0.1}
    )
    report = solve(model.objective(), method, model.start())
    assert report.success, report.message
    assert report.evidence.verdict == "flat"


def test_a_step_without_curvature_does_not_leave_the_start_far_behind() -> None:
    """McCormick's function at its start has no curvature along the gradient: the way is down to a minimum nearby."""
    model = Expression.parse("sin(x+y) + (x-y)**2 - 1.5*x + 2.5*y + 1", start={"x": 0.0, "y": 0.0})
    report = solve(model.objective(), Newton(), model.start())
    assert report.success, report.message
    assert report.value == pytest.approx(-1.9132229549810367, rel=1e-12)
