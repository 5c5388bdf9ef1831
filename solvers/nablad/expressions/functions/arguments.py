"""Arguments that belong to a function itself: axes, shapes, whole numbers."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from nablad.expressions.dimension import ROWS, Dimension, Shape, ShapeError, row_size
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
    if isinstance(value, list | tuple):
        return tuple(whole(item, what) for item in value)
    return (whole(value, what),)


def flag(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{what} must be True or False, not {value!r:.80}")
    return value


def axis_of(axis: Any, rank: int, op: str, shapes: Sequence[Shape]) -> int:
    """An axis counted from the front. Raises ShapeError where there is no such axis."""
    axis = whole(axis, "axis")
    if not -rank <= axis < rank:
        raise ShapeError(op, shapes, f"there is no axis {axis}: the operand has {rank}")
    return axis % rank


def axes_of(axis: Any, rank: int, op: str, shape: Shape) -> tuple[int, ...] | None:
    """numpy's axis argument, one or several, as axes counted from the front; None stays None."""
    if axis is None:
        return None
    axes = tuple(axis_of(item, rank, op, [shape]) for item in wholes(axis, "axis"))
    if len(set(axes)) != len(axes):
        raise ShapeError(op, [shape], f"axis {axis} names an axis twice")
    return axes


def dimension(value: Any, what: str) -> Dimension:
    """A length: a whole number, or the number of data rows as `x.shape[0]` gives it."""
    if value is ROWS or (isinstance(value, Symbol) and value.node.op == "rows"):
        return ROWS
    return whole(value, what)


def shape_of(value: Any) -> Shape:
    """A shape argument, -1 as it is."""
    if isinstance(value, list | tuple):
        return tuple(dimension(item, "shape") for item in value)
    return (dimension(value, "shape"),)


def filled_in(target: Shape, shape: Shape) -> Shape:
    """The shape to reshape to, with its -1 computed. Raises ShapeError."""
    unknown = [k for k, d in enumerate(target) if d == -1]
    if any(d is not ROWS and d < -1 for d in target) or len(unknown) > 1:
        raise ShapeError("reshape", [shape], f"one length may be -1, and none below, in {target}")
    if not unknown:
        return target
    power, size = row_size(shape)
    known_power, known = row_size(tuple(d for d in target if d != -1))
    missing: Dimension | None = None
    if known_power == power and known and size % known == 0:
        missing = size // known
    elif known_power == power - 1 and known == size:
        missing = ROWS
    if missing is None:
        raise ShapeError("reshape", [shape], f"cannot be divided among {target}")
    return tuple(missing if d == -1 else d for d in target)
