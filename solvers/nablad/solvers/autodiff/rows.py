"""Row separability: the proof that a graph is g(sum over rows of h(row, theta), theta), and its three parts.

Every node is put into one class, operands first:

    free    needs no data row                            computed once, before: the HEAD
    row     has the rows along one axis; its row n       computed block by block: the BODY
            needs only row n of the data
    sum     a sum over the rows of such nodes            the body's result, added up over blocks
    after   needs such sums, and no row                  computed once, at the end: the TAIL

A row that needs a sum (a softmax over the data set, say), or a product that mixes rows, has no class: then there is no
split, and the whole array must be run at once. Scale and penalty land in head and tail, outside the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nablad.expressions import Graph, Node, input_node, rebuild
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.ops import MEANING

RowClass = Literal["free", "row", "sum", "after"]


@dataclass(frozen=True)
class RowSplit:
    """head(inputs without rows) -> shared; body(shared, rows) -> sums, gathered; tail(sums, shared) -> outputs."""

    head: Graph
    body: Graph
    """Inputs: one for each output of the head, then the inputs with rows. Outputs: the sums, then the gathered."""
    tail: Graph
    """Inputs: one for each sum, then one for each output of the head."""
    sums: int
    """How many of the body's outputs are to be added up; the rest have a row axis and are put side by side."""
    order: tuple[tuple[Literal["tail", "rows"], int], ...]
    """Where each output of the whole graph comes from."""


def classify(graph: Graph) -> dict[Node, RowClass] | None:
    """Each node's class, None where one has none."""
    classes: dict[Node, RowClass] = {}
    for node in graph.nodes:
        found = _class_of(node, [classes[x] for x in node.operands])
        if found is None:
            return None
        classes[node] = found
    return classes


def _class_of(node: Node, operands: Sequence[RowClass]) -> RowClass | None:
    summed = "sum" in operands or "after" in operands
    if "row" in operands or row_size(node.shape)[0]:
        return None if summed else MEANING[node.op].rows(node)
    return "after" if summed else "free"


def split(graph: Graph) -> RowSplit | None:
    """The three parts of a separable graph, None where it is not separable."""
    classes = classify(graph)
    if classes is None:
        return None
    if all(found == "free" for found in classes.values()):
        return _all_free(graph)
    # What the other classes read of the free part, and its own outputs.
    wanted = {x for node in graph.nodes if classes[node] != "free" for x in node.operands}
    wanted.update(graph.outputs)
    shared = [
        node
        for node in graph.nodes
        if classes[node] == "free" and node in wanted and node.op not in ("constant", "eye")
    ]
    sums = [node for node in graph.nodes if classes[node] == "sum"]
    gathered = list(dict.fromkeys(node for node in graph.outputs if classes[node] == "row"))
    final = [node for node in graph.outputs if classes[node] != "row"]

    stand_in = {node: input_node(f"shared {k}", node.shape, "shared") for k, node in enumerate(shared)}
    total = {node: input_node(f"sum {k}", node.shape, "shared") for k, node in enumerate(sums)}
    free_inputs = tuple(x for x in graph.inputs if not row_size(x.shape)[0])
    row_inputs = tuple(x for x in graph.inputs if row_size(x.shape)[0])
    body = rebuild([*sums, *gathered], stand_in)
    tail = rebuild(final, {**stand_in, **total})
    places: list[tuple[Literal["tail", "rows"], int]] = []
    where, ends_seen = {node: k for k, node in enumerate(gathered)}, 0
    for node in graph.outputs:
        if classes[node] == "row":
            places.append(("rows", where[node]))
        else:
            places.append(("tail", ends_seen))
            ends_seen += 1
    return RowSplit(
        Graph(free_inputs, tuple(shared)),
        Graph((*stand_in.values(), *row_inputs), body),
        Graph((*total.values(), *stand_in.values()), tail),
        len(sums),
        tuple(places),
    )


def _all_free(graph: Graph) -> RowSplit:
    """A graph without data rows is its own head."""
    inputs = tuple(x for x in graph.inputs if not row_size(x.shape)[0])
    outputs = tuple(dict.fromkeys(graph.outputs))
    head = graph if (inputs, outputs) == (graph.inputs, graph.outputs) else Graph(inputs, outputs)
    stand_in = {node: input_node(f"shared {k}", node.shape, "shared") for k, node in enumerate(outputs)}
    nothing = tuple(x for x in graph.inputs if row_size(x.shape)[0])
    tail = Graph(tuple(stand_in.values()), tuple(stand_in[node] for node in graph.outputs))
    body = Graph((*stand_in.values(), *nothing), ())
    return RowSplit(head, body, tail, 0, tuple(("tail", k) for k in range(len(graph.outputs))))
