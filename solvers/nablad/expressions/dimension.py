"""Shapes with one unknown: a dimension is an integer or ROWS, the number of data rows N.

A graph is traced, differentiated and compiled once for every N; a workspace binds ROWS to a number. Two dimensions are
the same only if they are equal for every N, so ROWS equals only ROWS, and stretches only from 1, as in numpy.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, Literal


class _Rows(enum.Enum):
    ROWS = "N"

    # An Enum's own hashes its name in Python at each look-up of a shape; there is one member, and it is itself.
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return "N"


ROWS: Final = _Rows.ROWS

Dimension = int | Literal[_Rows.ROWS]
Shape = tuple[Dimension, ...]

KEPT = 4096
"""Results remembered of a rule that is asked the same of the same few shapes for every node of a graph."""


class ShapeError(ValueError):
    """The operands' shapes do not fit the operation. `op` names it, `shapes` are the operands' own."""

    def __init__(self, op: str, shapes: Iterable[Shape], message: str) -> None:
        self.op = op
        self.shapes = tuple(shapes)
        listing = ", ".join(describe(shape) for shape in self.shapes)
        super().__init__(f"{op}({listing}): {message}")


def describe(shape: Shape) -> str:
    """A shape as a reader writes it: (N, 3)."""
    inner = ", ".join("N" if d is ROWS else str(d) for d in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def broadcast(op: str, shapes: Iterable[Shape]) -> Shape:
    """The shape that numpy's broadcasting gives to one or more shapes. Raises ShapeError naming `op`."""
    shapes = tuple(shapes)
    return shapes[0] if shapes.count(shapes[0]) == len(shapes) else _stretched(op, shapes)


@lru_cache(KEPT)
def _stretched(op: str, shapes: tuple[Shape, ...]) -> Shape:
    rank = max(len(s) for s in shapes)
    result: list[Dimension] = [1] * rank
    for shape in shapes:
        for axis, d in enumerate(shape, start=rank - len(shape)):
            if d == 1 or d == result[axis]:
                continue
            if result[axis] != 1:
                raise ShapeError(op, shapes, f"cannot broadcast {describe((d,))} against {describe((result[axis],))}")
            result[axis] = d
    return tuple(result)


def rows_axis(shape: Shape) -> int | None:
    """The axis that runs over the data rows, None where there is none; a shape with two has no such axis."""
    axes = [axis for axis, d in enumerate(shape) if d is ROWS]
    return axes[0] if len(axes) == 1 else None


@lru_cache(KEPT)
def row_size(shape: Shape) -> tuple[int, int]:
    """(power, size) such that an array of this shape has N**power * size elements."""
    power, size = 0, 1
    for d in shape:
        if d is ROWS:
            power += 1
        else:
            size *= d
    return power, size


def concrete(value: Any, rows: int) -> Any:
    """The same shape, or any nest of tuples holding shapes, with ROWS bound to a number."""
    if value is ROWS:
        return rows
    if isinstance(value, tuple) and value:
        return tuple([concrete(item, rows) for item in value])
    return value
