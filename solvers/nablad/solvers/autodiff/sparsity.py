"""Which entries of a Jacobian can be other than zero: f's dependence on theta, element by element.

A node's pattern is a boolean matrix, (elements of the node) x p, true where an element depends on an entry of theta. It
is found operands first: pattern(y) is the union over operands x of L pattern(x), where L says which elements of y read
which elements of x (bit vectors in Griewank and Walther 2008, section 7.2; here compressed rows). L comes from what the
op rows say already:

    pointwise ops        element by element, stretched as numpy stretches
    ops that move        the op itself, run on the elements' own numbers
    reductions           everything along the reduced axes
    products             rows of the left, columns of the right; a constant matrix by its own zeros
    all others           everything

The pattern depends on shapes, on constants, and on data that index (`take`), never on theta. It may claim too much,
never too little. Work is bounded: where a pattern would outgrow its budget, Unknown says why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from nablad.expressions import Graph, Node, Shape, topological
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.ops import MEANING, Array, Multilinear, Pointwise

NODES_LIMIT = 20_000
ENTRIES_LIMIT = 40_000_000
"""Elements of all nodes, and entries of all patterns, unless less is asked for."""

Matrix = Any
"""scipy.sparse.csr_array of booleans."""
Link = list[Matrix]
"""Matrices whose product, the first one last, says which elements read which."""


class Unknown(Exception):
    """No pattern: finding it would take too much. The message says what."""


class Csr(NamedTuple):
    """A sparse matrix: shape (R, C), row_starts (R + 1,), column_indices (E,) ascending within a row, values (E,)."""

    shape: tuple[int, int]
    row_starts: Array
    column_indices: Array
    values: Array

    def dense(self) -> Array:
        """The matrix (R, C)."""
        matrix = np.zeros(self.shape, self.values.dtype)
        rows = np.repeat(np.arange(self.shape[0]), np.diff(self.row_starts))
        matrix[rows, self.column_indices] = self.values
        return matrix


def pattern(output: Node, theta: Node, data: Mapping[str, Array], limit: int = ENTRIES_LIMIT) -> Matrix:
    """(elements of the output) x p, as compressed rows. Shapes must be numbers.

    Raises Unknown where it would take more than `limit` entries.
    """
    active = {theta}
    order = []
    for node in topological([output]):
        if node is not theta and any(_matters(node, k) and x in active for k, x in enumerate(node.operands)):
            active.add(node)
            order.append(node)
    if len(order) > NODES_LIMIT:
        raise Unknown(f"the graph has {len(order):,} nodes; patterns are looked for up to {NODES_LIMIT:,}")
    if sum(map(_size, order)) > limit:
        raise Unknown(f"the graph's arrays have more than {limit:,} elements together")
    patterns: dict[Node, Matrix] = {theta: _selecting(np.arange(_size(theta)), _size(theta))}
    entries = 0
    for node in order:
        total: Matrix | None = None
        for k, operand in enumerate(node.operands):
            if operand in patterns and _matters(node, k):
                found = patterns[operand]
                for matrix in reversed(_link(node, k, data)):
                    if entries + int(np.diff(found.indptr)[matrix.indices].sum()) > limit:
                        raise Unknown(f"the patterns of the graph's nodes have more than {limit:,} entries together")
                    found = matrix @ found
                total = found if total is None else total + found
        assert total is not None
        patterns[node] = total
        entries += total.nnz
    result = patterns.get(output)
    if result is None:
        result = scipy.sparse.csr_array((_size(output), _size(theta)), dtype=np.bool_)
    result = scipy.sparse.csr_array(result)
    result.sum_duplicates()
    result.sort_indices()
    return result


def _matters(node: Node, k: int) -> bool:
    """Whether operand k has a derivative at all: truths and indices have none."""
    derivative = MEANING[node.op].derivative
    match derivative:
        case Pointwise(partials):
            return partials[k] is not None
        case Multilinear(adjoints):
            return adjoints[k] is not None
    return derivative is not None


def _link(node: Node, k: int, data: Mapping[str, Array]) -> Link:
    rule = LINKS.get(node.op)
    if rule is not None:
        return rule(node, k, data)
    if isinstance(MEANING[node.op].derivative, Pointwise):
        return _stretched(node, k, data)
    return _axes(node, k, data) if "axes" in node.spec.attributes else _everything(node, k, data)


def _stretched(node: Node, k: int, data: Mapping[str, Array]) -> Link:
    """Element by element."""
    return [_reading(np.broadcast_to(_numbers(node.operands[k]), _fixed(node.shape)), node.operands[k])]


def _moved(node: Node, k: int, data: Mapping[str, Array]) -> Link:
    """The op run on the elements' numbers; what reads none is zero."""
    operands = [
        _numbers(x) + 1.0 if place == k else np.zeros(_fixed(x.shape)) if _matters(node, place) else _known(x, data)
        for place, x in enumerate(node.operands)
    ]
    read = np.asarray(MEANING[node.op].evaluate(*operands, *node.attributes))
    return [_reading(read - 1, node.operands[k])]


def _scattered(node: Node, k: int, data: Mapping[str, Array]) -> Link:
    """Where each element of the piece lands: a slice of the result's own numbers."""
    return [_landing(MEANING["slice"].evaluate(_numbers(node), node.attributes[1][k]), node)]


def _scattered_by_index(node: Node, k: int, data: Mapping[str, Array]) -> Link:
    targets = MEANING["take"].evaluate(_numbers(node), _known(node.operands[1], data), node.attributes[1])
    return [_landing(targets, node)]


def _axes(node: Node, k: int, data: Mapping[str, Array]) -> Link:
    """A reduction reads all along its axes."""
    return _grouped(node, k, node.attributes[0])


def _last_axis(node: Node, k: int, data: Mapping[str, Array]) -> Link:
    return _grouped(node, k, (len(node.operands[k].shape) - 1,))


def _grouped(node: Node, k: int, axes: tuple[int, ...]) -> Link:
    operand = node.operands[k]
    kept = tuple(1 if axis in axes else d for axis, d in enumerate(operand.shape))
    groups = np.arange(math.prod(int(d) for d in kept if isinstance(d, int))).reshape(_fixed(kept))
    gathered = _landing_in(np.broadcast_to(groups, _fixed(operand.shape)), groups.size)
    if _size(node) == groups.size:
        return [gathered]
    return [_selecting(np.broadcast_to(groups, _fixed(operand.shape)), groups.size), gathered]


def _along_axis(node: Node, k: int, data: Mapping[str, Array]) -> Link:
    """A running sum: at most everything along its axis."""
    return _grouped(node, k, (node.attributes[0],))


def _product(node: Node, k: int, data: Mapping[str, Array]) -> Link:
    """(A B)_ij reads row i of A and column j of B."""
    left, right = node.operands
    vector = len(right.shape) == 1
    if k == 1 and left.op == "constant" and len(left.shape) == 2 and len(right.shape) <= 2:
        entries: Matrix = scipy.sparse.csr_array(left.value != 0)
        width = 1 if vector else _fixed(right.shape)[1]
        return [entries if vector else scipy.sparse.kron(entries, _selecting(np.arange(width), width), "csr")]
    operand = node.operands[k]
    shape = _fixed(operand.shape)
    contracted = len(shape) - 1 if k == 0 or vector else len(shape) - 2
    kept = tuple(1 if axis == contracted else d for axis, d in enumerate(shape))
    groups = np.arange(math.prod(kept)).reshape(kept)
    gathered = _landing_in(np.broadcast_to(groups, shape), groups.size)
    # The kept axis lines up with its place in the result; the contracted one, of length 1, with the other's.
    if k == 0 and vector:
        groups = groups.reshape(_fixed(node.shape))
    elif vector:
        groups = groups.reshape((1,) * len(node.shape))
    return [_selecting(np.broadcast_to(groups, _fixed(node.shape)), groups.size), gathered]


def _everything(node: Node, k: int, data: Mapping[str, Array]) -> Link:
    ones = np.zeros(_size(node.operands[k]), int)
    return [_selecting(np.zeros(_size(node), int), 1), _landing_in(ones, 1)]


def _fixed(shape: Shape) -> tuple[int, ...]:
    return tuple(d for d in shape if isinstance(d, int))


def _size(node: Node) -> int:
    return math.prod(_fixed(node.shape))


def _numbers(node: Node) -> Array:
    """0, 1, 2, ... in the node's shape, as floating point numbers, which every op takes."""
    return np.arange(_size(node), dtype=float).reshape(_fixed(node.shape))


def _known(node: Node, data: Mapping[str, Array]) -> Array:
    """The value of what does not depend on theta: an index."""
    inputs = tuple(x for x in topological([node]) if x.op == "input")
    return interpret(Graph(inputs, (node,)), {x.name: data[x.name] for x in inputs})[0]


def _reading(read: Array, operand: Node) -> Matrix:
    """Element i of the result reads element read[i]; none where that is negative."""
    return _selecting(read, _size(operand))


def _selecting(read: Array, count: int) -> Matrix:
    # What reads beyond an axis is NaN; it depends on nothing.
    flat = np.nan_to_num(np.asarray(read).reshape(-1), nan=-1.0).astype(np.int64)
    some = flat >= 0
    starts = np.concatenate([[0], np.cumsum(some)])
    ones = np.ones(int(some.sum()), np.bool_)
    return scipy.sparse.csr_array((ones, flat[some], starts), shape=(flat.size, count))


def _landing(targets: Array, node: Node) -> Matrix:
    """Element i of the operand lands in element targets[i] of the node."""
    return _landing_in(targets, _size(node))


def _landing_in(targets: Array, count: int) -> Matrix:
    return scipy.sparse.csr_array(_selecting(targets, count).T)


LINKS: dict[str, Callable[[Node, int, Mapping[str, Array]], Link]] = {
    **dict.fromkeys(
        ("broadcast_to", "reshape", "transpose", "slice", "diagonal", "diag", "tril", "triu", "take", "concatenate"),
        _moved,
    ),
    "scatter": _scattered,
    "scatter_add": _scattered_by_index,
    "cumsum": _along_axis,
    "logsumexp": _last_axis,
    "matmul": _product,
}
"""Ops that are neither pointwise nor reductions along `axes`; one without a row here is taken to read everything."""
