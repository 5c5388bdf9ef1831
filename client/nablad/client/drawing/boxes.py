"""What is written on a node: one text for every kind of picture.

multiply  ④                 the op, and when its adjoint is complete in the reverse sweep
b1*(1-exp(-b2*x))           its source
(N, 3)  = 0.2 to 4.1        shape, and value
adjoint 1.25                d output / d node
"""

from __future__ import annotations

from typing import NamedTuple

from nablad.client.drawing.nodes import GraphNode

LONGEST = 60
"""Characters of a line; the rest of a longer one is left out."""


class Box(NamedTuple):
    """The texts of a node."""

    title: str
    lines: tuple[str, ...]
    order: int | None
    """Of its adjoint, counted from 1 at the output."""
    kind: str
    """input, constant, output or op."""


def box_of(node: GraphNode, *, is_output: bool) -> Box:
    """A node's texts. Line breaks and the like become spaces."""
    leaf = node.op in ("input", "constant")
    title = node.label if leaf and node.label else node.op
    lines = []
    if node.label and not leaf and node.label != title:
        lines.append(node.label)
    if node.attributes and not leaf:
        lines.append(node.attributes)
    shape = _shape(node.shape)
    if node.value is not None:
        lines.append(f"{shape} = {node.value}" if node.shape else f"= {node.value}")
    elif node.shape:
        lines.append(shape)
    if node.adjoint is not None:
        lines.append(f"adjoint {node.adjoint}")
    kind = "output" if is_output else node.op if leaf else "op"
    return Box(short(title), tuple(short(line) for line in lines), node.adjoint_order, kind)


def note_of(told: int, total: int) -> str:
    """What a picture says of the nodes that it does not show; empty where it shows them all."""
    return "" if told == total else f"{told} of {total} nodes are shown: those nearest to the output"


def short(text: str) -> str:
    """One line without control characters, of at most LONGEST characters."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + "…"


def _shape(shape: tuple[int | str, ...]) -> str:
    inner = ", ".join(str(d) for d in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"
