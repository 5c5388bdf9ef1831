"""Reads at given places: y = x[index] along an axis, where the index is itself an operand.

The index holds whole numbers in floating storage, as every operand does; it is not differentiated. `take` is linear in
x, and its adjoint adds each number where it was read from, so that places read twice get both (`scatter_add`). Of
theta[group], with one group for each data row, the adjoint is a sum over rows. Each costs one operation a number.

An index that is not a whole number of the axis reads NaN: nothing inside a plan raises, and a NaN does not go unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nablad.expressions import Node, Shape, Symbol
from nablad.expressions import symbols as s
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.ops.row import Array, Instruction, Meaning, Multilinear, RowKind


def _whole(index: Array, length: int) -> tuple[Array, Any]:
    """The places that an index names, and which of them are places of the axis."""
    floor = np.floor(index.real)
    inside = (floor == index.real) & (floor >= -length) & (floor < length)
    places = np.where(inside, floor, 0).astype(np.intp)
    return places + length * (places < 0), inside


def _take_into(x: Array, index: Array, axis: int, out: Array) -> None:
    if x.shape[axis] == 0:
        out.fill(np.nan)
        return
    places, inside = _whole(index, x.shape[axis])
    # With "clip" numpy writes to `out` directly; with "raise" it would copy.
    np.take(x, places, axis, out, "clip")
    if not np.all(inside):
        out[(*(slice(None),) * axis, ~inside)] = np.nan


def _take(x: Array, index: Array, axis: int) -> Array:
    out = np.empty((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]), x.dtype)
    _take_into(x, index, axis, out)
    return out


def _scatter_add_into(t: Array, index: Array, axis: int, out: Array) -> None:
    out.fill(0)
    if out.size == 0 or t.size == 0:
        return
    length = out.shape[axis]
    places, inside = _whole(index.reshape(-1), length)
    # On flat arrays numpy's unbuffered addition is twenty times faster.
    below = out[(0,) * (axis + 1)].size
    outer = np.arange(out.size // (length * below))[:, None, None]
    flat = (outer * length + places[:, None]) * below + np.arange(below)
    pieces = t.reshape(flat.shape)
    if not np.all(inside):
        flat, pieces = flat[:, inside], pieces[:, inside]
    np.add.at(out.reshape(-1), flat.reshape(-1), pieces.reshape(-1))


def _scatter_add(t: Array, index: Array, shape: tuple[int, ...], axis: int) -> Array:
    out = np.empty(shape, t.dtype)
    _scatter_add_into(t, index, axis, out)
    return out


def _bind(call: Any) -> Any:
    def bind(arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None) -> Instruction:
        return call, (*arrays, attributes[-1], out)

    return bind


def _scatter_add_to(t: Symbol, index: Symbol, like: Symbol, axis: int) -> Symbol:
    return s.apply("scatter_add", t, index, attributes=(like.shape, axis))


# Where each element of a batch has an index of its own and numbers of its own, every place of the axis is compared
# with the index: the work grows with the axis, and rows stay apart.


def _is_read(index: Symbol, length: int) -> Symbol:
    """Truths (*index.shape, length): which place each index reads."""
    wrapped = s.where(s.greater(0.0, index), index + float(length), index)
    return s.equal(s.reshape(wrapped, (*index.shape, 1)), np.arange(float(length)))


def _aligned(truth: Symbol, before: int, after: int) -> Symbol:
    """(B, *index, n) -> (B, 1 for each axis before, *index, 1 for each axis after, n)."""
    size, *inner, length = truth.shape
    return s.reshape(truth, (size, *(1,) * before, *inner, *(1,) * after, length))


def _batch_take(node: Node, operands: Sequence[Symbol], batched: Sequence[bool], size: int) -> Symbol:
    (x, index), (axis,) = operands, node.attributes
    if not batched[1]:
        return s.apply("take", x, index, attributes=(axis + 1,))
    if not batched[0]:
        moved = s.apply("take", x, index, attributes=(axis,))
        return s.transpose(moved, [axis, *range(axis), *range(axis + 1, moved.ndim)])
    length, after = _length(node, 0, axis), x.ndim - axis - 2
    truth = _is_read(index, length)
    last = s.transpose(x, [*range(axis + 1), *range(axis + 2, x.ndim), axis + 1])
    spread = s.reshape(last, (*last.shape[: axis + 1], *(1,) * (index.ndim - 1), *last.shape[axis + 1 :]))
    chosen = s.sum(s.where(_aligned(truth, axis, after), spread, 0.0), [-1])
    found = s.sum(s.where(_aligned(truth, axis, after), 1.0, 0.0), [-1])
    return s.where(s.equal(found, 1.0), chosen, np.nan)


def _batch_scatter_add(node: Node, operands: Sequence[Symbol], batched: Sequence[bool], size: int) -> Symbol:
    (t, index), (shape, axis) = operands, node.attributes
    if not batched[1]:
        return s.apply("scatter_add", t, index, attributes=((size, *shape), axis + 1))
    if not batched[0]:
        t = s.broadcast_to(t, (size, *t.shape))
    length, after = shape[axis], len(shape) - axis - 1
    truth = _aligned(_is_read(index, length), axis, after)
    read = [axis + 1 + k for k in range(index.ndim - 1)]
    placed = s.sum(s.where(truth, s.reshape(t, (*t.shape, 1)), 0.0), read)
    return s.transpose(placed, [*range(axis + 1), placed.ndim - 1, *range(axis + 1, placed.ndim - 1)])


def _length(node: Node, operand: int, axis: int) -> int:
    length = node.operands[operand].shape[axis]
    assert isinstance(length, int)
    return length


def _rows(node: Node, shape: Shape, whole: RowKind) -> RowKind:
    """Of what is read from or added into (`shape`), and the index: at most one may run over the rows."""
    powers = row_size(shape)[0], row_size(node.operands[1].shape)[0]
    return {(1, 0): "row", (0, 1): whole}.get(powers)


ROWS: tuple[Meaning, ...] = (
    Meaning(
        "take",
        evaluate=_take,
        bind=_bind(_take_into),
        derivative=Multilinear((lambda t, x, y: _scatter_add_to(t, x[1], x[0], y.node.attributes[0]), None)),
        batch=_batch_take,
        degree=lambda d, _: d[0] if d[1] == 0 else np.inf,
        rows=lambda node: _rows(node, node.operands[0].shape, "row"),
        cost=0.0,
    ),
    Meaning(
        "scatter_add",
        evaluate=_scatter_add,
        bind=_bind(_scatter_add_into),
        derivative=Multilinear((lambda t, x, y: s.apply("take", t, x[1], attributes=(y.node.attributes[1],)), None)),
        batch=_batch_scatter_add,
        degree=lambda d, _: d[0] if d[1] == 0 else np.inf,
        rows=lambda node: _rows(node, node.shape, "sum"),
        space=lambda node: node.operands[0].shape,
    ),
)
