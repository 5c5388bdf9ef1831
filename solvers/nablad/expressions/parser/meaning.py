"""From the tree to a graph: names become inputs, functions are looked up, and shapes are checked as ops are made.

Whole numbers stay what they are as long as they may turn out to be axes, lengths or indices; in arithmetic they are
floats. Arithmetic on written numbers alone is done at once, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nablad.expressions import definition
from nablad.expressions.definition import Inputs, TooManyNodes
from nablad.expressions.dimension import ShapeError, describe
from nablad.expressions.functions import NAMES, suggestion
from nablad.expressions.graph import Node
from nablad.expressions.labels import recording, shorten
from nablad.expressions.parser import tree
from nablad.expressions.parser.errors import ExpressionError
from nablad.expressions.parser.tree import Tree
from nablad.expressions.symbol import Symbol, number

CONSTANTS: dict[str, Any] = {
    "pi": math.pi,
    "e": math.e,
    "inf": math.inf,
    "nan": math.nan,
    "newaxis": None,
    "True": True,
    "False": False,
    "None": None,
}
"""Names with a value. A parameter or data of the same name comes first."""

EXACT = 2**53
"""Whole numbers up to here are floats exactly."""

_COMPARE = {
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
    "==": "equal",
    "!=": "not_equal",
}
_BETWEEN: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "**": lambda x, y: x**y,
    "@": lambda x, y: x @ y,
    "and": NAMES["logical_and"].call,
    "or": NAMES["logical_or"].call,
}
_BEFORE: dict[str, Callable[[Any], Any]] = {
    "+": lambda x: +x,
    "-": lambda x: -x,
    "not": NAMES["logical_not"].call,
}
_LOGICAL = frozenset({"and", "or", "not"})


class Meaning:
    """Values of a tree's parts: symbols, written numbers, strings, lists."""

    def __init__(self, text: str, inputs: Inputs) -> None:
        self.places: dict[Node, tuple[int, int]] = {}
        self._text = text
        self._known: Mapping[str, Symbol] = {**inputs.parameters, **inputs.data}
        self._values: dict[Tree, Any] = {}
        self._place = (0, len(text))

    def of(self, made: list[Tree]) -> Node:
        """The node of the last part. Raises ExpressionError."""
        with recording(self._note):
            for part in made:
                self._place = (part.start, part.stop)
                try:
                    self._values[part] = _RULES[type(part)](self, part)
                except ShapeError as error:
                    raise self._error(f"{error}{self._shapes(part)}", part) from error
                except ExpressionError:
                    raise
                except (TypeError, ValueError, IndexError) as error:
                    raise self._error(str(error), part) from error
            return self._array(made[-1])

    def _note(self, node: Node) -> None:
        self.places.setdefault(node, self._place)
        if len(self.places) > definition.NODES:
            raise TooManyNodes

    # Rules: the value of each kind of part

    def number(self, part: tree.Number) -> float | int:
        value = float(part.digits)
        if math.isinf(value):
            raise self._error("the number is too large for a float", part)
        return int(value) if part.digits.isdecimal() and value < EXACT else value

    def name(self, part: tree.Name) -> Any:
        if part.name in self._known:
            return self._known[part.name]
        if part.name in CONSTANTS:
            return CONSTANTS[part.name]
        if part.name in NAMES:
            raise self._error(f"{part.name} is a function: write {NAMES[part.name].usage}", part)
        if part.name == "π":
            raise self._error("unknown name 'π': write pi", part)
        known = ", ".join(self._known)
        close = suggestion(part.name, [*self._known, *CONSTANTS]) or f": there are {shorten(known, 200)}"
        raise self._error(f"unknown name {shorten(part.name, 60)!r}{close}", part)

    def string(self, part: tree.String) -> str:
        return part.value

    def sequence(self, part: tree.Sequence) -> list[Any]:
        return [self._values[item] for item in part.items]

    def operation(self, part: tree.Operation) -> Any:
        operands = [self._operand(operand) for operand in part.operands]
        sign = part.sign.text
        if sign not in _LOGICAL and all(isinstance(x, float | int) for x in operands):
            return _computed(sign, operands)
        if not any(isinstance(x, Symbol) for x in operands):
            operands[0] = Symbol(number(operands[0]))
        return _BETWEEN[sign](*operands) if len(operands) == 2 else _BEFORE[sign](*operands)

    def comparison(self, part: tree.Comparison) -> Symbol:
        operands = [self._operand(operand) for operand in part.operands]
        result: Symbol | None = None
        for k, sign in enumerate(part.signs):
            truth = NAMES[_COMPARE[sign.text]].call(operands[k], operands[k + 1])
            result = truth if result is None else NAMES["logical_and"].call(result, truth)
        assert result is not None
        return result

    def conditional(self, part: tree.Conditional) -> Symbol:
        result: Symbol = NAMES["where"].call(*map(self._operand, (part.condition, part.holds, part.fails)))
        return result

    def call(self, part: tree.Call) -> Any:
        name = part.function.name
        if name not in NAMES:
            if name in self._known:
                source = self._text[part.function.stop : part.stop]
                raise self._error(
                    f"{name} is no function: write {name}*{shorten(source, 40)} for a product", part.function
                )
            close = suggestion(name, NAMES)
            raise self._error(f"there is no function {shorten(name, 60)!r}{close}", part.function)
        row = NAMES[name]
        if row.positional is not None and len(part.arguments) > row.positional:
            hint = f"; for the {'larger' if row.name == 'max' else 'smaller'} of two write {row.name}imum(x, y)"
            raise self._error(
                f"{name} is {row.usage}: write the names of arguments after the first"
                f"{hint if row.name in ('max', 'min') else ''}",
                part.arguments[row.positional],
            )
        keywords: dict[str, Any] = {}
        for token, value in part.keywords:
            if token.text in keywords:
                raise ExpressionError(f"{token.text}= is given twice", self._text, token.start, token.stop)
            keywords[token.text] = self._values[value]
        return row.bind(tuple(self._values[argument] for argument in part.arguments), keywords)

    def slice(self, part: tree.Slice) -> slice:
        bounds = [None if bound is None else self._values[bound] for bound in part.bounds]
        for bound, value in zip(part.bounds, bounds, strict=True):
            if bound is not None and not (value is None or _is_whole(value)):
                raise self._error("a range is of whole numbers that are written out", bound)
        return slice(*bounds)

    def dots(self, part: tree.Dots) -> Any:
        return ...

    def index(self, part: tree.Index) -> Any:
        operand = self._values[part.operand]
        key = tuple(self._values[item] for item in part.parts)
        for item, value in zip(part.parts, key, strict=True):
            if isinstance(value, float | str | bool):
                raise self._error(f"an index must be a whole number, not {self._source(item)}", item)
        if isinstance(operand, list | tuple) and len(key) == 1 and isinstance(key[0], int):
            return operand[key[0]]
        return Symbol(number(self._operand(part.operand)))[key]

    def transposed(self, part: tree.Transposed) -> Symbol:
        return Symbol(number(self._operand(part.operand))).T

    # Helpers

    def _operand(self, part: Tree) -> Any:
        """A value that arithmetic can use."""
        value = self._values[part]
        if isinstance(value, bool | str | slice) or value is None or value is ...:
            raise self._error(f"a number is needed, not {self._source(part)}", part)
        return Symbol(number(value)) if isinstance(value, list | tuple) else value

    def _array(self, part: Tree) -> Node:
        try:
            return number(self._operand(part))
        except (TypeError, ValueError) as error:
            if isinstance(error, ExpressionError):
                raise
            raise self._error(str(error), part) from error

    def _source(self, part: Tree) -> str:
        return shorten(self._text[part.start : part.stop], 60)

    def _error(self, message: str, part: Tree) -> ExpressionError:
        return ExpressionError(message, self._text, part.start, part.stop)

    def _shapes(self, part: Tree) -> str:
        """`, where A is (2, 3), x is (4,)`."""
        operands: tuple[Tree, ...] = getattr(part, "operands", ()) or getattr(part, "arguments", ())
        operands = operands or ((part.operand,) if isinstance(part, tree.Index | tree.Transposed) else ())
        told = {
            self._source(operand): describe(value.node.shape)
            for operand in operands
            if isinstance(value := self._values[operand], Symbol)
        }
        return f", where {', '.join(f'{text} is {shape}' for text, shape in told.items())}" if told else ""


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _computed(sign: str, operands: list[Any]) -> float | int:
    """Arithmetic on written numbers: exact on whole ones as long as floats are, and in float64."""
    if sign in ("+", "-", "*") and all(isinstance(x, int) for x in operands):
        whole = _BETWEEN[sign](*operands) if len(operands) == 2 else _BEFORE[sign](*operands)
        if 0 < abs(whole) < EXACT:  # 0 may be -0.0
            return int(whole)
    if sign == "@":
        raise TypeError("@ multiplies arrays; write * between numbers")
    numbers = [np.float64(x) for x in operands]
    with np.errstate(all="ignore"):
        result = float(_BETWEEN[sign](*numbers) if len(numbers) == 2 else _BEFORE[sign](*numbers))
    zero = not result and math.copysign(1.0, result) > 0 and all(isinstance(x, int) for x in operands)
    return 0 if zero and sign in ("+", "-", "*") else result


_RULES: dict[type[Tree], Callable[[Meaning, Any], Any]] = {
    tree.Number: Meaning.number,
    tree.Name: Meaning.name,
    tree.String: Meaning.string,
    tree.Sequence: Meaning.sequence,
    tree.Operation: Meaning.operation,
    tree.Comparison: Meaning.comparison,
    tree.Conditional: Meaning.conditional,
    tree.Call: Meaning.call,
    tree.Slice: Meaning.slice,
    tree.Dots: Meaning.dots,
    tree.Index: Meaning.index,
    tree.Transposed: Meaning.transposed,
}
