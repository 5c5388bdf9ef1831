"""Symbols: handles on nodes that read like arithmetic.

    theta = parameter("theta", (3,))
    residual = data("y", (ROWS,)) - matmul(data("Phi", (ROWS, 3)), theta)
    loss = sum(square(residual))

Model builders and derivative rules are written with these. A number or an array beside a symbol becomes a constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

import numpy as np
from numpy.typing import ArrayLike

from nablad.expressions.dimension import Shape
from nablad.expressions.graph import Node, constant, input_node, make

Operand = Union["Symbol", Node, ArrayLike]
Range = tuple[int, int] | None


class Symbol:
    """A node with operators. Immutable; two symbols of one node are equal."""

    __slots__ = ("node",)
    __array_ufunc__ = None

    node: Node

    def __init__(self, node: Node) -> None:
        object.__setattr__(self, "node", node)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Symbol is immutable")

    @property
    def shape(self) -> Shape:
        return self.node.shape

    @property
    def ndim(self) -> int:
        return len(self.node.shape)

    def __repr__(self) -> str:
        return f"Symbol[{self.node!r}]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Symbol) and self.node is other.node

    def __hash__(self) -> int:
        return hash(self.node)

    def __add__(self, other: Operand) -> Symbol:
        return apply("add", self, other)

    def __radd__(self, other: Operand) -> Symbol:
        return apply("add", other, self)

    def __sub__(self, other: Operand) -> Symbol:
        return apply("subtract", self, other)

    def __rsub__(self, other: Operand) -> Symbol:
        return apply("subtract", other, self)

    def __mul__(self, other: Operand) -> Symbol:
        return apply("multiply", self, other)

    def __rmul__(self, other: Operand) -> Symbol:
        return apply("multiply", other, self)

    def __truediv__(self, other: Operand) -> Symbol:
        return apply("divide", self, other)

    def __rtruediv__(self, other: Operand) -> Symbol:
        return apply("divide", other, self)

    def __neg__(self) -> Symbol:
        return apply("negative", self)

    def __pow__(self, exponent: float) -> Symbol:
        return power(self, exponent)

    def __matmul__(self, other: Operand) -> Symbol:
        return apply("matmul", self, other)

    @property
    def T(self) -> Symbol:  # noqa: N802 - numpy's name
        return transpose(self)


def lift(value: Operand) -> Node:
    """The node of a symbol, a node, a number or an array."""
    if isinstance(value, Symbol):
        return value.node
    return value if isinstance(value, Node) else constant(value)


def apply(op: str, *operands: Operand, attributes: tuple[object, ...] = ()) -> Symbol:
    """op(operands; attributes) as a symbol. Raises ShapeError where the shapes do not fit."""
    return Symbol(make(op, [lift(operand) for operand in operands], attributes))


def parameter(name: str, shape: Shape) -> Symbol:
    """An input to differentiate with respect to."""
    return Symbol(input_node(name, shape, "parameter"))


def data(name: str, shape: Shape) -> Symbol:
    """An input that stays what it is; ROWS in its shape marks the axis of the data rows."""
    return Symbol(input_node(name, shape, "data"))


def rows() -> Symbol:
    """The number of data rows N, a scalar."""
    return apply("rows")


def eye(size: int) -> Symbol:
    return apply("eye", attributes=(size,))


def power(x: Operand, exponent: float) -> Symbol:
    """x to a constant power, by the cheapest op that computes it."""
    special = {1.0: None, 2.0: "square", -1.0: "reciprocal", 0.5: "sqrt"}
    if exponent not in special:
        return apply("power", x, attributes=(float(exponent),))
    op = special[exponent]
    return Symbol(lift(x)) if op is None else apply(op, x)


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
