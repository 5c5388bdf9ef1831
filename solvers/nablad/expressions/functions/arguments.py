"""Arguments that belong to a function itself: axes, shapes, whole numbers. They must be known when it is written."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from nablad.expressions.dimension import ROWS, Dimension, Shape
from nablad.expressions.symbol import Symbol


def whole(value: Any, what: str) -> int:
    """A whole number that is known now. Raises TypeError naming `what`."""
    if not isinstance(value, bool | Symbol):
        try:
            return int(operator.index(value))
        except TypeError:
            pass
    raise TypeError(f"{what} must be a whole number that is written out, not {value!r:.80}")


def wholes(value: Any, what: str) -> tuple[int, ...]:
    """One whole number or several."""
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim):
        return tuple(whole(item, what) for item in value)
    return (whole(value, what),)


def axes_of(axis: Any) -> tuple[int, ...] | None:
    """numpy's axis argument: one, several, or None for all."""
    return None if axis is None else wholes(axis, "axis")


def flag(value: Any, what: str) -> bool:
    """True or False. Raises TypeError naming `what`."""
    if not isinstance(value, bool):
        raise TypeError(f"{what} must be True or False, not {value!r:.80}")
    return value


def dimension(value: Any, what: str) -> Dimension:
    """A length: a whole number, or the number of data rows as `x.shape[0]` gives it."""
    if value is ROWS or (isinstance(value, Symbol) and value.node.op == "rows"):
        return ROWS
    return whole(value, what)


def shape_of(value: Any) -> Shape:
    """A shape argument: one length or several; -1 stays as it is."""
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim):
        return tuple(dimension(item, "shape") for item in value)
    return (dimension(value, "shape"),)
