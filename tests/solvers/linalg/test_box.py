"""The step in box and ball against scipy's bounded least squares, enumeration of all faces, and the KKT conditions."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq, lsq_linear, minimize, nnls

from nablad.solvers.linalg.box import BoxStep, SolveFace, box_step, land, room

Array = np.ndarray[Any, Any]


def exact(B: Array, D: Array) -> SolveFace:
    """The trust-region problem on a face by its spectrum and a bracketing root finder, the hard case included."""

    def solve(free: Array, fixed: Array, linear: Array, radius: float) -> Array:
        d = D[free]
        values, V = np.linalg.eigh(B[np.ix_(free, free)] / d / d[:, None])
        h = V.T @ (linear / d)

        def length(shift: float) -> float:
            return float(np.linalg.norm(h / (values + shift)))

        floor = max(0.0, -values[0])
        tiny = 1e-13 * max(1.0, abs(values).max())
        if values[0] > tiny and length(0.0) <= radius:
            return -(V @ (h / values)) / d
        if length(floor + tiny) <= radius:  # the hard case: along the lowest eigenvector to the ball
            w = np.where(values + floor > 10 * tiny, -h / np.maximum(values + floor, tiny), 0.0)
            w[0] = math.sqrt(max(radius**2 - w @ w, 0.0)) if values[0] < -tiny else 0.0
            return V @ w / d
        high = floor + 1.0
        while length(high) > radius:
            high = floor + 2 * (high - floor)
        shift = brentq(lambda x: length(x) - radius, floor + tiny, high, xtol=1e-15, rtol=1e-14)
        return -(V @ (h / (values + shift))) / d

    return solve


def solved(B: Array, g: Array, low: Array, high: Array, D: Array, radius: float) -> BoxStep:
    found = box_step(g, lambda v: B @ v, low, high, D, radius, exact(B, D))
    s = found.step
    assert (low <= s).all()
    assert (s <= high).all()
    assert np.linalg.norm(D * s) <= radius * (1 + 1e-12)
    assert found.decrease == pytest.approx(-(g @ s + 0.5 * s @ B @ s), rel=1e-9, abs=1e-14)
    return found


def check_kkt(B: Array, g: Array, low: Array, high: Array, D: Array, radius: float, found: BoxStep) -> None:
    """Stationary: the gradient is a nonnegative multiple of -D^2 s on the free, and presses outwards elsewhere."""
    s = found.step
    slope = g + B @ s
    ball = 0.0
    if np.linalg.norm(D * s) >= (1 - 1e-9) * radius:
        free = ~found.active
        weight = D * D * s
        ball = max(0.0, -(slope[free] @ s[free]) / (weight[free] @ s[free])) if s[free].any() else 0.0
    rest = (slope + ball * D * D * s) / D
    size = 1e-7 * np.max((np.abs(g) + np.abs(B) @ np.abs(s)) / D)
    assert (np.abs(rest[~found.active]) <= size).all()
    at_low, at_high = found.active & (s == low), found.active & (s == high)
    assert (at_low | at_high | ~found.active).all()
    assert (rest[at_low & ~at_high] >= -size).all()
    assert (rest[at_high & ~at_low] <= size).all()


def random_problem(seed: int, definite: bool) -> tuple[Array, Array, Array, Array, Array]:
    rng = np.random.default_rng(seed)
    p = int(rng.integers(1, 9))
    A = rng.standard_normal((p, p))
    B = A @ A.T + 0.05 * np.eye(p) if definite else A + A.T
    low = -np.where(rng.random(p) < 0.3, 0.0, rng.exponential(1.0, p))
    high = np.where(rng.random(p) < 0.3, 0.0, rng.exponential(1.0, p))
    low[rng.random(p) < 0.2] = -np.inf
    high[rng.random(p) < 0.2] = np.inf
    return B, 3.0 * rng.standard_normal(p), low, high, rng.uniform(0.5, 2.0, p)


@pytest.mark.parametrize("seed", range(40))
def test_convex_without_a_ball_agrees_with_scipy(seed: int) -> None:
    B, g, low, high, D = random_problem(seed, definite=True)
    high = np.where(low == high, high + 0.5, high)  # scipy takes no fixed parameters
    found = solved(B, g, low, high, D, math.inf)
    L = np.linalg.cholesky(B)
    expected = lsq_linear(L.T, -np.linalg.solve(L, g), (low, high), method="bvls", tol=1e-15).x
    assert found.settled
    assert np.allclose(found.step, expected, atol=1e-8)
    check_kkt(B, g, low, high, D, math.inf, found)


@pytest.mark.parametrize("radius", [1e-3, 0.3, 2.0])
@pytest.mark.parametrize("seed", range(20))
def test_convex_in_a_ball_satisfies_kkt_and_scipy_finds_nothing_lower(seed: int, radius: float) -> None:
    B, g, low, high, D = random_problem(100 + seed, definite=True)
    found = solved(B, g, low, high, D, radius)
    assert found.settled
    check_kkt(B, g, low, high, D, radius, found)
    peer = minimize(
        lambda s: g @ s + 0.5 * s @ B @ s,
        np.zeros_like(g),
        jac=lambda s: g + B @ s,
        bounds=list(zip(low, high, strict=True)),
        constraints={"type": "ineq", "fun": lambda s: 1.0 - (D * s) @ (D * s) / radius**2},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 300},
    )
    inside = np.linalg.norm(D * peer.x) <= radius * (1 + 1e-9)
    assert not inside or -found.decrease <= peer.fun + 1e-8 * abs(peer.fun)


@pytest.mark.parametrize("seed", range(40))
def test_indefinite_ends_stationary_and_below_the_cauchy_point(seed: int) -> None:
    B, g, low, high, D = random_problem(200 + seed, definite=False)
    found = solved(B, g, low, high, D, 1.5)
    check_kkt(B, g, low, high, D, 1.5, found) if found.settled else None
    d = np.where(((low >= 0) & (g > 0)) | ((high <= 0) & (g < 0)), 0.0, -g / D**2)
    ts = np.linspace(0, 1, 2001) * (1.5 / max(np.linalg.norm(D * d), 1e-300))
    path = [g @ s + 0.5 * s @ B @ s for s in (np.clip(t * d, low, high) for t in ts)]
    assert -found.decrease <= 0.05 * min(path) + 1e-12


def test_every_face_of_small_convex_problems() -> None:
    """The minimum over all faces, enumerated, is the one found."""
    for seed in range(25):
        rng = np.random.default_rng(seed)
        A = rng.standard_normal((6, 4))
        B, g = 2 * A.T @ A, rng.standard_normal(4) * 4
        low, high = -rng.random(4), rng.random(4)
        best = math.inf
        for face in itertools.product((-1, 0, 1), repeat=4):
            sides = np.array(face)
            free = sides == 0
            s = np.where(sides < 0, low, np.where(sides > 0, high, 0.0))
            if free.any():
                s[free] = np.linalg.solve(B[np.ix_(free, free)], -(g + B @ s)[free])
            if (low - 1e-12 <= s).all() and (s <= high + 1e-12).all():
                best = min(best, g @ s + 0.5 * s @ B @ s)
        assert solved(B, g, low, high, np.ones(4), math.inf).decrease == pytest.approx(-best, rel=1e-10)


def test_units_of_the_parameters_do_not_matter() -> None:
    """In powers of two the very bits are the same."""
    for seed in range(20):
        B, g, low, high, D = random_problem(seed, definite=seed % 2 == 0)
        units = 2.0 ** np.random.default_rng(seed).integers(-40, 40, g.size)
        plain = solved(B, g, low, high, D, 1.0)
        other = solved(B / units / units[:, None], g / units, low * units, high * units, D / units, 1.0)
        assert (other.active == plain.active).all()
        assert np.array_equal(other.step / units, plain.step)


def test_a_step_that_meets_no_side_takes_one_face() -> None:
    calls: list[int] = []
    B, g = np.diag([2.0, 4.0]), np.array([-2.0, -4.0])

    def solve(free: Array, fixed: Array, linear: Array, radius: float) -> Array:
        calls.append(int(free.sum()))
        return -linear / np.diagonal(B)[free]

    found = box_step(g, lambda v: B @ v, np.array([-9.0, -9.0]), np.array([9.0, 9.0]), np.ones(2), math.inf, solve)
    assert calls == [2]
    assert np.array_equal(found.step, [1.0, 1.0])
    assert (found.settled, found.active.any()) == (True, False)


def test_parameters_pressed_against_a_side_stay_and_fixed_ones_never_move() -> None:
    B, g = np.eye(3), np.array([1.0, -1.0, 5.0])
    found = solved(B, g, np.array([0.0, 0.0, 0.0]), np.array([9.0, 9.0, 0.0]), np.ones(3), math.inf)
    assert np.array_equal(found.step, [0.0, 1.0, 0.0])
    assert found.active.tolist() == [True, False, True]


def test_nowhere_to_go() -> None:
    found = solved(np.eye(2), np.ones(2), np.zeros(2), np.ones(2), np.ones(2), 1.0)
    assert (found.decrease, found.settled, found.active.all()) == (0.0, True, True)
    assert not found.step.any()


def test_a_saddle_is_left_whichever_side_is_open() -> None:
    B = np.diag([2.0, -2.0])
    for low, high in ((-1.0, 0.0), (0.0, 1.0)):
        box = np.array([-1.0, low]), np.array([1.0, high])
        found = solved(B, np.zeros(2), *box, np.ones(2), 0.5)
        assert found.decrease == pytest.approx(0.25)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_solver_that_fails_leaves_the_cauchy_point(bad: float) -> None:
    def solve(free: Array, fixed: Array, linear: Array, radius: float) -> Array:
        return np.full(linear.size, bad)

    found = box_step(np.array([-1.0, 1.0]), lambda v: 2 * v, -np.ones(2), np.ones(2), np.ones(2), 0.1, solve)
    assert found.decrease > 0.0
    assert not found.settled


def test_nonnegative_least_squares_of_some_size() -> None:
    rng = np.random.default_rng(7)
    A, b = rng.standard_normal((80, 40)), rng.standard_normal(80)
    B, g = 2 * A.T @ A, -2 * A.T @ b
    calls: list[int] = []
    D = np.linalg.norm(A, axis=0)
    inner = exact(B, D)

    def solve(free: Array, fixed: Array, linear: Array, radius: float) -> Array:
        calls.append(1)
        return inner(free, fixed, linear, radius)

    found = box_step(g, lambda v: B @ v, np.zeros(40), np.full(40, np.inf), D, math.inf, solve)
    assert np.allclose(found.step, nnls(A, b)[0], atol=1e-10)
    assert len(calls) <= 12


def test_landing_is_on_the_bound_itself() -> None:
    rng = np.random.default_rng(0)
    lower, upper = -rng.random(1000) * 1e3, rng.random(1000) / 3
    theta = lower + rng.random(1000) * (upper - lower)
    below, above = room(theta, lower, upper)
    assert np.array_equal(land(theta, below, lower, upper), lower)
    assert np.array_equal(land(theta, above, lower, upper), upper)
    assert np.array_equal(land(theta, np.zeros(1000), lower, upper), theta)
