"""Products of symbols, and the linear algebra of (stacks of) matrices, with numpy's names and arguments."""

from __future__ import annotations

import operator

from nablad.expressions.dimension import ROWS, Dimension, ShapeError, row_size
from nablad.expressions.symbol import Operand, Symbol, apply, lift
from nablad.expressions.symbols.einsum import Term, contracted, tensordot
from nablad.expressions.symbols.structure import broadcast_to, eye, ravel, reshape, swapaxes, transpose

# products


def matmul(x: Operand, y: Operand) -> Symbol:
    """x @ y: of (stacks of) matrices; a vector is a row on the left and a column on the right."""
    left, right = Symbol(lift(x)), Symbol(lift(y))
    if not left.ndim or not right.ndim:
        raise ShapeError("matmul", (left.shape, right.shape), "is for vectors and matrices; use * with a number")
    if left.ndim > 1 and (right.ndim > 1 or left.ndim == 2):
        return apply("matmul", left, right)
    if left.shape[-1] != right.shape[-2 if right.ndim > 1 else 0]:
        raise ShapeError("matmul", (left.shape, right.shape), "inner dimensions differ")
    if right.ndim == 1:
        if left.ndim == 1:
            return reshape(apply("matmul", reshape(left, (1, *left.shape)), right), ())
        columns = apply("matmul", left, reshape(right, (*right.shape, 1)))
        return reshape(columns, columns.shape[:-1])
    if right.ndim == 2:
        return apply("matmul", transpose(right), left)
    rows = apply("matmul", reshape(left, (1, *left.shape)), right)
    return reshape(rows, (*rows.shape[:-2], rows.shape[-1]))


def dot(x: Operand, y: Operand) -> Symbol:
    """The product over x's last axis and y's last but one (a vector's only one); with a number, its multiple."""
    left, right = Symbol(lift(x)), Symbol(lift(y))
    if not left.ndim or not right.ndim:
        return left * right
    if left.ndim <= 2 and right.ndim <= 2:
        return matmul(left, right)
    return tensordot(left, right, (-1, -2 if right.ndim > 1 else 0))


def inner(x: Operand, y: Operand) -> Symbol:
    """The products over the last axes of both."""
    left, right = Symbol(lift(x)), Symbol(lift(y))
    return tensordot(left, right, (-1, -1)) if left.ndim and right.ndim else left * right


def vdot(x: Operand, y: Operand) -> Symbol:
    """The sum of products of all numbers, in row-major order: a scalar."""
    left, right = Symbol(lift(x)), Symbol(lift(y))
    if left.shape != right.shape:
        left, right = ravel(left), ravel(right)
    if left.shape != right.shape:
        raise ShapeError("vdot", (left.shape, right.shape), "the numbers of elements differ")
    axes = tuple(range(left.ndim))
    return contracted([Term(left, axes), Term(right, axes)], ()).array


def outer(x: Operand, y: Operand) -> Symbol:
    """x_i y_j, both flattened."""
    left, right = ravel(x), ravel(y)
    return reshape(left, (*left.shape, 1)) * reshape(right, (1, *right.shape))


def kron(x: Operand, y: Operand) -> Symbol:
    """The Kronecker product: y times each number of x, laid out as x is."""
    left, right = Symbol(lift(x)), Symbol(lift(y))
    rank = max(left.ndim, right.ndim)
    heights = (1,) * (rank - left.ndim) + left.shape
    widths = (1,) * (rank - right.ndim) + right.shape
    spread = reshape(left, tuple(d for h in heights for d in (h, 1))) * reshape(
        right, tuple(d for w in widths for d in (1, w))
    )
    return reshape(spread, tuple(_length(h, w) for h, w in zip(heights, widths, strict=True)))


def _length(first: Dimension, second: Dimension) -> Dimension:
    if row_size((first, second)) == (1, 1):
        return ROWS
    if first is ROWS or second is ROWS:
        raise ShapeError("kron", ((first,), (second,)), "an axis of data rows can be multiplied by 1 only")
    return first * second


def matrix_transpose(x: Operand) -> Symbol:
    """The transposed matrices of a stack."""
    return swapaxes(x, -1, -2)


# matrices


def det(x: Operand) -> Symbol:
    """The determinants (...) of matrices (..., n, n)."""
    return apply("det", x)


def logdet(x: Operand) -> Symbol:
    """log |det x|, which neither overflows nor vanishes where det does: (...) of matrices (..., n, n)."""
    return apply("logdet", x)


def slogdet(x: Operand) -> tuple[Symbol, Symbol]:
    """(sign of det, log |det|)."""
    return apply("sign_det", x), apply("logdet", x)


def inv(x: Operand) -> Symbol:
    """The inverses of matrices (..., n, n)."""
    return apply("inv", x)


def solve(a: Operand, b: Operand) -> Symbol:
    """x with a x = b, for a (..., n, n) and b a vector (n,) or matrices (..., n, k)."""
    return _columns("solve", a, b)


def solve_triangular(a: Operand, b: Operand, lower: bool = False, transposed: bool = False) -> Symbol:
    """x with T x = b, or T' x = b if transposed, T being a's upper or lower triangle; shapes as of `solve`."""
    return _columns("solve_triangular", a, b, bool(lower), bool(transposed))


def _columns(op: str, a: Operand, b: Operand, *attributes: bool) -> Symbol:
    right = Symbol(lift(b))
    if right.ndim != 1:
        return apply(op, a, right, attributes=attributes)
    x = apply(op, a, reshape(right, (*right.shape, 1)), attributes=attributes)
    return reshape(x, x.shape[:-1])


def cholesky(x: Operand) -> Symbol:
    """The lower triangular L with L L' = x, for positive definite (..., n, n); of the symmetric part of x."""
    return apply("cholesky", x)


def matrix_power(x: Operand, exponent: int) -> Symbol:
    """x @ x @ ... by repeated squaring; of the inverse where the exponent is negative."""
    base = Symbol(lift(x))
    size = base.shape[-1] if base.ndim > 1 else None
    if not isinstance(size, int) or base.shape[-2] != size:
        raise ShapeError("matrix_power", (base.shape,), "needs square matrices of fixed size")
    count = operator.index(exponent)
    if count < 0:
        base, count = inv(base), -count
    if not count:
        return broadcast_to(eye(size), base.shape)
    result: Symbol | None = None
    while count:
        if count & 1:
            result = base if result is None else apply("matmul", result, base)
        count >>= 1
        if count:
            base = apply("matmul", base, base)
    assert result is not None
    return result
