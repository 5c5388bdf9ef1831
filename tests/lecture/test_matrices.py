"""Lecture, chapter 4: the derivative of an m x n matrix by a p x q matrix is a tensor (m x n) x (p x q)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lecture import engine, exact

from nablad.solvers import Derivatives

SHAPES = [(2, 3), (3, 2), (3, 3), (1, 4), (4, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_shape_is_that_of_the_matrix_and_then_that_of_the_other(shape: tuple[int, int]) -> None:
    """A(B) = C B D, so dA_ij / dB_kl = C_ik D_lj."""
    rng = np.random.default_rng(shape[0])
    B, C, D = rng.normal(size=shape), rng.normal(size=(4, shape[0])), rng.normal(size=(shape[1], 5))
    found = engine.jacobian(lambda B: C @ B @ D, B)
    assert found.shape == (4, 5, *shape)
    exact.assert_equal(found, np.einsum("ik,lj->ijkl", C, D))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", ["forward", "reverse"])
def test_ax_by_the_matrix_a(shape: tuple[int, int], way: str) -> None:
    """m x (m x n): df_i/dA has x' in row i, and zeros in all others."""
    m, n = shape
    rng = np.random.default_rng(n)
    A, x = rng.normal(size=shape), rng.normal(size=n)
    found = engine.jacobian(lambda A: A @ x, A, way)
    assert found.shape == (m, m, n)
    for i in range(m):
        assert np.array_equal(found[i, i], x)
        assert not np.any(np.delete(found[i], i, axis=0))
    exact.assert_equal(found, exact.jacobian(lambda A: A @ exact.rational(x), A))


def lectures_cases(R: Any, p: int, q: int, i: int, j: int) -> float:
    """dK_pq / dR_ij, case by case as it stands on the slide."""
    if j == p and p != q:
        return R[i, q]
    if j == q and p != q:
        return R[i, p]
    if j == p and p == q:
        return 2 * R[i, q]
    return 0.0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", ["forward", "reverse"])
def test_the_gram_matrix_by_its_factor(shape: tuple[int, int], way: str) -> None:
    """K = R'R: (n x n) x (m x n)."""
    m, n = shape
    R = np.random.default_rng(m * n).normal(size=shape)
    found = engine.jacobian(lambda R: R.T @ R, R, way)
    assert found.shape == (n, n, m, n)
    cases = np.empty(found.shape)
    for index in np.ndindex(cases.shape):
        cases[index] = lectures_cases(R, *index)
    assert np.array_equal(found, cases)
    exact.assert_equal(found, exact.jacobian(lambda R: R.T @ R, R))


def test_an_entry_of_the_gram_matrix_is_a_product_of_columns() -> None:
    """K_pq = r_p' r_q."""
    R = np.random.default_rng(0).normal(size=(4, 3))
    tensor = engine.jacobian(lambda R: R.T @ R, R)
    for p in range(3):
        for q in range(3):
            exact.assert_equal(engine.jacobian(lambda R, p=p, q=q: R[:, p] @ R[:, q], R), tensor[p, q])


def test_several_matrices_each_have_their_tensor() -> None:
    rng = np.random.default_rng(1)
    start = {"A": rng.normal(size=(2, 3)), "B": rng.normal(size=(3, 4))}
    found = Derivatives(engine.model("A @ B", start)).jacobian(engine.flat(start)).array
    by_a, by_b = found[..., :6].reshape(2, 4, 2, 3), found[..., 6:].reshape(2, 4, 3, 4)
    exact.assert_equal(by_a, np.einsum("ik,lj->ijkl", np.eye(2), start["B"]))
    exact.assert_equal(by_b, np.einsum("ik,jl->ijkl", start["A"], np.eye(4)))
