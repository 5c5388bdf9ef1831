"""Charts in a terminal: the axes, ticks, legend and curves as rich text, and one-line sparklines for narrow ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from rich.console import Group, RenderableType
from rich.text import Text

from nablad.cli.canvas import Canvas
from nablad.cli.chart import Chart, Curve, IterationScale, iteration_scale, loss_scale, tick_labels

# Narrower than this, a chart is a sparkline.
NARROW = 60
_MOST_COLUMNS = 110
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-=*#"


def draw(chart: Chart, width: int, height: int, ascii_only: bool = False) -> RenderableType:
    """The chart in at most `width` columns and `height` lines."""
    if width < NARROW or height < 8:
        what = Text(chart.y_label, style="dim", no_wrap=True, overflow="crop")
        return Group(
            Text(chart.title, style="bold", no_wrap=True, overflow="crop" if ascii_only else "ellipsis"),
            *([what] if height >= 2 + len(chart.curves) else []),
            *(sparkline(curve, width, ascii_only) for curve in chart.curves),
        )
    width = min(width, _MOST_COLUMNS)
    x_scale, y_scale = iteration_scale(chart.curves), loss_scale(chart.curves, chart.floor)
    # Where nothing has come yet, the axis has no numbers: any would be made up.
    shown = any(curve.points() for curve in chart.curves)
    values = y_scale.ticks(most=max(3, (height - 5) // 2)) if shown else []
    ticks = dict(zip(tick_labels(values, ascii_only), values, strict=True)) if shown else {}
    margin = max((len(label) for label in ticks), default=4) + 1
    canvas = Canvas(width - margin - 2, height - 5, ascii_only)
    for curve in chart.curves:
        _trace(canvas, chart, curve)

    rows = canvas.height
    labels = {rows - 1 - round(y_scale.position(value) * (rows - 1)): label for label, value in ticks.items()}
    bar, tee = ("|", "+") if ascii_only else ("│", "┤")
    lines = [
        Text(chart.title, style="bold", no_wrap=True, overflow="crop"),
        _legend(chart, margin, ascii_only),
    ]
    for index in range(rows):
        label = labels.get(index, "")
        line = Text(f"{label:>{margin}}{tee if label else bar}", style="dim")
        for character, style in canvas.row(index):
            line.append(character, style=f"not dim {style}" if style else "not dim")
        lines.append(line)
    lines.extend(_iteration_axis(x_scale, margin, canvas.width, ascii_only))
    lines.append(Text(f"{'':{margin + 1}}{chart.x_label:^{canvas.width}}".rstrip(), style="dim"))
    return Group(*lines)


def _trace(canvas: Canvas, chart: Chart, curve: Curve) -> None:
    x_scale, y_scale = iteration_scale(chart.curves), loss_scale(chart.curves, chart.floor)
    style, look = curve.look.terminal_color, curve.look
    places = [(x_scale.position(k), y_scale.position(f)) for k, f in curve.points()]
    for start, end in pairwise(places):
        canvas.segment(start, end, style, look.ascii_line)
    marked = places if look.marks_every_point else []
    for place in marked or places[:1]:
        canvas.mark(place, style, _mark(curve, ascii_only=canvas.ascii_only))


def _mark(curve: Curve, ascii_only: bool) -> str:
    return curve.look.ascii_mark if ascii_only else curve.look.mark


def _legend(chart: Chart, margin: int, ascii_only: bool) -> Text:
    line = Text(no_wrap=True, overflow="crop")
    line.append(f"{'':{margin + 1}}{chart.y_label}", style="dim")
    for curve in chart.curves:
        rule = curve.look.ascii_line if ascii_only else "⠒"
        middle = _mark(curve, ascii_only) if curve.look.marks_every_point else rule
        line.append("   ")
        line.append(f"{rule}{middle}{rule}", style=curve.look.terminal_color)
        line.append(f" {curve.label}")
    return line


def _iteration_axis(scale: IterationScale, margin: int, width: int, ascii_only: bool) -> list[Text]:
    dense = width / math.log10(max(scale.last, 10)) > 24
    corner, dash, tee = ("+", "-", "+") if ascii_only else ("└", "─", "┬")
    rule, labels = [dash] * width, [" "] * (margin + 1 + width)
    free_from = 0
    for tick in scale.ticks(dense):
        column = round(scale.position(tick) * (width - 1))
        name = f"{tick:,}"
        begin = margin + 1 + column - len(name) // 2
        if begin < free_from or begin + len(name) > margin + 1 + width:
            continue
        rule[column] = tee
        labels[begin : begin + len(name)] = name
        free_from = begin + len(name) + 1
    return [
        Text(f"{'':{margin}}{corner}{''.join(rule)}", style="dim"),
        Text("".join(labels).rstrip(), style="dim"),
    ]


def sparkline(curve: Curve, width: int, ascii_only: bool = False) -> Text:
    """One line: the label, the losses as blocks (log scale, by log iteration), the newest loss."""
    points = curve.points()
    newest = f" {points[-1][1]:.3g}" if points else ""
    room = max(1, min(40, width - len(curve.label) - len(newest) - 1))
    line = Text(f"{curve.label} ", no_wrap=True, overflow="crop")
    line.append(_blocks(points, room, _ASCII_BLOCKS if ascii_only else _BLOCKS), style=curve.look.terminal_color)
    line.append(newest)
    return line


def _blocks(points: Sequence[tuple[int, float]], room: int, blocks: str) -> str:
    if not points:
        return ""
    levels = [math.log10(f) for _, f in points]
    low, high = min(levels), max(levels)
    room = min(room, len(points))
    top = IterationScale(max(points[-1][0], 2))
    by_column: dict[int, float] = {}
    for (k, _), level in zip(points, levels, strict=True):
        by_column[round(top.position(k) * (room - 1))] = level
    text, level = "", levels[0]
    for column in range(room):
        level = by_column.get(column, level)
        share = (level - low) / (high - low) if high > low else 0.0
        text += blocks[round(share * (len(blocks) - 1))]
    return text
