"""Functions that move numbers about, and arrays of one number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nablad.expressions.dimension import Shape
from nablad.expressions.symbol import Operand, Symbol, apply, lift

Range = tuple[int, int] | None


def rows() -> Symbol:
    """The number of data rows N, a scalar."""
    return apply("rows")


def eye(size: int) -> Symbol:
    return apply("eye", attributes=(size,))


def broadcast_to(x: Operand, shape: Shape) -> Symbol:
    return apply("broadcast_to", x, attributes=(tuple(shape),))


def reshape(x: Operand, shape: Shape) -> Symbol:
    return apply("reshape", x, attributes=(tuple(shape),))


def transpose(x: Operand, permutation: Sequence[int] | None = None) -> Symbol:
    """Axes permuted; reversed when no permutation is given."""
    node = lift(x)
    order = tuple(reversed(range(len(node.shape)))) if permutation is None else tuple(permutation)
    return apply("transpose", node, attributes=(order,))


def slice_of(x: Operand, ranges: Sequence[Range]) -> Symbol:
    """x[start:stop] in each axis, the whole axis where the range is None."""
    return apply("slice", x, attributes=(tuple(ranges),))


def scatter(pieces: Sequence[Operand], shape: Shape, places: Sequence[Sequence[Range]]) -> Symbol:
    """Zeros of the given shape, each piece added into its place: the adjoint of `slice_of`."""
    return apply("scatter", *pieces, attributes=(tuple(shape), tuple(tuple(place) for place in places)))


def concatenate(pieces: Sequence[Operand], axis: int) -> Symbol:
    rank = len(lift(pieces[0]).shape)
    return apply("concatenate", *pieces, attributes=(axis + rank if axis < 0 else axis,))


def zeros(shape: Shape) -> Symbol:
    return broadcast_to(np.float64(0.0), shape)


def ones(shape: Shape) -> Symbol:
    return broadcast_to(np.float64(1.0), shape)
