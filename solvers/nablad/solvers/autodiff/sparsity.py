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
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from nablad.expressions import Graph, Node, Shape, topological
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.ops import MEANING, Array, Multilinear, Pointwise

NODE = 25
"""A node counts as so many entries, about what it takes in time."""
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
    if len(order) > limit // NODE:
        raise Unknown(f"the graph has {len(order):,} nodes; patterns are looked for up to {limit // NODE:,}")
    if sum(map(_size, order)) > limit:
        raise Unknown(f"the graph's arrays have more than {limit:,} elements together")
    found = _Patterns(theta, data, limit)
    for node in order:
        found.add(node)
    result = scipy.sparse.csr_array(found.matrix(output))
    result.sum_duplicates()
    result.sort_indices()
    return result


class _Patterns:
    """The patterns of the nodes so far. Of a node with one element it is the array of the entries that matter to it."""

    def __init__(self, theta: Node, data: Mapping[str, Array], limit: int) -> None:
        self._width = _size(theta)
        self._data = data
        self._limit = limit
        self._entries = 0
        self._rows: dict[Node, Array] = {}
        self._matrices: dict[Node, Matrix] = {theta: _selecting(np.arange(self._width), self._width)}

    def add(self, node: Node) -> None:
        """The node's pattern from those of its operands."""
        read = [
            (k, x)
            for k, x in enumerate(node.operands)
            if (x in self._rows or x in self._matrices) and _matters(node, k)
        ]
        if _size(node) == 1 and all(x in self._rows for _, x in read):
            self._rows[node] = self._union([self._rows[x] for _, x in read])
            return
        if node.op == "slice" and _size(node) == 1:
            matrix, row = self.matrix(node.operands[0]), int(_place(node.operands[0].shape, node.attributes[0]).item())
            self._rows[node] = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
            return
        total = self._joined(node, read) if node.op in PLACES else self._linked(node, read)
        self._count(total.nnz)
        if _size(node) == 1:
            self._rows[node] = np.unique(total.indices)
        else:
            self._matrices[node] = total

    def matrix(self, node: Node) -> Matrix:
        if node in self._matrices:
            return self._matrices[node]
        if node in self._rows:
            row = self._rows[node]
            return _rows_of(row, np.array([0, len(row)]), self._width)
        return scipy.sparse.csr_array((_size(node), self._width), dtype=np.bool_)

    def _union(self, rows: list[Array]) -> Array:
        first, *others = rows
        for row in others:
            if row is not first:
                first = np.union1d(first, row)
                self._count(len(first))
        return first

    def _linked(self, node: Node, read: list[tuple[int, Node]]) -> Matrix:
        total: Matrix | None = None
        for k, operand in read:
            found = self.matrix(operand)
            for link in reversed(_link(node, k, self._data)):
                found = self._product(link, found)
            total = found if total is None else total + found
        return total

    def _joined(self, node: Node, read: list[tuple[int, Node]]) -> Matrix:
        """Pieces put into places, all at once: that is linear in their number."""
        places = PLACES[node.op](node)
        targets = np.concatenate([places[k].reshape(-1) for k, _ in read])
        indices, lengths = [], []
        for _, x in read:
            if x in self._rows:
                indices.append(self._rows[x])
                lengths.append(np.array([len(self._rows[x])]))
            else:
                indices.append(self._matrices[x].indices)
                lengths.append(np.diff(self._matrices[x].indptr))
        starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
        stacked = _rows_of(np.concatenate(indices), starts, self._width)
        return self._product(_landing_in(targets, _size(node)), stacked)

    def _product(self, link: Matrix, found: Matrix) -> Matrix:
        if self._entries + int(np.diff(found.indptr)[link.indices].sum()) > self._limit:
            self._count(self._limit)
        return link @ found

    def _count(self, entries: int) -> None:
        self._entries += entries
        if self._entries > self._limit:
            raise Unknown(f"the patterns of the graph's nodes have more than {self._limit:,} entries together")


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


def _sliced(node: Node, k: int, data: Mapping[str, Array]) -> Link:
    (operand,) = node.operands
    return [_selecting(_place(operand.shape, node.attributes[0]), _size(operand))]


def _place(shape: Shape, ranges: Sequence[Any]) -> Array:
    """The numbers of the elements in a box, in time that grows with the box alone."""
    numbers: Array = np.zeros((), np.int64)
    for d, bounds in zip(_fixed(shape), ranges, strict=True):
        along = MEANING["slice"].evaluate(np.arange(d), (bounds,)) if bounds is not None else np.arange(d)
        numbers = numbers[..., None] * d + along
    return numbers


def _scatter_places(node: Node) -> list[Array]:
    return [_place(node.shape, ranges) for ranges in node.attributes[1]]


def _concatenate_places(node: Node) -> list[Array]:
    (axis,) = node.attributes
    ends = np.cumsum([_fixed(x.shape)[axis] for x in node.operands])
    return np.split(_numbers(node), ends[:-1], axis)


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


def _rows_of(indices: Array, starts: Array, width: int) -> Matrix:
    """Rows of truths, entry by entry."""
    return scipy.sparse.csr_array((np.ones(len(indices), np.bool_), indices, starts), shape=(len(starts) - 1, width))


def _selecting(read: Array, count: int) -> Matrix:
    # What reads beyond an axis is NaN; it depends on nothing.
    flat = np.nan_to_num(np.asarray(read).reshape(-1), nan=-1.0).astype(np.int64)
    some = flat >= 0
    starts = np.concatenate([[0], np.cumsum(some)])
    return _rows_of(flat[some], starts, count)


def _landing(targets: Array, node: Node) -> Matrix:
    """Element i of the operand lands in element targets[i] of the node."""
    return _landing_in(targets, _size(node))


def _landing_in(targets: Array, count: int) -> Matrix:
    return scipy.sparse.csr_array(_selecting(targets, count).T)


LINKS: dict[str, Callable[[Node, int, Mapping[str, Array]], Link]] = {
    **dict.fromkeys(
        ("broadcast_to", "reshape", "transpose", "diagonal", "diag", "tril", "triu", "take"),
        _moved,
    ),
    "slice": _sliced,
    "scatter_add": _scattered_by_index,
    "cumsum": _along_axis,
    "logsumexp": _last_axis,
    "matmul": _product,
}
"""Ops that are neither pointwise nor reductions along `axes`; one without a row here is taken to read everything."""

PLACES: dict[str, Callable[[Node], list[Array]]] = {"scatter": _scatter_places, "concatenate": _concatenate_places}
"""Ops that put their operands into places of the result: for each operand the numbers of its elements there."""
