"""A raster of characters on which lines are drawn with braille dots: 2 by 4 to a cell (Unicode block U+2800).

Pure Python and small: a frame of 100 by 20 cells with a thousand points takes a few milliseconds. Terminals that
cannot show braille get one character a cell. plotext was weighed and left: its releases 5 and 6 share no interface,
and 6 needs a compiled kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_BRAILLE = 0x2800
# The bit of each dot, by row from the top, then by column.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


@dataclass
class Canvas:
    """Cells of `width` by `height`; positions run from 0 to 1, upwards and to the right."""

    width: int
    height: int
    ascii_only: bool = False
    _dots: dict[tuple[int, int], int] = field(default_factory=dict)
    _marks: dict[tuple[int, int], str] = field(default_factory=dict)
    _styles: dict[tuple[int, int], str] = field(default_factory=dict)

    @property
    def _across(self) -> int:
        return 1 if self.ascii_only else 2

    @property
    def _upward(self) -> int:
        return 1 if self.ascii_only else 4

    def _pixel(self, x: float, y: float) -> tuple[int, int]:
        columns, rows = self.width * self._across - 1, self.height * self._upward - 1
        return round(x * columns), rows - round(y * rows)

    def _set(self, column: int, row: int, style: str, line: str) -> None:
        cell = row // self._upward, column // self._across
        if self.ascii_only:
            self._marks.setdefault(cell, line)
        else:
            self._dots[cell] = self._dots.get(cell, 0) | _DOTS[row % 4][column % 2]
        self._styles[cell] = style

    def segment(self, start: tuple[float, float], end: tuple[float, float], style: str, line: str = ".") -> None:
        """A straight line between two positions; `line` is its character where there is no braille."""
        (c0, r0), (c1, r1) = self._pixel(*start), self._pixel(*end)
        steps = max(abs(c1 - c0), abs(r1 - r0), 1)
        for i in range(steps + 1):
            self._set(round(c0 + (c1 - c0) * i / steps), round(r0 + (r1 - r0) * i / steps), style, line)

    def mark(self, position: tuple[float, float], style: str, character: str) -> None:
        """One character at a position, over any line."""
        column, row = self._pixel(*position)
        cell = row // self._upward, column // self._across
        self._marks[cell] = character
        self._styles[cell] = style

    def row(self, index: int) -> list[tuple[str, str]]:
        """The cells of a row, counted from the top: (character, style)."""
        cells = []
        for column in range(self.width):
            cell = index, column
            dots = self._dots.get(cell, 0)
            character = self._marks.get(cell) or (chr(_BRAILLE + dots) if dots else " ")
            cells.append((character, self._styles.get(cell, "")))
        return cells
