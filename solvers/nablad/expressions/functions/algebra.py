"""Products and linear algebra, with numpy's signatures. Stacks of matrices have them in the last two axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nablad.expressions import symbols as s
from nablad.expressions.dimension import ShapeError
from nablad.expressions.functions.arguments import flag, whole, wholes
from nablad.expressions.functions.row import Function
from nablad.expressions.functions.shapes import known, part
from nablad.expressions.symbol import Operand, Symbol, number


def of_one(name: str) -> Callable[..., Symbol]:
    build: Callable[..., Symbol] = getattr(s, name)

    def call(a: Operand) -> Symbol:
        return build(number(a))

    return call


def of_two(name: str) -> Callable[..., Symbol]:
    build: Callable[..., Symbol] = getattr(s, name)

    def call(a: Operand, b: Operand) -> Symbol:
        return build(number(a), number(b))

    return call


def tensordot(a: Operand, b: Operand, axes: Any = 2) -> Symbol:
    if isinstance(axes, list | tuple):
        if len(axes) != 2:
            raise ValueError(f"axes is a number, or a pair of axes of a and of b, not {axes!r}")
        of_a, of_b = (wholes(item, "axes") for item in axes)
        return s.tensordot(number(a), number(b), axes=(of_a, of_b))
    return s.tensordot(number(a), number(b), axes=whole(axes, "axes"))


def einsum(subscripts: str, *operands: Operand) -> Symbol:
    if not isinstance(subscripts, str):
        raise TypeError('einsum is written with subscripts in quotes first: einsum("ij,j->i", A, x)')
    return s.einsum(subscripts, *[number(operand) for operand in operands])


def slogdet(a: Operand) -> tuple[Symbol, Symbol]:
    return s.slogdet(number(a))


def solve_triangular(a: Operand, b: Operand, *, lower: bool = False, transposed: bool = False) -> Symbol:
    return s.solve_triangular(number(a), number(b), flag(lower, "lower"), flag(transposed, "transposed"))


def cholesky(a: Operand, *, upper: bool = False) -> Symbol:
    if flag(upper, "upper"):
        raise TypeError("cholesky gives the lower factor: transpose it for the upper one")
    return s.cholesky(number(a))


def matrix_power(a: Operand, n: int) -> Symbol:
    return s.matrix_power(number(a), whole(n, "n"))


def multi_dot(arrays: Any) -> Symbol:
    first, *rest = arrays
    result = Symbol(number(first))
    for array in rest:
        result = s.matmul(result, number(array))
    return result


def vecdot(a: Operand, b: Operand, *, axis: int = -1) -> Symbol:
    """The sums of products along this axis of each, (...) of (..., n)."""
    x, y = (s.moveaxis(number(operand), whole(axis, "axis"), -1) for operand in (a, b))
    return s.sum(x * y, -1)


def matvec(a: Operand, b: Operand) -> Symbol:
    """Stacks of matrices (..., m, n) times stacks of vectors (..., n): (..., m)."""
    return s.squeeze(s.matmul(number(a), s.expand_dims(number(b), -1)), -1)


def vecmat(a: Operand, b: Operand) -> Symbol:
    """Stacks of vectors (..., m) times stacks of matrices (..., m, n): (..., n)."""
    return s.squeeze(s.matmul(s.expand_dims(number(a), -2), number(b)), -2)


def diagonals(a: Operand, *, offset: int = 0) -> Symbol:
    """Of the matrices in the last two axes, (..., k) of (..., m, n)."""
    return s.diagonal(number(a), whole(offset, "offset"), -2, -1)


def traces(a: Operand, *, offset: int = 0) -> Symbol:
    """Of the matrices in the last two axes, (...) of (..., m, n)."""
    return s.trace(number(a), whole(offset, "offset"), -2, -1)


def cross(a: Operand, b: Operand) -> Symbol:
    """Of vectors of three in the last axis."""
    x, y = Symbol(number(a)), Symbol(number(b))
    for vector in (x, y):
        if not vector.ndim or vector.node.shape[-1] != 3:
            raise ShapeError("cross", [x.node.shape, y.node.shape], "needs vectors of three in the last axis")
    return x[..., [1, 2, 0]] * y[..., [2, 0, 1]] - x[..., [2, 0, 1]] * y[..., [1, 2, 0]]


def polyval(p: Operand, x: Operand) -> Symbol:
    """p[0] x^(n-1) + ... + p[n-1], by Horner's rule."""
    coefficients = Symbol(number(p))
    value, *rest = coefficients
    point = Symbol(number(x))
    value = value + s.multiply(point, 0.0) if not rest else value
    for coefficient in rest:
        value = value * point + coefficient
    return value


def trapezoid(y: Operand, x: Operand | None = None, dx: float = 1.0, axis: int = -1) -> Symbol:
    node = number(y)
    if axis not in (-1, len(node.shape) - 1):
        raise ShapeError("trapezoid", [node.shape], "integrates over the last axis: transpose first")
    last = len(node.shape) - 1
    if last < 0:
        raise ShapeError("trapezoid", [node.shape], "needs an axis")
    length = known(node, last, "trapezoid")
    between = (part(node, last, 1, length) + part(node, last, 0, length - 1)) * 0.5
    if x is None:
        return s.sum(between, [last]) * dx
    points = number(x)
    end = len(points.shape) - 1
    width = part(points, end, 1, length) - part(points, end, 0, length - 1)
    return s.sum(between * width, [last])


ROWS: tuple[Function, ...] = (
    Function("matmul", of_two("matmul"), "a @ b", ("linalg.matmul",)),
    Function("dot", of_two("dot"), "the product of matrices or vectors"),
    Function("inner", of_two("inner"), "the sum of products over the last axes"),
    Function("outer", of_two("outer"), "all products of two vectors' elements", ("linalg.outer",)),
    Function("vdot", of_two("vdot"), "the sum of all products"),
    Function("tensordot", tensordot, "the sum of products over several axes", ("linalg.tensordot",)),
    Function("einsum", einsum, 'sums of products by subscripts: einsum("ij,j->i", A, x)'),
    Function("kron", of_two("kron"), "the Kronecker product"),
    Function("vecdot", vecdot, "the sums of products of vectors in the last axis", ("linalg.vecdot",)),
    Function("matvec", matvec, "matrices times vectors, of stacks of both"),
    Function("vecmat", vecmat, "vectors times matrices, of stacks of both"),
    Function("cross", cross, "the cross product of vectors of three", ("linalg.cross",)),
    Function("det", of_one("det"), "determinant", ("linalg.det",)),
    Function("logdet", of_one("logdet"), "log |det(a)|"),
    Function("slogdet", slogdet, "the determinant's sign, and log |det(a)|", ("linalg.slogdet",)),
    Function("inv", of_one("inv"), "inverse matrix", ("linalg.inv",)),
    Function("solve", of_two("solve"), "x with a @ x = b", ("linalg.solve",)),
    Function("solve_triangular", solve_triangular, "the same, of the upper or the lower triangle of a"),
    Function("cholesky", cholesky, "lower L with L @ L.T = a", ("linalg.cholesky",)),
    Function("linalg.diagonal", diagonals, "the diagonals of the matrices in the last two axes"),
    Function("linalg.trace", traces, "their sums"),
    Function("matrix_transpose", of_one("matrix_transpose"), "a.T of each matrix", ("linalg.matrix_transpose",)),
    Function("matrix_power", matrix_power, "a @ a @ ... @ a", ("linalg.matrix_power",)),
    Function("multi_dot", multi_dot, "the product of several matrices", ("linalg.multi_dot",)),
    Function("polyval", polyval, "the polynomial with coefficients p at x, highest power first"),
    Function("trapezoid", trapezoid, "the integral by the trapezoidal rule", ("trapz",)),
)
