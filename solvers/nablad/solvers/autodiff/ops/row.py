"""What one row of the meaning table holds.

An op's derivative is told once, and both modes are read from it (transform.py):

- `Pointwise`: y_i depends on x_i only, so the Jacobian is diagonal and one builder per operand, t -> f'(x) t, serves
  forward and reverse mode alike. It may use the RESULT where that is cheaper: for tanh, t (1 - y^2). Being a builder
  of graphs, it is differentiated again for second order: that is where the layered Hessian has f'' from.
- `Multilinear`: linear in each operand alone; the tangent replaces its operand, and one adjoint per operand is named.
- `Linear`: linear in all operands together (pieces put side by side); absent tangents are zeros.
- `General`: a forward and a reverse builder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from nablad.expressions import Node, Shape, Symbol
from nablad.expressions.dimension import rows_axis

Array = NDArray[Any]
Instruction = tuple[Callable[..., Any], tuple[Any, ...]]

Degree = Callable[[Sequence[float], tuple[Any, ...]], float]

Partial = Callable[[Symbol, tuple[Symbol, ...], Symbol], Symbol]
"""(tangent or cotangent, operands, result) -> its product with the partial derivative."""


@dataclass(frozen=True)
class Pointwise:
    partials: tuple[Partial | None, ...]
    """One per operand; None where the partial derivative is zero everywhere."""


@dataclass(frozen=True)
class Multilinear:
    adjoints: tuple[Partial | None, ...]
    """One per operand; None for an operand that is not differentiated (an index): its tangent counts as zero."""


@dataclass(frozen=True)
class Linear:
    adjoint: Callable[[Symbol, Node], Sequence[Symbol]]
    """(cotangent, node) -> the cotangents of all operands, at once: that is linear in their number."""


@dataclass(frozen=True)
class General:
    push: Callable[[tuple[Symbol | None, ...], tuple[Symbol, ...], Symbol], Symbol | None]
    """(tangents, operands, result) -> the result's tangent; None where it is zero by structure."""
    pull: Callable[[Symbol, tuple[Symbol, ...], Symbol], tuple[Symbol | None, ...]]
    """(cotangent, operands, result) -> the operands' cotangents."""


Derivative = Pointwise | Multilinear | Linear | General

RowKind = Literal["row", "sum"] | None
"""Along the data rows: row n of the result needs row n of the operands only; a sum over rows; neither."""


def bind_ufunc(call: Callable[..., Any]) -> Callable[..., Instruction]:
    """Instructions of a call whose last positional argument is `out`."""
    return lambda arrays, attributes, out, scratch: (call, (*arrays, out))


def row_by_row(node: Node) -> RowKind:
    return "row" if rows_axis(node.shape) is not None else None


def own_shape(node: Node) -> Shape:
    return node.shape


@dataclass(frozen=True)
class Meaning:
    """A row: what an op of the language means."""

    name: str
    evaluate: Callable[..., Any]
    """(*arrays, *attributes) -> array, for any dtype that the op is defined on: the interpreter's call."""
    bind: Callable[[Sequence[Array], tuple[Any, ...], Array, Array | None], Instruction]
    """(arrays, attributes, out, scratch) -> a call and its arguments that writes `out`: the plan's instruction."""
    derivative: Derivative | None
    """None for leaves."""
    batch: Callable[[Node, Sequence[Symbol], Sequence[bool], int], Symbol]
    """(node, new operands, which carry the batch axis in front, its length) -> the result with the axis in front."""
    degree: Degree
    """(polynomial degrees of the operands, attributes) -> that of the result; infinity where it is no polynomial."""
    rows: Callable[[Node], RowKind] = row_by_row
    space: Callable[[Node], Shape] = own_shape
    """The index set that the op loops over."""
    cost: float = 1.0
    """Floating point operations for each element of that space."""
    analytic: bool = True
    """Complex step differentiation holds."""
    view: bool = False
    """The result may share the operand's memory."""
    in_place: tuple[int, ...] = ()
    """Operands whose memory `out` may be."""
    scratch: Callable[[Node], Shape] | None = None
    """The shape of the temporary array that the instruction needs."""
