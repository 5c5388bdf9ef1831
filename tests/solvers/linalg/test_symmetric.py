"""Symmetric factors: Newton's step where H is positive definite, descent and negative curvature where it is not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nablad.solvers.linalg.power import largest_curvature
from nablad.solvers.linalg.symmetric import Curvature, diagonal_scale, factorize
from nablad.solvers.linalg.vectors import is_finite, norm


def symmetric(spectrum: list[float], seed: int = 0) -> np.ndarray:
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(spectrum), len(spectrum))))
    H = Q @ np.diag(spectrum) @ Q.T
    return 0.5 * (H + H.T)


@pytest.mark.parametrize("units", [1.0, 1e-7, 1e7])
def test_positive_definite_is_newtons_own_step(units: float) -> None:
    D = units ** np.arange(4.0)
    H = symmetric([1.0, 3.0, 10.0, 40.0]) * D * D[:, None]
    g = np.array([1.0, -2.0, 3.0, 0.5]) * D
    factor = factorize(H)
    step, squared = factor.newton_step(g, np.ones(4))
    expected = -np.linalg.solve(H / D / D[:, None], g / D) / D
    assert factor.curvature is Curvature.POSITIVE
    assert np.allclose(step, expected, rtol=1e-9)
    assert squared == pytest.approx(-float(g @ expected), rel=1e-9)


@pytest.mark.parametrize("spectrum", [[-1.0, 2.0, 3.0], [-5.0, -1.0, 2.0], [-1.0, -2.0, -3.0], [-1e-6, 1.0, 1.0]])
@pytest.mark.parametrize("units", [1.0, 1e-6, 1e6])
def test_indefinite_descends_and_shows_negative_curvature(spectrum: list[float], units: float) -> None:
    D = units ** np.arange(3.0)
    H = symmetric(spectrum) * D * D[:, None]
    g = np.array([1.0, 2.0, -1.0]) * D
    factor = factorize(H)
    assert factor.curvature is Curvature.NEGATIVE
    step, squared = factor.newton_step(g, np.ones(3))
    assert float(g @ step) < 0.0
    assert float(g @ step) == pytest.approx(-squared, rel=1e-8)
    v, curvature = factor.descent_curve(g)
    assert float(v @ H @ v) < 0.0
    assert float(v @ H @ v) == pytest.approx(curvature, rel=1e-6)
    assert float(g @ v) <= 0.0


def test_zero_diagonal() -> None:
    factor = factorize(np.array([[0.0, 1e-9], [1e-9, 0.0]]))
    assert factor.curvature is Curvature.NEGATIVE
    assert np.isfinite(factor.newton_step(np.array([1.0, 0.0]), np.zeros(2))[0]).all()


@pytest.mark.parametrize("units", [1.0, 1e8])
def test_scaling_makes_an_indefinite_matrix_free_of_units(units: float) -> None:
    D = units ** np.arange(3.0)
    H = symmetric([-5.0, 1.0, 2.0])
    plain, scaled = diagonal_scale(H), diagonal_scale(H * D * D[:, None])
    assert np.allclose(scaled / D, plain, rtol=0.1)


def test_singular_is_flat_and_its_null_space_is_left_alone_below_roundoff() -> None:
    H = np.array([[2.0, 2.0], [2.0, 2.0]])
    factor = factorize(H)
    assert (factor.curvature, factor.rank) == (Curvature.FLAT, 1)
    step, _ = factor.newton_step(np.array([1.0 + 1e-16, 1.0]), np.ones(2))
    assert np.allclose(step, [-0.25, -0.25])


def test_a_slope_without_curvature_promises_no_length() -> None:
    _, squared = factorize(np.diag([1.0, 0.0])).newton_step(np.array([0.0, 1.0]), np.ones(2))
    assert squared == math.inf


def test_empty() -> None:
    assert factorize(np.zeros((0, 0))).rank == 0


@pytest.mark.filterwarnings("ignore:overflow")
def test_norm_is_safe_where_squares_are_not() -> None:
    for scale in (1.0, 1e-200, 1e200, 5e-324):
        assert norm(np.array([3.0, 4.0]) * scale) == pytest.approx(5.0 * scale, rel=1e-12)
    assert norm(np.zeros(3)) == 0.0
    assert norm(np.zeros(0)) == 0.0
    assert math.isnan(norm(np.array([1.0, math.nan])))
    assert norm(np.array([1.0, -math.inf])) == math.inf
    assert is_finite(np.array([1e200, 1e200]))
    assert not is_finite(np.array([1.0, math.nan]))


def test_largest_curvature_by_power_iteration() -> None:
    H = symmetric([1.0, 2.0, -30.0])
    found = largest_curvature(lambda v: H @ v, np.ones(3))
    assert found == pytest.approx(30.0, rel=1e-2)
    assert largest_curvature(lambda v: v * math.nan, np.ones(3)) is None


def test_a_slope_beside_the_curvature_promises_without_end() -> None:
    """w^2 - b: a long b changes nothing in the slope along b."""
    _, squared = factorize(np.diag([2.0, 0.0])).newton_step(np.array([0.0, -1.0]), np.array([1.0, 1e30]))
    assert squared == np.inf
