"""The least value of a quadratic form on a simplex, and the verdict at corners, against a fine grid."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nablad.solvers.bounds import Bounds, inward
from nablad.solvers.critical_cone import MOST_WEAK, least_on_simplex, within_cone
from nablad.solvers.evidence import of_hessian
from nablad.solvers.methods.base import State
from solvers import objectives as o

GRID = [np.array(w) / 40.0 for w in itertools.product(range(41), repeat=3) if sum(w) == 40]


@pytest.mark.parametrize("seed", range(30))
def test_the_least_value_on_a_simplex(seed: int) -> None:
    C = np.random.default_rng(seed).standard_normal((3, 3))
    C = C + C.T
    found = least_on_simplex(C)
    on_grid = min(float(w @ C @ w) for w in GRID)
    assert found <= on_grid + 1e-12
    assert found >= on_grid - 0.01


def test_the_horn_matrix_is_copositive_and_not_strictly() -> None:
    """Neither positive semidefinite nor plus something of no negative entries (Hall and Newman 1963)."""
    horn = np.array([[1, -1, 1, 1, -1], [-1, 1, -1, 1, 1], [1, -1, 1, -1, 1], [1, 1, -1, 1, -1], [-1, 1, 1, -1, 1]])
    assert least_on_simplex(horn.astype(float)) == pytest.approx(0.0, abs=1e-15)
    assert np.linalg.eigvalsh(horn)[0] < -1.0


def verdict(H: np.ndarray, lower: list[float], upper: list[float]) -> str:
    theta, size = np.zeros(len(H)), len(H)
    problem = o.Smooth(f=lambda t: 0.5 * t @ H @ t, g=lambda t: H @ t, H=lambda t: H, size=size)
    problem.bounds = Bounds(np.array(lower), np.array(upper))
    state = State(theta=theta, value=0.0, gradient=np.zeros(size), gradient_norm=0.0)
    facts = of_hessian(H, theta, state.gradient, np.arange(size), 0)
    return within_cone(problem, state, facts).verdict


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("weak", [1, 2, 3])
def test_the_verdict_is_that_of_feasible_directions(seed: int, weak: int) -> None:
    """Random forms of four parameters, the first of them at bounds on either side."""
    rng = np.random.default_rng(100 * weak + seed)
    H = rng.standard_normal((4, 4)) + 1.5 * np.eye(4)
    H = H + H.T
    ups = rng.random(4) < 0.5
    lower = [0.0 if i < weak and ups[i] else -1.0 for i in range(4)]
    upper = [0.0 if i < weak and not ups[i] else 1.0 for i in range(4)]
    directions = rng.standard_normal((100_000, 4))
    directions = np.clip(
        directions, np.where(np.array(lower) == 0.0, 0.0, -9.0), np.where(np.array(upper) == 0.0, 0.0, 9)
    )
    lowest = float(np.min(np.einsum("ni,ij,nj->n", directions, H, directions)))
    found = verdict(H, lower, upper)
    if lowest < 0.0:
        assert found in ("saddle", "maximum")
    elif found not in ("minimum", "flat"):
        # What sampling missed is narrow: the cone's edge is near.
        assert float(np.linalg.eigvalsh(H)[0]) > -0.2


CORNERS = {
    "by signs": (0.0, 1.0, "flat"),
    "by signs, strictly": (1.0, 2.0, "minimum"),
    "by one": (-1.0, 1.0, "saddle"),
    "by two": (1.0, -1.5, "saddle"),
    "by none": (1.0, -0.2, "unverified"),
}
"""Entries on the diagonal and off it; the last form is negative along the sum of all parameters only."""


@pytest.mark.parametrize("name", list(CORNERS))
def test_of_too_many_corners_the_plain_is_claimed(name: str) -> None:
    own, other, expected = CORNERS[name]
    size = MOST_WEAK + 1
    H = np.full((size, size), other) + (own - other) * np.eye(size)
    assert verdict(H, [0.0] * size, [1.0] * size) == expected


def test_inward_cuts_what_would_leave() -> None:
    bounds = Bounds(np.array([0.0, -1.0, -1.0]), np.array([1.0, 0.0, 1.0]))
    forth, back = inward(bounds, np.zeros(3), np.array([1.0, 1.0, 1.0]))
    assert forth.tolist() == [1.0, 0.0, 1.0]
    assert back.tolist() == [0.0, -1.0, -1.0]
