"""The sparse structure of one function on its data: patterns and colorings, each found when first asked for.

The pattern of a Hessian is that of the gradient's graph, made symmetric. Where a pattern cannot be had, the reason is
kept in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import numpy as np
import scipy.sparse

from nablad.solvers.autodiff.coloring import Coloring, color_columns, color_symmetric
from nablad.solvers.autodiff.derivatives.function import Function
from nablad.solvers.autodiff.ops import Array
from nablad.solvers.autodiff.sparsity import ENTRIES_LIMIT, Csr, Unknown, pattern
from nablad.solvers.autodiff.transform import gradient

Kind = Literal["columns", "rows", "symmetric"]


class Sparsity:
    """Of f(theta; data) with N rows. `limit` bounds the entries of all patterns."""

    def __init__(self, function: Function, rows: int, data: Mapping[str, Array], limit: int = ENTRIES_LIMIT) -> None:
        self._function = function
        self._rows = rows
        self._data = data
        self._limit = limit
        self._found: dict[Kind, Coloring | str] = {}

    def coloring(self, kind: Kind) -> Coloring | str:
        """Of the Jacobian's columns, of its rows, or of the Hessian of a scalar; or why there is none."""
        if kind not in self._found:
            find = {"columns": self._columns, "rows": self._transposed, "symmetric": self._symmetric}[kind]
            try:
                self._found[kind] = find()
            except Unknown as reason:
                self._found[kind] = f"has no sparse structure that could be found: {reason}"
        return self._found[kind]

    @cached_property
    def _jacobian(self) -> Any:
        whole = self._function.whole(self._rows)
        return pattern(whole.output, whole.theta, self._data, self._limit)

    def _columns(self) -> Coloring:
        return color_columns(self._jacobian)

    def _transposed(self) -> Coloring:
        return color_columns(_sorted(self._jacobian.T))

    def _symmetric(self) -> Coloring:
        if self._function.output.shape != ():
            raise Unknown("the function is no scalar")
        whole = self._function.whole(self._rows)
        (slope,) = gradient(whole.output, [whole.theta])
        half = pattern(slope.node, whole.theta, self._data, self._limit)
        return color_symmetric(_sorted(half + half.T))


def _sorted(matrix: Any) -> Any:
    rows = scipy.sparse.csr_array(matrix)
    rows.sum_duplicates()
    rows.sort_indices()
    return rows


def transposed(matrix: Csr) -> Csr:
    """The transpose, as compressed rows too."""
    entries = scipy.sparse.csr_array((matrix.values, matrix.column_indices, matrix.row_starts), shape=matrix.shape)
    return _from_scipy(entries.T.tocsr())


def from_dense(matrix: Array) -> Csr:
    """The entries of a matrix that are not zero."""
    rows, columns = np.nonzero(matrix)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=matrix.shape[0]))])
    height, width = matrix.shape
    return Csr((height, width), starts, columns, matrix[rows, columns])


def _from_scipy(matrix: Any) -> Csr:
    matrix.sort_indices()
    height, width = matrix.shape
    return Csr((height, width), matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data)
