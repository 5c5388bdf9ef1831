"""Reductions, fewer numbers out than in; and running sums.

The adjoint of summing is stretching; of a running sum, the running sum from the other end.

The largest number's derivative goes to it, in equal shares to all where several are largest.

The norm ||x|| has the derivative x / ||x||, and 0 at x = 0: every vector of length at most 1 is a subgradient there,
and 0 is the least, so that a norm is stationary where it is least. The squares are summed as they are; results that
come out beyond the range in which that is exact are computed again from x / max|x| (Blue 1978).

log-sum-exp over the last axis, y = m + log(sum_j exp(x_j - m)) with m the largest x_j (Blanchard, Higham and Higham
2021). Its derivative is the softmax, in terms of the result: dy/dx_j = exp(x_j - y), which needs no division. Where y
is near 0 the logarithm's rounding error would be all that there is of it, as of exp(-40) in y(0, -40); there the
largest term, which is 1, is left out of the sum, and log1p adds it.
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


def _over_axes(node: Node, operands: Sequence[Symbol], batched: Sequence[bool], size: int) -> Symbol:
    axes, keepdims = node.attributes
    return s.apply(node.op, operands[0], attributes=(tuple(axis + 1 for axis in axes), keepdims))


def _sum_rows(node: Node) -> RowKind:
    axis = rows_axis(_operand_shape(node))
    if axis in node.attributes[0]:
        return "sum"
    return row_by_row(node)


def _kept(t: Symbol, node: Node) -> Symbol:
    """A result with axes of length 1 where the operand's were reduced."""
    axes, keepdims = node.attributes
    shape = _operand_shape(node)
    return t if keepdims else s.reshape(t, tuple(1 if axis in axes else d for axis, d in enumerate(shape)))


def _whole_rows(node: Node) -> RowKind:
    """No sum over rows: over them the whole array must run."""
    return None if rows_axis(_operand_shape(node)) in node.attributes[0] else row_by_row(node)


# max and min


def _bind_extreme(call: np.ufunc) -> Any:
    def bind(arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None) -> Instruction:
        axes, keepdims = attributes
        return call.reduce, (arrays[0], axes, None, out, keepdims)

    return bind


def _attained(x: Symbol, y: Symbol) -> tuple[Symbol, Symbol]:
    """Where the extreme is attained, and how often."""
    truth = s.equal(x, _kept(y, y.node))
    return truth, s.sum(s.where(truth, 1.0, 0.0), y.node.attributes[0], keepdims=True)


def _push_extreme(tangents: tuple[Symbol | None, ...], operands: tuple[Symbol, ...], y: Symbol) -> Symbol:
    (t,) = tangents
    assert t is not None
    truth, count = _attained(operands[0], y)
    return s.reshape(s.sum(s.where(truth, t, 0.0), y.node.attributes[0], keepdims=True) / count, y.shape)


def _pull_extreme(t: Symbol, operands: tuple[Symbol, ...], y: Symbol) -> tuple[Symbol, ...]:
    truth, count = _attained(operands[0], y)
    return (s.where(truth, _kept(t, y.node) / count, 0.0),)


def _extreme(name: str, call: np.ufunc) -> Meaning:
    return Meaning(
        name,
        evaluate=lambda x, axes, keepdims: call.reduce(x, axes, keepdims=keepdims),
        bind=_bind_extreme(call),
        derivative=General(_push_extreme, _pull_extreme),
        batch=_over_axes,
        degree=degree_transcendental,
        rows=_whole_rows,
        space=_operand_shape,
        analytic=False,
    )


# norm


def _norm(x: Array, axes: tuple[int, ...], keepdims: bool) -> Any:
    squares = np.square(x)
    total = np.add.reduce(squares, axes, keepdims=True)
    limits = np.finfo(x.dtype)
    exact = (total.real > limits.tiny / limits.eps) & (total.real < limits.max * limits.eps)
    result = np.sqrt(total)
    if not exact.all():
        largest = np.maximum.reduce(np.abs(x), axes, keepdims=True, initial=0)
        scale = np.where(np.isfinite(largest) & (largest > 0), largest, 1)
        scaled = scale * np.sqrt(np.add.reduce(np.square(x / scale), axes, keepdims=True))
        result = np.where(exact, result, scaled)
    return result if keepdims else np.squeeze(result, axes)


def _norm_into(x: Array, axes: tuple[int, ...], squares: Array, out: Array, low: Any, high: Any) -> None:
    """`out` has kept axes."""
    np.square(x, squares)
    np.add.reduce(squares, axes, None, out, keepdims=True)
    if ((out > low) & (out < high)).all():
        np.sqrt(out, out)
    else:
        out[...] = _norm(x, axes, True)


def _bind_norm(arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None) -> Instruction:
    (x,), (axes, _) = arrays, attributes
    kept = out.reshape([1 if axis in axes else d for axis, d in enumerate(x.shape)])
    limits = np.finfo(out.dtype)
    return _norm_into, (x, axes, scratch, kept, limits.tiny / limits.eps, limits.max * limits.eps)


def _unit(x: Symbol, y: Symbol) -> Symbol:
    """x / ||x||, 0 at 0. The quotient is safe on both sides of `where`, so its derivatives leak nothing."""
    length = _kept(y, y.node)
    zero = s.equal(length, 0.0)
    return s.where(zero, 0.0, x / s.where(zero, 1.0, length))


def _push_norm(tangents: tuple[Symbol | None, ...], operands: tuple[Symbol, ...], y: Symbol) -> Symbol:
    (t,) = tangents
    assert t is not None
    return s.sum(_unit(operands[0], y) * t, *y.node.attributes)


def _pull_norm(t: Symbol, operands: tuple[Symbol, ...], y: Symbol) -> tuple[Symbol, ...]:
    return (_kept(t, y.node) * _unit(operands[0], y),)


# cumsum


def _turned(x: Array, axis: int, reverse: bool) -> Array:
    return np.flip(x, axis) if reverse else x


def _bind_cumsum(
    arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None
) -> Instruction:
    axis, reverse = attributes
    return np.add.accumulate, (_turned(arrays[0], axis, reverse), axis, None, _turned(out, axis, reverse))


def _cumsum_adjoint(t: Symbol, operands: tuple[Symbol, ...], y: Symbol) -> Symbol:
    axis, reverse = y.node.attributes
    return s.apply("cumsum", t, attributes=(axis, not reverse))


def _batch_cumsum(node: Node, operands: Sequence[Symbol], batched: Sequence[bool], size: int) -> Symbol:
    axis, reverse = node.attributes
    return s.apply("cumsum", operands[0], attributes=(axis + 1, reverse))


# logsumexp


NEAR_ZERO = 2.0**-4
"""Below this a sum's logarithm has lost four bits of the result, and is computed by log1p."""


def _logsumexp(x: Array) -> Any:
    largest = np.max(x.real, axis=-1, keepdims=True)
    shift = np.where(np.isfinite(largest), largest, 0)
    result = np.asarray(np.log(np.sum(np.exp(x - shift), axis=-1)) + shift[..., 0])
    _correct_near_zero(x, result, np.abs(result))
    return result


def _correct_near_zero(x: Array, out: Array, size: Array) -> None:
    if np.fmin.reduce(size, None, initial=1.0) < NEAR_ZERO:
        near = size < NEAR_ZERO
        terms = x[near]
        index = terms.real.argmax(-1)[:, None]
        largest = np.take_along_axis(terms, index, -1)
        others = np.exp(terms - largest)
        np.put_along_axis(others, index, 0, -1)
        out[near] = largest[:, 0] + np.log1p(others.sum(-1))


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
    _correct_near_zero(x, out, np.absolute(out, sums))


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
        batch=_over_axes,
        degree=degree_linear,
        rows=_sum_rows,
        space=_operand_shape,
    ),
    _extreme("max", np.maximum),
    _extreme("min", np.minimum),
    Meaning(
        "norm",
        evaluate=_norm,
        bind=_bind_norm,
        derivative=General(_push_norm, _pull_norm),
        batch=_over_axes,
        degree=degree_transcendental,
        rows=_whole_rows,
        space=_operand_shape,
        cost=2.0,
        scratch=_operand_shape,
    ),
    Meaning(
        "cumsum",
        evaluate=lambda x, axis, reverse: _turned(np.add.accumulate(_turned(x, axis, reverse), axis), axis, reverse),
        bind=_bind_cumsum,
        derivative=Multilinear((_cumsum_adjoint,)),
        batch=_batch_cumsum,
        degree=degree_linear,
        rows=lambda node: None if rows_axis(node.shape) == node.attributes[0] else row_by_row(node),
    ),
    Meaning(
        "logsumexp",
        evaluate=_logsumexp,
        bind=_bind_logsumexp,
        derivative=General(_push, _pull),
        batch=lambda node, x, batched, size: s.apply("logsumexp", x[0]),
        degree=degree_transcendental,
        rows=_logsumexp_rows,
        space=_operand_shape,
        cost=12.0,
        scratch=_scratch,
    ),
)
