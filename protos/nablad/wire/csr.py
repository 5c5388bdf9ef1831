"""Sparse matrices on the wire: three arrays <-> nablad.v1.CsrMatrix.

Compressed sparse rows: row i of an (R, C) matrix holds the columns `column_indices[s:e]` and the numbers `values[s:e]`,
with s, e = row_starts[i], row_starts[i + 1]. The columns of a row ascend strictly, so a matrix has one encoding. Cost:
one pass over the entries to check them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nablad.v1 import tensor_pb2
from nablad.wire import tensors
from nablad.wire.tensors import AnyArray, Resolve, TensorError, join


class Csr(NamedTuple):
    """A sparse matrix: shape (R, C), row_starts (R + 1,) and column_indices (E,) int64, values (E,) float."""

    shape: tuple[int, int]
    row_starts: AnyArray
    column_indices: AnyArray
    values: AnyArray


def encode(matrix: Csr, tensor: Callable[[AnyArray], tensor_pb2.Tensor] = tensors.encode) -> tensor_pb2.CsrMatrix:
    """A sparse matrix as a message; `tensor` writes each of its arrays, a large one as a dataset where it can."""
    rows, columns = matrix.shape
    return tensor_pb2.CsrMatrix(
        rows=rows,
        columns=columns,
        row_starts=tensor(matrix.row_starts.astype(np.int64, copy=False)),
        column_indices=tensor(matrix.column_indices.astype(np.int64, copy=False)),
        values=tensor(matrix.values),
    )


def decode(message: tensor_pb2.CsrMatrix, *, field: str = "", resolve: Resolve | None = None) -> Csr:
    """The sparse matrix that a message describes. TensorError, naming the member, on a lie."""
    for name in ("rows", "columns"):
        if getattr(message, name) < 0:
            raise TensorError(join(field, name), f"is {getattr(message, name)}; a length cannot be negative")
    starts, indices, values = (
        tensors.decode(getattr(message, name), field=join(field, name), resolve=resolve)
        for name in ("row_starts", "column_indices", "values")
    )
    for name, array, kind in (("row_starts", starts, "i"), ("column_indices", indices, "i"), ("values", values, "f")):
        if array.dtype.kind != kind:
            raise TensorError(
                join(field, f"{name}.dtype"), "must be int64" if kind == "i" else "must be float64 or float32"
            )
        if array.ndim != 1:
            raise TensorError(join(field, f"{name}.shape"), f"has {array.ndim} axes; one is needed")
    if len(starts) != message.rows + 1:
        raise TensorError(join(field, "row_starts"), f"has {len(starts)} elements; {message.rows} rows need one more")
    if starts[0] != 0 or starts[-1] != len(values) or bool((starts[1:] < starts[:-1]).any()):
        raise TensorError(join(field, "row_starts"), f"must rise from 0 to the number of values, {len(values)}")
    if len(indices) != len(values):
        raise TensorError(join(field, "column_indices"), f"has {len(indices)} elements; there are {len(values)} values")
    if len(indices) and (indices.min() < 0 or indices.max() >= message.columns):
        raise TensorError(join(field, "column_indices"), f"must lie between 0 and {message.columns - 1}")
    falls = np.flatnonzero(indices[1:] <= indices[:-1]) + 1
    if not bool(np.isin(falls, starts).all()):
        raise TensorError(join(field, "column_indices"), "must ascend within each row")
    return Csr((message.rows, message.columns), starts, indices, values)
