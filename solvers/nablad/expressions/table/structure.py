"""Ops that move numbers about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nablad.expressions.dimension import ROWS as ALL_ROWS
from nablad.expressions.dimension import Dimension, Shape, ShapeError, broadcast, describe, row_size
from nablad.expressions.table.spec import OpSpec


def _broadcast_to(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
    (shape,), (target,) = shapes, attributes
    if broadcast("broadcast_to", (shape, target)) != target:
        raise ShapeError("broadcast_to", shapes, f"does not stretch to {describe(target)}")
    return tuple(target)


def _reshape(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
    (shape,), (target,) = shapes, attributes
    if row_size(shape) != row_size(target):
        raise ShapeError("reshape", shapes, f"does not have as many elements as {describe(target)}")
    return tuple(target)


def _transpose(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
    (shape,), (permutation,) = shapes, attributes
    if sorted(permutation) != list(range(len(shape))):
        raise ShapeError("transpose", shapes, f"{permutation} does not permute the axes")
    return tuple(shape[axis] for axis in permutation)


def _sliced(op: str, shapes: Sequence[Shape], shape: Shape, ranges: Sequence[Any]) -> Shape:
    if len(ranges) != len(shape):
        raise ShapeError(op, shapes, f"needs one range for each axis of {describe(shape)}, got {ranges}")
    result: list[Dimension] = []
    for d, bounds in zip(shape, ranges, strict=True):
        if bounds is None:
            result.append(d)
            continue
        start, stop = bounds
        if d is ALL_ROWS or not 0 <= start <= stop <= d:
            raise ShapeError(op, shapes, f"range {bounds} does not lie in an axis of length {describe((d,))}")
        result.append(stop - start)
    return tuple(result)


def _slice(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
    return _sliced("slice", shapes, shapes[0], attributes[0])


def _scatter(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
    target, places = attributes
    if len(places) != len(shapes):
        raise ShapeError("scatter", shapes, "needs one place for each operand")
    for shape, ranges in zip(shapes, places, strict=True):
        if _sliced("scatter", shapes, target, ranges) != shape:
            raise ShapeError("scatter", shapes, f"operand {describe(shape)} does not fill its place {ranges}")
    return tuple(target)


def _concatenate(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
    (axis,) = attributes
    first = shapes[0]
    if not 0 <= axis < len(first):
        raise ShapeError("concatenate", shapes, f"axis {axis} is not an axis of the operands")
    total = 0
    for shape in shapes:
        d = shape[axis] if len(shape) == len(first) else ALL_ROWS
        if d is ALL_ROWS or shape[:axis] + shape[axis + 1 :] != first[:axis] + first[axis + 1 :]:
            raise ShapeError("concatenate", shapes, f"operands must agree but in axis {axis}, which may not be N")
        total += d
    return (*first[:axis], total, *first[axis + 1 :])


ROWS: tuple[OpSpec, ...] = (
    OpSpec("broadcast_to", 1, _broadcast_to, attributes=("shape",)),
    OpSpec("reshape", 1, _reshape, attributes=("shape",)),
    OpSpec("transpose", 1, _transpose, attributes=("permutation",)),
    OpSpec("slice", 1, _slice, attributes=("ranges",)),
    OpSpec("scatter", None, _scatter, "operands added into their places in zeros", ("shape", "places")),
    OpSpec("concatenate", None, _concatenate, attributes=("axis",)),
)
