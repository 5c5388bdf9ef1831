"""A small graph taken apart into scalar nodes: one for each element of each result.

What only moves numbers about (reshape, slice, transpose, concatenate, a triangular part) is then gone: it is run once,
on the positions of the elements instead of their values, and tells which element goes where. Sums and products of
matrices become chains of additions. What is left is scalar arithmetic, hash-consed, so that equal elements are one
node; and what is zero by structure (the derivative of one element with respect to another) is not there at all.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nablad.expressions import Node, Shape, constant, make, topological
from nablad.solvers.autodiff.ops import MEANING, Pointwise
from nablad.solvers.autodiff.ops.scalar import SCALAR

Elements = NDArray[Any]
"""An array whose entries are scalar nodes."""

MOVES = ("reshape", "slice", "transpose", "broadcast_to", "concatenate", "diagonal", "diag", "tril", "triu")
"""Ops whose result holds operands' elements and zeros."""
REDUCTIONS = {"sum": ("add", 0.0), "prod": ("multiply", 1.0)}
"""What a reduction applies between elements, and gives where there are none."""


class _NotScalar(Exception):
    """A result that cannot be told element by element."""


def take_apart(outputs: Sequence[Node], elements: Mapping[Node, Elements], limit: int) -> list[Elements] | None:
    """The outputs' elements as functions of the elements of some nodes, such as the inputs.

    None where that cannot be told element by element, or takes results of more than `limit` elements in all. Cost: one
    node for each element of each result.
    """
    found = dict(elements)
    budget = limit
    try:
        for node in topological(outputs, elements):
            budget -= math.prod(_numbers(node))
            if budget < 0:
                return None
            found[node] = _apart(node, [found[x] for x in node.operands], limit)
    except _NotScalar:
        return None
    return [found[node] for node in outputs]


def fixed(shape: Shape) -> tuple[int, ...] | None:
    """The shape in numbers, None where it has the number of data rows in it."""
    numbers = tuple(d for d in shape if isinstance(d, int))
    return numbers if len(numbers) == len(shape) else None


def as_elements(nodes: Sequence[Node], shape: Sequence[int]) -> Elements:
    """Scalar nodes as an array of the given shape."""
    array = np.empty(len(nodes), object)
    array[:] = nodes
    return array.reshape(shape)


def read_elements(node: Node) -> Elements:
    """A node of fixed shape as the array of its elements, each a slice of it."""
    shape = _numbers(node)
    reads = [
        make("reshape", (make("slice", (node,), (tuple((k, k + 1) for k in index),)),), ((),))
        for index in np.ndindex(shape)
    ]
    return as_elements(reads, shape)


def _numbers(node: Node) -> tuple[int, ...]:
    shape = fixed(node.shape)
    if shape is None:
        raise _NotScalar
    return shape


def _apart(node: Node, operands: Sequence[Elements], limit: int) -> Elements:
    if node.op == "constant" or node.op == "eye":
        value = MEANING[node.op].evaluate(*node.attributes)
        return as_elements([constant(number) for number in value.reshape(-1).tolist()], value.shape)
    if isinstance(MEANING[node.op].derivative, Pointwise) or node.op in SCALAR:
        return _pointwise(node, operands)
    if node.op in MOVES:
        return _moved(node, operands)
    if node.op in REDUCTIONS:
        return _reduced(node, operands[0])
    if node.op == "scatter":
        return _scattered(node, operands)
    if node.op == "matmul" and math.prod(_numbers(node)) * operands[0].shape[-1] <= limit:
        return _product(node, *operands)
    raise _NotScalar


def _pointwise(node: Node, operands: Sequence[Elements]) -> Elements:
    columns = [np.broadcast_to(x, _numbers(node)).reshape(-1).tolist() for x in operands]
    made = [make(node.op, entries, node.attributes) for entries in zip(*columns, strict=True)]
    return as_elements(made, _numbers(node))


def _moved(node: Node, operands: Sequence[Elements]) -> Elements:
    """Run on positions 1, 2, 3, ...; a zero in the result is a zero."""
    known: list[Any] = [constant(0.0)]
    positions = []
    for x in operands:
        positions.append(np.arange(len(known), len(known) + x.size).reshape(x.shape))
        known += x.reshape(-1).tolist()
    where = np.asarray(MEANING[node.op].evaluate(*positions, *node.attributes))
    return as_elements([known[k] for k in where.reshape(-1).tolist()], where.shape)


def _chain(op: str, terms: Sequence[Node], empty: float) -> Node:
    total = terms[0] if terms else constant(empty)
    for term in terms[1:]:
        total = make(op, (total, term))
    return total


def _reduced(node: Node, x: Elements) -> Elements:
    op, empty = REDUCTIONS[node.op]
    axes = node.attributes[0]
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    front = np.transpose(x, [*kept, *axes]).reshape(math.prod(x.shape[axis] for axis in kept), -1)
    return as_elements([_chain(op, row, empty) for row in front.tolist()], _numbers(node))


def _scattered(node: Node, operands: Sequence[Elements]) -> Elements:
    shape, places = node.attributes
    terms: list[list[Node]] = [[] for _ in range(math.prod(shape))]
    positions = np.arange(len(terms)).reshape(shape)
    for piece, place in zip(operands, places, strict=True):
        for k, element in zip(
            MEANING["slice"].evaluate(positions, place).reshape(-1).tolist(), piece.reshape(-1).tolist(), strict=True
        ):
            terms[k].append(element)
    return as_elements([_chain("add", parts, 0.0) for parts in terms], shape)


def _product(node: Node, left: Elements, right: Elements) -> Elements:
    if left.ndim != 2 or right.ndim > 2:
        raise _NotScalar
    columns = right.reshape(right.shape[0], -1).T.tolist()
    made = [
        _chain("add", [make("multiply", pair) for pair in zip(row, column, strict=True)], 0.0)
        for row, column in itertools.product(left.tolist(), columns)
    ]
    return as_elements(made, _numbers(node))
