"""What may be written with symbols: one function for each op, and those that are made of several.

    theta = parameter("theta", (3,))
    residual = data("y", (ROWS,)) - matmul(data("Phi", (ROWS, 3)), theta)
    loss = sum(square(residual))

Model builders and derivative rules are written with these.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nablad.expressions.dimension import Shape
from nablad.expressions.symbol import Operand, Symbol
from nablad.expressions.symbol import apply as apply
from nablad.expressions.symbol import data as data
from nablad.expressions.symbol import lift as lift
from nablad.expressions.symbol import parameter as parameter
from nablad.expressions.symbol import power as power

Range = tuple[int, int] | None


def rows() -> Symbol:
    """The number of data rows N, a scalar."""
    return apply("rows")


def eye(size: int) -> Symbol:
    return apply("eye", attributes=(size,))


def square(x: Operand) -> Symbol:
    return apply("square", x)


def sqrt(x: Operand) -> Symbol:
    return apply("sqrt", x)


def reciprocal(x: Operand) -> Symbol:
    return apply("reciprocal", x)


def exp(x: Operand) -> Symbol:
    return apply("exp", x)


def expm1(x: Operand) -> Symbol:
    return apply("expm1", x)


def log(x: Operand) -> Symbol:
    return apply("log", x)


def log1p(x: Operand) -> Symbol:
    return apply("log1p", x)


def tanh(x: Operand) -> Symbol:
    return apply("tanh", x)


def sin(x: Operand) -> Symbol:
    return apply("sin", x)


def cos(x: Operand) -> Symbol:
    return apply("cos", x)


def erf(x: Operand) -> Symbol:
    return apply("erf", x)


def normal_cdf(x: Operand) -> Symbol:
    return apply("normal_cdf", x)


def sigmoid(x: Operand) -> Symbol:
    return apply("sigmoid", x)


def softplus(x: Operand) -> Symbol:
    return apply("softplus", x)


def relu(x: Operand) -> Symbol:
    return apply("relu", x)


def greater(x: Operand, y: Operand) -> Symbol:
    return apply("greater", x, y)


def equal(x: Operand, y: Operand) -> Symbol:
    return apply("equal", x, y)


def where(truth: Operand, x: Operand, y: Operand) -> Symbol:
    return apply("where", truth, x, y)


def sum(x: Operand, axes: Sequence[int] | None = None, keepdims: bool = False) -> Symbol:
    """The sum over the given axes, over all of them when None."""
    node = lift(x)
    rank = len(node.shape)
    chosen = tuple(range(rank)) if axes is None else tuple(sorted(axis + rank if axis < 0 else axis for axis in axes))
    return apply("sum", node, attributes=(chosen, keepdims))


def logsumexp(x: Operand) -> Symbol:
    """log(sum(exp(x))) over the last axis, shifted by the maximum so that nothing overflows."""
    return apply("logsumexp", x)


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


def matmul(x: Operand, y: Operand) -> Symbol:
    """Matrix @ vector, or (stacks of) matrix @ matrix."""
    return apply("matmul", x, y)


def zeros(shape: Shape) -> Symbol:
    return broadcast_to(np.float64(0.0), shape)


def ones(shape: Shape) -> Symbol:
    return broadcast_to(np.float64(1.0), shape)
