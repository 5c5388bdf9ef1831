"""The Hessian entry by entry: for a few parameters that are read one by one, as a formula's are.

Forward over reverse with all directions at once pushes p numbers through every result, whether they are zero or not,
and computes each mixed derivative twice. Here each element of theta is a direction of its own: what is zero by
structure is never built, a pair of mixed derivatives is one node, and all results over data rows have one shape, so
that they are one strip program. The price is a graph of about p^2 / 2 entries, so p is small, and so is f.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nablad.expressions import Graph, Node, Symbol, constant, make, topological
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.simplify import simplified
from nablad.solvers.autodiff.transform import push

MOST_PARAMETERS = 12
MOST_TANGENTS = 1000
"""Of all elements together: beyond that the graph takes longer to compile than it saves."""


@dataclass(frozen=True)
class Entries:
    """The entries that are not zero by structure, each once, and where each place (i, j) finds its own."""

    nodes: tuple[Node, ...]
    places: tuple[tuple[int, ...], ...]
    """p rows of p indices into the nodes."""


def elements_of(graph: Graph, theta: Node) -> tuple[Node | None, ...] | None:
    """The elements of theta as scalars, None for one that is not read; None if theta is read in another way."""
    (size,) = theta.shape
    assert isinstance(size, int)
    read: dict[Node, int] = {}
    found: dict[Node, int] = {}
    for node in graph.nodes:
        for x in node.operands:
            if x is theta:
                if node.op != "slice" or node.shape != (1,):
                    return None
                read[node] = node.attributes[0][0][0]
            elif x in read:
                if node.op != "reshape" or node.shape != ():
                    return None
                found[node] = read[x]
    by_place = {k: node for node, k in found.items()}
    if len(by_place) < len(found):
        return None
    return tuple(by_place.get(k) for k in range(size))


def slopes_of(gradient: Node) -> tuple[Node, ...] | None:
    """The scalars that a gradient (p,) is put together of; None where it is made in another way."""
    if gradient.op != "scatter":
        return None
    zero = constant(0.0)
    (size,), places = gradient.attributes
    slopes = [zero] * size
    for piece, ((start, stop),) in zip(gradient.operands, places, strict=True):
        if stop != start + 1 or slopes[start] is not zero:
            return None
        slopes[start] = piece.operands[0] if piece.op == "reshape" else make("reshape", (piece,), ((),))
    return tuple(slopes)


def entries_of(slopes: Sequence[Node], elements: Sequence[Node | None]) -> Entries | None:
    """The derivatives of the slopes, one for each element of theta; None where they are too many nodes.

    The slopes are simplified, and so is each tangent as soon as it is there: what is built upon it is made once.
    """
    zero = constant(0.0)
    places = [[0] * len(elements) for _ in elements]
    where: dict[Node, int] = {zero: 0}
    order = topological(slopes)
    known = dict(zip(order, order, strict=True))
    depending = _depending(order, elements)
    # The slopes up to the i-th need a beginning of the order.
    ends = {node: k for k, node in enumerate(order)}
    end = tangents = 0
    for i, element in enumerate(elements):
        end = max(end, ends[slopes[i]])
        if element is None:
            continue
        moved = {element: Symbol(constant(1.0))}
        for node in depending[i]:
            if ends[node] > end:
                break
            if moved.keys().isdisjoint(node.operands):
                continue
            tangent = push(node, [moved.get(x) for x in node.operands])
            if tangent is not None:
                whole = tangent if tangent.shape == node.shape else s.broadcast_to(tangent, node.shape)
                moved[node] = Symbol(simplified(whole.node, known))
        tangents += len(moved)
        if tangents > MOST_TANGENTS:
            return None
        for j in range(i + 1):
            entry = moved.get(slopes[j])
            if entry is not None:
                places[i][j] = places[j][i] = where.setdefault(entry.node, len(where))
    return Entries(tuple(where), tuple(map(tuple, places)))


def _depending(order: Sequence[Node], elements: Sequence[Node | None]) -> list[list[Node]]:
    """For each element the nodes that depend on it, in the order."""
    masks = {x: 1 << k for k, x in enumerate(elements) if x is not None}
    found: list[list[Node]] = [[] for _ in elements]
    for node in order:
        if node in masks:
            continue
        mask = 0
        for x in node.operands:
            mask |= masks.get(x, 0)
        if mask:
            masks[node] = mask
            for k, nodes in enumerate(found):
                if mask >> k & 1:
                    nodes.append(node)
    return found
