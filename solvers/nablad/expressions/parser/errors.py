"""What is wrong with a text, where, and what would be right."""

from __future__ import annotations

import unicodedata

WIDEST = 100
"""Columns of text shown around an error."""


class ExpressionError(ValueError):
    """The text is not an expression. `message` says why; the error is at text[position:stop].

    As a string: the message, the line of text, and carets under the place.
    """

    def __init__(self, message: str, text: str, position: int, stop: int | None = None) -> None:
        self.message = message
        self.text = text
        self.position = position
        self.stop = position + 1 if stop is None else stop
        super().__init__(message, text, position, self.stop)

    def __str__(self) -> str:
        line, marks = _shown(self.text, self.position, self.stop)
        return f"{self.message}\n  {line}\n  {marks}" if line.strip() else self.message


def _shown(text: str, position: int, stop: int) -> tuple[str, str]:
    """The line that the place is in, no longer than WIDEST, and the carets beneath it."""
    begin = text.rfind("\n", 0, position) + 1
    end = text.find("\n", begin)
    end = len(text) if end < 0 else end
    left, right = begin, end
    if right - left > WIDEST:
        left = max(begin, position - WIDEST // 2)
        right = min(end, left + WIDEST)
        left = max(begin, right - WIDEST)
    head = "..." if left > begin else ""
    tail = "..." if right < end else ""
    place = text[position : max(min(stop, right), position)].expandtabs(1)
    columns = _columns(head + text[left:position].replace("\t", " "))
    line = head + text[left:right].replace("\t", " ") + tail
    return line, " " * columns + "^" * max(1, _columns(place))


def _columns(text: str) -> int:
    """How many columns of a terminal the text takes."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) != 0 for c in text)
