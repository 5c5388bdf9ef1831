"""Writes the table of functions into docs/expressions.md, from the table of the language: python docs/expressions.py"""

from __future__ import annotations

from pathlib import Path

from nablad.expressions.functions import algebra, pointwise, reductions, shapes
from nablad.expressions.functions.row import Function

PAGE = Path(__file__).with_name("expressions.md")
BEGIN = "<!-- functions: made by `python docs/expressions.py` -->\n"
END = "<!-- end of functions -->\n"

FAMILIES = {
    "Elementwise": pointwise.ROWS,
    "Of whole axes": reductions.ROWS,
    "Shapes": shapes.ROWS,
    "Products and linear algebra": algebra.ROWS,
}


def table() -> str:
    """All functions, by family, as Markdown."""
    parts = []
    for family, rows in FAMILIES.items():
        parts += [f"### {family}\n", "| function | gives | also called |\n|---|---|---|"]
        parts += [line(row) for row in rows]
        parts[-1] += "\n"
    return "\n".join(["", *parts, ""])


def line(row: Function) -> str:
    """One function's row."""
    cells = (f"`{row.usage}`", row.about, ", ".join(f"`{alias}`" for alias in row.aliases))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def page(text: str) -> str:
    """The page with its table made anew."""
    head, rest = text.split(BEGIN)
    return head + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
