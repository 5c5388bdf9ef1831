"""Axes as numpy counts them: negative ones from the end."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from nablad.expressions.dimension import Shape, ShapeError, describe


def axis_of(op: str, axis: int, shape: Shape) -> int:
    """The axis counted from the front. Raises ShapeError, naming `op`, where the shape has no such axis."""
    rank, place = len(shape), operator.index(axis)
    if not -rank <= place < rank:
        raise ShapeError(op, (shape,), f"axis {place} is not an axis of {describe(shape)}")
    return place + rank if place < 0 else place


def axes_of(op: str, axes: int | Sequence[int] | None, shape: Shape) -> tuple[int, ...]:
    """Distinct axes in the order given; all of them for None. Raises ShapeError as `axis_of` does."""
    if axes is None:
        return tuple(range(len(shape)))
    wanted = axes if isinstance(axes, Sequence) else [axes]
    found = tuple(axis_of(op, axis, shape) for axis in wanted)
    if len(set(found)) != len(found):
        raise ShapeError(op, (shape,), f"axes {tuple(wanted)} name one axis twice")
    return found
