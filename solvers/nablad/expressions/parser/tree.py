"""What the parser makes of a text: a tree, each part with its place, text[start:stop].

Parts are made operands first, so the list of all of them in the order of their making is a schedule: whoever walks the
tree loops over that list and never recurses.
"""

from __future__ import annotations

from dataclasses import dataclass

from nablad.expressions.parser.lexer import Token


@dataclass(eq=False, slots=True)
class Tree:
    """One part of the text. Parentheses around it widen its place."""

    start: int
    stop: int


@dataclass(eq=False, slots=True)
class Number(Tree):
    digits: str


@dataclass(eq=False, slots=True)
class Name(Tree):
    """A name as the table of functions has it: without `np.`."""

    name: str


@dataclass(eq=False, slots=True)
class String(Tree):
    value: str


@dataclass(eq=False, slots=True)
class Sequence(Tree):
    """A list in brackets, or a tuple in parentheses."""

    items: tuple[Tree, ...]


@dataclass(eq=False, slots=True)
class Operation(Tree):
    """An operator before its operand, or between its two."""

    sign: Token
    operands: tuple[Tree, ...]


@dataclass(eq=False, slots=True)
class Comparison(Tree):
    """a < b < c: neighbours are compared, and all must hold."""

    signs: tuple[Token, ...]
    operands: tuple[Tree, ...]


@dataclass(eq=False, slots=True)
class Conditional(Tree):
    """holds if condition else fails."""

    condition: Tree
    holds: Tree
    fails: Tree


@dataclass(eq=False, slots=True)
class Call(Tree):
    function: Name
    arguments: tuple[Tree, ...]
    keywords: tuple[tuple[Token, Tree], ...]


@dataclass(eq=False, slots=True)
class Slice(Tree):
    """start:stop:step within brackets; None where left out."""

    bounds: tuple[Tree | None, Tree | None, Tree | None]


@dataclass(eq=False, slots=True)
class Dots(Tree):
    """`...` within brackets."""


@dataclass(eq=False, slots=True)
class Index(Tree):
    """operand[parts]."""

    operand: Tree
    parts: tuple[Tree, ...]


@dataclass(eq=False, slots=True)
class Transposed(Tree):
    """operand.T"""

    operand: Tree
