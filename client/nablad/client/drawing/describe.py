"""A described graph: its nodes, how its derivatives are computed, and its pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property

from nablad.client.derivations import Derivation
from nablad.client.drawing import dot, mermaid, svg
from nablad.client.drawing.boxes import Box, box_of, note_of
from nablad.client.drawing.nodes import GraphNode, Summary
from nablad.client.named import Layout
from nablad.client.words import counted

__all__ = ["GraphDescription", "GraphNode", "Summary", "WayChoice"]

DRAWN = 200
"""So many nodes are drawn unless more are asked for: a larger picture shows nothing."""


_LINE = re.compile(r"[^\s:()\[\]]+:\d+: ")
"""What a traced node's label begins with: the file and the line."""


@dataclass(frozen=True, repr=False)
class WayChoice:
    """The choice for one derivative; it prints as why this way was taken."""

    derivative: str
    """gradient, jacobian or hessian."""
    chosen: Derivation
    others: tuple[Derivation, ...]
    """What else may be asked for, by `way=`."""

    def __str__(self) -> str:
        return f"{self.derivative}: {self.chosen}"

    __repr__ = __str__


@dataclass(frozen=True, eq=False, repr=False)
class GraphDescription:
    """The computation graph of a function of theta. A notebook shows it as a picture; `print` lists it.

    With a point, nodes carry values and adjoints: read the numbers in the badges from 1 on to follow backpropagation.
    """

    nodes: tuple[GraphNode, ...]
    """Operands first; where there were too many, those nearest to the output."""
    output: int
    """Of `nodes`."""
    linearity: str
    """What the function is in theta: constant, affine, quadratic or none of these ("none")."""
    separable: bool
    """Whether it is a sum over data rows, so that memory is bounded."""
    choices: tuple[WayChoice, ...]
    """How gradient, Jacobian and Hessian are computed, and why."""
    value_operations: float
    """Floating point operations of one value."""
    gradient_operations: float
    """Of one value with its gradient."""
    live_bytes: int
    """What one value with gradient needs at a time."""
    tape_bytes: int
    """What a tape that keeps everything would need."""
    total_nodes: int
    layout: Layout
    """Parameter name -> shape, in the order of theta."""

    def mermaid(self, max_nodes: int = DRAWN) -> str:
        """Mermaid text, for a ```mermaid block in Markdown."""
        return mermaid.mermaid(*self._picture(max_nodes))

    def dot(self, max_nodes: int = DRAWN) -> str:
        """DOT text, for Graphviz."""
        return dot.dot(*self._picture(max_nodes))

    def svg(self, max_nodes: int = DRAWN) -> str:
        """The text of an SVG file."""
        return svg.svg(*self._picture(max_nodes))

    def _repr_svg_(self) -> str:
        return self.svg()

    def _picture(self, max_nodes: int) -> tuple[list[Box], list[list[int]], str]:
        shown = self._nearest(max_nodes)
        index = {node: position for position, node in enumerate(shown)}
        nodes = self._readable
        boxes = [box_of(nodes[node], is_output=node == self.output) for node in shown]
        operands = [[index[o] for o in self.nodes[node].operands if o in index] for node in shown]
        return boxes, operands, note_of(len(shown), self.total_nodes)

    @cached_property
    def _readable(self) -> tuple[GraphNode, ...]:
        """The nodes; where all that was traced stands on one line of one file, their labels without it."""
        places = {found.group() for node in self.nodes if not node.is_leaf and (found := _LINE.match(node.label))}
        if len(places) != 1:
            return self.nodes
        (place,) = places
        return tuple(
            node if node.is_leaf else replace(node, label=node.label.removeprefix(place)) for node in self.nodes
        )

    def _nearest(self, most: int) -> list[int]:
        """The nodes nearest to the output, breadth first, in their order."""
        found = dict.fromkeys([self.output] if self.nodes else [])
        pending = list(found)
        while pending and len(found) < most:
            level = dict.fromkeys(o for node in pending for o in self.nodes[node].operands if o not in found)
            pending = list(level)[: most - len(found)]
            found |= dict.fromkeys(pending)
        return sorted(found)

    def __str__(self) -> str:
        rows = [("", "op", "operands", "shape", "label", "adjoint", "value", "d output")]
        for index, node in enumerate(self._readable):
            operands = ", ".join(f"#{o}" for o in node.operands)
            box = box_of(node, is_output=index == self.output)
            rows.append(
                (
                    f"#{index}",
                    node.op if not node.attributes or node.is_leaf else f"{node.op} {node.attributes}",
                    operands,
                    str(tuple(node.shape)).replace("'", ""),
                    node.label,
                    "" if box.order is None else str(box.order),
                    "" if node.value is None else str(node.value),
                    "" if node.adjoint is None else str(node.adjoint),
                )
            )
        used = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
        widths = {i: max(len(row[i]) for row in rows) for i in used}
        lines = ["  ".join(row[i].ljust(widths[i]) for i in used).rstrip() for row in rows]
        facts = f"{self.linearity} in theta" if self.linearity != "none" else "nonlinear in theta"
        facts += ", a sum over data rows" if self.separable else ""
        lines.append(
            f"{facts}; value {self.value_operations:.4g} operations, with gradient {self.gradient_operations:.4g}"
        )
        lines += map(str, self.choices)
        note = note_of(len(self.nodes), self.total_nodes)
        return "\n".join([*lines, note] if note else lines)

    def __repr__(self) -> str:
        nodes, parameters = counted(self.total_nodes, "node"), counted(len(self.layout), "parameter")
        return f"GraphDescription({nodes}, {self.linearity}, {parameters})"
