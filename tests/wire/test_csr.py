"""Sparse matrices, against scipy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from nablad.v1 import tensor_pb2
from nablad.wire import csr, tensors
from nablad.wire.csr import Csr
from nablad.wire.tensors import TensorError


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 2**32 - 1), st.sampled_from([np.float64, np.float32]))
def test_round_trip(rows: int, columns: int, seed: int, dtype: Any) -> None:
    dense = np.random.default_rng(seed).integers(-2, 3, (rows, columns)).astype(dtype)
    matrix = scipy.sparse.csr_matrix(dense)
    message = csr.encode(Csr(matrix.shape, matrix.indptr, matrix.indices, matrix.data))
    back = csr.decode(tensor_pb2.CsrMatrix.FromString(message.SerializeToString()))
    assert back.values.dtype == dtype
    rebuilt = scipy.sparse.csr_matrix((back.values, back.column_indices, back.row_starts), shape=back.shape)
    np.testing.assert_array_equal(rebuilt.toarray(), dense)


def message(
    rows: int = 2, columns: int = 3, starts: Any = (0, 2, 3), indices: Any = (0, 2, 1), values: Any = (1.0, 2.0, 3.0)
) -> Any:
    return tensor_pb2.CsrMatrix(
        rows=rows,
        columns=columns,
        row_starts=tensors.encode(np.array(starts)),
        column_indices=tensors.encode(np.array(indices)),
        values=tensors.encode(np.array(values)),
    )


LIES = {
    "negative rows": (message(rows=-1), "x.rows"),
    "negative columns": (message(columns=-1), "x.columns"),
    "too few starts": (message(rows=3), "x.row_starts"),
    "starts that fall": (message(starts=(0, 4, 3)), "x.row_starts"),
    "a first start": (message(starts=(1, 2, 3)), "x.row_starts"),
    "a last start": (message(starts=(0, 2, 4)), "x.row_starts"),
    "a column beyond": (message(columns=2), "x.column_indices"),
    "a column before": (message(indices=(-1, 2, 1)), "x.column_indices"),
    "columns that fall": (message(indices=(2, 0, 1)), "x.column_indices"),
    "a column twice": (message(indices=(2, 2, 1)), "x.column_indices"),
    "too few columns": (message(indices=(0, 2)), "x.column_indices"),
    "integer values": (message(values=(1, 2, 3)), "x.values.dtype"),
    "float starts": (message(starts=(0.0, 2.0, 3.0)), "x.row_starts.dtype"),
    "two axes": (message(values=((1.0, 2.0, 3.0),)), "x.values.shape"),
    "a missing tensor": (tensor_pb2.CsrMatrix(rows=1, columns=1), "x.row_starts.dtype"),
}


@pytest.mark.parametrize(("lie", "field"), LIES.values(), ids=LIES.keys())
def test_each_lie_names_its_field(lie: Any, field: str) -> None:
    with pytest.raises(TensorError) as caught:
        csr.decode(lie, field="x")
    assert caught.value.field == field


def test_the_truth_is_accepted() -> None:
    assert csr.decode(message()).shape == (2, 3)
