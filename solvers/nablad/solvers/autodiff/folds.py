"""What is folded from a Jacobian's row blocks as they come: column norms, a QR triangle (and gram.py, J'J).

Blocks arrive as J transposed, (p, rows): that is how forward mode with p directions yields them. Each stripe folds its
own blocks in order, and stripes are merged in order, so the bits do not depend on threads. J is never whole.

TSQR (Demmel, Grigori, Hoemmen and Langou 2012): stack the triangle so far upon new rows, factorize, keep the triangle.
The residual rides along as column p + 1, so that Q'r and the norm of what Q'r misses come with it. Rows are
collected until there are 2 (p + 1) of them, for a factorization of few rows upon a triangle wastes most of its work.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
import scipy.linalg

from nablad.solvers.autodiff.ops import Array
from nablad.solvers.objective import Tsqr

Folded = TypeVar("Folded", covariant=True)


class Fold(Protocol[Folded]):
    """What takes row blocks of J transposed (p, m) with their residuals (m,), and yields a result."""

    def add(self, stripe: int, transposed: Array, residual: Array) -> None: ...
    def result(self) -> Folded: ...


LAPACK_BLOCK = 32
"""Columns that LAPACK's blocked QR works on at a time."""


class NormsFold:
    """The lengths of J's columns by stripes, without overflow or underflow. Cost 2 m p operations."""

    def __init__(self, size: int, dtype: np.dtype[Any], stripes: int) -> None:
        limits = np.finfo(dtype)
        self._low, self._high = limits.tiny / limits.eps, limits.max * limits.eps
        self._norms = [np.zeros(size, dtype) for _ in range(stripes + 1)]

    def add(self, stripe: int, transposed: Array, residual: Array) -> None:
        """`transposed` (p, m); the residual is not looked at."""
        lengths = np.sqrt(squares := np.einsum("ij,ij->i", transposed, transposed))
        if not np.all((squares > self._low) & (squares < self._high)):
            widest = np.maximum.reduce(np.abs(transposed), 1, initial=0)
            scaled = transposed / np.where(widest > 0, widest, 1)[:, None]
            lengths = widest * np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
        norms = self._norms[stripe]
        np.hypot(norms, lengths, norms)

    def result(self) -> Array:
        norms = self._norms[0]
        for later in self._norms[1:]:
            np.hypot(norms, later, norms)
        norms[norms == 0] = 1
        return norms


class TsqrFold:
    """The triangle of [J r] by stripes. Cost 2 m p^2 operations and a little more, memory 3 p^2 for each stripe."""

    def __init__(self, size: int, dtype: np.dtype[Any], stripes: int) -> None:
        self._size = size
        self._dtype = dtype
        self._buffers: list[Array | None] = [None] * (stripes + 1)
        self._filled = [0] * (stripes + 1)

    def add(self, stripe: int, transposed: Array, residual: Array) -> None:
        """`transposed` (p, m), `residual` (m,)."""
        start, rows = 0, residual.shape[0]
        while start < rows:
            buffer = self._buffer(stripe)
            filled = self._filled[stripe]
            count = min(rows - start, buffer.shape[0] - filled)
            buffer[filled : filled + count, :-1] = transposed[:, start : start + count].T
            buffer[filled : filled + count, -1] = residual[start : start + count]
            self._filled[stripe] += count
            start += count
            if self._filled[stripe] == buffer.shape[0]:
                self._reduce(stripe)

    def result(self) -> Tsqr:
        triangles = [self._reduce(k) for k in range(len(self._buffers)) if self._filled[k]]
        whole = triangles[0] if len(triangles) == 1 else _triangle(np.concatenate(triangles))
        p = self._size
        k = min(p, whole.shape[0])
        rest = float(whole[p, p]) ** 2 if whole.shape[0] > p else 0.0
        return Tsqr(np.ascontiguousarray(whole[:k, :p]), whole[:k, p].copy(), rest)

    def _buffer(self, stripe: int) -> Array:
        buffer = self._buffers[stripe]
        if buffer is None:
            width = self._size + 1
            # Columns lie together, as LAPACK wants them.
            buffer = self._buffers[stripe] = np.empty((max(3 * width, 512), width), self._dtype, order="F")
        return buffer

    def _reduce(self, stripe: int) -> Array:
        buffer = self._buffer(stripe)
        triangle = _triangle(buffer[: self._filled[stripe]])
        self._filled[stripe] = triangle.shape[0]
        buffer[: triangle.shape[0]] = triangle
        return triangle


def _triangle(rows: Array) -> Array:
    """R of rows = Q R, upper trapezoidal with min(rows, columns) rows. LAPACK's geqrf; Q is never formed."""
    geqrf: Any = scipy.linalg.get_lapack_funcs("geqrf", (rows,))
    factors = geqrf(rows, lwork=LAPACK_BLOCK * rows.shape[1])[0]
    return np.triu(factors[: min(rows.shape)])
