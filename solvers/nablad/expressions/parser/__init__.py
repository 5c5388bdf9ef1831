"""The text of an expression, such as `b1*(1 - exp(-b2*x))`, read into a graph: lexer, grammar, meaning. Never eval.

What a text may cost is limited before it costs anything: its length, how deep it is nested, and how many ops it makes.
"""

from __future__ import annotations

from collections.abc import Mapping

from nablad.expressions.definition import Inputs, Traced
from nablad.expressions.dimension import Shape
from nablad.expressions.labels import Labels
from nablad.expressions.parser.errors import ExpressionError
from nablad.expressions.parser.grammar import NESTING, read
from nablad.expressions.parser.meaning import CONSTANTS, Meaning

LENGTH = 100_000
"""The most characters of a text."""


def parse(text: str, parameters: Mapping[str, Shape], data: Mapping[str, Shape] | None = None) -> Traced:
    """The graph of a text of named parameters and data, labelled with the pieces of the text that made its nodes.

    Raises ExpressionError where the text is wrong, InvalidName where a name is.
    """
    if not isinstance(text, str):
        raise TypeError(f"the expression must be text, not {type(text).__name__}")
    if len(text) > LENGTH:
        raise ExpressionError(f"the text has {len(text):,} characters; {LENGTH:,} are allowed", text, LENGTH)
    inputs = Inputs.of(parameters, {} if data is None else data)
    meaning = Meaning(text, inputs)
    output = meaning.of(read(text))
    return inputs.define(output, Labels(meaning.places, lambda place: text[place[0] : place[1]]))


__all__ = ["CONSTANTS", "LENGTH", "NESTING", "ExpressionError", "parse"]
