"""A Symbol: a handle on a node that reads like arithmetic, and the ways to make one.

A number or an array beside a symbol becomes a constant.
"""

from __future__ import annotations

from typing import Union

from numpy.typing import ArrayLike

from nablad.expressions.dimension import Shape
from nablad.expressions.graph import Node, constant, input_node, make

Operand = Union["Symbol", Node, ArrayLike]


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
        return apply("transpose", self, attributes=(tuple(reversed(range(self.ndim))),))


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


def power(x: Operand, exponent: float) -> Symbol:
    """x to a constant power, by the cheapest op that computes it."""
    special = {1.0: None, 2.0: "square", -1.0: "reciprocal", 0.5: "sqrt"}
    if exponent not in special:
        return apply("power", x, attributes=(float(exponent),))
    op = special[exponent]
    return Symbol(lift(x)) if op is None else apply(op, x)
