"""L-BFGS within bounds: every point inside, the active set a peer's, the conditions of a minimum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from nablad.solvers import LBFGS, Bounds, Checkpoint, Iterate, Stopping, run, solve
from nablad.solvers.linalg.limited_memory import Pairs
from nablad.solvers.linalg.projected_quadratic import box_step
from solvers import objectives as o

FINE = Stopping(relative_gradient_tolerance=1e-10)


def assert_minimum(report: Any, problem: o.Smooth, bounds: Bounds) -> None:
    """The conditions of Karush, Kuhn and Tucker, with the gradient scaled by its size at the start."""
    assert report.success, report.message
    assert all(bounds.contains(theta) for theta in problem.seen)
    g = problem.gradient(report.theta)
    assert np.linalg.norm(bounds.projected(report.theta, g)) == pytest.approx(report.evidence.gradient_norm)
    assert report.evidence.relative_gradient_norm <= 1e-6


def peer(problem: o.Smooth, start: np.ndarray, bounds: Bounds) -> Any:
    return minimize(
        lambda t: (float(problem.f(t)), np.asarray(problem.g(t))),
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(bounds.lower, bounds.upper, strict=True)),
        options={"gtol": 1e-12, "ftol": 0.0, "maxiter": 2000},
    )


def sides(theta: np.ndarray, bounds: Bounds) -> list[int]:
    return [-1 if at else int(up) for at, up in zip(theta <= bounds.lower, theta >= bounds.upper, strict=True)]


BOXES: dict[str, tuple[Any, list[float], list[float], list[float]]] = {
    "rosenbrock, minimum inside": (o.rosenbrock, [-1.2, 1.0], [-2.0, -2.0], [3.0, 3.0]),
    "rosenbrock, cut off": (o.rosenbrock, [-1.2, 1.0], [-2.0, -2.0], [0.8, 3.0]),
    "rosenbrock, cut off below": (o.rosenbrock, [-1.2, 2.0], [-2.0, 1.5], [np.inf, np.inf]),
    "rosenbrock, start in a corner": (o.rosenbrock, [-1.5, -1.5], [-1.5, -1.5], [0.5, 2.0]),
    "beale, half open": (o.beale, [1.0, 0.8], [-np.inf, 0.6], [2.5, np.inf]),
    "logistic, nonnegative": (o.logistic, [0.5] * 4, [0.0] * 4, [np.inf] * 4),
    "logistic, tight": (o.logistic, [0.0] * 4, [-0.1] * 4, [0.1] * 4),
    "exponential, cut off": (o.exponential_fit, [1.0, 0.5], [0.0, 0.0], [10.0, 1.0]),
    "one parameter fixed": (o.exponential_fit, [1.0, 0.7], [-np.inf, 0.7], [np.inf, 0.7]),
}


@pytest.mark.parametrize("name", BOXES)
def test_the_minimum_and_its_active_set_are_the_peers(name: str) -> None:
    make, start, lower, upper = BOXES[name]
    problem, bounds = make(), Bounds(np.array(lower), np.array(upper))
    report = solve(problem, LBFGS(), np.array(start), FINE, bounds=bounds)
    assert_minimum(report, problem, bounds)
    theirs = peer(problem, np.array(start), bounds)
    assert report.value == pytest.approx(theirs.fun, rel=1e-9, abs=1e-13)
    assert sides(report.theta, bounds) == sides(theirs.x, bounds)
    assert np.allclose(report.theta, theirs.x, rtol=1e-4, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), p=st.integers(1, 12), log_condition=st.floats(0, 5))
def test_convex_quadratics_in_random_boxes(seed: int, p: int, log_condition: float) -> None:
    """One minimum, known to the peer; corners, faces and open sides by chance."""
    rng = np.random.default_rng(seed)
    problem = o.quadratic(np.geomspace(1.0, 10.0**log_condition, p).tolist(), seed=seed)
    middle, width = 1.0 + 2.0 * rng.standard_normal(p), rng.exponential(1.0, p) * (rng.random(p) > 0.1)
    lower = np.where(rng.random(p) < 0.2, -np.inf, middle - width)
    upper = np.where(rng.random(p) < 0.2, np.inf, middle + width)
    bounds = Bounds(lower, upper)
    report = solve(problem, LBFGS(), middle, FINE, bounds=bounds)
    assert_minimum(report, problem, bounds)
    assert report.value <= peer(problem, middle, bounds).fun * (1.0 + 1e-8)


def test_many_parameters_and_breakpoints() -> None:
    """Two hundred parameters, half of them held: the active set is found in a few iterations."""
    rng = np.random.default_rng(7)
    p = 200
    d, wanted = rng.uniform(1.0, 10.0, p), rng.uniform(-1.0, 1.0, p)
    problem = o.Smooth(
        f=lambda t: 0.5 * (d * (t - wanted)) @ (t - wanted) + 0.25 * np.sum(t**4),
        g=lambda t: d * (t - wanted) + t**3,
        H=lambda t: np.diag(d + 3.0 * t**2),
        size=p,
    )
    bounds = Bounds(np.zeros(p), np.full(p, 0.5))
    report = solve(problem, LBFGS(), np.full(p, 0.25), FINE, bounds=bounds)
    assert_minimum(report, problem, bounds)
    assert report.iterations <= 30
    assert np.array_equal(report.theta <= 0.0, wanted <= 0.0)


@pytest.mark.parametrize("k", [0, 1, 5])
def test_the_step_of_the_model_descends_inside_and_is_its_minimizer_where_free(k: int) -> None:
    rng = np.random.default_rng(k)
    p = 7
    A = rng.standard_normal((p, p))
    A = A @ A.T + np.eye(p)
    pairs = Pairs.none(np.zeros(p), 0.2)
    for _ in range(k):
        s = rng.standard_normal(p)
        pairs = pairs.pushed(s, A @ s, float(s @ A @ s), 0.2, 5)
    B = np.linalg.inv([pairs.inverse_times(e) for e in np.eye(p)])
    for _ in range(20):
        g = rng.standard_normal(p)
        lower, upper = -rng.exponential(0.3, p), rng.exponential(0.3, p)
        z = box_step(pairs, g, lower, upper, lambda: None)
        assert z is not None
        assert ((lower <= z) & (z <= upper)).all()
        assert g @ z < 0.0
    far = np.full(p, 1e6)
    free = box_step(pairs, g, -far, far, lambda: None)
    assert free is not None
    assert np.allclose(free, -np.linalg.solve(B, g), rtol=1e-6)


@pytest.mark.parametrize(("c", "x"), [(2.0**-61, 1.0), (1.0, 2.0**31), (2.0**61, 2.0**-33)])
def test_powers_of_two_change_no_bit_of_the_path(c: float, x: float) -> None:
    start, bounds = np.array([-1.2, 1.0]), Bounds(np.array([-2.0, -2.0]), np.array([0.8, 3.0]))
    plain = solve(o.rosenbrock(), LBFGS(), start, bounds=bounds)
    scaled_bounds = Bounds(x * bounds.lower, x * bounds.upper)
    scaled = solve(o.rescaled(o.rosenbrock(), c, x), LBFGS(), x * start, bounds=scaled_bounds)
    assert scaled.success
    assert scaled.counts == plain.counts
    assert np.array_equal(scaled.theta, x * plain.theta)


def test_resume_within_bounds_equals_uninterrupted() -> None:
    start, bounds = np.array([-1.2, 1.0]), Bounds(np.array([-2.0, -2.0]), np.array([0.8, 3.0]))
    whole = list(run(o.rosenbrock(), LBFGS(memory=3), start, bounds=bounds, checkpoint_every=1))
    for point in [e for e in whole if isinstance(e, Checkpoint)]:
        again = run(o.rosenbrock(), LBFGS(memory=3), start, bounds=bounds, resume=point.state)
        values = [e.value for e in again if isinstance(e, Iterate)]
        assert values == [e.value for e in whole if isinstance(e, Iterate) and e.iteration > point.iteration]


def test_a_corner_is_a_minimum_at_once() -> None:
    bounds = Bounds(np.array([0.0, 0.0]), np.array([1.0, 1.0]))
    problem = o.linear((1.0, -2.0))
    report = solve(problem, LBFGS(), np.array([0.0, 1.0]), bounds=bounds)
    assert report.success
    assert (report.iterations, report.evidence.gradient_norm) == (0, 0.0)
    report = solve(problem, LBFGS(), np.array([0.5, 0.5]), bounds=bounds)
    assert report.success
    assert report.theta.tolist() == [0.0, 1.0]


def test_a_wall_of_nonfinite_values_inside_the_box() -> None:
    bounds = Bounds(np.array([-5.0, 1.5]), np.array([9.0, 9.0]))
    problem = o.barrier()
    report = solve(problem, LBFGS(), np.array([8.0, 8.0]), FINE, bounds=bounds)
    assert_minimum(report, problem, bounds)
    assert np.allclose(report.theta, [1.0, 1.5], atol=1e-6)
