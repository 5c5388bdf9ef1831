"""Reductions: fewer numbers out than in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nablad.expressions.dimension import Shape, ShapeError
from nablad.expressions.table.spec import OpSpec


def _sum(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
    (shape,), (axes, keepdims) = shapes, attributes
    if len(set(axes)) != len(axes) or not all(0 <= axis < len(shape) for axis in axes):
        raise ShapeError("sum", shapes, f"axes {axes} are not distinct axes of the operand")
    if keepdims:
        return tuple(1 if axis in axes else d for axis, d in enumerate(shape))
    return tuple(d for axis, d in enumerate(shape) if axis not in axes)


def _logsumexp(shapes: Sequence[Shape], _: Sequence[Any]) -> Shape:
    (shape,) = shapes
    if not shape:
        raise ShapeError("logsumexp", shapes, "needs at least one axis")
    return shape[:-1]


ROWS: tuple[OpSpec, ...] = (
    OpSpec("sum", 1, _sum, attributes=("axes", "keepdims")),
    OpSpec("logsumexp", 1, _logsumexp, "all real numbers; over the last axis"),
)
