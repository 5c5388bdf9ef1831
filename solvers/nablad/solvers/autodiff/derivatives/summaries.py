"""Arrays in a few numbers, gathered while a graph runs block by block: nothing of N rows is ever whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nablad.solvers.autodiff.ops import Array

SMALL = 8
"""Arrays of at most so many elements are told element by element."""


@dataclass(frozen=True)
class Summary:
    """An array in a few numbers."""

    elements: tuple[float, ...]
    """All of them, row by row, where there are at most SMALL; else none."""
    smallest: float
    largest: float
    norm: float
    """The root of the sum of squares."""
    finite: bool


class Accumulator:
    """One array's summary from its row blocks, in whatever order they come."""

    def __init__(self) -> None:
        self._pieces: list[tuple[int, Array]] = []
        self._count = 0
        self._smallest, self._largest, self._norm, self._finite = math.inf, -math.inf, 0.0, True

    def add(self, start: int, block: Array) -> None:
        values = np.asarray(block, float).reshape(-1)
        if not values.size:
            return
        self._count += values.size
        if self._count <= SMALL:
            self._pieces.append((start, values.copy()))
        with np.errstate(all="ignore"):
            # fmin and fmax, so that one NaN does not hide the range; `finite` tells of it.
            self._smallest = min(self._smallest, float(np.fmin.reduce(values)))
            self._largest = max(self._largest, float(np.fmax.reduce(values)))
            self._finite = self._finite and bool(np.isfinite(values).all())
            self._norm = float(np.hypot(self._norm, _length(values)))

    def summary(self) -> Summary:
        elements: Sequence[float] = ()
        if self._count <= SMALL:
            ordered = sorted(self._pieces, key=lambda piece: piece[0])
            elements = [float(x) for _, values in ordered for x in values]
        if self._smallest > self._largest:  # not one number among them
            return Summary(tuple(elements), math.nan, math.nan, math.nan, False)
        return Summary(tuple(elements), self._smallest, self._largest, self._norm, self._finite)


def _length(values: Array) -> float:
    """Without overflow of the squares."""
    largest = float(np.max(np.abs(values)))
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    return largest * float(np.linalg.norm(values / largest))
