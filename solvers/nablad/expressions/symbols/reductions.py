"""Reductions of symbols over axes, over all of them when None, and running sums.

`axes` is one axis or several, negative ones counted from the end. Truths count as 0 or 1. Over the data rows, the
result is a function of all of them: sums, and what is made of sums, are computed in blocks of rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from nablad.expressions.dimension import ROWS, Shape, ShapeError, row_size
from nablad.expressions.graph import Node
from nablad.expressions.symbol import Operand, Symbol, apply, number
from nablad.expressions.symbols.axes import axes_of
from nablad.expressions.symbols.pointwise import absolute, exp, sqrt, square
from nablad.expressions.symbols.structure import ones, reshape, rows, slice_of, transpose

Axes = int | Sequence[int] | None


def _reduced(op: str, x: Operand, axes: Axes, keepdims: bool) -> Symbol:
    node = number(x)
    return apply(op, node, attributes=(tuple(sorted(axes_of(op, axes, node.shape))), keepdims))


def sum(x: Operand, axes: Axes = None, keepdims: bool = False) -> Symbol:
    return _reduced("sum", x, axes, keepdims)


def max(x: Operand, axes: Axes = None, keepdims: bool = False) -> Symbol:
    """The largest; NaN if any is NaN."""
    return _reduced("max", x, axes, keepdims)


def min(x: Operand, axes: Axes = None, keepdims: bool = False) -> Symbol:
    """The smallest; NaN if any is NaN."""
    return _reduced("min", x, axes, keepdims)


def _count(shape: Shape, axes: Sequence[int]) -> Symbol | float:
    """How many numbers lie along the axes."""
    power, size = row_size(tuple(shape[axis] for axis in axes))
    count: Symbol | float = float(size)
    for _ in range(power):
        count = rows() * count
    return count


def mean(x: Operand, axes: Axes = None, keepdims: bool = False) -> Symbol:
    node = number(x)
    return sum(node, axes, keepdims) / _count(node.shape, axes_of("mean", axes, node.shape))


def _centered(x: Operand, axes: Axes) -> Symbol:
    node = number(x)
    return Symbol(node) - mean(node, axes, keepdims=True)


def var(x: Operand, axes: Axes = None, keepdims: bool = False, ddof: float = 0) -> Symbol:
    """The variance: squared distances from the mean, summed and divided by their number less `ddof`."""
    centered = _centered(x, axes)
    return sum(square(centered), axes, keepdims) / (_count(centered.shape, axes_of("var", axes, centered.shape)) - ddof)


def std(x: Operand, axes: Axes = None, keepdims: bool = False, ddof: float = 0) -> Symbol:
    """The root of `var`. Its derivative where all numbers are equal is 0, as the norm's is."""
    centered = _centered(x, axes)
    divisor = _count(centered.shape, axes_of("std", axes, centered.shape)) - ddof
    return norm(centered, axes, keepdims=keepdims) / sqrt(divisor)


def norm(x: Operand, axes: Axes = None, order: float | Literal["fro"] = 2, keepdims: bool = False) -> Symbol:
    """The norm of the numbers along the axes as one vector.

    2 is the Euclidean norm, also under the name "fro" for the two axes of a matrix; 1 the sum and inf the largest of
    the absolute values. Raises ValueError for another order.
    """
    if order == 2 or order == "fro":
        return _reduced("norm", x, axes, keepdims)
    if order == 1:
        return sum(absolute(x), axes, keepdims)
    if order == math.inf:
        return max(absolute(x), axes, keepdims)
    raise ValueError(f'norm: the order may be 1, 2, inf or "fro", not {order!r}')


# Products


def _merged(op: str, node: Node, axes: Sequence[int]) -> Symbol:
    """The axes, of numbers, merged into one that comes last."""
    rank = len(node.shape)
    if tuple(axes) == (rank - 1,) and node.shape[-1] is not ROWS:
        return Symbol(node)
    kept = [axis for axis in range(rank) if axis not in axes]
    power, size = row_size(tuple(node.shape[axis] for axis in axes))
    if power:
        raise ShapeError(op, (node.shape,), "is not defined along the axis of the data rows")
    return reshape(transpose(node, [*kept, *axes]), (*(node.shape[axis] for axis in kept), size))


def _shaped(result: Symbol, shape: Shape, axes: Sequence[int], keepdims: bool) -> Symbol:
    """A result over the axes, with axes of length 1 in their place if they are kept."""
    return reshape(result, tuple(1 if k in axes else d for k, d in enumerate(shape))) if keepdims else result


def prod(x: Operand, axes: Axes = None, keepdims: bool = False) -> Symbol:
    """The product, by halves: log2(n) multiplications of arrays.

    So its derivative is the product of the other factors, not prod(x) / x_i: right where factors are 0, at any order.
    """
    node = number(x)
    chosen = axes_of("prod", axes, node.shape)
    factors = _merged("prod", node, chosen)
    outer = [None] * (factors.ndim - 1)
    length = factors.shape[-1]
    assert isinstance(length, int)
    if length == 0:
        return _shaped(ones(factors.shape[:-1]), node.shape, chosen, keepdims)
    odd: list[Symbol] = []
    while length > 1:
        half = length // 2
        if length % 2:
            odd.append(slice_of(factors, [*outer, (length - 1, length)]))
        factors = slice_of(factors, [*outer, (0, half)]) * slice_of(factors, [*outer, (half, 2 * half)])
        length = half
    for factor in odd:
        factors = factors * factor
    return _shaped(reshape(factors, factors.shape[:-1]), node.shape, chosen, keepdims)


# Exponentials


def logsumexp(x: Operand, axes: Axes = None, keepdims: bool = False) -> Symbol:
    """log(sum(exp(x))), shifted by the maximum so that nothing overflows."""
    node = number(x)
    chosen = axes_of("logsumexp", axes, node.shape)
    if not chosen:
        return Symbol(node)
    # The data rows cannot be merged with another axis: they have a step of their own.
    others = [axis for axis in chosen if node.shape[axis] is not ROWS]
    result = apply("logsumexp", _merged("logsumexp", node, others)) if others else Symbol(node)
    left = [axis for axis in range(len(node.shape)) if axis not in others]
    for axis in (axis for axis in chosen if axis not in others):
        place = left.index(axis)
        result = apply("logsumexp", transpose(result, [*range(place), *range(place + 1, len(left)), place]))
        left.remove(axis)
    return _shaped(result, node.shape, chosen, keepdims)


def log_softmax(x: Operand, axes: Axes = None) -> Symbol:
    """x - logsumexp(x)."""
    node = number(x)
    return Symbol(node) - logsumexp(node, axes, keepdims=True)


def softmax(x: Operand, axes: Axes = None) -> Symbol:
    """exp(x) / sum(exp(x)), without overflow."""
    return exp(log_softmax(x, axes))


# Running sums


def cumsum(x: Operand, axis: int | None = None) -> Symbol:
    """Sums of the first 1, 2, 3, ... numbers along an axis; None takes all numbers in row-major order."""
    node = number(x)
    if axis is None:
        return cumsum(reshape(node, (-1,)), 0)
    (place,) = axes_of("cumsum", axis, node.shape)
    return apply("cumsum", node, attributes=(place, False))
