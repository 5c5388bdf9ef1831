"""Least squares in a ball: against stacked least squares for the damping found, and the optimality conditions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nablad.solvers.linalg.damped import damped

TOLERANCE = 1e-13


def problem(seed: int, rows: int, size: int, spread: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, size)) * 10.0 ** -np.linspace(0, spread, size), rng.standard_normal(rows)


@pytest.mark.parametrize("spread", [0.0, 4.0, 8.0])
@pytest.mark.parametrize("share", [1e-8, 1e-2, 0.5, 0.999])
@pytest.mark.parametrize("seed", range(5))
def test_on_the_sphere_it_is_the_damped_solution(seed: int, share: float, spread: float) -> None:
    A, b = problem(seed, 6, 4, spread)
    radius = share * np.linalg.norm(np.linalg.lstsq(A, -b, rcond=None)[0])
    z, damping = damped(A, TOLERANCE).within(b, radius)
    assert damping > 0.0
    assert (1 - 2e-3) * radius <= np.linalg.norm(z) <= radius * (1 + 1e-15)
    stacked = np.vstack([A, math.sqrt(damping) * np.eye(4)])
    expected = np.linalg.lstsq(stacked, -np.concatenate([b, np.zeros(4)]), rcond=None)[0]
    assert np.allclose(z, expected, rtol=2e-3, atol=2e-3 * radius)


@pytest.mark.parametrize(("rows", "size"), [(5, 5), (9, 3), (2, 6)])
def test_inside_it_is_the_shortest_minimizer(rows: int, size: int) -> None:
    A, b = problem(1, rows, size)
    expected = np.linalg.lstsq(A, -b, rcond=None)[0]
    for radius in (math.inf, 1.01 * np.linalg.norm(expected)):
        z, damping = damped(A, TOLERANCE).within(b, radius)
        assert damping == 0.0
        assert np.allclose(z, expected, atol=1e-11)


def test_without_full_rank_nothing_is_made_of_roundoff() -> None:
    rng = np.random.default_rng(3)
    A = rng.standard_normal((8, 2)) @ rng.standard_normal((2, 5))
    b = rng.standard_normal(8)
    factor = damped(A, TOLERANCE)
    assert factor.singular.size == 2
    z, _ = factor.within(b, math.inf)
    assert np.allclose(z, np.linalg.lstsq(A, -b, rcond=1e-12)[0], atol=1e-12)


@pytest.mark.parametrize("A", [np.zeros((3, 2)), np.zeros((0, 2))])
def test_nothing_to_gain(A: np.ndarray) -> None:
    z, damping = damped(A, TOLERANCE).within(np.ones(A.shape[0]), 1.0)
    assert (z.tolist(), damping) == ([0.0, 0.0], 0.0)


@pytest.mark.parametrize("radius", [0.0, 1e-300])
def test_no_room(radius: float) -> None:
    A, b = problem(4, 6, 3)
    z, _ = damped(A, TOLERANCE).within(b, radius)
    assert np.linalg.norm(z) <= radius


def test_response_is_the_damped_inverse() -> None:
    A, _ = problem(5, 6, 3)
    slope = np.arange(1.0, 4.0)
    expected = -np.linalg.solve(A.T @ A + 0.7 * np.eye(3), slope)
    assert np.allclose(damped(A, TOLERANCE).response(slope, 0.7), expected, rtol=1e-12)
