"""The triangle of J from J'J, beside that of QR."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nablad.solvers.linalg.normal_equations import cholesky_triangle

EPS = np.finfo(np.float64).eps


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 40),
    columns=st.integers(1, 8),
    spread=st.integers(-120, 120),
)
def test_it_is_that_of_qr_up_to_signs(seed: int, rows: int, columns: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    J = rng.standard_normal((rows, columns)) * 10.0 ** rng.integers(-abs(spread), abs(spread) + 1, columns)
    R = cholesky_triangle(J.T @ J)
    if R is None:
        scaled = J / np.linalg.norm(J, axis=0)
        assert rows < columns or np.linalg.cond(scaled) ** 2 * EPS * rows * columns > 1e-2
        return
    assert np.array_equal(R, np.triu(R))
    assert np.all(np.diagonal(R) > 0.0)
    norms = np.linalg.norm(J, axis=0)
    off = np.abs(R.T @ R - J.T @ J) / norms / norms[:, None]
    assert np.max(off) <= 8 * (columns + rows) * EPS


@pytest.mark.parametrize(
    "jtj",
    [
        np.array([[1.0, 1.0], [1.0, 1.0]]),
        np.array([[1.0, 0.0], [0.0, 0.0]]),
        np.array([[1.0, 0.0], [0.0, np.nan]]),
        np.array([[1.0, np.nan], [np.nan, 1.0]]),
        np.array([[1.0, 0.0], [0.0, np.inf]]),
        np.array([[1.0, 0.0], [0.0, 1e-300]]),
        np.array([[1.0, 0.0], [0.0, 1e300]]),
        np.array([[1.0, 2.0], [2.0, 1.0]]),
    ],
    ids=["singular", "zero column", "nan", "nan beside", "inf", "underflow", "overflow", "indefinite"],
)
def test_what_does_not_tell_j_is_refused(jtj: np.ndarray) -> None:
    assert cholesky_triangle(jtj) is None
