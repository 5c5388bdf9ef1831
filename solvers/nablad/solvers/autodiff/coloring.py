"""Directions for sparse derivatives: columns that never meet in a row share one (Curtis, Powell and Reid 1974).

A Jacobian J with pattern P is read from B = J S, where column j of the identity is added to direction color[j]. If no
two columns of one color have an entry in the same row, B[i, color[j]] is J[i, j]: a coloring of the columns at distance
two in the bipartite graph of P. Rows are colored in the same way, for reverse mode.

A Hessian is symmetric, and entry (i, j) may be read in row i or in row j. It suffices that neighbours differ in color
and that no path of four vertices has two colors only: a star coloring (Coleman and More 1984; Gebremedhin, Manne and
Pothen 2005). An arrow, which needs p colors as a Jacobian, needs two.

Greedy, the vertex with most neighbours first. Cost: about the sum over rows of the squares of their lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nablad.solvers.autodiff.ops import Array
from nablad.solvers.autodiff.sparsity import Csr, Unknown

STEPS_LIMIT = 20_000_000
"""Looks at neighbours of neighbours; beyond, no coloring is tried."""


@dataclass(frozen=True)
class Coloring:
    """Directions that many columns share, and where each entry of the pattern is then found."""

    colors: Array
    """Of each column, from 0 on."""
    count: int
    rows: Array
    """Of each entry of the pattern, in row order."""
    columns: Array
    starts: Array
    """Where each row's entries begin."""
    read_row: Array
    """Entry e is B[read_row[e], read_color[e]]."""
    read_color: Array

    @property
    def seeds(self) -> Array:
        """S transposed: (count, columns) of zeros and ones."""
        seeds = np.zeros((self.count, len(self.colors)))
        seeds[self.colors, np.arange(len(self.colors))] = 1.0
        return seeds

    def entries(self, compressed: Array) -> Array:
        """The pattern's entries from B, (..., rows, count) -> (..., entries)."""
        found: Array = compressed[..., self.read_row, self.read_color]
        return found

    def dense(self, compressed: Array) -> Array:
        """(..., rows, count) -> (..., rows, columns)."""
        whole = np.zeros((*compressed.shape[:-1], len(self.colors)), compressed.dtype)
        whole[..., self.rows, self.columns] = self.entries(compressed)
        return whole

    def sparse(self, compressed: Array) -> Csr:
        """(rows, count) -> the matrix as compressed rows, structural zeros left out."""
        shape = len(self.starts) - 1, len(self.colors)
        return Csr(shape, self.starts, self.columns, self.entries(compressed))


def color_columns(pattern: Any) -> Coloring:
    """A coloring of a Jacobian's columns; `pattern` is (m, p), compressed rows. Raises Unknown if it takes too long."""
    _check_work(np.diff(pattern.indptr))
    by_columns = pattern.tocsc()
    colors = np.full(pattern.shape[1], -1)
    for j in np.argsort(-np.diff(by_columns.indptr), kind="stable"):
        rows = by_columns.indices[by_columns.indptr[j] : by_columns.indptr[j + 1]]
        taken: set[int] = set()
        for i in rows:
            taken.update(colors[pattern.indices[pattern.indptr[i] : pattern.indptr[i + 1]]].tolist())
        colors[j] = _least_free(taken)
    rows, columns, starts = _entries(pattern)
    return Coloring(colors, _count(colors), rows, columns, starts, rows, colors[columns])


def color_symmetric(pattern: Any) -> Coloring:
    """A star coloring of a symmetric pattern (p, p). Raises Unknown if it takes too long."""
    lengths = np.diff(pattern.indptr)
    _check_work(lengths)
    size = pattern.shape[0]
    near = [[int(j) for j in pattern.indices[pattern.indptr[i] : pattern.indptr[i + 1]] if j != i] for i in range(size)]
    colors = [-1] * size
    # How many neighbours of a vertex have a color already, by color.
    around: list[dict[int, int]] = [{} for _ in range(size)]
    for v in np.argsort(-lengths, kind="stable").tolist():
        taken = set(around[v])
        for w in near[v]:
            if colors[w] < 0:
                continue
            if around[v][colors[w]] > 1:
                # w' - v - w - x, with w' of the color of w.
                taken.update(around[w])
            else:
                # v - w - x - y, with y of the color of w.
                taken.update(colors[x] for x in near[w] if colors[x] >= 0 and around[x][colors[w]] > 1)
        colors[v] = _least_free(taken)
        for w in near[v]:
            around[w][colors[v]] = around[w].get(colors[v], 0) + 1
    found = np.array(colors)
    rows, columns, starts = _entries(pattern)
    # An entry and its mirror image are read in one place, so that the matrix is exactly symmetric: for i < j that is
    # row i unless another neighbour of i has the color of j; then it is alone in row j.
    low, high = np.minimum(rows, columns), np.maximum(rows, columns)
    alone = np.array(
        [i == j or around[i][colors[j]] == 1 for i, j in zip(low.tolist(), high.tolist(), strict=True)], bool
    )
    read_row, read_column = np.where(alone, low, high), np.where(alone, high, low)
    return Coloring(found, _count(found), rows, columns, starts, read_row, found[read_column])


def _least_free(taken: set[int]) -> int:
    color = 0
    while color in taken:
        color += 1
    return color


def _count(colors: Array) -> int:
    return int(colors.max(initial=-1)) + 1


def _entries(pattern: Any) -> tuple[Array, Array, Array]:
    starts = pattern.indptr.astype(np.int64)
    return np.repeat(np.arange(pattern.shape[0]), np.diff(starts)), pattern.indices.astype(np.int64), starts


def _check_work(lengths: Array) -> None:
    steps = float(np.sum(lengths.astype(float) ** 2))
    if steps > STEPS_LIMIT:
        raise Unknown(f"coloring would take {steps:.1e} steps; at most {STEPS_LIMIT:.0e} are taken")
