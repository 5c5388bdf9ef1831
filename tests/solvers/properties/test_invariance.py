"""A change of units changes no decision: f -> cf, x -> cx, and each parameter's unit for those that promise it.

Rosenbrock's function times 1e-12 is "solved" at its start by five of scipy's methods, whose gradient tests are
absolute; curvature thresholds were so too (scipy #19268).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from solvers.properties import problems as p
from solvers.properties.variants import FAST, LONG, SEARCHES, UNITS, every, pairs

from nablad.solvers import solve
from solvers import objectives as o

VALLEYS = p.named(p.beale, p.exponential)
CURVED = p.named(p.rosenbrock)


CASES = pairs(every(SEARCHES), VALLEYS, (every(FAST), CURVED))


def is_power_of_two(x: float) -> bool:
    return math.frexp(x)[0] == 0.5


@pytest.mark.parametrize("scale", [1e-12, 2.0**-60, 1e9])
@CASES
def test_of_the_objective(variant, problem, scale: float) -> None:
    plain = solve(problem().f, variant.method, problem().start, LONG)
    scaled = solve(o.rescaled(problem().f, scale), variant.method, problem().start, LONG)
    assert scaled.success, scaled.message
    assert scaled.iterations > 3
    assert np.allclose(scaled.theta, plain.theta, atol=2e-3)
    if is_power_of_two(scale) and is_power_of_two(math.sqrt(scale)):
        assert (scaled.iterations, scaled.theta.tobytes()) == (plain.iterations, plain.theta.tobytes())


@pytest.mark.parametrize("scale", [1e-6, 2.0**20])
@CASES
def test_of_all_parameters(variant, problem, scale: float) -> None:
    plain = solve(problem().f, variant.method, problem().start, LONG)
    scaled = solve(o.rescaled(problem().f, 1.0, scale), variant.method, scale * problem().start, LONG)
    assert scaled.success, scaled.message
    assert np.allclose(scaled.theta / scale, plain.theta, atol=2e-3)
    if is_power_of_two(scale):
        assert scaled.iterations == plain.iterations


UNIT = np.array([2.0**20, 2.0**-17])
"""Powers of two: nothing is rounded differently."""


def in_units(inner: o.SumOfSquares) -> o.SumOfSquares:
    return o.SumOfSquares(
        f=lambda t: inner.f(t / UNIT),
        g=lambda t: inner.g(t / UNIT) / UNIT,
        H=lambda t: inner.H(t / UNIT) / UNIT / UNIT[:, None],
        r=lambda t: inner.r(t / UNIT),
        J=lambda t: inner.J(t / UNIT) / UNIT,
        size=2,
        rows=inner.rows,
        capabilities=inner.capabilities,
    )


@pairs(every(UNITS), VALLEYS)
def test_of_each_parameter(variant, problem) -> None:
    plain = solve(problem().f, variant.method, problem().start)
    scaled = solve(in_units(problem().f), variant.method, UNIT * problem().start)
    assert scaled.success, scaled.message
    assert np.allclose(scaled.theta / UNIT, plain.theta, rtol=1e-7)
    assert scaled.iterations == plain.iterations
    assert scaled.evidence.verdict == plain.evidence.verdict == "minimum"
    assert scaled.evidence.rank == plain.evidence.rank == 2


@pairs(every(SEARCHES), {"saddle": lambda: p.Problem(o.wells(), np.array([0.0, 0.4]))})
@pytest.mark.parametrize("scale", [2.0**-40, 2.0**40])
def test_of_curvature(variant, problem, scale: float) -> None:
    """(scipy #19268) A saddle is one in any unit: nobody calls the end of this line, (0, 1), a minimum."""
    report = solve(o.rescaled(problem().f, scale), variant.method, problem().start, LONG)
    if report.success:
        assert report.value < 1e-6 * scale
    else:
        assert report.evidence.verdict in ("saddle", "unverified")
