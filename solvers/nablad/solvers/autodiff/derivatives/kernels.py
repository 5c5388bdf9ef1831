"""The graphs that derivatives are read from, each for one direction; `sweep` (evaluation.py) sends many through it.

    pushed          J v                     v (p,)      -> S                  forward mode
    pulled          u J                     u of S      -> (p,)               reverse mode
    pulled by rows  u_n J_n for every row   u of a row  -> (N, p)             reverse mode, every row by itself
    curved          H v                     v (p,)      -> (m, p)             forward over reverse; (N, k, p) by rows
    pushed twice    H v                     v (p,)      -> (p, *S)            forward over forward
    expanded        c_0 ... c_K             v (p,)      -> S each             Taylor mode

The adjoint of a parameter sums over the data rows, which is what a gradient wants and a Jacobian of N rows does not.
By rows, the graph of one row is differentiated, and then repeated over the rows by batching. A result of k elements a
row thus costs k pulled directions, not N k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nablad.expressions import ROWS, Node, Shape, Symbol
from nablad.expressions import symbols as s
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.batching import batch
from nablad.solvers.autodiff.derivatives.function import Function
from nablad.solvers.autodiff.memory import remembered
from nablad.solvers.autodiff.taylor import taylor
from nablad.solvers.autodiff.transform import jvp, vjp

DIRECTION = "direction"


@dataclass(frozen=True)
class Kernel:
    """A graph of theta, one direction, and data."""

    output: Node
    direction: Node
    axis: Literal[-1, -2] = -1
    """Where the axis of many directions belongs in the derivative: columns, or rows before the last axis."""


def _inputs(shape: Shape) -> Symbol:
    return s.parameter(DIRECTION, shape)


@remembered
def pushed(function: Function) -> Kernel:
    """J v."""
    v = _inputs(function.theta.shape)
    (tangent,) = jvp([function.output], {function.theta: v})
    return Kernel(tangent.node, v.node)


@remembered
def pulled(function: Function) -> Kernel:
    """u J, summed over rows where there are any."""
    u = _inputs(function.output.shape)
    (adjoint,) = vjp([function.output], [function.theta], [u])
    return Kernel(adjoint.node, u.node, -2)


@remembered
def pulled_by_rows(function: Function) -> Kernel:
    """u J_n for every row n."""
    row = pulled(function.row)
    return Kernel(_over_rows(function, row.output), row.direction, -2)


@remembered
def curved(function: Function) -> Kernel:
    """H v: of a scalar (p,), else one such row for each element of f: (m, p), or (N, k, p) by rows."""
    if function.by_rows:
        row = curved(function.row)
        return Kernel(_over_rows(function, row.output), row.direction, -2)
    shape = function.output.shape
    if shape == ():
        (first,) = vjp([function.output], [function.theta], [Symbol(s.lift(1.0))])
    else:
        first = _all(pulled(function), row_size(shape)[1])
    v = _inputs(function.theta.shape)
    (product,) = jvp([first.node], {function.theta: v})
    return Kernel(product.node, v.node, -2)


@remembered
def pushed_twice(function: Function) -> Kernel:
    """(H v)_j for all j, with j as the first axis: forward mode over all p directions, then once more."""
    first = _all(pushed(function), function.size)
    v = _inputs(function.theta.shape)
    (product,) = jvp([first.node], {function.theta: v})
    axes = range(1, len(product.shape))
    return Kernel(s.transpose(product, [*axes, 0]).node, v.node, -2)


@dataclass(frozen=True)
class Expanded:
    """The coefficients that are not zero by structure, and which they are."""

    outputs: tuple[Node, ...]
    orders: tuple[int, ...]
    direction: Node


@remembered
def expanded(function: Function, order: int) -> Expanded:
    """The Taylor coefficients of t -> f(theta + t v)."""
    v = _inputs(function.theta.shape)
    coefficients = taylor(function.output, function.theta, v, order)
    present = {k: c.node for k, c in enumerate(coefficients) if c is not None}
    return Expanded(tuple(present.values()), tuple(present), v.node)


def _all(kernel: Kernel, count: int) -> Symbol:
    """All `count` basis directions, along the first axis."""
    return Symbol(many(kernel, basis(kernel, count)))


def _over_rows(function: Function, output: Node) -> Node:
    """A graph of one row repeated over the rows of the data, without the axis of length 1 that a row has."""
    columns = {}
    for whole, single in zip(function.data, function.row.data, strict=True):
        if whole is not single:
            columns[single] = s.reshape(Symbol(whole), (ROWS, *single.shape))
    (result,) = batch([output], columns, ROWS)
    return result.node


def basis(kernel: Kernel, count: int) -> Symbol:
    """The unit directions as a constant of the graph: products with it are then simplified away."""
    return s.reshape(s.eye(count), (count, *kernel.direction.shape))


def many(kernel: Kernel, directions: Symbol) -> Node:
    """The results for several directions, along a first axis."""
    (result,) = batch([kernel.output], {kernel.direction: directions}, directions.shape[0])
    return result.node
