"""What a few products see of a Hessian whose spectrum is known."""

from __future__ import annotations

import numpy as np
import pytest

from nablad.solvers.evidence import of_hessian
from nablad.solvers.methods.base import State
from nablad.solvers.progress import Point
from nablad.solvers.sampled import approached, sampled
from solvers import objectives as o

LAVISH = 1000
"""Gradients that the run has cost: enough for all products that are ever made."""


def quadratic(H: np.ndarray) -> o.Smooth:
    return o.Smooth(f=lambda t: 0.5 * t @ H @ t, g=lambda t: H @ t, H=lambda t: H, size=len(H))


def rotated(spectrum: np.ndarray, seed: int) -> np.ndarray:
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((spectrum.size, spectrum.size)))
    H = (Q * spectrum) @ Q.T
    return 0.5 * (H + H.T)


def state_at(problem: o.Smooth, theta: np.ndarray) -> State:
    gradient = problem.g(theta)
    return State(theta=theta, value=problem.f(theta), gradient=gradient, gradient_norm=float(np.linalg.norm(gradient)))


def verdict(H: np.ndarray, gradients: int = LAVISH, theta: np.ndarray | None = None) -> str:
    problem = quadratic(H)
    state = state_at(problem, np.zeros(len(H)) if theta is None else theta)
    approach = approached(problem, state, Point.of(state, 0), gradients, thorough=True)
    return sampled(problem, state, approach, gradients)[0].verdict


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [70, 300])
def test_one_direction_of_a_tenth_of_the_curvature_is_seen(size: int, seed: int) -> None:
    spectrum = np.append(np.geomspace(1e-3, 1.0, size - 1), -0.1)
    assert verdict(rotated(spectrum, seed)) == "saddle"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("gradients", [1, 100, LAVISH])
def test_none_is_seen_where_none_is(seed: int, gradients: int) -> None:
    """Half of all directions are flat, to roundoff of either sign."""
    rng = np.random.default_rng(seed)
    spectrum = np.append(np.geomspace(1e-6, 1.0, 100), 1e-15 * rng.standard_normal(100))
    assert verdict(rotated(spectrum, seed), gradients) == "unverified"


@pytest.mark.parametrize("seed", range(3))
def test_units_of_the_parameters_hide_nothing(seed: int) -> None:
    units = 10.0 ** np.random.default_rng(seed).uniform(-2.0, 2.0, 80)
    H = rotated(np.append(np.linspace(0.5, 1.0, 79), -0.5), seed)
    assert verdict(H * units * units[:, None]) == "saddle"


def test_the_same_twice() -> None:
    H = rotated(np.append(np.geomspace(1e-3, 1.0, 79), -1e-2), 0)
    problem = quadratic(H)
    state = state_at(problem, np.zeros(80))
    approach = approached(problem, state, Point.of(state, 0), 100)
    first, second = (sampled(problem, state, approach, 100)[0] for _ in range(2))
    assert (first.verdict, first.note) == (second.verdict, second.note)


@pytest.mark.parametrize("gradients", [1, 40, 400, 4000])
def test_what_it_costs_is_a_share_of_the_run(gradients: int) -> None:
    problem = quadratic(rotated(np.geomspace(1e-8, 1.0, 100), 0))
    state = state_at(problem, np.ones(100))
    approach = approached(problem, state, Point.of(state, 0), gradients, thorough=True)
    sampled(problem, state, approach, gradients)
    assert problem.counters.hvp <= 10 + gradients / 3
    assert problem.counters.hvp <= 57
    assert problem.counters.gradient == problem.counters.value == 0


def test_the_step_is_newtons_where_it_is_taken_to_its_end() -> None:
    H = rotated(np.linspace(1.0, 4.0, 70), 0)
    problem = quadratic(H)
    state = state_at(problem, np.full(70, 1.0))
    approach = approached(problem, state, Point.of(state, 0), LAVISH, thorough=True)
    assert approach is not None
    assert np.allclose(approach.step, -state.theta, atol=0.05)
    assert approach.decrement == pytest.approx(state.value, rel=1e-3)
    assert approach.length == pytest.approx(1.0, rel=1e-3)
    assert approach.early


def test_a_product_that_is_not_finite_says_so() -> None:
    problem = quadratic(np.eye(70))
    problem.H = lambda t: np.full((70, 70), np.nan)
    state = state_at(problem, np.ones(70))
    approach = approached(problem, state, Point.of(state, 0), 10)
    assert approach is None
    facts, _ = sampled(problem, state, approach, 10)
    assert "not finite" in facts.note
    assert not facts.finite
    assert not of_hessian(problem.H(state.theta), state.theta, state.gradient, np.arange(70), None).finite


def test_a_slope_without_curvature_is_no_stationary_point() -> None:
    problem = quadratic(np.zeros((70, 70)))
    problem.g = lambda t: np.ones(70)
    state = state_at(problem, np.ones(70))
    approach = approached(problem, state, Point.of(state, 0), 10, thorough=True)
    assert approach is not None
    assert approach.early
    assert approach.decrement == np.inf
    facts, look = sampled(problem, state, approach, 10)
    assert (facts.verdict, look.stationary, look.short, look.near) == ("flat", False, False, False)


def test_no_slope_and_no_curvature_is_flat() -> None:
    problem = quadratic(np.zeros((70, 70)))
    state = state_at(problem, np.ones(70))
    approach = approached(problem, state, Point.of(state, 0), 10, thorough=True)
    facts, look = sampled(problem, state, approach, 10)
    assert (facts.verdict, look.stationary) == ("flat", True)
    assert facts.note == "1 product with the Hessian, along random vectors, was zero."
