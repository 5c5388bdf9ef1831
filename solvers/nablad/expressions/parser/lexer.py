"""From characters to tokens: numbers, names, strings and signs, each with its place in the text."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from nablad.expressions.parser.errors import ExpressionError

Kind = Literal["number", "name", "string", "sign", "end"]


class Token(NamedTuple):
    kind: Kind
    text: str
    start: int
    stop: int

    def __str__(self) -> str:
        return "the end of the text" if self.kind == "end" else repr(self.text)


WORDS = frozenset({"and", "or", "not", "if", "else"})
"""Names that are operators."""

_TOKEN = re.compile(
    r"""(?P<space>[\s\\]+)
      | (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<name>[^\W\d]\w*)
      | (?P<string>"[^"\n]*"|'[^'\n]*')
      | (?P<sign>\*\*|<=|>=|==|!=|//|\.\.\.|&&|\|\||:=|[-+*/@()\[\],.:<>=%^&|~!])
    """,
    re.VERBOSE,
)

LOOKALIKES = {
    "−": "-",
    "–": "-",
    "—": "-",
    "×": "*",
    "·": "*",
    "⋅": "*",
    "∗": "*",
    "÷": "/",
    "∕": "/",
    "⁄": "/",
    "²": "**2",
    "³": "**3",
    "¹": "**1",
    "⁻": "**-",
    "½": "1/2",
    "√": "sqrt(...)",
    "∛": "cbrt(...)",
    "∞": "inf",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "∑": "sum(...)",
    "∏": "prod(...)",
    "（": "(",
    "）": ")",
    "，": ",",
    "“": '"',
    "”": '"',
    "’": "'",
    "‘": "'",
    "{": "( or [",
    "}": ") or ]",
    "?": "a if condition else b",
}
"""Characters that look like one that is meant -> what to write."""

ABSENT = {"#": "it has no comments", ";": "the whole text is one expression", "$": "names have no sign before them"}
"""Characters with a meaning elsewhere -> why not here."""


def tokens(text: str) -> list[Token]:
    """The text's tokens, with one of kind "end" after them. Linear time. Raises ExpressionError."""
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _strange(text, position)
        kind: str = match.lastgroup or ""
        piece = match.group()
        if kind == "name" and not piece.isidentifier():
            # Digits of other scripts and superscripts count as letters to the pattern.
            good = next(k for k in range(len(piece), -1, -1) if not k or piece[:k].isidentifier())
            raise _strange(text, position + good)
        if kind != "space":
            found.append(Token(kind, piece, position, match.end()))  # type: ignore[arg-type]
        position = match.end()
    # Where the text ends, the last character is a better place than the one after it.
    end = len(text.rstrip())
    found.append(Token("end", "", end, end + 1))
    return found


def _strange(text: str, position: int) -> ExpressionError:
    character = text[position]
    if character in "\"'":
        return ExpressionError("a string is not closed", text, position)
    hint = f": {ABSENT[character]}" if character in ABSENT else ""
    hint = f": write {LOOKALIKES[character]}" if character in LOOKALIKES else hint
    shown = repr(character) if character.isprintable() else f"U+{ord(character):04X}"
    return ExpressionError(f"{shown} is not part of an expression{hint}", text, position)
