"""Where the Hessian's blocks are summed, and from where each of its entries is then read.

The block of layers l <= m is summed as T[(i, a), (j, b)], i and a units of layers l and m, j and b what enters them
(with a 1 at the end where there is a bias): one matrix product over the rows. What comes of f_{m-1} depending on z_l is
summed apart, as couplings. For Gauss-Newton's matrix there are none; J'r and r'r are summed beside it. All lie in one
flat array, the accumulator, so that stripes are added by one call.

On the diagonal T is symmetric in i and a and in j and b, and only strips of pairs i <= a, j <= b are held: pairs whose
first unit lies in a strip of STRIP units, whose second lies at its beginning or later. That is a little more than a
quarter of the work.

A Hessian is read from the accumulator through an index, tile by tile, each tile and its transpose in one go. Both
triangles come from the same sums, so the result is exactly symmetric. Memory: p^2 / 2 numbers and a little more for the
index, and as many for an accumulator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nablad.expressions import Shape
from nablad.solvers.autodiff.ops import Array
from nablad.solvers.autodiff.threads import in_threads

STRIP = 8
UNCUT = 16
"""Widths up to this many units are not cut into strips: the calls would cost more than the work that they save."""
TILE = 384
"""Rows and columns of a tile of the Hessian: a tile and its index are 2.4 MB, the order of a core's cache."""

Places = NDArray[np.intp]


@dataclass(frozen=True)
class Width:
    """A layer's number of units, and of what enters it."""

    units: int
    fan_in: int
    biased: bool

    @property
    def inputs(self) -> int:
        """What enters with the 1 that a bias is the weight of."""
        return self.fan_in + self.biased


@dataclass(frozen=True)
class Sum:
    """A matrix (rows, columns) in the accumulator."""

    start: int
    rows: int
    columns: int

    @property
    def stop(self) -> int:
        return self.start + self.rows * self.columns

    def of(self, accumulator: Array) -> Array:
        return accumulator[self.start : self.stop].reshape(self.rows, self.columns)


def strips(width: int) -> list[tuple[int, int]]:
    """The units of each strip, (start, stop); by the width alone."""
    if width <= UNCUT:
        return [(0, width)]
    return [(start, min(start + STRIP, width)) for start in range(0, width, STRIP)]


def pairs_held(width: int) -> int:
    """How many pairs of units the strips hold."""
    return sum((stop - start) * (width - start) for start, stop in strips(width))


def _places_of_pairs(width: int) -> Places:
    """(width, width): where the strips hold a pair; the same for both orders."""
    places = np.zeros((width, width), np.intp)
    begin = 0
    for start, stop in strips(width):
        size = (stop - start) * (width - start)
        places[start:stop, start:] = np.arange(begin, begin + size).reshape(stop - start, width - start)
        begin += size
    return np.triu(places) + np.triu(places, 1).T


def _range_of(chosen: Places) -> slice | Places:
    """Places that follow each other as a slice: what lies there is then read and written where it lies."""
    first, last = (int(chosen[0]), int(chosen[-1])) if chosen.size else (0, -1)
    return slice(first, last + 1) if last + 1 - first == chosen.size else chosen


class Blocks:
    """The accumulator's plan for a chain of layers. Immutable; by shapes only.

    `residuals` is None for the Hessian; for Gauss-Newton's matrix, how many residuals a data row has.
    """

    def __init__(self, widths: Sequence[Width], residuals: int | None = None) -> None:
        self.widths = tuple(widths)
        self.residuals = residuals
        self.products: dict[tuple[int, int], Sum] = {}
        self.couplings: dict[tuple[int, int], Sum] = {}
        at = 0

        def add(rows: int, columns: int) -> Sum:
            nonlocal at
            found = Sum(at, rows, columns)
            at = found.stop
            return found

        for m, high in enumerate(self.widths):
            for k, low in enumerate(self.widths[:m]):
                self.products[k, m] = add(low.units * high.units, low.inputs * high.inputs)
            self.products[m, m] = add(pairs_held(high.units), pairs_held(high.inputs))
        coupled = self.widths if residuals is None else ()
        for m, high in enumerate(coupled):
            for k, low in enumerate(self.widths[:m]):
                rows = low.units if m == k + 1 else self.widths[m - 1].units * low.units
                self.couplings[k, m] = add(rows, high.units * low.inputs)
        self.slopes = () if residuals is None else tuple(add(x.units, x.inputs) for x in self.widths)
        """Of Gauss-Newton's matrix: df/dA, with df/db as its last column, in each layer."""
        self.squares = None if residuals is None else add(1, 1)
        """And r'r."""
        self.size = at + 1
        """Numbers in an accumulator; the last one stays zero."""

    @cached_property
    def flops(self) -> int:
        """Of the products and couplings, for each row."""
        return 2 * sum(x.rows * x.columns for x in self.sums)

    @property
    def sums(self) -> tuple[Sum, ...]:
        """All matrices in the accumulator."""
        rest = () if self.squares is None else (*self.slopes, self.squares)
        return (*self.products.values(), *self.couplings.values(), *rest)

    def couple(self, accumulator: Array) -> None:
        """Add the couplings to the products that they belong to, in place."""
        for (k, m), coupling in self.couplings.items():
            low, high = self.widths[k], self.widths[m]
            part = coupling.of(accumulator)
            shape = (low.units, high.units, low.inputs, high.inputs)
            product = self.products[k, m].of(accumulator).reshape(shape)[..., : self.widths[m - 1].units]
            if m == k + 1:
                # f_l depends on z_l unit by unit: b = i.
                own = np.einsum("iaji->iaj", product)
                np.add(own, part.reshape(own.shape), own)
            else:
                pairs = part.reshape(self.widths[m - 1].units, *shape[:3]).transpose(1, 2, 3, 0)
                np.add(product, pairs, product)


class Reader:
    """Reads the Hessian (p, p) from an accumulator. Shared between threads.

    `places[l]` (units, inputs) tells where a layer's parameters lie in theta, an array of this shape.
    """

    def __init__(self, blocks: Blocks, places: Sequence[Places], shape: Shape) -> None:
        (size,) = shape
        assert isinstance(size, int)
        self.size = size
        self._blocks = blocks
        # Of each element of theta: its layer, the unit it leads to, and what it multiplies. No layer is -1.
        self._layer, self._unit, self._input = np.full((3, size), -1, np.intp)
        for k, where in enumerate(places):
            self._layer[where] = k
            self._unit[where] = np.arange(len(where))[:, None]
            self._input[where] = np.arange(where.shape[1])
        edges = [(start, min(start + TILE, size)) for start in range(0, size, TILE)]
        self._tiles = [(slice(*rows), slice(*columns)) for k, rows in enumerate(edges) for columns in edges[k:]]
        self._pairs: dict[int, Places] = {}
        self._indices: list[Places | None] = [None] * len(self._tiles)
        """Of each tile, once it has been read: threads that read tiles make them."""

    def read(self, accumulator: Array, dtype: np.dtype[Any], threads: int = 1) -> Array:
        """The Hessian, a fresh array."""
        hessian = np.empty((self.size, self.size), dtype)
        # mode="clip" writes straight into `out`; every index is within.
        if len(self._tiles) == 1:
            np.take(accumulator, self._index_of(0), out=hessian, mode="clip")
            return hessian

        def copy(scratch: Array, number: int) -> None:
            (rows, columns), index = self._tiles[number], self._index_of(number)
            tile = scratch[: index.size].reshape(index.shape)
            np.take(accumulator, index, out=tile, mode="clip")
            hessian[rows, columns] = tile
            if rows != columns:
                hessian[columns, rows] = tile.T

        in_threads(copy, [np.empty(TILE * TILE, dtype) for _ in range(threads)], len(self._tiles))
        return hessian

    def _places_of_pairs(self, width: int) -> Places:
        if width not in self._pairs:
            self._pairs[width] = _places_of_pairs(width)
        return self._pairs[width]

    def _index_of(self, number: int) -> Places:
        index = self._indices[number]
        if index is None:  # two that make it at once make the same
            rows, columns = self._tiles[number]
            index = self._index(np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop))
            self._indices[number] = index
        return index

    def _index(self, rows: Places, columns: Places) -> Places:
        """Where the entries of these rows and columns of the Hessian stand in an accumulator."""
        index = np.full((len(rows), len(columns)), self._blocks.size - 1, np.intp)
        for (k, m), product in self._blocks.products.items():
            for left, right in {(k, m), (m, k)}:
                mine, others = np.flatnonzero(self._layer[rows] == left), np.flatnonzero(self._layer[columns] == right)
                i, j = self._unit[rows[mine], None], self._input[rows[mine], None]
                a, b = self._unit[columns[others]], self._input[columns[others]]
                if k == m:
                    width = self._blocks.widths[k]
                    up = self._places_of_pairs(width.units)[i, a] * product.columns
                    across = self._places_of_pairs(width.inputs)[j, b]
                else:
                    # T[(i, a), (j, b)] with i and j of layer k: a sum of what each side contributes.
                    high = self._blocks.widths[m]
                    first, second = ((i, j), (a, b)) if left == k else ((a, b), (i, j))
                    up = first[0] * (high.units * product.columns) + first[1] * high.inputs
                    across = second[0] * product.columns + second[1]
                up += product.start
                at = _range_of(mine), _range_of(others)
                if isinstance(at[0], slice) and isinstance(at[1], slice):
                    np.add(up, across, index[at])
                else:
                    index[np.ix_(mine, others)] = up + across
        return index
