"""The normal equations folded from a Jacobian's row blocks: J'J, J'r and r'r.

Where there are kernels, and J lies in rows, as the data of a linear model do, a block is one pass of [J r]'[J r]
(kernels/gram.py). Else J'J is BLAS's symmetric product, and J'r and r'r are products of their own. Which it is depends
on shapes and strides alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nablad.solvers.autodiff.kernels.gram import PANEL_BYTES
from nablad.solvers.autodiff.kernels.native import available, native
from nablad.solvers.autodiff.kernels.sequence import address, call_once
from nablad.solvers.autodiff.kernels.vectors import LANES
from nablad.solvers.autodiff.ops import Array
from nablad.solvers.objective import Gram

COLUMNS = (24, 400)
"""Of J, between which the kernel is quicker: of fewer BLAS's product is as quick and its call cheaper, of more the
matrix outgrows the cache."""
DEPTH = 256
"""Rows that the kernel has in its panels at once, or fewer where they are long."""


class GramFold:
    """J'J, J'r and r'r by stripes. Cost m p^2 operations (a symmetric product), memory 2 p^2 for each stripe."""

    def __init__(self, size: int, dtype: np.dtype[Any], stripes: int) -> None:
        self._size = size
        self._dtype = dtype
        self._jtj = [np.zeros((size, size), dtype) for _ in range(stripes + 1)]
        self._jtr = [np.zeros(size, dtype) for _ in range(stripes + 1)]
        self._rtr = [0.0] * (stripes + 1)
        self._product: list[Array | None] = [None] * (stripes + 1)
        """Room for J'J of a block, where BLAS computes it."""
        self._extended: list[Array | None] = [None] * (stripes + 1)
        """What the kernel adds to: [J r]'[J r], on and above its diagonal."""

    def add(self, stripe: int, transposed: Array, residual: Array) -> None:
        """`transposed` (p, m), `residual` (m,)."""
        low, high = COLUMNS
        if low <= self._size <= high and available() and lies_in_rows(transposed, self._dtype):
            if (extended := self._extended[stripe]) is None:
                extended = self._extended[stripe] = self._room()
            self._add_rows(extended, transposed.T, np.ascontiguousarray(residual, self._dtype))
            return
        if (product := self._product[stripe]) is None:
            product = self._product[stripe] = np.empty((self._size, self._size), self._dtype)
        # The transpose of one buffer with itself takes BLAS's symmetric product, half the work.
        self._jtj[stripe] += np.dot(transposed, transposed.T, product)
        self._jtr[stripe] += np.dot(transposed, residual)
        self._rtr[stripe] += float(np.dot(residual, residual))

    def _room(self) -> Array:
        count = LANES[self._dtype.name].count
        return np.zeros((self._size + 1, (self._size // count + 1) * count), self._dtype)

    def _add_rows(self, out: Array, J: Array, residual: Array) -> None:
        m, p = J.shape
        item = self._dtype.itemsize
        if (p, residual.shape) != (self._size, (m,)):
            raise ValueError(f"a block of {m} rows and {p} columns does not fit {self._size} and {residual.shape}")
        width = out.shape[1]
        depth = min(DEPTH, PANEL_BYTES // item // width)
        task = (address(J), J.strides[0] // item, address(residual), m, p, address(out), width, depth)
        call_once(native(self._dtype.name), "gram", task)

    def result(self) -> Gram:
        p = self._size
        for k, extended in enumerate(self._extended):
            if extended is not None:
                self._jtj[k] += extended[:p, :p]
                self._jtr[k] += extended[:p, p]
                self._rtr[k] += float(extended[p, p])
                self._extended[k] = None
        jtj, jtr = self._jtj[0], self._jtr[0]
        for later in self._jtj[1:]:
            jtj += later
        for part in self._jtr[1:]:
            jtr += part
        # The kernel leaves what is below the diagonal, and BLAS may round it otherwise.
        return Gram(np.triu(jtj) + np.triu(jtj, 1).T, jtr, sum(self._rtr))


def lies_in_rows(transposed: Array, dtype: np.dtype[Any]) -> bool:
    """Whether a kernel can read the block by rows: of this dtype, the numbers of each side by side."""
    across, down = transposed.strides
    item = transposed.itemsize
    side_by_side = across == item or transposed.shape[0] == 1
    return transposed.dtype == dtype and transposed.flags.aligned and side_by_side and down % item == 0
