"""A graph as SVG: a picture that needs nothing else, and reads well on light and on dark pages.

Widths of texts are estimated, generously, from a sans-serif's usual proportions.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from nablad.client.drawing.boxes import Box
from nablad.client.drawing.layers import place

TITLE_SIZE = 13.0
TEXT_SIZE = 11.0
LINE = 15.0
PADDING = 9.0
MARGIN = 14.0
BADGE = 9.0

# Every box has a ground of its own, dark text on it; what stands on the page itself is a grey seen on white and black.
_GROUND = {"input": "#dbeafe", "constant": "#eef2f6", "output": "#fde68a", "op": "#f8fafc"}
_TEXT, _SOFT, _LINE, _ADJOINT = "#0f172a", "#475569", "#8592a3", "#b45309"
_NARROW = frozenset("iljtfr.,:;'|!()[]{} ")
_WIDE = frozenset("mwMWABCDEGHKNOQRSUVXYZ%@=+<>")


def svg(boxes: Sequence[Box], operands: Sequence[Sequence[int]], note: str) -> str:
    """The picture, as the text of an SVG file."""
    sizes = [_size(box) for box in boxes]
    layout = place(sizes, operands)
    note_height = 2 * LINE if note else 0.0
    width = max(layout.width, _width(note, TEXT_SIZE)) + 2 * MARGIN + BADGE
    height = layout.height + 2 * MARGIN + note_height
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="Helvetica, Arial, sans-serif" role="img">',
        "<title>Computation graph</title>",
        '<defs><marker id="nablad-arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0 0.6L8 4L0 7.4z" fill="{_LINE}"/></marker></defs>',
        f'<g transform="translate({MARGIN:g} {MARGIN:g})">',
        f'<g fill="none" stroke="{_LINE}" stroke-width="1.3">',
        *(f'<path d="{_curve(points)}" marker-end="url(#nablad-arrow)"/>' for _, _, points in layout.edges),
        "</g>",
    ]
    for box, frame in zip(boxes, layout.boxes, strict=True):
        rows += _drawn(box, *frame)
    if note:
        rows.append(_text(0.0, layout.height + LINE + 4, note, TEXT_SIZE, _LINE))
    return "\n".join([*rows, "</g>", "</svg>"]) + "\n"


def _drawn(box: Box, left: float, top: float, width: float, height: float) -> list[str]:
    radius = (
        height / 2 if box.kind == "constant" and not box.lines else 9.0 if box.kind in ("input", "constant") else 3.0
    )
    rows = [
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:g}" '
        f'fill="{_GROUND[box.kind]}" stroke="{_LINE}"/>',
        _text(left + PADDING, top + PADDING + TITLE_SIZE - 2, box.title, TITLE_SIZE, _TEXT, "600"),
    ]
    for number, line in enumerate(box.lines, 1):
        colour = _ADJOINT if line.startswith("adjoint ") and number == len(box.lines) else _SOFT
        rows.append(_text(left + PADDING, top + PADDING + TITLE_SIZE - 2 + number * LINE, line, TEXT_SIZE, colour))
    if box.order is not None:
        x, y = left + width, top
        rows.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{BADGE:g}" fill="{_ADJOINT}"/>')
        size = 10.5 if box.order < 100 else 7.5
        rows.append(
            f'<text x="{x:.1f}" y="{y + size / 3:.1f}" font-size="{size:g}" fill="#ffffff" text-anchor="middle">'
            f"{box.order}</text>"
        )
    return rows


def _text(x: float, y: float, text: str, size: float, colour: str, weight: str = "400") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{colour}" font-weight="{weight}" '
        f'xml:space="preserve">{escape(text)}</text>'
    )


def _curve(points: list[tuple[float, float]]) -> str:
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (y0 + y1) / 2
        path += f"L{x1:.1f} {y1:.1f}" if x0 == x1 else f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}"
    return path


def _size(box: Box) -> tuple[float, float]:
    texts = [_width(box.title, TITLE_SIZE) * 1.06, *(_width(line, TEXT_SIZE) for line in box.lines)]
    return max(texts) + 2 * PADDING, TITLE_SIZE + 2 * PADDING + LINE * len(box.lines)


def _width(text: str, size: float) -> float:
    units = sum(0.38 if c in _NARROW else 0.84 if c in _WIDE else 1.05 if ord(c) > 0x2E80 else 0.63 for c in text)
    return units * size
