"""The normal equations of blocks of rows, by the kernel and by BLAS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nablad.solvers.autodiff import gram
from nablad.solvers.autodiff.gram import COLUMNS, DEPTH, GramFold
from nablad.solvers.autodiff.kernels.native import available

LOW, HIGH = COLUMNS
SIZES = st.integers(1, 40) | st.sampled_from([LOW - 1, LOW, 47, 48, 63, 64, 100, HIGH])
ROWS = st.integers(0, 30) | st.sampled_from([DEPTH - 1, DEPTH, DEPTH + 1, 700])
LAYOUTS = st.sampled_from(["rows", "wide rows", "backwards", "columns"])
DTYPES = st.sampled_from([np.float64, np.float32])


def laid_out(J: Any, how: str) -> Any:
    """J transposed, with J's rows in one of several orders of memory."""
    m, p = J.shape
    if how == "columns":
        return np.ascontiguousarray(J.T)
    if how == "backwards":
        return np.ascontiguousarray(J[::-1])[::-1].T
    room = np.full((m, p + 5 * (how == "wide rows")), np.nan, J.dtype)
    room[:, :p] = J
    return room[:, :p].T


def folded(parts: list[tuple[Any, Any]], p: int, dtype: Any) -> Any:
    fold = GramFold(p, np.dtype(dtype), 2)
    for k, (transposed, r) in enumerate(parts):
        fold.add(k % 3, transposed, r)
    return fold.result()


@given(SIZES, st.lists(st.tuples(ROWS, LAYOUTS), min_size=1, max_size=4), DTYPES, st.integers(0, 2**32 - 1))
@settings(max_examples=150)
def test_they_are_the_sums(p: int, blocks: list[tuple[int, str]], dtype: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = [(rng.standard_normal((m, p)).astype(dtype), rng.standard_normal(m).astype(dtype)) for m, _ in blocks]
    found = folded([(laid_out(J, how), r) for (J, r), (_, how) in zip(arrays, blocks, strict=True)], p, dtype)
    J, r = (np.concatenate(part).astype(np.longdouble) for part in zip(*arrays, strict=True))
    bound = (len(r) + 4) * np.finfo(dtype).eps
    sizes, size = np.abs(J), np.abs(r)
    assert np.all(np.abs(found.jtj - J.T @ J) <= bound * (sizes.T @ sizes))
    assert np.all(np.abs(found.jtr - J.T @ r) <= bound * (sizes.T @ size))
    assert abs(found.rtr - r @ r) <= bound * (size @ size)
    np.testing.assert_array_equal(found.jtj, found.jtj.T)
    assert found.jtj.dtype == found.jtr.dtype == dtype


@pytest.mark.skipif(not available(), reason="there are no kernels here")
def test_the_kernel_is_taken_for_rows_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    call = gram.call_once
    monkeypatch.setattr(gram, "call_once", lambda *arguments: (called.append(arguments[1]), call(*arguments)))
    for p, how, expected in ((LOW, "rows", 1), (LOW, "columns", 0), (LOW - 1, "rows", 0), (HIGH + 1, "rows", 0)):
        called.clear()
        J = np.ones((5, p))
        folded([(laid_out(J, how), np.ones(5))], p, np.float64)
        assert called == ["gram"] * expected, (p, how)


@given(st.sampled_from([LOW, 30, 100]), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_what_is_not_finite_stays_in_its_column(p: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    J, r = rng.standard_normal((m, p)), rng.standard_normal(m)
    J[rng.integers(m), column := int(rng.integers(p))] = np.nan
    found = folded([(laid_out(J, "rows"), r)], p, np.float64)
    others = np.arange(p) != column
    assert np.isnan(found.jtj[column]).all()
    assert np.isnan(found.jtj[:, column]).all()
    assert np.isnan(found.jtr[column])
    assert np.isfinite(found.jtj[np.ix_(others, others)]).all()
    assert np.isfinite(found.jtr[others]).all()
    assert np.isfinite(found.rtr)


@pytest.mark.skipif(not available(), reason="there are no kernels here")
def test_a_block_that_does_not_fit_is_refused() -> None:
    fold = GramFold(LOW, np.dtype(np.float64), 1)
    with pytest.raises(ValueError, match="does not fit"):
        fold.add(0, np.ones((5, LOW + 1)).T, np.ones(5))
    with pytest.raises(ValueError, match="does not fit"):
        fold.add(0, np.ones((5, LOW)).T, np.ones(4))
