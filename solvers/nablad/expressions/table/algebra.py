"""Products and the linear algebra of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nablad.expressions.dimension import ROWS as ALL_ROWS
from nablad.expressions.dimension import Shape, ShapeError, broadcast, describe
from nablad.expressions.table.spec import OpSpec, ShapeRule


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


def _square(op: str, shapes: Sequence[Shape], shape: Shape) -> None:
    if len(shape) < 2 or shape[-1] is ALL_ROWS or shape[-1] != shape[-2]:
        raise ShapeError(op, shapes, f"needs square matrices of fixed size in the last two axes of {describe(shape)}")


def _number(name: str, domain: str) -> OpSpec:
    def rule(shapes: Sequence[Shape], _: Sequence[Any]) -> Shape:
        _square(name, shapes, shapes[0])
        return shapes[0][:-2]

    return OpSpec(name, 1, rule, domain)


def _matrix(name: str, domain: str) -> OpSpec:
    def rule(shapes: Sequence[Shape], _: Sequence[Any]) -> Shape:
        _square(name, shapes, shapes[0])
        return shapes[0]

    return OpSpec(name, 1, rule, domain)


def _cofactors_derivative(shapes: Sequence[Shape], _: Sequence[Any]) -> Shape:
    for shape in shapes:
        _square("cofactors_derivative", shapes, shape)
    return broadcast("cofactors_derivative", shapes)


def _solve(name: str) -> ShapeRule:
    def rule(shapes: Sequence[Shape], _: Sequence[Any]) -> Shape:
        a, b = shapes
        _square(name, shapes, a)
        if len(b) < 2 or b[-2] != a[-1]:
            raise ShapeError(name, shapes, f"the right-hand sides must be matrices of {a[-1]} rows")
        return (*broadcast(name, (a[:-2], b[:-2])), *b[-2:])

    return rule


ROWS: tuple[OpSpec, ...] = (
    OpSpec("matmul", 2, _matmul),
    _number("det", "square matrices; the derivative of a singular one is right too, by cofactors"),
    _number("logdet", "log |det x|; -infinity for a singular matrix, whose derivative is NaN"),
    _number("sign_det", "-1, 0 or 1; its derivative is 0, at singular matrices too"),
    _matrix("inv", "regular matrices; NaN for a singular one, in that matrix alone"),
    _matrix(
        "cofactors",
        "det(x) inv(x)' and its limit at singular matrices: the derivative of det. Its own first derivative is right "
        "at singular matrices too, the second is NaN there",
    ),
    OpSpec(
        "cofactors_derivative",
        2,
        _cofactors_derivative,
        "the directional derivative of the cofactors of the first operand along the second; its derivative in the "
        "first operand is NaN at singular matrices",
    ),
    OpSpec("solve", 2, _solve("solve"), "regular matrices; NaN for a singular one, in that matrix alone"),
    _matrix(
        "cholesky",
        "positive definite matrices, NaN for any other; the factor of the symmetric part (x + x')/2, so that the "
        "derivative is symmetric, as in JAX",
    ),
    OpSpec(
        "solve_triangular",
        2,
        _solve("solve_triangular"),
        "triangles without 0 on the diagonal, NaN for a matrix with one; the other triangle is not read",
        ("lower", "transposed"),
    ),
)
