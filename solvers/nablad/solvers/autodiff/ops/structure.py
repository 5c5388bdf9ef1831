"""Rows that move numbers about; each names its adjoint.

The adjoint of stretching is summing, which is done where cotangents are accumulated; of reading a slice, scattering
into zeros; of a permutation, its inverse; of reading a diagonal, writing one. A triangular part is its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nablad.expressions import Node, Shape, Symbol
from nablad.expressions import symbols as s
from nablad.expressions.dimension import row_size, rows_axis
from nablad.solvers.autodiff.ops.pointwise import degree_linear
from nablad.solvers.autodiff.ops.row import (
    Array,
    Instruction,
    Linear,
    Meaning,
    Multilinear,
    RowKind,
    bind_ufunc,
    row_by_row,
)


def _copy_into(source: Array, out: Array) -> None:
    np.copyto(out, source)


def _bind_view(call: Any) -> Any:
    """A structural op that cannot be a view here: copy it."""

    def bind(arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None) -> Instruction:
        if call is np.reshape:
            return _copy_into, (arrays[0], out.reshape(arrays[0].shape))
        return _copy_into, (call(arrays[0], *attributes), out)

    return bind


def _batch_broadcast(node: Node, operands: Sequence[Symbol], batched: Sequence[bool], size: int) -> Symbol:
    (x,), (shape,) = operands, node.attributes
    aligned = s.reshape(x, (size, *(1,) * (len(shape) - x.ndim + 1), *x.shape[1:]))
    return s.broadcast_to(aligned, (size, *shape))


def _reshape_rows(node: Node) -> RowKind:
    """Rows stay apart when as many elements precede their axis as before."""
    before, after = rows_axis(node.operands[0].shape), rows_axis(node.shape)
    if before is None or after is None:
        return None
    return "row" if row_size(node.operands[0].shape[:before]) == row_size(node.shape[:after]) else None


def _transposed(t: Symbol, operands: tuple[Symbol, ...], y: Symbol) -> Symbol:
    return s.transpose(t, np.argsort(y.node.attributes[0]).tolist())


def _places(bounds: tuple[int, ...] | None) -> slice:
    """The slice that reads what range(*bounds) counts; a stop of -1 is before the first."""
    if bounds is None:
        return slice(None)
    start, stop, *step = bounds
    return slice(start, None if stop < 0 else stop, *step)


def _read(x: Array, ranges: tuple[tuple[int, ...] | None, ...]) -> Any:
    return x[tuple([_places(bounds) for bounds in ranges])]


def _scatter_into(out: Array, targets: tuple[Array, ...], pieces: tuple[Array, ...]) -> None:
    out.fill(0)
    for target, piece in zip(targets, pieces, strict=True):
        np.add(target, piece, target)


def _bind_scatter(
    arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None
) -> Instruction:
    return _scatter_into, (out, tuple(_read(out, place) for place in attributes[1]), tuple(arrays))


def _scatter(*operands: Any) -> Any:
    *pieces, shape, places = operands
    out = np.zeros(shape, np.result_type(*pieces))
    _scatter_into(out, tuple(_read(out, place) for place in places), tuple(pieces))
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
    return _concatenate_into, (tuple(_read(out, tuple(place)) for place in places), tuple(arrays))


def _concatenate_adjoint(t: Symbol, node: Node) -> list[Symbol]:
    return [s.slice_of(t, place) for place in _pieces([x.shape for x in node.operands], node.attributes[0])]


# diagonals and triangles


def _diagonal(x: Array) -> Any:
    return np.diagonal(x, 0, -2, -1)


def _diagonal_adjoint(t: Symbol, operands: tuple[Symbol, ...], y: Symbol) -> Symbol:
    *stack, rows, columns = operands[0].shape
    matrix = s.apply("diag", t)
    if rows == columns:
        return matrix
    size = t.shape[-1]
    assert isinstance(size, int)
    return s.scatter([matrix], operands[0].shape, [[*(None for _ in stack), (0, size), (0, size)]])


def _diag_into(x: Array, out: Array) -> None:
    out.fill(0)
    np.einsum("...ii->...i", out)[...] = x


def _diag(x: Array) -> Array:
    out = np.zeros((*x.shape, x.shape[-1]), x.dtype)
    _diag_into(x, out)
    return out


def _triangle_into(x: Array, out: Array, outside: Array) -> None:
    if out is not x:
        np.copyto(out, x)
    np.copyto(out, 0, where=outside)


def _triangle(name: str, part: Any) -> Meaning:
    def bind(arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None) -> Instruction:
        (x,), (offset,) = arrays, attributes
        return _triangle_into, (x, out, part(np.ones(x.shape[-2:]), offset) == 0)

    return Meaning(
        name,
        evaluate=part,
        bind=bind,
        derivative=Multilinear((lambda t, x, y: s.apply(name, t, attributes=y.node.attributes),)),
        batch=lambda node, x, batched, size: s.apply(name, x[0], attributes=node.attributes),
        degree=degree_linear,
        cost=0.0,
        in_place=(0,),
    )


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
        _read,
        lambda t, x, y: s.scatter([t], x[0].shape, [y.node.attributes[0]]),
        lambda node, x, batched, size: s.slice_of(x[0], [None, *node.attributes[0]]),
    ),
    Meaning(
        "scatter",
        evaluate=_scatter,
        bind=_bind_scatter,
        derivative=Linear(lambda t, node: [s.slice_of(t, place) for place in node.attributes[1]]),
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
    _structural("diagonal", _diagonal, _diagonal_adjoint, lambda node, x, batched, size: s.apply("diagonal", x[0])),
    Meaning(
        "diag",
        evaluate=_diag,
        bind=bind_ufunc(_diag_into),
        derivative=Multilinear((lambda t, x, y: s.apply("diagonal", t),)),
        batch=lambda node, x, batched, size: s.apply("diag", x[0]),
        degree=degree_linear,
        cost=0.0,
    ),
    _triangle("tril", np.tril),
    _triangle("triu", np.triu),
)
