"""Products and the linear algebra of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nablad.expressions.dimension import Shape, ShapeError, broadcast, describe
from nablad.expressions.table.spec import OpSpec


def _matmul(shapes: Sequence[Shape], _: Sequence[Any]) -> Shape:
    left, right = shapes
    if len(left) < 2 or len(right) < 1 or (len(right) == 1 and len(left) != 2):
        raise ShapeError("matmul", shapes, "is defined for matrix @ vector and for (stacks of) matrix @ matrix")
    inner = right[0] if len(right) == 1 else right[-2]
    if left[-1] != inner:
        raise ShapeError("matmul", shapes, f"inner dimensions {describe((left[-1],))} and {describe((inner,))} differ")
    if len(right) == 1:
        return left[:1]
    return (*broadcast("matmul", (left[:-2], right[:-2])), left[-2], right[-1])


ROWS: tuple[OpSpec, ...] = (OpSpec("matmul", 2, _matmul),)
