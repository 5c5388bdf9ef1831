"""Products of matrices by tiles and by BLAS, as plans bind them, against sums in twice the precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nablad.solvers.autodiff.kernels.gemm import TILED_BYTES, BlasProduct, TiledProduct, product
from nablad.solvers.autodiff.kernels.native import available
from nablad.solvers.autodiff.kernels.sequence import NativeSequence
from nablad.solvers.autodiff.kernels.tiles import DEPTH, ROWS

pytestmark = pytest.mark.skipif(not available(), reason="there are no kernels here")

SIZES = st.integers(1, 40) | st.sampled_from([ROWS, 64, 65, 127, 128, 129, 200, DEPTH, DEPTH + 1, 2 * DEPTH + 3])
DTYPES = st.sampled_from([np.float64, np.float32])
LAYOUTS = st.sampled_from(["rows", "columns", "wide rows", "wide columns"])


def laid_out(x: Any, how: str) -> Any:
    """The same matrix with other strides."""
    if how.endswith("columns"):
        return laid_out(x.T, how.replace("columns", "rows")).T
    if how == "rows":
        return np.ascontiguousarray(x)
    room = np.full((x.shape[0], x.shape[1] + 3), np.nan, x.dtype)
    room[:, : x.shape[1]] = x
    return room[:, : x.shape[1]]


def run(made: Any) -> None:
    sequence = NativeSequence([made.native])
    sequence.call(*sequence.arguments)


@given(SIZES, SIZES, SIZES, DTYPES, LAYOUTS, LAYOUTS, st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=300)
def test_it_is_the_product(m: int, k: int, n: int, dtype: Any, first: str, second: str, adds: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, before = (rng.standard_normal(shape).astype(dtype) for shape in ((m, k), (k, n), (m, n)))
    around = np.full(m * n + 40, 7.0, dtype)
    out = around[20:-20].reshape(m, n)
    out[...] = before
    made = product(laid_out(a, first), laid_out(b, second), out, float(adds))
    if made is None:
        assert min(m, k, n) == 1  # a matrix of one row or column may lie in ways that BLAS does not know
        return
    run(made)
    exact = a.astype(np.longdouble) @ b.astype(np.longdouble) + adds * before
    sizes = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64) + np.abs(before)
    assert np.all(np.abs(out - exact) <= (k + 2) * np.finfo(dtype).eps * sizes)
    np.testing.assert_array_equal(around[:20], 7.0)
    np.testing.assert_array_equal(around[-20:], 7.0)


def test_each_has_its_part() -> None:
    """What is measured to be quicker (gemm.py)."""
    rows, small = np.ones((50, 20)), np.ones((20, 30))
    assert isinstance(product(rows, small, np.empty((50, 30)), 0.0), TiledProduct)
    assert isinstance(product(rows, np.ones((30, 20)).T, np.empty((50, 30)), 0.0), TiledProduct)
    assert isinstance(product(np.ones((20, 50)).T, small, np.empty((50, 30)), 0.0), BlasProduct)
    assert isinstance(product(rows, np.ones((20, 1)), np.empty((50, 1)), 0.0), BlasProduct)
    large = np.ones((20, TILED_BYTES // 160 + 1))
    assert isinstance(product(rows, large, np.empty((50, large.shape[1])), 0.0), BlasProduct)


@given(st.integers(1, 30), st.integers(1, 300), st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_an_element_depends_on_its_row_and_column_alone(m: int, k: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
    whole, part = np.empty((m, n)), np.empty((m - m // 2, n - n // 3))
    run(product(a, b, whole, 0.0))
    made = product(a[m // 2 :], b[:, n // 3 :], part, 0.0)
    if isinstance(made, TiledProduct):
        run(made)
        np.testing.assert_array_equal(part, whole[m // 2 :, n // 3 :])


@given(st.integers(1, 20), st.integers(1, 40), st.integers(2, 20), st.integers(0, 2**32 - 1))
def test_what_is_not_finite_stays_in_its_row_and_column(m: int, k: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
    a[rng.integers(m), rng.integers(k)] = np.nan
    b[rng.integers(k), rng.integers(n)] = np.inf
    out = np.empty((m, n))
    run(product(a, b, out, 0.0))
    with np.errstate(invalid="ignore"):
        expected = (a[:, :, None] * b).sum(axis=1)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(expected))
    np.testing.assert_array_equal(np.isposinf(out), np.isposinf(expected))
    np.testing.assert_array_equal(np.isneginf(out), np.isneginf(expected))
