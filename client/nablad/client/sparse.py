"""A sparse matrix, as a derivative that was asked for with `sparse=True`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nablad.client.errors import NabladError


@dataclass(frozen=True, eq=False, repr=False)
class CsrMatrix:
    """Compressed sparse rows: row i holds `values[s:e]` in the columns `column_indices[s:e]`,
    s, e = row_starts[i], row_starts[i + 1]. What is not stored is zero.
    """

    rows: int
    columns: int
    row_starts: NDArray[np.int64]
    """Shape (rows + 1,)."""
    column_indices: NDArray[np.int64]
    """Shape (entries,), ascending within a row."""
    values: NDArray[Any]
    """Shape (entries,)."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rows, self.columns

    @property
    def nnz(self) -> int:
        """How many entries are stored."""
        return len(self.values)

    def toarray(self) -> NDArray[Any]:
        """The dense matrix."""
        dense = np.zeros(self.shape, self.values.dtype)
        dense[np.repeat(np.arange(self.rows), np.diff(self.row_starts)), self.column_indices] = self.values
        return dense

    def to_scipy(self) -> Any:
        """A scipy.sparse.csr_array that shares the arrays. NabladError where scipy is not installed."""
        try:
            from scipy.sparse import csr_array  # type: ignore[import-not-found, unused-ignore]
        except ImportError:
            raise NabladError("scipy is not installed: `pip install scipy`, or use toarray()") from None
        return csr_array((self.values, self.column_indices, self.row_starts), shape=self.shape)

    def __repr__(self) -> str:
        share = self.nnz / max(1, self.rows * self.columns)
        return f"CsrMatrix({self.rows} x {self.columns}, {self.nnz} entries, {share:.2%} full)"
