"""Arrays made of symbols: nested lists, tuples and numpy's object arrays, as one array.

    [a, [1.0, b]] is an error; [[a, 0.0], [1.0, b]] is a matrix

One op for each list; parts that hold no symbols are constants.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nablad.expressions import symbols as s
from nablad.expressions.graph import Node
from nablad.expressions.symbol import Symbol, lift

DEEPEST = 64
"""Axes of an array, as many as numpy's."""


def holds_symbols(value: Any, depth: int = 0) -> bool:
    """Whether lists, however nested, hold a symbol (or an object array, which may)."""
    if isinstance(value, list | tuple):
        if depth == DEEPEST:
            raise TypeError(f"lists nested more than {DEEPEST} deep are no array")
        return any(holds_symbols(item, depth + 1) for item in value)
    return isinstance(value, Symbol | Node) or (isinstance(value, np.ndarray) and value.dtype.kind == "O")


def stacked(value: list[Any] | tuple[Any, ...] | np.ndarray[Any, Any]) -> Node:
    """The items along a new first axis; an object array's elements in its own shape. Raises ShapeError if ragged."""
    if not isinstance(value, np.ndarray):
        return s.stack([lift(item) for item in value], 0).node
    if value.ndim == 0:
        return lift(value.item())
    pieces = s.stack([lift(item) for item in value.flat], 0)
    return s.reshape(pieces, (*value.shape, *pieces.shape[1:])).node
