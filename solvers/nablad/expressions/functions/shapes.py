"""Functions that move numbers about, with numpy's signatures."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from nablad.expressions import symbols as s
from nablad.expressions.dimension import ROWS as ALL_ROWS
from nablad.expressions.dimension import Dimension, ShapeError, broadcast
from nablad.expressions.functions.arguments import axis_of, filled_in, shape_of, whole, wholes
from nablad.expressions.functions.row import Function
from nablad.expressions.graph import Node
from nablad.expressions.symbol import Operand, Symbol, lift, number


def reshape(x: Operand, *shape: Any) -> Symbol:
    node = number(x)
    target = shape_of(shape[0] if len(shape) == 1 else list(shape))
    return s.reshape(node, filled_in(target, node.shape))


def ravel(x: Operand) -> Symbol:
    return reshape(x, -1)


def transpose(x: Operand, *axes: Any) -> Symbol:
    node = number(x)
    rank = len(node.shape)
    if not axes or axes == (None,):
        return s.transpose(node)
    order = wholes(axes[0] if len(axes) == 1 else list(axes), "axes")
    return s.transpose(node, [axis_of(axis, rank, "transpose", [node.shape]) for axis in order])


def swapaxes(x: Operand, axis1: int, axis2: int) -> Symbol:
    node = number(x)
    rank = len(node.shape)
    order = list(range(rank))
    a, b = (axis_of(axis, rank, "swapaxes", [node.shape]) for axis in (axis1, axis2))
    order[a], order[b] = order[b], order[a]
    return s.transpose(node, order)


def moveaxis(x: Operand, source: Any, destination: Any) -> Symbol:
    node = number(x)
    rank = len(node.shape)
    sources, targets = (
        [axis_of(axis, rank, "moveaxis", [node.shape]) for axis in wholes(given, "axis")]
        for given in (source, destination)
    )
    if len(set(sources)) != len(sources) or len(set(targets)) != len(targets) or len(sources) != len(targets):
        raise ShapeError("moveaxis", [node.shape], f"axes {sources} cannot go to {targets}")
    order = [axis for axis in range(rank) if axis not in sources]
    for target, axis in sorted(zip(targets, sources, strict=True)):
        order.insert(target, axis)
    return s.transpose(node, order)


def expand_dims(x: Operand, axis: Any) -> Symbol:
    node = number(x)
    axes = wholes(axis, "axis")
    rank = len(node.shape) + len(axes)
    places = {axis_of(a, rank, "expand_dims", [node.shape]) for a in axes}
    if len(places) != len(axes):
        raise ShapeError("expand_dims", [node.shape], f"axis {axis} names an axis twice")
    lengths = iter(node.shape)
    return s.reshape(node, tuple(1 if k in places else next(lengths) for k in range(rank)))


def squeeze(x: Operand, axis: Any = None) -> Symbol:
    node = number(x)
    rank = len(node.shape)
    ones = [k for k, d in enumerate(node.shape) if d == 1]
    chosen = ones if axis is None else [axis_of(a, rank, "squeeze", [node.shape]) for a in wholes(axis, "axis")]
    if not set(chosen) <= set(ones):
        raise ShapeError("squeeze", [node.shape], f"axis {axis} is not of length 1")
    return s.reshape(node, tuple(d for k, d in enumerate(node.shape) if k not in chosen))


def with_rank(x: Operand, rank: int) -> Symbol:
    """Axes of length 1 added as numpy's atleast functions add them."""
    node = number(x)
    shape = node.shape
    if rank >= 1 and not shape:
        shape = (1,)
    if rank >= 2 and len(shape) == 1:
        shape = (1, *shape)
    return s.reshape(node, shape)


def flip(x: Operand, axis: Any = None) -> Symbol:
    node = number(x)
    rank = len(node.shape)
    axes = range(rank) if axis is None else [axis_of(a, rank, "flip", [node.shape]) for a in wholes(axis, "axis")]
    return Symbol(node)[tuple(builtins.slice(None, None, -1 if k in axes else 1) for k in range(rank))]


def roll(x: Operand, shift: int, axis: int | None = None) -> Symbol:
    node = number(x)
    if axis is None:
        return s.reshape(roll(ravel(node), shift, 0), node.shape)
    axis = axis_of(axis, len(node.shape), "roll", [node.shape])
    length = known(node, axis, "roll")
    cut = -whole(shift, "shift") % length if length else 0
    return concatenate([part(node, axis, cut, length), part(node, axis, 0, cut)], axis)


def known(node: Node, axis: int, op: str) -> int:
    """An axis's length. Raises ShapeError where it is the number of data rows."""
    length = node.shape[axis]
    if length is ALL_ROWS:
        raise ShapeError(op, [node.shape], "is not possible along the data rows")
    return length


def part(x: Operand, axis: int, start: int, stop: int) -> Symbol:
    node = number(x)
    return s.slice_of(node, [(start, stop) if k == axis else None for k in range(len(node.shape))])


def sequence(pieces: Any, what: str) -> list[Node]:
    """The pieces to join; an array is the sequence of its rows."""
    if not isinstance(pieces, list | tuple):
        pieces = list(Symbol(lift(pieces)))
    if not pieces:
        raise ValueError(f"{what} needs at least one array")
    return [number(piece) for piece in pieces]


def concatenate(arrays: Any, axis: int | None = 0) -> Symbol:
    pieces = sequence(arrays, "concatenate")
    if axis is None:
        pieces, axis = [ravel(piece).node for piece in pieces], 0
    shapes = [piece.shape for piece in pieces]
    return s.concatenate(pieces, axis_of(axis, len(shapes[0]), "concatenate", shapes))


def stack(arrays: Any, axis: int = 0) -> Symbol:
    pieces = sequence(arrays, "stack")
    shapes = [piece.shape for piece in pieces]
    return s.stack(pieces, axis_of(axis, len(shapes[0]) + 1, "stack", shapes))


def hstack(arrays: Any) -> Symbol:
    pieces = [with_rank(piece, 1) for piece in sequence(arrays, "hstack")]
    return concatenate(pieces, 0 if pieces[0].node.shape[1:] == () else 1)


def vstack(arrays: Any) -> Symbol:
    return concatenate([with_rank(piece, 2) for piece in sequence(arrays, "vstack")], 0)


def column_stack(arrays: Any) -> Symbol:
    pieces = sequence(arrays, "column_stack")
    return concatenate([expand_dims(with_rank(p, 1), 1) if len(p.shape) < 2 else Symbol(p) for p in pieces], 1)


def append(x: Operand, values: Operand, axis: int | None = None) -> Symbol:
    return concatenate([x, values], axis)


def split(x: Operand, sections: Any, axis: int = 0) -> list[Symbol]:
    node = number(x)
    axis = axis_of(axis, len(node.shape), "split", [node.shape])
    length = known(node, axis, "split")
    if isinstance(sections, list | tuple):
        cuts = [min(max(cut + length if cut < 0 else cut, 0), length) for cut in wholes(sections, "sections")]
    else:
        count = whole(sections, "sections")
        if count < 1 or length % count:
            raise ShapeError("split", [node.shape], f"axis {axis} cannot be divided into {count} equal parts")
        cuts = [k * (length // count) for k in range(1, count)]
    bounds = [0, *cuts, length]
    return [part(node, axis, a, max(a, b)) for a, b in pairwise(bounds)]


def repeat(x: Operand, repeats: int, axis: int | None = None) -> Symbol:
    node = ravel(x).node if axis is None else number(x)
    axis = axis_of(0 if axis is None else axis, len(node.shape), "repeat", [node.shape])
    count = whole(repeats, "repeats")
    length = known(node, axis, "repeat")
    stretched = broadcast_to(expand_dims(node, axis + 1), (*node.shape[: axis + 1], count, *node.shape[axis + 1 :]))
    return s.reshape(stretched, (*node.shape[:axis], length * count, *node.shape[axis + 1 :]))


def tile(x: Operand, reps: Any) -> Symbol:
    result = Symbol(number(x))
    counts = wholes(reps, "reps")
    rank = max(len(result.node.shape), len(counts))
    result = s.reshape(result, (1,) * (rank - len(result.node.shape)) + result.node.shape)
    for axis, count in enumerate((1,) * (rank - len(counts)) + counts):
        if count != 1:
            length = known(result.node, axis, "tile")
            shape = result.node.shape
            wide = broadcast_to(expand_dims(result, axis), (*shape[:axis], count, *shape[axis:]))
            result = s.reshape(wide, (*shape[:axis], count * length, *shape[axis + 1 :]))
    return result


def broadcast_to(x: Operand, shape: Any) -> Symbol:
    return s.broadcast_to(number(x), shape_of(shape))


def broadcast_arrays(*arrays: Operand) -> tuple[Symbol, ...]:
    nodes = [number(array) for array in arrays]
    shape = broadcast("broadcast_arrays", [node.shape for node in nodes])
    return tuple(s.broadcast_to(node, shape) for node in nodes)


def meshgrid(*axes: Operand, indexing: str = "xy") -> tuple[Symbol, ...]:
    if indexing not in ("xy", "ij"):
        raise ValueError(f'indexing is "xy" or "ij", not {indexing!r}')
    rank = len(axes)
    lines = [reshape(ravel(x), *((1,) * k), -1, *((1,) * (rank - k - 1))) for k, x in enumerate(axes)]
    grids = broadcast_arrays(*lines)
    return tuple(swapaxes(grid, 0, 1) for grid in grids) if indexing == "xy" and rank > 1 else grids


def take(x: Operand, indices: Any, axis: int | None = None) -> Symbol:
    node = ravel(x).node if axis is None else number(x)
    axis = axis_of(0 if axis is None else axis, len(node.shape), "take", [node.shape])
    return Symbol(node)[(builtins.slice(None),) * axis + (indices,)]


def diag(x: Operand, k: int = 0) -> Symbol:
    node = number(x)
    if len(node.shape) == 2:
        return diagonal(node, k)
    if len(node.shape) != 1:
        raise ShapeError("diag", [node.shape], "needs a vector or a matrix")
    offset = whole(k, "k")
    square = s.diag(node)
    if not offset:
        return square
    size = known(node, 0, "diag") + abs(offset)
    corner = (max(-offset, 0), max(offset, 0))
    place = [(start, start + size - abs(offset)) for start in corner]
    return s.scatter([square], (size, size), [place])


def diagonal(x: Operand, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Symbol:
    node = number(x)
    if len(node.shape) < 2:
        raise ShapeError("diagonal", [node.shape], "needs a matrix")
    last = moveaxis(node, (axis1, axis2), (-2, -1))
    k = whole(offset, "offset")
    rows, columns = (known(last.node, axis, "diagonal") for axis in (len(node.shape) - 2, len(node.shape) - 1))
    cut = part(part(last, last.ndim - 2, min(max(-k, 0), rows), rows), last.ndim - 1, min(max(k, 0), columns), columns)
    return s.diagonal(cut)


def trace(x: Operand, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Symbol:
    return s.sum(diagonal(x, offset, axis1, axis2), [-1])


def triangle(name: str) -> Callable[..., Symbol]:
    def call(x: Operand, k: int = 0) -> Symbol:
        result: Symbol = getattr(s, name)(number(x), whole(k, "k"))
        return result

    return call


def filled(value: float) -> Callable[..., Symbol]:
    def like(x: Operand) -> Symbol:
        return s.broadcast_to(value, number(x).shape)

    return like


def full_like(x: Operand, fill_value: Operand) -> Symbol:
    return s.broadcast_to(number(fill_value), number(x).shape)


def astype(x: Operand, dtype: Any = float) -> Symbol:
    if np.dtype(dtype).kind not in "f":
        raise TypeError(f"an expression is of real numbers: it cannot become {np.dtype(dtype)}")
    return Symbol(number(x))


def item(x: Operand, *place: Any) -> Symbol:
    if place:
        return ravel(x)[place[0]] if len(place) == 1 else Symbol(number(x))[place]
    return reshape(x, ())


def size(x: Operand, axis: int | None = None) -> Any:
    lengths: Sequence[Dimension] = number(x).shape
    if axis is not None:
        lengths = [lengths[axis_of(axis, len(lengths), "size", [tuple(lengths)])]]
    count = math.prod(d for d in lengths if d is not ALL_ROWS)
    powers = [s.rows() for d in lengths if d is ALL_ROWS]
    return math.prod(powers, start=count) if powers else count


ROWS: tuple[Function, ...] = (
    Function("reshape", reshape, "the numbers in another shape, in order; one length may be -1"),
    Function("ravel", ravel, "all numbers in one axis", ("flatten",)),
    Function("transpose", transpose, "axes reversed, or in the order given", ("permute_dims",)),
    Function("swapaxes", swapaxes, "two axes exchanged"),
    Function("moveaxis", moveaxis, "axes moved to other places"),
    Function("expand_dims", expand_dims, "axes of length 1 added"),
    Function("squeeze", squeeze, "axes of length 1 removed"),
    Function("atleast_1d", lambda x: with_rank(x, 1), "a scalar as a vector"),
    Function("atleast_2d", lambda x: with_rank(x, 2), "a vector as a row"),
    Function("flip", flip, "an axis backwards"),
    Function("flipud", lambda x: flip(x, 0), "the first axis backwards"),
    Function("fliplr", lambda x: flip(x, 1), "the second axis backwards"),
    Function("roll", roll, "shifted, what leaves at one end enters at the other"),
    Function("concatenate", concatenate, "arrays one after the other along an axis", ("concat",)),
    Function("stack", stack, "arrays side by side along a new axis"),
    Function("hstack", hstack, "arrays side by side"),
    Function("vstack", vstack, "arrays one below the other", ("row_stack",)),
    Function("column_stack", column_stack, "vectors as the columns of a matrix"),
    Function("append", append, "two arrays one after the other"),
    Function("split", split, "equal parts of an axis, or its parts between the places given"),
    Function("repeat", repeat, "each number several times"),
    Function("tile", tile, "the whole array several times"),
    Function("broadcast_to", broadcast_to, "stretched to a shape"),
    Function("broadcast_arrays", broadcast_arrays, "stretched to their common shape"),
    Function("meshgrid", meshgrid, "the coordinates of a grid"),
    Function("take", take, "the elements at whole-number indices"),
    Function("diag", diag, "a vector as a diagonal matrix, or a matrix's diagonal"),
    Function("diagonal", diagonal, "a matrix's diagonal", ("linalg.diagonal",)),
    Function("trace", trace, "the sum of the diagonal", ("linalg.trace",)),
    Function("tril", triangle("tril"), "the lower triangle, zeros above"),
    Function("triu", triangle("triu"), "the upper triangle, zeros below"),
    Function("zeros_like", filled(0.0), "zeros in the shape of x"),
    Function("ones_like", filled(1.0), "ones in the shape of x"),
    Function("full_like", full_like, "one value in the shape of x"),
    Function("size", size, "the number of elements"),
)
