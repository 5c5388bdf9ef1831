"""The model's minimizer in a ball by products, beside the one by the spectrum."""

from __future__ import annotations

import numpy as np
import pytest

from nablad.solvers.linalg.lanczos import Lanczos
from nablad.solvers.linalg.trust_region import spectrum


def matrices(p: int) -> list[np.ndarray]:
    rng = np.random.default_rng(p)
    A = rng.standard_normal((p, p))
    return [A @ A.T + np.eye(p), A + A.T, -A @ A.T, np.diag(np.linspace(-1e-3, 1.0, p))]


@pytest.mark.parametrize("p", [1, 2, 7, 60])
@pytest.mark.parametrize("radius", [1e-3, 1.0, 100.0])
def test_exact_where_the_space_is_whole(p: int, radius: float) -> None:
    g = np.random.default_rng(1).standard_normal(p)
    for H in matrices(p):
        space = Lanczos(H.__matmul__, g, p)
        found, best = space.step(radius, 1e-12), spectrum(H, g).step(radius)
        assert found.predicted == pytest.approx(best.predicted, rel=1e-8)
        assert np.linalg.norm(found.step) <= radius * (1.0 + 1e-12)
        assert -(g @ found.step + 0.5 * found.step @ H @ found.step) == pytest.approx(found.predicted, rel=1e-8)
        assert found.at_edge == best.at_edge
        assert space.products <= p


@pytest.mark.parametrize("tolerance", [0.5, 1e-3])
def test_the_residual_is_as_small_as_asked_and_products_are_few(tolerance: float) -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((200, 200))
    H, g = A @ A.T + 50.0 * np.eye(200), rng.standard_normal(200)
    space = Lanczos(H.__matmul__, g, 200)
    found = space.step(1e3, tolerance)
    assert np.linalg.norm(H @ found.step + g) <= tolerance * np.linalg.norm(g)
    assert space.products < 60


def test_another_radius_needs_no_product() -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((50, 50))
    H, g = A + A.T, rng.standard_normal(50)
    space = Lanczos(H.__matmul__, g, 50)
    space.step(10.0, 0.1)
    before = space.products
    for radius in (5.0, 1.0, 0.01):
        found = space.step(radius, 0.1)
        assert np.linalg.norm(found.step) == pytest.approx(radius)
        assert found.predicted >= 0.98 * spectrum(H, g).step(radius).predicted
    assert space.products == before


def test_negative_curvature_is_found_wherever_the_first_vector_reaches() -> None:
    H = np.diag([-1.0, 1.0, 2.0, 3.0])
    value, vector = Lanczos(H.__matmul__, np.ones(4), 4).lowest()
    assert value == pytest.approx(-1.0)
    assert np.allclose(np.abs(vector), [1.0, 0.0, 0.0, 0.0], atol=1e-12)
    blind = Lanczos(H.__matmul__, np.array([0.0, 1.0, 1.0, 1.0]), 4)
    assert blind.lowest()[0] == pytest.approx(1.0)
    assert blind.products == 3


def test_copies_of_eigenvalues_do_not_appear() -> None:
    """A large eigenvalue is found early, and again and again where the basis loses orthogonality."""
    values = np.concatenate([np.linspace(1.0, 2.0, 149), [1e6]])
    space = Lanczos(lambda v: values * v, np.ones(150), 60)
    space.lowest()
    assert np.count_nonzero(space.values > 1e3) == 1
    assert np.allclose(space.basis[:60] @ space.basis[:60].T, np.eye(60), atol=1e-12)
