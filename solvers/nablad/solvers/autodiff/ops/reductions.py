"""Reductions: fewer numbers out than in.

The adjoint of summing is stretching.

log-sum-exp over the last axis, y = m + log(sum_j exp(x_j - m)) with m the largest x_j (Blanchard, Higham and Higham
2021). Its derivative is the softmax, in terms of the result: dy/dx_j = exp(x_j - y), which needs no division.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nablad.expressions import Node, Shape, Symbol
from nablad.expressions import symbols as s
from nablad.expressions.dimension import rows_axis
from nablad.solvers.autodiff.ops.pointwise import degree_linear, degree_transcendental
from nablad.solvers.autodiff.ops.row import (
    Array,
    General,
    Instruction,
    Meaning,
    Multilinear,
    RowKind,
    row_by_row,
)


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


# logsumexp


def _logsumexp(x: Array) -> Any:
    largest = np.max(x.real, axis=-1, keepdims=True)
    shift = np.where(np.isfinite(largest), largest, 0)
    return np.log(np.sum(np.exp(x - shift), axis=-1)) + shift[..., 0]


def _logsumexp_into(x: Array, out: Array, exponentials: Array, sums: Array, largest: Any) -> None:
    np.maximum.reduce(x, -1, out=out)
    # An infinite shift would give inf - inf; the largest finite number gives what is true of infinite x.
    np.minimum(out, largest, out=out)
    np.maximum(out, -largest, out=out)
    np.subtract(x, out[..., None], exponentials)
    np.exp(exponentials, exponentials)
    np.add.reduce(exponentials, -1, out=sums)
    np.log(sums, sums)
    np.add(out, sums, out)


def _bind_logsumexp(
    arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None
) -> Instruction:
    (x,) = arrays
    assert scratch is not None
    flat = scratch.reshape(-1)
    exponentials, sums = flat[: x.size].reshape(x.shape), flat[x.size : x.size + out.size].reshape(out.shape)
    return _logsumexp_into, (x, out, exponentials, sums, np.finfo(out.dtype).max)


def _scratch(node: Node) -> Shape:
    """Room for the exponentials and their sums."""
    *outer, last = node.operands[0].shape
    return (*outer, last + 1) if isinstance(last, int) else (*outer, 2, last)


def _softmax(x: Symbol, y: Symbol) -> Symbol:
    return s.exp(x - s.reshape(y, (*y.shape, 1)))


def _push(tangents: tuple[Symbol | None, ...], operands: tuple[Symbol, ...], y: Symbol) -> Symbol:
    (t,) = tangents
    assert t is not None
    return s.sum(_softmax(operands[0], y) * t, [-1])


def _pull(t: Symbol, operands: tuple[Symbol, ...], y: Symbol) -> tuple[Symbol, ...]:
    return (s.reshape(t, (*t.shape, 1)) * _softmax(operands[0], y),)


def _logsumexp_rows(node: Node) -> RowKind:
    shape = node.operands[0].shape
    return None if rows_axis(shape) == len(shape) - 1 else row_by_row(node)


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
    Meaning(
        "logsumexp",
        evaluate=_logsumexp,
        bind=_bind_logsumexp,
        derivative=General(_push, _pull),
        batch=lambda node, x, batched, size: s.logsumexp(x[0]),
        degree=degree_transcendental,
        rows=_logsumexp_rows,
        space=_operand_shape,
        cost=12.0,
        scratch=_scratch,
    ),
)
