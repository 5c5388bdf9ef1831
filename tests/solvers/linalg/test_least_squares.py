"""The least-squares step against scipy's and numpy's own least squares."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from solvers.objectives import affine, longley, polynomial_columns

from nablad.solvers.linalg.least_squares import column_norms, triangle

EPS = float(np.finfo(np.float64).eps)


def solve(A: np.ndarray, b: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, int, float]:
    qr = affine(A, b).tsqr(theta)
    factor = triangle(qr.r)
    return theta + factor.step(qr.qtr, theta).step, factor.rank, factor.condition


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (40, 3), (200, 20)])
def test_full_rank_agrees_with_lstsq(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(shape))
    A, b = rng.standard_normal(shape), rng.standard_normal(shape[0])
    theta, rank, condition = solve(A, b, rng.standard_normal(shape[1]))
    assert rank == shape[1]
    assert np.allclose(theta, scipy.linalg.lstsq(A, b)[0], rtol=1e-9, atol=1e-10)
    exact = np.linalg.cond(A / np.linalg.norm(A, axis=0), 1) if shape[0] == shape[1] else None
    assert exact is None or exact / 10 <= condition <= 10 * exact


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_units_of_the_parameters_do_not_matter(scale: float) -> None:
    rng = np.random.default_rng(2)
    A, b = rng.standard_normal((30, 4)), rng.standard_normal(30)
    units = scale ** np.arange(4.0)
    theta, rank, condition = solve(A * units, b, np.zeros(4))
    plain, _, same = solve(A, b, np.zeros(4))
    assert rank == 4
    assert np.allclose(theta * units, plain, rtol=1e-12)
    assert condition == pytest.approx(same, rel=1e-6)


@pytest.mark.parametrize(("rows", "size", "rank"), [(20, 5, 3), (3, 6, 3), (4, 4, 1), (6, 2, 0)])
def test_deficient_rank_gives_the_minimum_norm_from_any_start(rows: int, size: int, rank: int) -> None:
    rng = np.random.default_rng(5)
    A = rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, size))
    b = rng.standard_normal(rows)
    expected = np.linalg.lstsq(A, b, rcond=1e-12)[0]
    for start in (np.zeros(size), 10.0 * rng.standard_normal(size)):
        theta, found, _ = solve(A, b, start)
        assert found == rank
        assert np.allclose(theta, expected, atol=1e-10)


def test_minimum_norm_is_in_the_users_units() -> None:
    """theta_1 + 1e6 theta_2 = 1: the shortest theta in user's units puts nearly all into theta_2."""
    A = np.array([[1.0, 1e6], [2.0, 2e6], [-1.0, -1e6]])
    theta, rank, _ = solve(A, A @ np.array([1.0, 0.0]), np.zeros(2))
    assert rank == 1
    expected = np.array([1.0, 1e6]) / (1.0 + 1e12)
    assert np.linalg.norm(theta - expected) <= 1e-9 * np.linalg.norm(expected)


def test_a_zero_column_is_left_alone() -> None:
    A = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    theta, rank, _ = solve(A, np.array([1.0, 2.0, 3.0]), np.zeros(2))
    assert rank == 1
    assert np.allclose(theta, [2.0, 0.0])


def test_polynomials_of_nist_filip_are_of_full_rank_after_equilibration() -> None:
    A = polynomial_columns()
    truth = np.ones(11)
    theta, rank, condition = solve(A, A @ truth, np.zeros(11))
    assert rank == 11
    assert 1e8 < condition < 1e11
    # A backward stable solution is as near as condition times roundoff, in the units of the columns.
    units = np.linalg.norm(A, axis=0)
    assert np.linalg.norm(units * (theta - truth)) <= EPS * condition * np.linalg.norm(units)


def test_correction_from_the_gradient_refines() -> None:
    A, b, certified = longley()
    problem = affine(A, b)
    factor = triangle(problem.tsqr(np.zeros(7)).r)
    rough = certified * (1.0 + 1e-6 * np.array([1, -1, 1, -1, 1, -1, 1]))
    found = factor.correction(0.5 * problem.gradient(rough), rough)
    assert np.allclose(rough + found.step, certified, rtol=1e-9)
    assert found.decrease == pytest.approx(problem.value(rough) - problem.value(certified), rel=1e-5)


def test_column_norms_neither_overflow_nor_underflow() -> None:
    R = np.array([[3e200, 3e-200, 0.0], [4e200, 4e-200, 0.0]])
    assert np.allclose(column_norms(R), [5e200, 5e-200, 1.0], rtol=1e-15)
