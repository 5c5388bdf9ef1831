"""Functions that move numbers about, with numpy's signatures."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from itertools import pairwise
from typing import Any

import numpy as np

from nablad.expressions import symbols as s
from nablad.expressions.dimension import ROWS as ALL_ROWS
from nablad.expressions.dimension import ShapeError, broadcast
from nablad.expressions.functions.arguments import shape_of, whole, wholes
from nablad.expressions.functions.row import Function
from nablad.expressions.graph import Node
from nablad.expressions.symbol import Operand, Symbol, lift, number
from nablad.expressions.symbols.axes import axis_of


def moved(name: str) -> Callable[..., Symbol]:
    """The function of symbols of this name, whose arguments are numpy's."""
    move: Callable[..., Symbol] = getattr(s, name)

    @wraps(move)
    def call(x: Operand, *arguments: Any, **keywords: Any) -> Symbol:
        return move(number(x), *arguments, **keywords)

    return call


def joined(name: str) -> Callable[..., Symbol]:
    """The function of symbols of this name that joins several arrays; one array is the sequence of its parts."""
    join: Callable[..., Symbol] = getattr(s, name)

    @wraps(join)
    def call(pieces: Any, *arguments: Any, **keywords: Any) -> Symbol:
        return join(_sequence(pieces, name), *arguments, **keywords)

    return call


def _sequence(pieces: Any, what: str) -> list[Node]:
    if not isinstance(pieces, list | tuple):
        pieces = list(Symbol(lift(pieces)))
    if not pieces:
        raise ValueError(f"{what} needs at least one array")
    return [number(piece) for piece in pieces]


def reshape(x: Operand, *lengths: Any, shape: Any = None) -> Symbol:
    return s.reshape(number(x), shape_of(_one_or_many(lengths, shape, "shape")))


def transpose(x: Operand, *order: Any, axes: Any = None) -> Symbol:
    wanted = _one_or_many(order, axes, "axes") if order not in ((), (None,)) else axes
    return s.transpose(number(x), None if wanted is None else wholes(wanted, "axes"))


def _one_or_many(given: tuple[Any, ...], named: Any, name: str) -> Any:
    """What f(x, 2, 3), f(x, (2, 3)) and f(x, name=(2, 3)) mean alike."""
    if (named is None) == (not given):
        raise TypeError(f"{name} is needed, once: one after the other, or as {name}=(...)")
    return named if not given else given[0] if len(given) == 1 else list(given)


def with_rank(x: Operand, rank: int) -> Symbol:
    """Axes of length 1 added in front, up to a rank."""
    node = number(x)
    return s.reshape(node, (1,) * (rank - len(node.shape)) + node.shape)


def part(x: Operand, axis: int, start: int, stop: int) -> Symbol:
    """x[start:stop] along one axis."""
    node = number(x)
    return s.slice_of(node, [(start, stop) if k == axis else None for k in range(len(node.shape))])


def known(node: Node, axis: int, op: str) -> int:
    """An axis's length. Raises ShapeError where it is the number of data rows."""
    length = node.shape[axis]
    if length is ALL_ROWS:
        raise ShapeError(op, [node.shape], "is not possible along the data rows")
    return length


def column_stack(arrays: Any) -> Symbol:
    pieces = [with_rank(piece, 1) for piece in _sequence(arrays, "column_stack")]
    return s.concatenate([s.expand_dims(piece, 1) if piece.ndim < 2 else piece for piece in pieces], 1)


def block(arrays: Any) -> Symbol:
    """A matrix of blocks: a list of rows of blocks, or one row."""
    if not isinstance(arrays, list):
        return Symbol(number(arrays))
    if any(isinstance(row, list) for row in arrays):
        return s.concatenate([with_rank(block(row), 2) for row in arrays], -2)
    blocks = [number(piece) for piece in arrays]
    rank = max((len(piece.shape) for piece in blocks), default=0)
    return s.concatenate([with_rank(piece, max(rank, 1)) for piece in blocks], -1)


def append(x: Operand, values: Operand, axis: int | None = None) -> Symbol:
    return s.concatenate([number(x), number(values)], axis)


def split(x: Operand, indices_or_sections: Any, axis: int = 0) -> list[Symbol]:
    node = number(x)
    place = axis_of("split", whole(axis, "axis"), node.shape)
    length = known(node, place, "split")
    if isinstance(indices_or_sections, list | tuple | np.ndarray):
        places = wholes(indices_or_sections, "indices_or_sections")
        cuts = [min(max(cut + length if cut < 0 else cut, 0), length) for cut in places]
    else:
        count = whole(indices_or_sections, "indices_or_sections")
        if count < 1 or length % count:
            raise ShapeError("split", [node.shape], f"axis {axis} cannot be divided into {count} equal parts")
        cuts = [k * (length // count) for k in range(1, count)]
    return [part(node, place, start, max(start, stop)) for start, stop in pairwise([0, *cuts, length])]


def tile(x: Operand, reps: Any) -> Symbol:
    return s.tile(number(x), wholes(reps, "reps"))


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
    lines = [s.reshape(number(x), (1,) * k + (-1,) + (1,) * (rank - k - 1)) for k, x in enumerate(axes)]
    grids = broadcast_arrays(*lines)
    return tuple(s.swapaxes(grid, 0, 1) for grid in grids) if indexing == "xy" and rank > 1 else grids


def take(x: Operand, indices: Any, axis: int | None = None) -> Symbol:
    node = s.ravel(number(x)).node if axis is None else number(x)
    place = axis_of("take", 0 if axis is None else whole(axis, "axis"), node.shape)
    return Symbol(node)[(slice(None),) * place + (indices,)]


def diag(x: Operand, k: int = 0) -> Symbol:
    return s.diag(number(x), whole(k, "k"))


def tril(x: Operand, k: int = 0) -> Symbol:
    return s.tril(number(x), whole(k, "k"))


def triu(x: Operand, k: int = 0) -> Symbol:
    return s.triu(number(x), whole(k, "k"))


def full_like(x: Operand, fill_value: Operand) -> Symbol:
    return s.broadcast_to(number(fill_value), number(x).shape)


def astype(x: Operand, dtype: Any = float) -> Symbol:
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"an expression is of real numbers: it cannot become {np.dtype(dtype)}")
    return Symbol(number(x))


def item(x: Operand, *place: Any) -> Symbol:
    return Symbol(number(x))[place] if place else reshape(x, ())


def size(x: Operand, axis: int | None = None) -> Any:
    """The number of elements: a number, or a symbol of the number of data rows."""
    lengths = number(x).shape
    if axis is not None:
        lengths = (lengths[axis_of("size", whole(axis, "axis"), lengths)],)
    count = math.prod(d for d in lengths if d is not ALL_ROWS)
    powers = [s.rows() for d in lengths if d is ALL_ROWS]
    return math.prod(powers, start=count) if powers else count


ROWS: tuple[Function, ...] = (
    Function("array", lambda x: Symbol(number(x)), "a list as an array, which [a, b] in text is too", ("asarray",)),
    Function("reshape", reshape, "the numbers in another shape, in order; one length may be -1"),
    Function("ravel", moved("ravel"), "all numbers in one axis", ("flatten",)),
    Function("transpose", transpose, "axes reversed, or in the order given", ("permute_dims",)),
    Function("swapaxes", moved("swapaxes"), "two axes exchanged"),
    Function("moveaxis", moved("moveaxis"), "axes moved to other places"),
    Function("expand_dims", moved("expand_dims"), "axes of length 1 added"),
    Function("squeeze", moved("squeeze"), "axes of length 1 removed"),
    Function("atleast_1d", lambda x: with_rank(x, 1), "a scalar as a vector"),
    Function("atleast_2d", lambda x: with_rank(x, 2), "a vector as a row"),
    Function("flip", moved("flip"), "an axis backwards"),
    Function("flipud", lambda x: s.flip(number(x), 0), "the first axis backwards"),
    Function("fliplr", lambda x: s.flip(number(x), 1), "the second axis backwards"),
    Function("roll", moved("roll"), "shifted: what leaves at one end enters at the other"),
    Function("concatenate", joined("concatenate"), "arrays one after the other along an axis", ("concat",)),
    Function("stack", joined("stack"), "arrays side by side along a new axis"),
    Function("hstack", joined("hstack"), "arrays side by side"),
    Function("vstack", joined("vstack"), "arrays one below the other", ("row_stack",)),
    Function("column_stack", column_stack, "vectors as the columns of a matrix"),
    Function("block", block, "a matrix of blocks"),
    Function("append", append, "two arrays one after the other"),
    Function("split", split, "equal parts of an axis, or its parts between the places given"),
    Function("repeat", moved("repeat"), "each number several times"),
    Function("tile", tile, "the whole array several times"),
    Function("broadcast_to", broadcast_to, "stretched to a shape"),
    Function("broadcast_arrays", broadcast_arrays, "stretched to their common shape"),
    Function("meshgrid", meshgrid, "the coordinates of a grid"),
    Function("take", take, "the elements at whole-number indices"),
    Function("diag", diag, "a vector as a diagonal matrix, or a matrix's diagonal"),
    Function("diagonal", moved("diagonal"), "a matrix's diagonal"),
    Function("trace", moved("trace"), "the sum of the diagonal"),
    Function("tril", tril, "the lower triangle, zeros above"),
    Function("triu", triu, "the upper triangle, zeros below"),
    Function("zeros_like", lambda x: s.zeros(number(x).shape), "zeros in the shape of x"),
    Function("ones_like", lambda x: s.ones(number(x).shape), "ones in the shape of x"),
    Function("full_like", full_like, "one value in the shape of x"),
    Function("size", size, "the number of elements"),
)
