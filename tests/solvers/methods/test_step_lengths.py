"""Step lengths of gradient descent, each against its definition and the theory of quadratics."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.optimize import lsq_linear, minimize

from nablad.solvers import (
    Armijo,
    BarzilaiBorwein,
    Bounds,
    Constant,
    Exact,
    GradientDescent,
    Iterate,
    RecordTheta,
    Status,
    Stopping,
    UnsupportedObjective,
    Wolfe,
    check_supported,
    run,
    solve,
)
from nablad.solvers.methods.step_lengths import STEP_LENGTHS
from solvers import objectives as o

SPECTRUM = np.geomspace(1.0, 300.0, 12)
LONG = Stopping(max_iterations=50_000)


def iterates(problem: o.Smooth, method: GradientDescent, start: np.ndarray, count: int) -> list[Iterate]:
    stopping = Stopping(max_iterations=count, relative_gradient_tolerance=0.0)
    events = run(problem, method, start, stopping, record_theta=RecordTheta.each())
    return [e for e in events if isinstance(e, Iterate)]


def thetas(found: list[Iterate]) -> list[np.ndarray]:
    return [np.asarray(e.theta) for e in found]


def test_barzilai_and_borweins_two_formulas() -> None:
    """On a quadratic where no trial is refused, each step is one of the two quotients, by the rule that chooses."""
    problem = o.quadratic(list(SPECTRUM), seed=2)
    found = iterates(problem, GradientDescent(BarzilaiBorwein(memory=40)), np.zeros(12), 40)
    path, used, chosen = thetas(found), [e.step_size for e in found], set()
    for k in range(1, 40):
        s, y = path[k] - path[k - 1], problem.gradient(path[k]) - problem.gradient(path[k - 1])
        long, short = (s @ s) / (s @ y), (s @ y) / (y @ y)
        expected = short if short < 0.5 * long else long
        if found[k + 1].values - found[k].values == 1:
            assert used[k + 1] == pytest.approx(expected, rel=1e-8)
            chosen.add(expected == short)
    assert chosen == {True, False}


def test_barzilai_and_borwein_are_an_order_faster_than_armijo() -> None:
    counts = [
        solve(o.quadratic(list(np.geomspace(1.0, 1e3, 30))), GradientDescent(each), np.zeros(30), LONG).counts.value
        for each in (BarzilaiBorwein(), Armijo())
    ]
    assert 8 * counts[0] < counts[1]


@pytest.mark.parametrize("memory", [1, 4, 10])
@pytest.mark.parametrize("make", [o.rosenbrock, o.beale], ids=["rosenbrock", "beale"])
def test_values_stay_below_the_largest_of_the_last(make: Any, memory: int) -> None:
    """Grippo, Lampariello and Lucidi's condition, with memory = 1 that of descent."""
    found = iterates(make(), GradientDescent(BarzilaiBorwein(memory=memory)), np.array([-1.2, 1.0]), 60)
    values = [e.value for e in found]
    for k in range(1, len(values)):
        assert values[k] < max(values[max(0, k - memory) : k]) or values[k] == values[k - 1]
    if memory == 10 and make is o.rosenbrock:
        assert any(b > a for a, b in pairwise(values))


def test_the_best_point_is_reported_of_a_path_that_rises() -> None:
    found = iterates(o.rosenbrock(), GradientDescent(BarzilaiBorwein()), np.array([-1.2, 1.0]), 9)
    report = solve(
        o.rosenbrock(), GradientDescent(BarzilaiBorwein()), np.array([-1.2, 1.0]), Stopping(max_iterations=9)
    )
    assert report.value == min(e.value for e in found)


def test_exact_steps_attain_kantorovichs_bound_from_the_worst_start() -> None:
    m, L = 1.0, 25.0
    problem = o.quadratic([m, 6.0, L], seed=4)
    _, V = np.linalg.eigh(problem.hessian(np.zeros(3)))
    found = iterates(problem, GradientDescent(Exact()), 1.0 + V[:, 0] / m + V[:, 2] / L, 15)
    excess = np.array([e.value - 3.0 for e in found])
    assert np.allclose(excess[1:] / excess[:-1], ((L - m) / (L + m)) ** 2, rtol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_exact_steps_end_where_the_slope_along_them_vanishes(momentum: float) -> None:
    problem = o.quadratic(list(SPECTRUM), seed=1)
    path = thetas(iterates(problem, GradientDescent(Exact(), momentum=momentum), np.zeros(12), 25))
    for a, b in pairwise(path):
        slope = problem.gradient(b) @ (b - a)
        assert abs(slope) <= 1e-10 * np.linalg.norm(problem.gradient(a)) * np.linalg.norm(b - a)


def test_exact_is_for_quadratics_and_says_so() -> None:
    method = GradientDescent(Exact())
    for refuse in (lambda p: check_supported(method, p), lambda p: solve(p, method, np.array([-1.2, 1.0]))):
        with pytest.raises(UnsupportedObjective, match="an exact step needs a quadratic") as caught:
            refuse(o.rosenbrock())
        assert caught.value.needs == "quadratic"
        assert caught.value.setting == "step_length"


@pytest.mark.parametrize("spectrum", [[1.0, -2.0], [-1.0, -3.0]])
def test_a_quadratic_without_a_minimum(spectrum: list[float]) -> None:
    report = solve(o.quadratic(spectrum, seed=1), GradientDescent(Exact()), np.array([3.0, 5.0]))
    assert report.status is Status.UNBOUNDED
    assert not report.success


def test_a_linear_function_has_no_minimum() -> None:
    problem = o.linear()
    problem.capabilities = o.Capabilities(quadratic=True)
    assert solve(problem, GradientDescent(Exact()), np.ones(2)).status is Status.UNBOUNDED
    assert solve(o.linear(), GradientDescent(BarzilaiBorwein()), np.ones(2)).status is Status.UNBOUNDED


@pytest.mark.parametrize("curvature", [0.1, 0.9])
def test_wolfe_steps_keep_both_conditions(curvature: float) -> None:
    problem = o.beale()
    path = thetas(iterates(problem, GradientDescent(Wolfe(curvature=curvature)), np.array([1.0, 0.8]), 40))
    for a, b in pairwise(path):
        slope, later = problem.gradient(a) @ (b - a), problem.gradient(b) @ (b - a)
        assert problem.value(b) <= problem.value(a) + 1e-4 * slope * (1.0 - 1e-9)
        assert abs(later) <= curvature * abs(slope) * (1.0 + 1e-9)


@pytest.mark.parametrize("method", [GradientDescent(), GradientDescent(BarzilaiBorwein()), GradientDescent(Wolfe())])
def test_a_gradient_of_the_wrong_sign_stalls_soon(method: GradientDescent) -> None:
    """Steps so short that f's change is roundoff are judged by slopes, which a wrong gradient passes."""
    inner = o.quadratic([1.0, 3.0], seed=1)
    problem = o.Smooth(f=inner.f, g=lambda t: -inner.g(t), H=lambda t: -inner.H(t), size=2)
    report = solve(problem, method, np.zeros(2))
    assert report.status is Status.LINE_SEARCH_STALLED, report.message
    assert report.iterations < 100
    assert "gradient is the objective's own" in report.message


INVARIANT = [GradientDescent(Wolfe()), GradientDescent(BarzilaiBorwein()), GradientDescent(nesterov=True)]


@pytest.mark.parametrize("method", INVARIANT, ids=lambda m: type(m.step_length).__name__)
@pytest.mark.parametrize(("f_scale", "x_scale"), [(2.0**-60, 1.0), (1.0, 2.0**20), (2.0**100, 2.0**-60)])
def test_units_change_no_bit(method: GradientDescent, f_scale: float, x_scale: float) -> None:
    start, problem = np.array([1.0, 0.8]), o.beale()
    plain = thetas(iterates(problem, method, start, 40))
    scaled = thetas(iterates(o.rescaled(o.beale(), f_scale, x_scale), method, x_scale * start, 40))
    assert [(t / x_scale).tobytes() for t in scaled] == [t.tobytes() for t in plain]


BOUNDED = {
    "armijo": GradientDescent(),
    "barzilai-borwein": GradientDescent(BarzilaiBorwein()),
    "constant": GradientDescent(Constant(2e-3)),
}


@pytest.mark.parametrize("name", list(BOUNDED))
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_bounded_least_squares_against_scipy(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((20, 6)), 3.0 * rng.standard_normal(20)
    lower, upper = -0.3 * rng.random(6), 0.3 * rng.random(6)
    lower[0], upper[1], upper[2] = -np.inf, np.inf, lower[2]
    expected = lsq_linear(A, b, (lower, np.where(upper > lower, upper, lower + 1e-12)), tol=1e-14)
    problem, bounds = o.affine(A, b), Bounds(lower, upper)
    report = solve(problem, BOUNDED[name], bounds.project(np.zeros(6)), LONG, bounds=bounds)
    assert report.success, report.message
    assert all(bounds.contains(theta) for theta in problem.seen)
    assert np.allclose(report.theta, expected.x, atol=1e-5)
    assert np.linalg.norm(bounds.projected(report.theta, report.gradient)) <= 1e-4


@pytest.mark.parametrize("method", [BOUNDED["armijo"], BOUNDED["barzilai-borwein"]], ids=["armijo", "bb"])
def test_a_bounded_valley_against_scipy(method: GradientDescent) -> None:
    """Rosenbrock's valley cut off before its minimum, and from beyond where NaN would be found outside."""
    bounds = Bounds(np.array([-1.5, 0.2]), np.array([0.7, 2.0]))
    inner = o.rosenbrock()
    problem = o.Smooth(f=lambda t: inner.f(t) if bounds.contains(t) else math.nan, g=inner.g, H=inner.H, size=2)
    report = solve(problem, method, np.array([-1.2, 1.0]), LONG, bounds=bounds)
    assert report.success, report.message
    limits = list(zip(bounds.lower, bounds.upper, strict=True))
    expected = minimize(inner.f, [-1.2, 1.0], jac=inner.g, method="L-BFGS-B", bounds=limits, tol=1e-14)
    assert report.value == pytest.approx(expected.fun, rel=1e-8)
    assert np.allclose(report.theta, expected.x, atol=1e-5)


@pytest.mark.parametrize(
    "method",
    [
        GradientDescent(momentum=0.5),
        GradientDescent(nesterov=True),
        GradientDescent(Wolfe()),
        GradientDescent(Exact()),
    ],
    ids=["momentum", "nesterov", "wolfe", "exact"],
)
def test_settings_that_cannot_keep_bounds_are_refused(method: GradientDescent) -> None:
    bounds = Bounds(np.zeros(3), np.ones(3))
    with pytest.raises(UnsupportedObjective, match="bounds"):
        solve(o.quadratic([1.0, 2.0, 3.0]), method, np.zeros(3), bounds=bounds)


@pytest.mark.parametrize(
    "make",
    [
        lambda: BarzilaiBorwein(memory=0),
        lambda: BarzilaiBorwein(max_trials=0),
        lambda: GradientDescent(BarzilaiBorwein(), momentum=0.1),
        lambda: GradientDescent(momentum=0.1, nesterov=True),
        lambda: GradientDescent(Exact(), nesterov=True),
        lambda: GradientDescent(Wolfe(), nesterov=True),
    ],
)
def test_settings_that_do_not_go_together_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="must"):
        make()


@pytest.mark.parametrize("kind", list(STEP_LENGTHS))
def test_every_row_converges_and_keeps_single_precision(kind: Any) -> None:
    rng = np.random.default_rng(3)
    A, b = rng.standard_normal((15, 4)).astype(np.float32), rng.standard_normal(15).astype(np.float32)
    method = GradientDescent(Constant(0.01) if kind is Constant else kind())
    report = solve(o.affine(A, b), method, np.zeros(4, np.float32), LONG)
    assert report.success, report.message
    assert report.theta.dtype == np.float32
    assert np.allclose(report.theta, np.linalg.lstsq(A, b, rcond=None)[0], atol=1e-4)
