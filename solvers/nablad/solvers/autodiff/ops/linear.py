"""Linear rows: those that move numbers about (each names its adjoint), sums, and the matrix product.

The adjoint of stretching is summing and the reverse; of reading a slice, scattering into zeros; of a permutation, its
inverse. The matrix product is bilinear: with C = A B and cotangent G of C, A's is G B' and B's is A' G, whose stacked
axes, if any, are summed away where cotangents are accumulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nablad.expressions import ROWS as ALL_ROWS
from nablad.expressions import Node, Shape, Symbol
from nablad.expressions import symbols as s
from nablad.expressions.dimension import row_size, rows_axis
from nablad.solvers.autodiff.ops.pointwise import degree_linear, degree_product
from nablad.solvers.autodiff.ops.row import Array, Instruction, Linear, Meaning, Multilinear, RowKind, row_by_row


def _copy_into(source: Array, out: Array) -> None:
    np.copyto(out, source)


def _bind_view(call: Any) -> Any:
    """A structural op that cannot be a view here: copy it."""

    def bind(arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None) -> Instruction:
        if call is np.reshape:
            return _copy_into, (arrays[0], out.reshape(arrays[0].shape))
        return _copy_into, (call(arrays[0], *attributes), out)

    return bind


def _operand_shape(node: Node) -> Shape:
    return node.operands[0].shape


# sum


def spread(t: Symbol, shape: Shape, axes: Sequence[int]) -> Symbol:
    """A result summed over `axes` stretched back over them."""
    kept = tuple(1 if axis in axes else d for axis, d in enumerate(shape))
    return s.broadcast_to(s.reshape(t, kept), shape)


def _sum_adjoint(t: Symbol, operands: tuple[Symbol, ...], y: Symbol) -> Symbol:
    return spread(t, operands[0].shape, y.node.attributes[0])


def _bind_sum(arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None) -> Instruction:
    (x,), (axes, keepdims) = arrays, attributes
    if x.ndim == 2 and axes == (0,) and x.flags.c_contiguous:
        # A product with ones is twice as fast as a reduction over the slow axis.
        return np.dot, (np.ones(x.shape[0], x.dtype), x, out.reshape(x.shape[1]))
    if x.ndim == 3 and axes == (1,) and x.flags.c_contiguous:
        return np.matmul, (np.ones((1, x.shape[1]), x.dtype), x, out.reshape(x.shape[0], 1, x.shape[2]))
    if axes == tuple(range(x.ndim)) and x.flags.c_contiguous:
        return np.add.reduce, (x.reshape(-1), 0, None, out.reshape(()))
    return np.add.reduce, (x, axes, None, out, keepdims)


def _batch_sum(node: Node, operands: Sequence[Symbol], batched: Sequence[bool], size: int) -> Symbol:
    axes, keepdims = node.attributes
    return s.sum(operands[0], [axis + 1 for axis in axes], keepdims)


def _sum_rows(node: Node) -> RowKind:
    axis = rows_axis(_operand_shape(node))
    if axis in node.attributes[0]:
        return "sum"
    return row_by_row(node)


# structure


def _batch_broadcast(node: Node, operands: Sequence[Symbol], batched: Sequence[bool], size: int) -> Symbol:
    (x,), (shape,) = operands, node.attributes
    aligned = s.reshape(x, (size, *(1,) * (len(shape) - x.ndim + 1), *x.shape[1:]))
    return s.broadcast_to(aligned, (size, *shape))


def _reshape_rows(node: Node) -> RowKind:
    """Rows stay apart when as many elements precede their axis as before."""
    before, after = rows_axis(_operand_shape(node)), rows_axis(node.shape)
    if before is None or after is None:
        return None
    return "row" if row_size(_operand_shape(node)[:before]) == row_size(node.shape[:after]) else None


def _transposed(t: Symbol, operands: tuple[Symbol, ...], y: Symbol) -> Symbol:
    return s.transpose(t, np.argsort(y.node.attributes[0]).tolist())


def _take(x: Array, ranges: tuple[tuple[int, int] | None, ...]) -> Any:
    return x[tuple(slice(None) if bounds is None else slice(*bounds) for bounds in ranges)]


def _scatter_into(out: Array, targets: tuple[Array, ...], pieces: tuple[Array, ...]) -> None:
    out.fill(0)
    for target, piece in zip(targets, pieces, strict=True):
        np.add(target, piece, target)


def _bind_scatter(
    arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None
) -> Instruction:
    return _scatter_into, (out, tuple(_take(out, place) for place in attributes[1]), tuple(arrays))


def _scatter(*operands: Any) -> Any:
    *pieces, shape, places = operands
    out = np.zeros(shape, np.result_type(*pieces))
    _scatter_into(out, tuple(_take(out, place) for place in places), tuple(pieces))
    return out


def _stretch_all(operands: Sequence[Symbol], batched: Sequence[bool], size: int) -> list[Symbol]:
    return [
        x if is_batched else s.broadcast_to(x, (size, *x.shape))
        for x, is_batched in zip(operands, batched, strict=True)
    ]


def _batch_scatter(node: Node, operands: Sequence[Symbol], batched: Sequence[bool], size: int) -> Symbol:
    shape, places = node.attributes
    return s.scatter(_stretch_all(operands, batched, size), (size, *shape), [(None, *place) for place in places])


def _concatenate_into(targets: tuple[Array, ...], pieces: tuple[Array, ...]) -> None:
    for target, piece in zip(targets, pieces, strict=True):
        np.copyto(target, piece)


def _pieces(shapes: Sequence[Shape], axis: int) -> list[list[tuple[int, int] | None]]:
    """Where each operand lies along the concatenation."""
    places: list[list[tuple[int, int] | None]] = []
    start = 0
    for shape in shapes:
        width = shape[axis]
        assert isinstance(width, int)
        places.append([(start, start + width) if k == axis else None for k in range(len(shape))])
        start += width
    return places


def _bind_concatenate(
    arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None
) -> Instruction:
    places = _pieces([x.shape for x in arrays], attributes[0])
    return _concatenate_into, (tuple(_take(out, tuple(place)) for place in places), tuple(arrays))


def _concatenate_adjoint(t: Symbol, node: Node, index: int) -> Symbol:
    return s.slice_of(t, _pieces([x.shape for x in node.operands], node.attributes[0])[index])


# matrix product


def _swap(x: Symbol) -> Symbol:
    """The transposed matrices of a stack."""
    axes = list(range(x.ndim))
    return s.transpose(x, [*axes[:-2], axes[-1], axes[-2]])


def _left_adjoint(t: Symbol, operands: tuple[Symbol, ...], y: Symbol) -> Symbol:
    right = operands[1]
    if right.ndim == 1:
        return s.reshape(t, (*t.shape, 1)) * s.reshape(right, (1, *right.shape))
    return t @ _swap(right)


def _right_adjoint(t: Symbol, operands: tuple[Symbol, ...], y: Symbol) -> Symbol:
    return _swap(operands[0]) @ t


def _bind_matmul(
    arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None
) -> Instruction:
    x, y = arrays
    if x.ndim == 2 and y.ndim <= 2:
        return np.dot, (x, y, out)
    if y.ndim == 2 and x.flags.c_contiguous:
        # One product of a tall matrix instead of a loop over the stack.
        return np.dot, (x.reshape(-1, x.shape[-1]), y, out.reshape(-1, out.shape[-1]))
    return np.matmul, (x, y, out)


def _with_rank(x: Symbol, size: int, rank: int) -> Symbol:
    return s.reshape(x, (size, *(1,) * (rank + 1 - x.ndim), *x.shape[1:]))


def _batch_matmul(node: Node, operands: Sequence[Symbol], batched: Sequence[bool], size: int) -> Symbol:
    left, right = operands
    left_batched, right_batched = batched
    if len(node.operands[1].shape) == 1:
        if not left_batched:
            return right @ left.T
        column = s.reshape(right, (*right.shape, 1))
        return s.reshape(left @ column, (size, *node.shape))
    rank = max(len(x.shape) for x in node.operands)
    if left_batched:
        left = _with_rank(left, size, rank)
    if right_batched:
        right = _with_rank(right, size, rank)
    return left @ right


def _matmul_rows(node: Node) -> RowKind:
    left = _operand_shape(node)
    if left[-1] is ALL_ROWS:
        return "sum" if row_size(node.shape)[0] == 0 and row_size(left)[0] == 1 else None
    return row_by_row(node)


def _matmul_space(node: Node) -> Shape:
    return (*node.shape, _operand_shape(node)[-1])


def _structural(name: str, call: Any, adjoint: Any, batch: Any, rows: Any = row_by_row) -> Meaning:
    return Meaning(
        name,
        evaluate=call,
        bind=_bind_view(call),
        derivative=Multilinear((adjoint,)),
        batch=batch,
        degree=degree_linear,
        rows=rows,
        cost=0.0,
        view=True,
    )


ROWS: tuple[Meaning, ...] = (
    Meaning(
        "sum",
        evaluate=lambda x, axes, keepdims: np.add.reduce(x, axes, keepdims=keepdims),
        bind=_bind_sum,
        derivative=Multilinear((_sum_adjoint,)),
        batch=_batch_sum,
        degree=degree_linear,
        rows=_sum_rows,
        space=_operand_shape,
    ),
    _structural("broadcast_to", np.broadcast_to, lambda t, x, y: t, _batch_broadcast),
    _structural(
        "reshape",
        np.reshape,
        lambda t, x, y: s.reshape(t, x[0].shape),
        lambda node, x, batched, size: s.reshape(x[0], (size, *node.shape)),
        _reshape_rows,
    ),
    _structural(
        "transpose",
        np.transpose,
        _transposed,
        lambda node, x, batched, size: s.transpose(x[0], [0, *(axis + 1 for axis in node.attributes[0])]),
    ),
    _structural(
        "slice",
        _take,
        lambda t, x, y: s.scatter([t], x[0].shape, [y.node.attributes[0]]),
        lambda node, x, batched, size: s.slice_of(x[0], [None, *node.attributes[0]]),
    ),
    Meaning(
        "scatter",
        evaluate=_scatter,
        bind=_bind_scatter,
        derivative=Linear(lambda t, node, index: s.slice_of(t, node.attributes[1][index])),
        batch=_batch_scatter,
        degree=degree_linear,
    ),
    Meaning(
        "concatenate",
        evaluate=lambda *operands: np.concatenate(operands[:-1], operands[-1]),
        bind=_bind_concatenate,
        derivative=Linear(_concatenate_adjoint),
        batch=lambda node, x, batched, size: s.concatenate(_stretch_all(x, batched, size), node.attributes[0] + 1),
        degree=degree_linear,
        cost=0.0,
    ),
    Meaning(
        "matmul",
        evaluate=np.matmul,
        bind=_bind_matmul,
        derivative=Multilinear((_left_adjoint, _right_adjoint)),
        batch=_batch_matmul,
        degree=degree_product,
        rows=_matmul_rows,
        space=_matmul_space,
        cost=2.0,
    ),
)
