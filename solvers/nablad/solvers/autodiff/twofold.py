r"""The gradient of an affine sum of squares in twice the working precision, by error-free transformations.

For r(theta) = r_0 + J theta with J and r_0 as they stand in float64, J'r is wanted although ||J'r|| may be far below
||J|| ||r||, and ||r|| far below ||J|| ||theta||: what float64 loses in both is what iterative refinement is to bring
back (Bjorck 1996, section 2.9; Higham 2002, chapter 12).

    a + b = s + e  exactly:  s = fl(a + b),  e from five more operations                     (Knuth 1969)
    a b   = p + e  exactly:  p = fl(a b),    e from the halves of a and b, 26 bits each      (Dekker 1971)

A sum or inner product whose errors e are summed beside it is as good as if it had been made in twice the precision and
then rounded (Ogita, Rump and Oishi 2005, Dot2). Sums here go by halves, so that whole arrays are worked on.
np.longdouble would do less: its 64 bits on x86 are eleven more, elsewhere none.

Single precision is simply widened: float64 has more than twice its digits.

Where there are kernels (kernels/twofold.py) a fused multiply-add takes the place of the halves, and sums go row by row.
Both ways agree to some units of the last place of twice the precision, relative to the sum of all magnitudes.

Cost: 21 operations for each entry of J by the kernel, about as long as it takes to read J from memory, and twice that
where J does not lie in rows and is copied; at 100,000 x 100 a small part of what its QR factorization takes. By numpy
about 60, all in cache, and twenty times as long. Memory: some blocks of 128 rows, or a quarter of a megabyte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from nablad.solvers.autodiff.gram import lies_in_rows
from nablad.solvers.autodiff.kernels.native import Native, available, native
from nablad.solvers.autodiff.kernels.sequence import address, call_once
from nablad.solvers.autodiff.kernels.vectors import LANES
from nablad.solvers.autodiff.ops import Array

Halves = tuple[Array, Array]

SPLITTER = 2.0**27 + 1.0
CHUNK_ROWS = 128
"""Rows of J worked on at a time: what is in use then fits a cache (at 100 columns, 1,000 rows take twice as long)."""
CHUNK_ENTRIES = 2**15
"""Entries of J copied to rows at a time for the kernel: a quarter of a megabyte, which fits the second-level cache."""
FEWEST_ROWS = 8
"""Of such a copy: what is read of each column is a line of the cache."""


def two_sum(a: Array, b: Array) -> Halves:
    """s and e with a + b = s + e exactly and s = fl(a + b)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def split(a: Array) -> Halves:
    """High and low halves of a, which sum to a, of 26 bits each."""
    t = SPLITTER * a
    high = t - (t - a)
    return high, a - high


def two_product(a: Array, b: Array, a_halves: Halves | None = None, b_halves: Halves | None = None) -> Halves:
    """p and e with a b = p + e exactly and p = fl(a b), unless something overflows or underflows."""
    a_high, a_low = a_halves or split(a)
    b_high, b_low = b_halves or split(b)
    p = a * b
    e = a_high * b_high
    e -= p
    e += a_high * b_low
    e += a_low * b_high
    e += a_low * b_low
    return p, e


def total(high: Array, low: Array) -> Halves:
    """The sum of high + low over the first axis, in twice the precision, as two arrays again. Overwrites both."""
    rows = high.shape[0]
    if not rows:
        return np.zeros(high.shape[1:]), np.zeros(high.shape[1:])
    while rows > 1:
        half = rows // 2
        top, bottom = slice(0, half), slice(rows - half, rows)
        s, e = two_sum(high[top], high[bottom])
        e += low[bottom]
        low[top] += e
        high[top] = s
        rows -= half
    return high[0], low[0]


Parts = Callable[[Array, Array], Iterator[Halves]]
"""The terms of J'(r_0 + J theta) of a block, from J transposed (p, m) and r_0 (m,)."""


def numpy_parts(theta: Array) -> Parts:
    """By numpy, a term for each chunk of rows."""
    column = theta[:, None]
    column_halves = split(column)

    def parts(transposed: Array, residual: Array) -> Iterator[Halves]:
        for start in range(0, residual.shape[0], CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            J = np.array(transposed[:, rows], np.float64)
            halves = split(J)
            # The rows' residuals, each a sum over p parameters and r_0.
            model, model_low = total(*two_product(J, column, halves, column_halves))
            r, r_low = two_sum(np.array(residual[rows], np.float64), model)
            r, r_low = two_sum(r, r_low + model_low)
            p, e = two_product(J, r, halves)
            e += J * r_low
            yield total(np.ascontiguousarray(p.T), np.ascontiguousarray(e.T))

    return parts


def native_parts(theta: Array) -> Parts:
    """By the kernel, one term for the block: its rows are read where they lie, or copied to rows by chunks. There is at
    least one parameter."""
    code = native("float64")
    p, lanes = theta.size, LANES["float64"].count
    width = -(-p // lanes) * lanes
    padded = np.zeros(width)
    padded[:p] = theta
    # Whole groups of the kernel's rows: bits then do not depend on how J lies in memory.
    chunk = max(FEWEST_ROWS, CHUNK_ENTRIES // p // FEWEST_ROWS * FEWEST_ROWS)

    def parts(transposed: Array, residual: Array) -> Iterator[Halves]:
        m = residual.shape[0]
        if transposed.shape != (p, m):
            raise ValueError(f"a block of shape {transposed.shape} is not that of {p} parameters and {m} residuals")
        as_it_lies = lies_in_rows(transposed, np.dtype(np.float64))
        length = max(m, 1) if as_it_lies else chunk
        high, low = np.zeros(width), np.zeros(width)
        for start in range(0, m, length):
            rows = slice(start, start + length)
            J = transposed[:, rows].T if as_it_lies else np.array(transposed[:, rows].T, np.float64, order="C")
            _add_block(code, J, np.ascontiguousarray(residual[rows], np.float64), padded, high, low)
        yield high[:p], low[:p]

    return parts


def _add_block(code: Native, J: Array, residual: Array, theta: Array, high: Array, low: Array) -> None:
    """high + low += J'(residual + J theta), without the interpreter's lock; theta, high and low of whole vectors."""
    m, p = J.shape
    task = [address(J), J.strides[0] // J.itemsize, m, p, *map(address, (residual, theta, high, low))]
    call_once(code, "twofold", task)


class TwofoldFold:
    """J'(r_0 + J theta) by stripes, from blocks of J transposed (p, m) and of r_0 (m,)."""

    def __init__(self, theta: Array, stripes: int) -> None:
        theta = np.asarray(theta, np.float64)
        self._parts = native_parts(theta) if theta.size and available() else numpy_parts(theta)
        self._high = [np.zeros(theta.size) for _ in range(stripes + 1)]
        self._low = [np.zeros(theta.size) for _ in range(stripes + 1)]

    def add(self, stripe: int, transposed: Array, residual: Array) -> None:
        """`transposed` (p, m), `residual` (m,): r_0 of these rows."""
        for part, part_low in self._parts(transposed, residual):
            _accumulate(self._high[stripe], self._low[stripe], part, part_low)

    def result(self) -> Array:
        """J'r, shape (p,), rounded to float64."""
        high, low = self._high[0], self._low[0]
        for more, more_low in zip(self._high[1:], self._low[1:], strict=True):
            _accumulate(high, low, more, more_low)
        return np.asarray(high + low)


def _accumulate(high: Array, low: Array, part: Array, part_low: Array) -> None:
    s, e = two_sum(high, part)
    low += e + part_low
    np.copyto(high, s)
