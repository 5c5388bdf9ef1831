"""A graph as DOT, for Graphviz."""

from __future__ import annotations

from collections.abc import Sequence

from nablad.client.drawing.boxes import Box

_STYLES = {
    "input": 'shape=box, style="rounded,filled", fillcolor="#dbeafe"',
    "constant": 'shape=box, style="rounded,filled", fillcolor="#f1f5f9"',
    "output": 'shape=box, style="filled", fillcolor="#fde68a"',
    "op": 'shape=box, style="filled", fillcolor="#ffffff"',
}


def dot(boxes: Sequence[Box], operands: Sequence[Sequence[int]], note: str) -> str:
    """The text; operand i of node n is the edge i -> n."""
    rows = ["digraph nablad {", '  node [fontname="sans-serif", fontsize=11];']
    if note:
        rows.append(f'  label="{_escaped(note)}";')
    for index, box in enumerate(boxes):
        title = box.title if box.order is None else f"{box.title}  ({box.order})"
        label = "\\n".join(_escaped(text) for text in (title, *box.lines))
        rows.append(f'  n{index} [label="{label}", {_STYLES[box.kind]}];')
    rows += [f"  n{source} -> n{index};" for index, sources in enumerate(operands) for source in sources]
    return "\n".join([*rows, "}"]) + "\n"


def _escaped(text: str) -> str:
    # A backslash begins escapes such as \N, the node's own name.
    return text.replace("\\", "\\\\").replace('"', '\\"')
