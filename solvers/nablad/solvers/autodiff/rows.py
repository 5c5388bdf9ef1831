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

from dataclasses import dataclass
from typing import Literal

from nablad.expressions import Graph, Node
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.ops import MEANING

RowClass = Literal["free", "row", "sum", "after"]
LITERAL = ("constant", "eye")
"""Leaves that every part that reads them has for itself."""


@dataclass(frozen=True)
class Part:
    """A part of a graph, of that graph's own nodes: some of its inputs are what another part computes."""

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    nodes: tuple[Node, ...]
    """Operands first, in the graph's order; inputs that nothing needs are left out."""
    given: frozenset[Node] = frozenset()
    """The inputs that come from another part. They are leaves here, whatever they are there."""


@dataclass(frozen=True)
class RowSplit:
    """head(inputs without rows) -> shared; body(shared, rows) -> sums, gathered; tail(sums, shared) -> outputs."""

    head: Graph | Part
    body: Part
    """Inputs: one for each output of the head, then the inputs with rows. Outputs: the sums, then the gathered."""
    tail: Part
    """Inputs: one for each sum, then one for each output of the head."""
    sums: int
    """How many of the body's outputs are to be added up; the rest have a row axis and are put side by side."""
    order: tuple[tuple[Literal["tail", "rows"], int], ...]
    """Where each output of the whole graph comes from."""


def classify(graph: Graph) -> dict[Node, RowClass] | None:
    """Each node's class, None where one has none."""
    classes: dict[Node, RowClass] = {}
    for node in graph.nodes:
        below = [classes[x] for x in node.operands]
        summed = "sum" in below or "after" in below
        found: RowClass | None
        if "row" in below or row_size(node.shape)[0]:
            found = None if summed else MEANING[node.op].rows(node)
        else:
            found = "after" if summed else "free"
        if found is None:
            return None
        classes[node] = found
    return classes


def split(graph: Graph) -> RowSplit | None:
    """The three parts of a separable graph, None where it is not separable."""
    classes = classify(graph)
    if classes is None:
        return None
    if all(found == "free" for found in classes.values()):
        return _all_free(graph)
    body = [node for node in graph.nodes if classes[node] in ("row", "sum")]
    after = [node for node in graph.nodes if classes[node] == "after"]
    sums = tuple(node for node in body if classes[node] == "sum")
    gathered = tuple(dict.fromkeys(node for node in graph.outputs if classes[node] == "row"))
    final = tuple(node for node in graph.outputs if classes[node] != "row")
    # What the other classes read of the free part, and its own outputs.
    in_body = {x for node in body for x in node.operands if classes[x] == "free"}
    in_tail = {x for node in after for x in node.operands}.union(final)
    wanted = {x for x in (*in_body, *in_tail) if classes[x] == "free" and x.op not in LITERAL}
    shared = tuple(node for node in graph.nodes if node in wanted)
    free = [node for node in graph.nodes if classes[node] == "free"]
    in_head = {x for node in free for x in node.operands}

    places: list[tuple[Literal["tail", "rows"], int]] = []
    where, ends_seen = {node: k for k, node in enumerate(gathered)}, 0
    for node in graph.outputs:
        if classes[node] == "row":
            places.append(("rows", where[node]))
        else:
            places.append(("tail", ends_seen))
            ends_seen += 1
    return RowSplit(
        Part(
            tuple(x for x in graph.inputs if not row_size(x.shape)[0]),
            shared,
            tuple(node for node in free if node in in_head or node.op not in LITERAL),
        ),
        Part(
            (*shared, *(x for x in graph.inputs if row_size(x.shape)[0])),
            (*sums, *gathered),
            tuple(node for node in graph.nodes if node in in_body or classes[node] in ("row", "sum")),
            frozenset(shared),
        ),
        Part(
            (*sums, *shared),
            final,
            tuple(node for node in graph.nodes if node in in_tail or classes[node] == "after"),
            frozenset((*sums, *shared)),
        ),
        len(sums),
        tuple(places),
    )


def _all_free(graph: Graph) -> RowSplit:
    """A graph without data rows is its own head."""
    inputs = tuple(x for x in graph.inputs if not row_size(x.shape)[0])
    outputs = tuple(dict.fromkeys(graph.outputs))
    head = graph if (inputs, outputs) == (graph.inputs, graph.outputs) else Graph(inputs, outputs)
    nothing = tuple(x for x in graph.inputs if row_size(x.shape)[0])
    tail = Part(outputs, graph.outputs, outputs, frozenset(outputs))
    body = Part((*outputs, *nothing), (), ())
    return RowSplit(head, body, tail, 0, tuple(("tail", k) for k in range(len(graph.outputs))))
