"""Reductions, fewer numbers out than in; and running sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nablad.expressions.dimension import Shape, ShapeError
from nablad.expressions.table.spec import OpSpec, ShapeRule


def _reduction(op: str, of_nothing: bool) -> ShapeRule:
    """`of_nothing` says whether the reduction of no numbers has a value."""

    def rule(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
        (shape,), (axes, keepdims) = shapes, attributes
        if len(set(axes)) != len(axes) or not all(0 <= axis < len(shape) for axis in axes):
            raise ShapeError(op, shapes, f"axes {axes} are not distinct axes of the operand")
        if not of_nothing and any(shape[axis] == 0 for axis in axes):
            raise ShapeError(op, shapes, "of no numbers is undefined")
        if keepdims:
            return tuple(1 if axis in axes else d for axis, d in enumerate(shape))
        return tuple(d for axis, d in enumerate(shape) if axis not in axes)

    return rule


def _logsumexp(shapes: Sequence[Shape], _: Sequence[Any]) -> Shape:
    (shape,) = shapes
    if not shape or shape[-1] == 0:
        raise ShapeError("logsumexp", shapes, "needs a last axis with at least one number")
    return shape[:-1]


def _cumsum(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
    (shape,), (axis, _) = shapes, attributes
    if not 0 <= axis < len(shape):
        raise ShapeError("cumsum", shapes, f"axis {axis} is not an axis of the operand")
    return shape


_OVER = ("axes", "keepdims")
_EXTREME = "all real numbers, NaN if any is; ties share the derivative equally, as in JAX"

ROWS: tuple[OpSpec, ...] = (
    OpSpec("sum", 1, _reduction("sum", True), attributes=_OVER),
    OpSpec("max", 1, _reduction("max", False), _EXTREME, _OVER),
    OpSpec("min", 1, _reduction("min", False), _EXTREME, _OVER),
    OpSpec(
        "norm",
        1,
        _reduction("norm", True),
        "sqrt(sum(x^2)) without overflow or underflow; its derivative at x = 0 is 0, the least subgradient, where JAX "
        "gives NaN",
        _OVER,
    ),
    OpSpec("logsumexp", 1, _logsumexp, "all real numbers; over the last axis"),
    OpSpec("cumsum", 1, _cumsum, "all real numbers; running sums, from the end if reverse", ("axis", "reverse")),
)
