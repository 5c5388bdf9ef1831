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


def _length(d: Dimension, bounds: Any) -> int | None:
    """How many numbers a range reads from an axis of length d, None where it leaves the axis."""
    if d is ALL_ROWS:
        return None
    reads = range(*bounds)
    first_stop = -1 if reads.step < 0 else 0
    inside = 0 <= reads.start <= d and first_stop <= reads.stop <= d
    return len(reads) if inside and (not reads or max(reads[0], reads[-1]) < d) else None


def _sliced(op: str, shapes: Sequence[Shape], shape: Shape, ranges: Sequence[Any]) -> Shape:
    if len(ranges) != len(shape):
        raise ShapeError(op, shapes, f"needs one range for each axis of {describe(shape)}, got {ranges}")
    result: list[Dimension] = []
    for d, bounds in zip(shape, ranges, strict=True):
        length = d if bounds is None else _length(d, bounds)
        if length is None:
            raise ShapeError(op, shapes, f"range {bounds} does not lie in an axis of length {describe((d,))}")
        result.append(length)
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


def _taken(op: str, shapes: Sequence[Shape], shape: Shape, index: Shape, axis: int) -> Shape:
    if not 0 <= axis < len(shape):
        raise ShapeError(op, shapes, f"axis {axis} is not an axis of {describe(shape)}")
    if shape[axis] is ALL_ROWS:
        raise ShapeError(op, shapes, f"axis {axis} runs over the data rows; what is read from must have a fixed length")
    return (*shape[:axis], *index, *shape[axis + 1 :])


def _take(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
    (shape, index), (axis,) = shapes, attributes
    return _taken("take", shapes, shape, index, axis)


def _scatter_add(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
    (pieces, index), (target, axis) = shapes, attributes
    if _taken("scatter_add", shapes, target, index, axis) != pieces:
        raise ShapeError("scatter_add", shapes, f"the first operand is not what `take` reads from {describe(target)}")
    return tuple(target)


def _matrix(op: str, shapes: Sequence[Shape], shape: Shape) -> tuple[int, int]:
    """The size of the matrices of a stack."""
    if len(shape) < 2 or shape[-2] is ALL_ROWS or shape[-1] is ALL_ROWS:
        raise ShapeError(op, shapes, "needs matrices in the last two axes, which may not be N")
    return shape[-2], shape[-1]


def _diagonal(shapes: Sequence[Shape], _: Sequence[Any]) -> Shape:
    (shape,) = shapes
    return (*shape[:-2], min(_matrix("diagonal", shapes, shape)))


def _diag(shapes: Sequence[Shape], _: Sequence[Any]) -> Shape:
    (shape,) = shapes
    if not shape or shape[-1] is ALL_ROWS:
        raise ShapeError("diag", shapes, "needs vectors in the last axis, which may not be N")
    return (*shape, shape[-1])


def _triangle(name: str) -> OpSpec:
    def rule(shapes: Sequence[Shape], _: Sequence[Any]) -> Shape:
        _matrix(name, shapes, shapes[0])
        return shapes[0]

    side = "above" if name == "tril" else "below"
    return OpSpec(name, 1, rule, f"all real numbers; zeros {side} the diagonal, whatever is there", ("offset",))


ROWS: tuple[OpSpec, ...] = (
    OpSpec("broadcast_to", 1, _broadcast_to, attributes=("shape",)),
    OpSpec("reshape", 1, _reshape, attributes=("shape",)),
    OpSpec("transpose", 1, _transpose, attributes=("permutation",)),
    OpSpec("slice", 1, _slice, "ranges as of Python's range(start, stop, step), within the axis", ("ranges",)),
    OpSpec("scatter", None, _scatter, "operands added into their places in zeros", ("shape", "places")),
    OpSpec("concatenate", None, _concatenate, "axes of numbers, never the axis of the data rows", ("axis",)),
    OpSpec(
        "take",
        2,
        _take,
        "whole numbers of the axis, the negative ones from its end; NaN for any other index. In float32 whole numbers "
        "beyond 2^24 are not exact. The index is not differentiated",
        ("axis",),
    ),
    OpSpec(
        "scatter_add",
        2,
        _scatter_add,
        "numbers added where `take` would read them, in zeros; one whose index is not in the axis is left out",
        ("shape", "axis"),
    ),
    OpSpec("diagonal", 1, _diagonal, "the diagonals of the matrices in the last two axes"),
    OpSpec("diag", 1, _diag, "diagonal matrices of the vectors in the last axis"),
    _triangle("tril"),
    _triangle("triu"),
)
