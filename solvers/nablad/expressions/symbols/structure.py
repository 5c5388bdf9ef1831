"""Functions that move numbers about, and arrays of one number.

Those with a name of numpy's take numpy's arguments. What numpy returns as a view costs nothing here either: `flip`,
`swapaxes` and the like are slices and permutations, which a plan turns into views.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nablad.expressions.dimension import ROWS, Dimension, Shape, ShapeError, describe, row_size
from nablad.expressions.symbol import Operand, Symbol, apply, lift
from nablad.expressions.symbols.axes import axes_of, axis_of

Range = tuple[int, int] | tuple[int, int, int] | None
"""What is read along an axis: all of it, or what Python's range(start, stop, step) counts."""

MOST_REPEATS = 1 << 24
"""What `repeat` may read by a list of counts, which makes a constant as long."""


def rows() -> Symbol:
    """The number of data rows N, a scalar."""
    return apply("rows")


def eye(size: int) -> Symbol:
    return apply("eye", attributes=(size,))


def zeros(shape: Shape) -> Symbol:
    return broadcast_to(np.float64(0.0), shape)


def ones(shape: Shape) -> Symbol:
    return broadcast_to(np.float64(1.0), shape)


# shapes


def broadcast_to(x: Operand, shape: Shape) -> Symbol:
    return apply("broadcast_to", x, attributes=(tuple(shape),))


def reshape(x: Operand, shape: Dimension | Shape) -> Symbol:
    """The same numbers in row-major order. One dimension may be -1: it takes what is left."""
    node = lift(x)
    wanted: Shape = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    if any(d == -1 for d in wanted):
        wanted = _completed(node.shape, wanted)
    return apply("reshape", node, attributes=(wanted,))


def _completed(shape: Shape, wanted: Shape) -> Shape:
    known = tuple(d for d in wanted if d != -1)
    (power, size), (known_power, known_size) = row_size(shape), row_size(known)
    left: Dimension | None = None
    if len(known) == len(wanted) - 1 and known_size and size % known_size == 0:
        if power == known_power:
            left = size // known_size
        elif power == known_power + 1 and size == known_size:
            left = ROWS
    if left is None:
        advice = "; the axis N of the data rows cannot be joined with another" if power > known_power else ""
        raise ShapeError("reshape", (shape,), f"no length in place of -1 makes {describe(wanted)} fit{advice}")
    return tuple(left if d == -1 else d for d in wanted)


def ravel(x: Operand) -> Symbol:
    """All numbers in one axis, in row-major order."""
    return reshape(x, (-1,))


def squeeze(x: Operand, axis: int | Sequence[int] | None = None) -> Symbol:
    """Without axes of length 1: all of them, or those given."""
    node = lift(x)
    if axis is None:
        gone: tuple[int, ...] = tuple(k for k, d in enumerate(node.shape) if d == 1)
    else:
        gone = axes_of("squeeze", axis, node.shape)
        if any(node.shape[k] != 1 for k in gone):
            raise ShapeError("squeeze", (node.shape,), f"axes {gone} are not all of length 1")
    return reshape(node, tuple(d for k, d in enumerate(node.shape) if k not in gone))


def expand_dims(x: Operand, axis: int | Sequence[int]) -> Symbol:
    """With new axes of length 1 at these places of the result."""
    node = lift(x)
    count = len(axis) if isinstance(axis, Sequence) else 1
    new = axes_of("expand_dims", axis, (1,) * (len(node.shape) + count))
    old = iter(node.shape)
    return reshape(node, tuple(1 if k in new else next(old) for k in range(len(node.shape) + count)))


def transpose(x: Operand, permutation: Sequence[int] | None = None) -> Symbol:
    """Axes permuted; reversed when no permutation is given."""
    node = lift(x)
    if permutation is None:
        order = tuple(reversed(range(len(node.shape))))
    else:
        order = axes_of("transpose", tuple(permutation), node.shape)
    return apply("transpose", node, attributes=(order,))


def swapaxes(x: Operand, axis1: int, axis2: int) -> Symbol:
    node = lift(x)
    order = list(range(len(node.shape)))
    first, second = axis_of("swapaxes", axis1, node.shape), axis_of("swapaxes", axis2, node.shape)
    order[first], order[second] = second, first
    return transpose(node, order)


def moveaxis(x: Operand, source: int | Sequence[int], destination: int | Sequence[int]) -> Symbol:
    """Axes `source` put at the places `destination`, the others kept in order."""
    node = lift(x)
    moved, places = axes_of("moveaxis", source, node.shape), axes_of("moveaxis", destination, node.shape)
    if len(moved) != len(places):
        raise ShapeError("moveaxis", (node.shape,), f"{len(moved)} axes cannot go to {len(places)} places")
    order = [axis for axis in range(len(node.shape)) if axis not in moved]
    for place, axis in sorted(zip(places, moved, strict=True)):
        order.insert(place, axis)
    return transpose(node, order)


# reads


def slice_of(x: Operand, ranges: Sequence[Range]) -> Symbol:
    """What the ranges read, one for each axis; a range of step 1 is written without it."""
    plain = tuple(bounds[:2] if bounds is not None and bounds[2:] == (1,) else bounds for bounds in ranges)
    return apply("slice", x, attributes=(plain,))


def _along(x: Operand, axis: int, bounds: Range) -> Symbol:
    node = lift(x)
    return slice_of(node, [bounds if k == axis else None for k in range(len(node.shape))])


def _size(op: str, shape: Shape, axis: int) -> int:
    size = shape[axis]
    if size is ROWS:
        raise ShapeError(op, (shape,), f"axis {axis} runs over the data rows, which stay as they are")
    return size


def flip(x: Operand, axis: int | Sequence[int] | None = None) -> Symbol:
    """Read backwards along these axes, along all of them for None."""
    node = lift(x)
    flipped = axes_of("flip", axis, node.shape)
    ends = [_size("flip", node.shape, k) - 1 if k in flipped else None for k in range(len(node.shape))]
    return slice_of(node, [None if end is None else (0, 0) if end < 0 else (end, -1, -1) for end in ends])


def scatter(pieces: Sequence[Operand], shape: Shape, places: Sequence[Sequence[Range]]) -> Symbol:
    """Zeros of the given shape, each piece added into its place: the adjoint of `slice_of`."""
    return apply("scatter", *pieces, attributes=(tuple(shape), tuple(tuple(place) for place in places)))


def take(x: Operand, index: Operand, axis: int | None = None) -> Symbol:
    """x[index] along an axis, of x in one axis for None: shape before the axis + index.shape + shape after it.

    The index is a constant, or an operand of whole numbers (a data column of groups, say); it is not differentiated.
    Negative ones count from the end. A constant index that does not fit raises IndexError; elsewhere it reads NaN.
    """
    node = ravel(x).node if axis is None else lift(x)
    place = 0 if axis is None else axis_of("take", axis, node.shape)
    if not isinstance(index, Symbol) and np.asarray(index, object if index is None else None).dtype == np.bool_:
        raise IndexError("take reads at whole numbers; turn a mask into them with np.flatnonzero")
    where = lift(index)
    if where.op == "constant" and place < len(node.shape):
        size, wanted = _size("take", node.shape, place), where.value
        wrong = wanted[(wanted != np.floor(wanted)) | (wanted < -size) | (wanted >= size)]
        if wrong.size:
            raise IndexError(f"take: {wrong[0]:g} is not a whole number within an axis of length {size}")
    return apply("take", node, where, attributes=(place,))


# diagonals and triangles


def diagonal(x: Operand, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Symbol:
    """The diagonals of the matrices in two axes, as a new last axis; `offset` counts to the right of the main one."""
    node = lift(x)
    rest, matrix = _pair("diagonal", node.shape, axis1, axis2)
    moved = transpose(node, [*rest, *matrix])
    if offset:
        height, width = (_size("diagonal", node.shape, k) for k in matrix)
        down, right = min(max(-offset, 0), height), min(max(offset, 0), width)
        moved = slice_of(moved, [*(None for _ in rest), (down, height), (right, width)])
    return apply("diagonal", moved)


def _pair(op: str, shape: Shape, axis1: int, axis2: int) -> tuple[list[int], tuple[int, int]]:
    first, second = axes_of(op, (axis1, axis2), shape)
    return [k for k in range(len(shape)) if k not in (first, second)], (first, second)


def diag(x: Operand, offset: int = 0) -> Symbol:
    """The matrix with a given diagonal, for a vector; the diagonal, for a matrix."""
    node = lift(x)
    if len(node.shape) == 2:
        return diagonal(node, offset)
    if len(node.shape) != 1:
        raise ShapeError("diag", (node.shape,), "needs a vector or a matrix")
    size = _size("diag", node.shape, 0)
    if not offset:
        return apply("diag", node)
    down, right, total = max(-offset, 0), max(offset, 0), size + abs(offset)
    return scatter([apply("diag", node)], (total, total), [((down, down + size), (right, right + size))])


def trace(x: Operand, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Symbol:
    """The sum of the diagonal of the matrices in two axes."""
    entries = diagonal(x, offset, axis1, axis2)
    return apply("sum", entries, attributes=((entries.ndim - 1,), False))


def tril(x: Operand, offset: int = 0) -> Symbol:
    """Zeros above the diagonal `offset` to the right of the main one; of stacks of matrices too."""
    return apply("tril", x, attributes=(operator.index(offset),))


def triu(x: Operand, offset: int = 0) -> Symbol:
    """Zeros below the diagonal `offset` to the right of the main one; of stacks of matrices too."""
    return apply("triu", x, attributes=(operator.index(offset),))


# several arrays, several times


def concatenate(pieces: Sequence[Operand], axis: int | None = 0) -> Symbol:
    """Pieces end to end along an axis, which is not that of the data rows; flat ones for None."""
    nodes = [ravel(piece).node for piece in pieces] if axis is None else [lift(piece) for piece in pieces]
    if not nodes:
        raise ShapeError("concatenate", (), "needs at least one array")
    place = axis_of("concatenate", 0 if axis is None else axis, nodes[0].shape)
    return apply("concatenate", *nodes, attributes=(place,))


def stack(pieces: Sequence[Operand], axis: int = 0) -> Symbol:
    """Pieces of one shape side by side along a new axis of the result."""
    return concatenate([expand_dims(piece, axis) for piece in pieces], axis)


def vstack(pieces: Sequence[Operand]) -> Symbol:
    """Pieces on top of one another; vectors are rows."""
    return concatenate([_at_least(piece, 2) for piece in pieces], 0)


def hstack(pieces: Sequence[Operand]) -> Symbol:
    """Pieces beside one another: along the second axis, vectors along their own."""
    nodes = [_at_least(piece, 1).node for piece in pieces]
    return concatenate(nodes, 0 if nodes and len(nodes[0].shape) == 1 else 1)


def _at_least(x: Operand, rank: int) -> Symbol:
    node = lift(x)
    return reshape(node, ((1,) * (rank - len(node.shape)) + node.shape)) if len(node.shape) < rank else Symbol(node)


def roll(x: Operand, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Symbol:
    """Numbers moved on by `shift` places, those that leave an axis entering at its start; flat for no axis."""
    node = lift(x)
    if axis is None:
        if isinstance(shift, Sequence):
            return roll(x, builtins.sum(shift))
        return reshape(roll(ravel(node), shift, 0), node.shape)
    axes = list(axis) if isinstance(axis, Sequence) else [axis]
    shifts = list(shift) if isinstance(shift, Sequence) else [shift] * len(axes)
    rolled = Symbol(node)
    for one, places in zip(axes if len(axes) > 1 else axes * len(shifts), shifts, strict=True):
        place = axis_of("roll", one, node.shape)
        size = _size("roll", node.shape, place)
        cut = -places % size if size else 0
        if cut:
            rolled = concatenate([_along(rolled, place, (cut, size)), _along(rolled, place, (0, cut))], place)
    return rolled


def tile(x: Operand, repetitions: int | Sequence[int]) -> Symbol:
    """The array laid out again and again along each axis, the last ones for fewer counts than axes."""
    counts = tuple(repetitions) if isinstance(repetitions, Sequence) else (repetitions,)
    node = _at_least(x, len(counts)).node
    counts = (1,) * (len(node.shape) - len(counts)) + counts
    for axis, count in enumerate(counts):
        if count != 1:
            node = _repeated(node, axis, count, before=True).node
    return Symbol(node)


def repeat(x: Operand, repeats: int | Sequence[int] | NDArray[np.integer[Any]], axis: int | None = None) -> Symbol:
    """Each number (or each slice of an axis) so many times in a row: one count for all, or one for each."""
    node = ravel(x).node if axis is None else lift(x)
    place = 0 if axis is None else axis_of("repeat", axis, node.shape)
    if isinstance(repeats, Sequence | np.ndarray):
        size, counts = _size("repeat", node.shape, place), [operator.index(count) for count in repeats]
        if len(counts) != size or min(counts, default=0) < 0 or builtins.sum(counts) > MOST_REPEATS:
            wanted = f"{size} counts from 0 whose sum is at most {MOST_REPEATS:,}"
            raise ShapeError("repeat", (node.shape,), f"axis {place} needs {wanted}")
        return take(node, np.repeat(np.arange(size), counts), place)
    return _repeated(node, place, repeats, before=False)


def _repeated(x: Operand, axis: int, count: int, before: bool) -> Symbol:
    node = lift(x)
    size = _size("repeat", node.shape, axis)
    head, tail = node.shape[:axis], node.shape[axis + 1 :]
    split, stretched = ((1, size), (count, size)) if before else ((size, 1), (size, count))
    spread = broadcast_to(reshape(node, (*head, *split, *tail)), (*head, *stretched, *tail))
    return reshape(spread, (*head, size * count, *tail))
