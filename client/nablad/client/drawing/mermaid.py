"""A graph as Mermaid, for Markdown pages and notebooks."""

from __future__ import annotations

from collections.abc import Sequence

from nablad.client.drawing.boxes import Box

_SHAPES = {"input": ('(["', '"])'), "constant": ('("', '")'), "output": ('[["', '"]]'), "op": ('["', '"]')}
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,=+-/")


def mermaid(boxes: Sequence[Box], operands: Sequence[Sequence[int]], note: str) -> str:
    """The text; operand i of node n is the edge i --> n."""
    rows = ["flowchart TB"]
    for index, box in enumerate(boxes):
        left, right = _SHAPES[box.kind]
        title = box.title if box.order is None else f"{box.title}  ({box.order})"
        label = "<br/>".join(_escaped(text) for text in (title, *box.lines))
        rows.append(f"    n{index}{left}{label}{right}")
    rows += [f"    n{source} --> n{index}" for index, sources in enumerate(operands) for source in sources]
    if note:
        rows.append(f'    note["{_escaped(note)}"]')
    return "\n".join(rows) + "\n"


def _escaped(text: str) -> str:
    # Mermaid reads labels as HTML, and some as Markdown; a number code is always just the character.
    return "".join(c if c in _PLAIN else f"#{ord(c)};" for c in text)
