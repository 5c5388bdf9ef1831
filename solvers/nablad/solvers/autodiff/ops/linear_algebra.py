"""Linear algebra of stacks of matrices (..., n, n).

With Y the result, T a tangent and G a cotangent (Giles 2008, An extended collection of matrix derivative results):

    det         sum(C * T)                 g C                         C the cofactors, which singular matrices have too
    log |det|   sum(inv(X)' * T)           g inv(X)'
    inv         -Y T Y                     -Y' G Y'
    A Y = B     A^-1 (T_B - T_A Y)         B: A'^-1 G =: H;  A: -H Y'
    Y Y' = X    Y Phi(Y^-1 T Y^-T)         Y^-T Phi(Y' G) Y^-1, symmetrized       (Murray 2016)

Phi takes the lower triangle and half of the diagonal. The Hessian of det is a symmetric form in two directions, so the
derivative of C is its own adjoint; and so, being symmetric in three, is the derivative of that, given here by the
inverse: D (tr(YT) Y - Y T Y) with Y = inv(X), D = det(X), differentiated by the product rule.

Costs are those of dense LAPACK (Golub and Van Loan 2013): 2/3 n^3 for LU, 1/3 n^3 for Cholesky, 2 n^3 for an inverse,
2 n^2 for a right-hand side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nablad.expressions import ROWS as ALL_ROWS
from nablad.expressions import Node, Shape, Symbol
from nablad.expressions import symbols as s
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.ops import factorizations as numbers
from nablad.solvers.autodiff.ops.pointwise import degree_transcendental
from nablad.solvers.autodiff.ops.row import Array, Degree, General, Instruction, Meaning

Tangents = tuple[Symbol | None, ...]
Operands = tuple[Symbol, ...]


def _store(call: Callable[..., Any], operands: tuple[Any, ...], out: Array) -> None:
    np.copyto(out, call(*operands))


def _bind(call: Callable[..., Any]) -> Any:
    def bind(arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None) -> Instruction:
        return _store, (call, (*arrays, *attributes), out)

    return bind


def _given(tangent: Symbol | None) -> Symbol:
    assert tangent is not None
    return tangent


def _each(t: Symbol) -> Symbol:
    """A number for each matrix, to multiply it by."""
    return s.reshape(t, (*t.shape, 1, 1))


def _sum(x: Symbol) -> Symbol:
    return s.sum(x, [-2, -1])


def _trace(x: Symbol, y: Symbol) -> Symbol:
    """tr(x y), for each matrix to multiply it by."""
    return _each(_sum(x * s.matrix_transpose(y)))


# one operand


def _slope(gradient: Callable[[Symbol], Symbol]) -> General:
    """A number y = f(X) with a gradient of X's shape."""
    return General(
        lambda tangents, x, y: _sum(gradient(x[0]) * _given(tangents[0])),
        lambda t, x, y: (_each(t) * gradient(x[0]),),
    )


def _inverse_transposed(x: Symbol) -> Symbol:
    return s.matrix_transpose(s.inv(x))


def _cofactors(x: Symbol) -> Symbol:
    return s.apply("cofactors", x)


def _bent(t: Symbol, x: Symbol) -> Symbol:
    return s.apply("cofactors_derivative", x, t)


def _push_inv(tangents: Tangents, operands: Operands, y: Symbol) -> Symbol:
    return -(y @ _given(tangents[0]) @ y)


def _pull_inv(t: Symbol, operands: Operands, y: Symbol) -> Operands:
    across = s.matrix_transpose(y)
    return (-(across @ t @ across),)


def _phi(x: Symbol) -> Symbol:
    size = x.shape[-1]
    assert isinstance(size, int)
    return s.tril(x) * (1.0 - 0.5 * s.eye(size))


def _symmetric(x: Symbol) -> Symbol:
    return 0.5 * (x + s.matrix_transpose(x))


def _push_cholesky(tangents: Tangents, operands: Operands, y: Symbol) -> Symbol:
    half = s.solve_triangular(y, _symmetric(_given(tangents[0])), lower=True)
    return y @ _phi(s.solve_triangular(y, s.matrix_transpose(half), lower=True))


def _pull_cholesky(t: Symbol, operands: Operands, y: Symbol) -> Operands:
    inner = _phi(s.matrix_transpose(y) @ t)
    left = s.solve_triangular(y, inner, lower=True, transposed=True)
    right = s.solve_triangular(y, s.matrix_transpose(left), lower=True, transposed=True)
    return (_symmetric(right),)


# two operands


def _third(t: Symbol, x: Symbol, u: Symbol) -> Symbol:
    """The third derivative of det along t and u, as a gradient; by the inverse, so for regular matrices."""
    inverse = s.inv(x)
    along = inverse @ u
    bend = _trace(inverse, u) * inverse - along @ inverse
    moved = -(inverse @ t @ inverse)
    moved_along = moved @ u
    turn = _trace(moved, u) * inverse + _trace(inverse, u) * moved - moved_along @ inverse - along @ moved
    return s.matrix_transpose(_each(s.det(x)) * (_trace(inverse, t) * bend + turn))


def _push_bent(tangents: Tangents, operands: Operands, y: Symbol) -> Symbol:
    (x, u), (tx, tu) = operands, tangents
    parts = [_bent(tu, x)] if tu is not None else []
    if tx is not None:
        parts.append(_third(tx, x, u))
    return _total(parts)


def _total(parts: Sequence[Symbol]) -> Symbol:
    first, *others = parts
    return first + others[0] if others else first


def _push_solve(tangents: Tangents, operands: Operands, y: Symbol) -> Symbol:
    a, (ta, tb) = operands[0], tangents
    parts = [tb] if tb is not None else []
    if ta is not None:
        parts.append(-(ta @ y))
    return s.apply("solve", a, _total(parts))


def _pull_solve(t: Symbol, operands: Operands, y: Symbol) -> Operands:
    across = s.apply("solve", s.matrix_transpose(operands[0]), t)
    return -(across @ s.matrix_transpose(y)), across


def _triangle(x: Symbol, lower: bool) -> Symbol:
    return s.tril(x) if lower else s.triu(x)


def _push_triangular(tangents: Tangents, operands: Operands, y: Symbol) -> Symbol:
    a, (ta, tb) = operands[0], tangents
    lower, transposed = y.node.attributes
    parts = [tb] if tb is not None else []
    if ta is not None:
        moved = _triangle(ta, lower)
        parts.append(-((s.matrix_transpose(moved) if transposed else moved) @ y))
    return s.solve_triangular(a, _total(parts), lower, transposed)


def _pull_triangular(t: Symbol, operands: Operands, y: Symbol) -> Operands:
    lower, transposed = y.node.attributes
    across = s.solve_triangular(operands[0], t, lower, not transposed)
    product = y @ s.matrix_transpose(across) if transposed else across @ s.matrix_transpose(y)
    return -_triangle(product, lower), across


def _batch(node: Node, operands: Sequence[Symbol], batched: Sequence[bool], size: int) -> Symbol:
    """The batch is one more axis of the stack; where stacks broadcast, it lines up in front."""
    rank = max(len(x.shape) for x in node.operands)
    aligned = [
        s.reshape(x, (size, *(1,) * (rank + 1 - x.ndim), *x.shape[1:])) if is_batched else x
        for x, is_batched in zip(operands, batched, strict=True)
    ]
    return s.apply(node.op, *aligned, attributes=node.attributes)


# costs


def _cube(node: Node) -> Shape:
    shape = node.operands[0].shape
    return (*shape, shape[-1])


def _solve_space(node: Node) -> Shape:
    """n^2 (n / 3 + k) for each matrix, k being the number of right-hand sides; one matrix is factored once."""
    a, b = (x.shape for x in node.operands)
    size, (power, columns) = a[-1], row_size((*b[:-2], b[-1]))
    assert isinstance(size, int)
    third = -(-size // 3)
    if len(a) > 2 and b[-1] is not ALL_ROWS:
        return (*node.shape[:-2], size, size, third + b[-1])
    # With right-hand sides in the data rows the factorization is a block's, not a row's.
    return (*(ALL_ROWS,) * power, size, size, columns if power else third + columns)


def _degree_linear_in_second(degrees: Sequence[float], attributes: tuple[Any, ...]) -> float:
    return degrees[1] if degrees[0] == 0 else np.inf


def _row(
    name: str,
    call: Callable[..., Any],
    derivative: General,
    cost: float,
    space: Callable[[Node], Shape] = _cube,
    degree: Degree = degree_transcendental,
    analytic: bool = True,
) -> Meaning:
    return Meaning(
        name,
        evaluate=call,
        bind=_bind(call),
        derivative=derivative,
        batch=_batch,
        degree=degree,
        space=space,
        cost=cost,
        analytic=analytic,
    )


LU = 2.0 / 3.0

ROWS: tuple[Meaning, ...] = (
    _row("det", numbers.det, _slope(_cofactors), LU),
    _row("logdet", numbers.logdet, _slope(_inverse_transposed), LU),
    _row(
        "sign_det",
        numbers.sign_det,
        General(lambda tangents, x, y: None, lambda t, x, y: (None,)),
        LU,
        analytic=False,
    ),
    _row("inv", numbers.inv, General(_push_inv, _pull_inv), 2.0),
    _row(
        "cofactors",
        numbers.cofactors,
        General(
            lambda tangents, x, y: _bent(_given(tangents[0]), x[0]),
            lambda t, x, y: (_bent(t, x[0]),),
        ),
        2.0 + LU,
    ),
    _row(
        "cofactors_derivative",
        numbers.cofactors_derivative,
        General(_push_bent, lambda t, x, y: (_third(t, *x), _bent(t, x[0]))),
        6.0 + LU,
        degree=_degree_linear_in_second,
    ),
    _row("solve", numbers.solve, General(_push_solve, _pull_solve), 2.0, _solve_space, _degree_linear_in_second),
    _row("cholesky", numbers.cholesky, General(_push_cholesky, _pull_cholesky), 1.0 / 3.0, analytic=False),
    _row(
        "solve_triangular",
        numbers.solve_triangular,
        General(_push_triangular, _pull_triangular),
        1.0,
        lambda node: (*node.shape, node.operands[0].shape[-1]),
        _degree_linear_in_second,
    ),
)
