"""Copies of a few numbers each, all in one native call: numbers that several calls have left here and there, put
together. A copy by numpy costs as much as thirty of these."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nablad.solvers.autodiff.kernels.native import Native
from nablad.solvers.autodiff.kernels.sequence import NativeCall, address

Array = NDArray[Any]

EACH = 5.0
"""Nanoseconds, about."""
LINE = 8
"""Numbers in a line of a strip program (strips.py)."""
FIELDS = 15
"""Numbers in a task."""


def moves(code: Native, targets: Sequence[Array], pieces: Sequence[Array]) -> NativeCall:
    """Copy each piece to its target. All are of one dtype and gapless. A zero loses its sign, as in a sum with zero."""
    count = len(targets)
    zeros = np.zeros(max((x.size for x in pieces), default=0), targets[0].dtype if targets else None)
    lines = np.zeros((count, LINE), np.int64)
    lines[:, 0] = code.addresses["add"]
    lines[:, 1] = np.arange(count)
    lines[:, 2] = np.arange(count, 2 * count)
    lines[:, 3] = 2 * count
    lines[:, 6] = [x.size for x in pieces]
    places = np.array([address(x) for x in (*targets, *pieces, zeros)], np.int64)
    # A strip program without strips: what comes before the first one is all.
    task = np.zeros(FIELDS, np.int64)
    task[[1, 3, 4, 5, 11]] = 1, 1, count, address(lines), address(places)
    return NativeCall(
        code, code.addresses["run"], address(task), EACH * count, (task, lines, places, zeros, targets, pieces)
    )


def movable(arrays: Sequence[Array], dtype: np.dtype[Any]) -> bool:
    """Whether native code may copy them: of this dtype, without gaps."""
    return all(x.dtype == dtype and x.flags.c_contiguous for x in arrays)


def tiles(targets: Sequence[Array], out: Array) -> bool:
    """Whether gapless parts of a gapless array are all of it, none of them twice."""
    spans = sorted((start, start + x.nbytes) for x in targets if x.size for start in (address(x),))
    whole = sum(x.size for x in targets) == out.size
    return whole and all(before[1] == after[0] for before, after in pairwise(spans))
