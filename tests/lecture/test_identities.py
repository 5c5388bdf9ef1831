"""Lecture, chapter 5: the identities 5.99 to 5.108, both sides, beside mpmath's quotients in 100 digits.

5.99 to 5.102 hold for any differentiable f(X). dF[i, j, k, l] is its tensor; transposition, trace and products on the
right are those of its axes i and j.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from lecture import engine, exact

RNG = np.random.default_rng(11)
B = RNG.normal(size=(3, 3)) + 4 * np.eye(3)
C = RNG.normal(size=(4, 4)) + 3 * np.eye(4)
P = RNG.normal(size=(2, 3))


@dataclass(frozen=True)
class MatrixFunction:
    """f(X), for the engine and for mpmath."""

    name: str
    shape: tuple[int, int]
    """Of X."""
    f: Callable[[Any], Any]
    by_mpmath: Callable[[Any], Any]

    def __str__(self) -> str:
        return self.name

    def points(self) -> list[Any]:
        """Two X where f(X), if square, is far from singular."""
        rng = np.random.default_rng(sum(map(ord, self.name)))
        return [rng.normal(size=self.shape) + 2 * np.eye(*self.shape) for _ in range(2)]


def exactly(x: Any) -> Any:
    return mpmath.matrix(x.tolist())


SQUARE = [
    MatrixFunction("X", (3, 3), lambda X: 1.0 * X, lambda X: X),
    MatrixFunction("X 4x4", (4, 4), lambda X: 1.0 * X, lambda X: X),
    MatrixFunction("X^2 + B", (3, 3), lambda X: X @ X + B, lambda X: X * X + exactly(B)),
    MatrixFunction("X'CX", (4, 2), lambda X: X.T @ C @ X, lambda X: X.T * exactly(C) * X),
    MatrixFunction("X X'", (2, 4), lambda X: X @ X.T, lambda X: X * X.T),
    MatrixFunction("exp(X) + B", (3, 3), lambda X: np.exp(X) + B, lambda X: X.apply(mpmath.exp) + exactly(B)),
    MatrixFunction("P X P'", (3, 3), lambda X: P @ X @ P.T, lambda X: exactly(P) * X * exactly(P).T),
]
ANY_SHAPE = [
    *SQUARE,
    MatrixFunction("PX", (3, 4), lambda X: P @ X, lambda X: exactly(P) * X),
    MatrixFunction("sin X", (2, 5), lambda X: np.sin(X), lambda X: X.apply(mpmath.sin)),
]


def both_sides(left: Any, right: Any, oracle: Any) -> None:
    scale = exact.size(oracle)
    exact.assert_equal(left, oracle, scale)
    exact.assert_equal(right, oracle, scale)


@pytest.mark.parametrize("case", ANY_SHAPE, ids=str)
def test_5_99_transpose(case: MatrixFunction) -> None:
    for X in case.points():
        dF = engine.jacobian(case.f, X)
        left = engine.jacobian(lambda X: case.f(X).T, X)
        assert left.shape == (dF.shape[1], dF.shape[0], *case.shape)
        both_sides(left, np.swapaxes(dF, 0, 1), exact.matrix_jacobian(lambda X: case.by_mpmath(X).T, X))


@pytest.mark.parametrize("case", SQUARE, ids=str)
def test_5_100_trace(case: MatrixFunction) -> None:
    def trace(X: Any) -> Any:
        F = case.by_mpmath(X)
        return mpmath.fsum(F[i, i] for i in range(F.rows))

    for X in case.points():
        left = engine.jacobian(lambda X: np.trace(case.f(X)), X)
        assert left.shape == case.shape
        both_sides(left, np.einsum("iikl->kl", engine.jacobian(case.f, X)), exact.matrix_jacobian(trace, X))


@pytest.mark.parametrize("case", SQUARE, ids=str)
def test_5_101_determinant(case: MatrixFunction) -> None:
    for X in case.points():
        F, dF = case.f(X), engine.jacobian(case.f, X)
        left = engine.jacobian(lambda X: np.linalg.det(case.f(X)), X)
        assert left.shape == case.shape
        right = np.linalg.det(F) * np.einsum("ij,jikl->kl", np.linalg.inv(F), dF)
        both_sides(left, right, exact.matrix_jacobian(lambda X: mpmath.det(case.by_mpmath(X)), X))


SINGULAR = {
    "rank 2": np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [5.0, 7.0, 9.0]]),
    "rank 1": np.outer([1.0, 2.0, -1.0], [3.0, 1.0, 2.0]),
    "zero": np.zeros((3, 3)),
    "rank 3 of 4": np.array([[1.0, 0, 2, 1], [0, 3, 1, 2], [1, 3, 3, 3], [2, 1, 0, 1]]),
    "a column of zeros": np.array([[1.0, 0.0], [2.0, 0.0]]),
}


def cofactors(X: Any) -> Any:
    """adj(X)': the signed minors, in exact fractions."""
    n = len(X)
    rational = exact.rational(X)
    found = np.empty((n, n))
    for i, j in np.ndindex(n, n):
        minor = np.delete(np.delete(rational, i, axis=0), j, axis=1)
        found[i, j] = float((-1) ** (i + j) * sympy.Matrix(minor).det())
    return found


@pytest.mark.parametrize("name", SINGULAR)
def test_5_101_of_a_singular_matrix(name: str) -> None:
    """The right side has no f(X)^-1 there; the left side is the adjugate, by cofactors."""
    X = SINGULAR[name]
    left, expected = engine.jacobian(lambda X: np.linalg.det(X), X), cofactors(X)
    assert left.shape == X.shape
    exact.assert_equal(left, expected, scale=max(exact.size(expected), 1.0))


@pytest.mark.parametrize("case", SQUARE, ids=str)
def test_5_101_in_logarithms(case: MatrixFunction) -> None:
    """d log|det f(X)| / dX = tr(f(X)^-1 df/dX)."""
    for X in case.points():
        left = engine.jacobian(lambda X: np.linalg.slogdet(case.f(X))[1], X)
        right = np.einsum("ij,jikl->kl", np.linalg.inv(case.f(X)), engine.jacobian(case.f, X))
        oracle = exact.matrix_jacobian(lambda X: mpmath.log(abs(mpmath.det(case.by_mpmath(X)))), X)
        both_sides(left, right, oracle)


@pytest.mark.parametrize("case", SQUARE, ids=str)
def test_5_102_inverse(case: MatrixFunction) -> None:
    for X in case.points():
        inverse, dF = np.linalg.inv(case.f(X)), engine.jacobian(case.f, X)
        left = engine.jacobian(lambda X: np.linalg.inv(case.f(X)), X)
        assert left.shape == (*inverse.shape, *case.shape)
        right = -np.einsum("ia,abkl,bj->ijkl", inverse, dF, inverse)
        both_sides(left, right, exact.matrix_jacobian(lambda X: mpmath.inverse(case.by_mpmath(X)), X))


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("written", ["inv", "solve"])
def test_5_103_the_inverse_between_two_vectors(n: int, written: str) -> None:
    rng = np.random.default_rng(n)
    X, a, b = rng.normal(size=(n, n)) + 3 * np.eye(n), rng.normal(size=n), rng.normal(size=n)
    forms = {"inv": lambda X: a @ np.linalg.inv(X) @ b, "solve": lambda X: a @ np.linalg.solve(X, b)}
    left = engine.jacobian(forms[written], X)
    assert left.shape == (n, n)
    inverse_t = np.linalg.inv(X).T
    right = -inverse_t @ np.outer(a, b) @ inverse_t
    both_sides(left, right, exact.matrix_jacobian(lambda X: (exactly(a).T * mpmath.inverse(X) * exactly(b))[0], X))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_5_104_and_5_105_linear_forms(n: int) -> None:
    rng = np.random.default_rng(n)
    a, x = rng.normal(size=n), rng.normal(size=n)
    for form in (lambda x: x @ a, lambda x: a @ x):
        found = engine.jacobian(form, x)
        assert found.shape == (n,)
        assert np.array_equal(found, a)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 4), (4, 2)])
def test_5_106_the_bilinear_form(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[0])
    X, a, b = rng.normal(size=shape), rng.normal(size=shape[0]), rng.normal(size=shape[1])
    found = engine.jacobian(lambda X: a @ X @ b, X)
    assert found.shape == shape
    assert np.array_equal(found, np.outer(a, b))


@pytest.mark.parametrize("n", [1, 2, 4])
def test_5_107_the_quadratic_form(n: int) -> None:
    rng = np.random.default_rng(n)
    G, x = rng.normal(size=(n, n)), rng.normal(size=n)
    left = engine.jacobian(lambda x: x @ G @ x, x)
    assert left.shape == (n,)
    both_sides(left, x @ (G + G.T), exact.jacobian(lambda x: x @ exact.rational(G) @ x, x))
    second = engine.hessian(lambda x: x @ G @ x, x)
    exact.assert_equal(second, G + G.T, exact.size(G))


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (4, 4)])
def test_5_108_the_weighted_residual(shape: tuple[int, int], symmetric: bool) -> None:
    """-2 (x - As)' W A for symmetric W, definite or not; -(x - As)' (W + W') A for any."""
    m, n = shape
    rng = np.random.default_rng(m + n)
    A, W, x, s = rng.normal(size=shape), rng.normal(size=(m, m)), rng.normal(size=m), rng.normal(size=n)
    W = W + W.T if symmetric else W
    right = -2 * (x - A @ s) @ W @ A if symmetric else -(x - A @ s) @ (W + W.T) @ A
    left = engine.jacobian(lambda s: (x - A @ s) @ W @ (x - A @ s), s)
    assert left.shape == (n,)

    def form(s: Any) -> Any:
        e = exact.rational(x) - exact.rational(A) @ s
        return e @ exact.rational(W) @ e

    both_sides(left, right, exact.jacobian(form, s))
