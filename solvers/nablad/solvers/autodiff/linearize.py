"""Products with the Hessian at one point: what does not depend on the direction is computed once and kept.

In the graph of H(theta) v a node is *moving* if it depends on v. The rest, the primal part, is the same for every
product at theta. Moving nodes read only some of it, the frontier; the frontier is kept, and a product then runs the
moving part alone. For a network that is the weights, the activations with their first and second derivatives and the
cotangents, and half of the matrix products of a cold product are saved.

Not kept, since they cost nothing to have again: inputs, constants, views (a transpose is kept as what it transposes)
and truths. Frontier nodes over data rows are gathered block by block as arrays of N rows, and read block by block as
data columns are. Memory: the frontier's elements for each row, N times; callers compare `KeptProduct.bytes` with a
budget.
The numbers are those of a cold product to roundoff, not to the bit: other shapes may give other blocks of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nablad.expressions import OPS, Graph, Node, Symbol, input_node, rebuild
from nablad.expressions import symbols as s
from nablad.expressions.dimension import ROWS, row_size, rows_axis
from nablad.solvers.autodiff.blocks import Program, compile_program
from nablad.solvers.autodiff.ops import MEANING
from nablad.solvers.autodiff.plan import STATIC
from nablad.solvers.autodiff.simplify import simplify

BUDGET = 256 << 20
"""Bytes of kept frontier, beyond which products are computed cold."""


@dataclass(frozen=True)
class KeptProduct:
    """Two programs for one derivative: `primal` gives its first outputs and the frontier, `moving` the product."""

    primal: Program
    """Inputs of the whole graph without the direction -> the outputs asked for, then what is kept."""
    moving: Program
    """The same inputs, the direction, and what is kept, by the names in `kept` -> the product."""
    kept: tuple[str, ...]

    def bytes(self, rows: int) -> int:
        """Memory of what is kept over N rows."""
        nodes = [x for x in self.moving.graph.inputs if x.name in self.kept]
        elements = sum(rows**power * size for power, size in (row_size(x.shape) for x in nodes))
        return int(elements * self.moving.head.dtype.itemsize)


def keep(product: Graph, direction: Node, first: Graph, dtype: np.dtype[Any]) -> KeptProduct | None:
    """Split the graph of a product at its direction. What `first` gives is computed beside the frontier.

    None where the frontier holds a result over pairs of rows.
    """
    product = simplify(product)
    frontier = _frontier(product, direction)
    if any(row_size(node.shape)[0] > 1 for node in frontier):
        return None
    names = tuple(f"kept {k}" for k in range(len(frontier)))
    outward: list[Node] = []
    stand_in: dict[Node, Node] = {}
    held: list[Node] = []
    for name, node in zip(names, frontier, strict=True):
        order = _rows_first(node)
        shape = tuple(node.shape[axis] for axis in order)
        held.append(input_node(name, shape, "data"))
        outward.append(s.transpose(node, order).node)
        stand_in[node] = s.transpose(Symbol(held[-1]), np.argsort(order).tolist()).node
    inputs = dict.fromkeys((*first.inputs, *(x for x in product.inputs if x is not direction)))
    moving = Graph((*product.inputs, *held), rebuild(product.outputs, stand_in))
    needed = {x for x in moving.nodes if x.op == "input"}
    moving = Graph(tuple(x for x in moving.inputs if x in needed or not row_size(x.shape)[0]), moving.outputs)
    primal = compile_program(Graph(tuple(inputs), (*first.outputs, *outward)), dtype)
    return KeptProduct(primal, compile_program(moving, dtype), names)


def _frontier(graph: Graph, direction: Node) -> list[Node]:
    """What the moving nodes read of the primal part, each once, in the graph's order."""
    moving = {direction}
    wanted: set[Node] = set()
    for node in graph.nodes:
        if any(x in moving for x in node.operands):
            moving.add(node)
            wanted.update(x for x in node.operands if x not in moving)
    wanted.update(x for x in graph.outputs if x not in moving)
    found = []
    for node in reversed(graph.nodes):
        if node not in wanted:
            continue
        if node.op == "input" or node.op in STATIC or node in moving:
            continue
        if MEANING[node.op].view or OPS[node.op].result == "truth":
            wanted.update(node.operands)
        else:
            found.append(node)
    return found[::-1]


def _rows_first(node: Node) -> list[int]:
    """The permutation that brings the data rows to the front, where blocks are cut."""
    axis = rows_axis(node.shape) if ROWS in node.shape else None
    rest = [k for k in range(len(node.shape)) if k != axis]
    return rest if axis is None else [axis, *rest]
