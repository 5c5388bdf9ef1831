"""Tables for people: boxed on a terminal, one block per row where it is narrow, aligned plain text in a pipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Column:
    """A column's heading; whether it holds numbers, aligned to the right; whether its text may go on in a next line."""

    heading: str
    number: bool = False
    folds: bool = False


def show(console: Console, columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table."""
    widths = [max([len(column.heading), *(len(row[i]) for row in rows)]) for i, column in enumerate(columns)]
    if not is_live(console):
        _plain(console, columns, rows, title, widths)
    elif fits(console, columns, rows):
        _boxed(console, columns, rows, title)
    else:
        _blocks(console, columns, rows, title)


def fits(console: Console, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a table has room for its rows side by side; in a pipe there is always room."""
    widths = [max([len(column.heading), *(len(row[i]) for row in rows)]) for i, column in enumerate(columns)]
    return not is_live(console) or sum(_narrowest(columns, rows, widths)) + 2 * len(widths) - 1 <= console.width


def _narrowest(columns: Sequence[Column], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[int]:
    return [
        max(len(word) for row in rows for word in (column.heading, *row[i].split())) if column.folds and rows else width
        for i, (column, width) in enumerate(zip(columns, widths, strict=True))
    ]


def is_live(console: Console) -> bool:
    """Whether the console is a terminal that can move its cursor."""
    return console.is_terminal and not console.is_dumb_terminal


def ascii_only(console: Console) -> bool:
    """Whether the console's encoding cannot show more than ASCII."""
    return not console.encoding.lower().startswith("utf")


def line(console: Console, text: str = "", style: str | None = None) -> None:
    """Print a line as it is: no markup, and wrapped between words on a terminal only."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=not is_live(console))


def number(value: float | None, digits: int = 6) -> str:
    """A number with so many significant digits; a dash for none."""
    if value is None:
        return "-"
    return f"{value:.{digits}g}" if math.isfinite(value) else str(value)


def count(value: int | None) -> str:
    """A count with its thousands set apart; a dash for none."""
    return "-" if value is None else f"{value:,}"


def seconds(value: float | None) -> str:
    """A duration: 1.2 ms, 3.45 s, 12 min, 5 h, 3 d."""
    if value is None:
        return "-"
    for limit, unit, size in ((1.0, "ms", 1e-3), (120.0, "s", 1.0), (7200.0, "min", 60.0), (172800.0, "h", 3600.0)):
        if value < limit:
            return f"{value / size:.3g} {unit}"
    return f"{value / 86400.0:.3g} d"


def _plain(
    console: Console, columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str, widths: Sequence[int]
) -> None:
    if title:
        line(console, title)
    for cells in ([column.heading for column in columns], *rows):
        padded = [
            f"{cell:>{width}}" if column.number else f"{cell:<{width}}"
            for cell, column, width in zip(cells, columns, widths, strict=True)
        ]
        line(console, "  ".join(padded).rstrip())


def _boxed(console: Console, columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD,
        title=title or None,
        title_justify="left",
        title_style="bold",
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in columns:
        table.add_column(column.heading, justify="right" if column.number else "left", no_wrap=not column.folds)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    line(console)


def _blocks(console: Console, columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str) -> None:
    if title:
        line(console, title, "bold")
    width = max(len(column.heading) for column in columns)
    for row in rows:
        line(console)
        for column, cell in zip(columns, row, strict=True):
            line(console, f"{column.heading:<{width}}  {cell}")
    line(console)
