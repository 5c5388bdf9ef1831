"""The numbers behind linear algebra, on stacks of matrices (..., n, n), in any floating or complex dtype.

Nothing here raises or warns: a matrix that is singular, or not positive definite, gives NaN where its inverse or factor
would stand, and the other matrices of the stack are not touched. Work is LAPACK's.

Cofactors, C = det(A) inv(A)', exist for singular matrices too, and are the derivative of det there. With A = U S V',
S = diag(s), they are det(U) det(V) U diag(prod_{k != i} s_k) V': products that leave one singular value out, where det
and the inverse would be 0 and infinite. Moving A by T moves them by what leaves two out: with M = U' T V and P_ij =
prod_{k != i, j} s_k, S's own cofactors move by sum_{k != i} P_ik M_kk on the diagonal and by -P_ij M_ji elsewhere.
(Stewart, On the adjugate matrix, 1998, shows that they are well conditioned where the inverse is not.) An SVD costs
some ten times an inverse, so it is done for ill-conditioned matrices only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import get_lapack_funcs

from nablad.solvers.autodiff.ops.row import Array

WELL_CONDITIONED = 1e3
"""Condition numbers up to which an inverse serves for cofactors: it then loses three of sixteen digits at most."""


def transposed(x: Array) -> Array:
    return np.swapaxes(x, -1, -2)


def _where_possible(call: Callable[..., Any], *stacks: Array) -> Any:
    """call(*stacks); where LAPACK refuses a matrix, one by one, with NaN for the refused. Results are of the last's
    shape, its stack broadcast."""
    try:
        with np.errstate(all="ignore"):
            return call(*stacks)
    except np.linalg.LinAlgError:
        stack = np.broadcast_shapes(*(x.shape[:-2] for x in stacks))
    spread = [np.broadcast_to(x, (*stack, *x.shape[-2:])) for x in stacks]
    out = np.full(spread[-1].shape, np.nan, np.result_type(*stacks))
    for place in np.ndindex(stack):
        try:
            with np.errstate(all="ignore"):
                out[place] = call(*(x[place] for x in spread))
        except np.linalg.LinAlgError:
            continue
    return out


def _by_columns(call: Callable[[Array, Array], Any], a: Array, b: Array) -> Any:
    """One matrix and a stack of right-hand sides: all their columns at once, so that `a` is factored once."""
    beside = np.moveaxis(b, -2, 0)
    columns = call(a, beside.reshape(len(a), math.prod(beside.shape[1:])))
    return np.moveaxis(columns.reshape(beside.shape), 0, -2)


# determinants


def det(x: Array) -> Any:
    with np.errstate(all="ignore"):
        return np.linalg.det(x)


def sign_det(x: Array) -> Any:
    with np.errstate(all="ignore"):
        return np.sign(np.linalg.slogdet(x)[0].real)


def logdet(x: Array) -> Any:
    """log |det x|, continued analytically for a complex matrix near a real one."""
    with np.errstate(all="ignore"):
        sign, size = np.linalg.slogdet(x)
        return size + np.log(sign * np.sign(sign.real)) if np.iscomplexobj(x) else size


def inv(x: Array) -> Any:
    return _where_possible(np.linalg.inv, x)


def cofactors(x: Array) -> Any:
    """C_ij = d det(x) / d x_ij."""
    inverse, size = inv(x), np.asarray(det(x))
    with np.errstate(all="ignore"):
        result = size[..., None, None] * transposed(inverse)
    ill = _ill(x, inverse, size)
    if np.any(ill):
        result[ill] = _where_possible(_singular_cofactors, x[ill])
    return result


def cofactors_derivative(x: Array, t: Array) -> Any:
    """The directional derivative of the cofactors along t."""
    inverse, size = inv(x), np.asarray(det(x))
    with np.errstate(all="ignore"):
        moved = inverse @ t
        trace = np.trace(moved, axis1=-2, axis2=-1)[..., None, None]
        result = size[..., None, None] * transposed(trace * inverse - moved @ inverse)
    ill = np.broadcast_to(_ill(x, inverse, size), result.shape[:-2])
    if np.any(ill):
        points, tangents = (np.broadcast_to(operand, result.shape)[ill] for operand in (x, t))
        result[ill] = _where_possible(_singular_derivative, points, tangents)
    return result


def _ill(x: Array, inverse: Array, size: Array) -> Any:
    """Where det(x) inv(x)' is not to be trusted: by the condition number, and by det's own range."""
    with np.errstate(all="ignore"):
        condition = np.abs(x).sum(-2).max(-1, initial=0.0) * np.abs(inverse).sum(-2).max(-1, initial=0.0)
        normal = (np.abs(size) > np.finfo(size.dtype).tiny) & np.isfinite(size)
        return ~((condition < WELL_CONDITIONED) & normal)


def _leave_one_out(x: Array) -> Array:
    """The products of all but one along the last axis."""
    ones = np.ones_like(x[..., :1])
    before = np.cumprod(np.concatenate([ones, x[..., :-1]], -1), -1)
    after = np.cumprod(np.concatenate([ones, x[..., :0:-1]], -1), -1)[..., ::-1]
    return before * after


def _singular_cofactors(x: Array) -> Array:
    u, s, v = np.linalg.svd(x)
    # Exponents are added apart: partial products of large and of small numbers neither overflow nor vanish.
    mantissa, exponent = np.frexp(s)
    products = np.ldexp(_leave_one_out(mantissa), exponent.sum(-1, keepdims=True) - exponent)
    return _rotated(u, products[..., None] * np.eye(s.shape[-1], dtype=s.dtype), v)


def _singular_derivative(x: Array, t: Array) -> Array:
    u, s, v = np.linalg.svd(x)
    along = transposed(np.conj(u)) @ t @ transposed(np.conj(v))
    mantissa, exponent = np.frexp(s)
    identity = np.eye(s.shape[-1], dtype=np.bool_)
    without = _leave_one_out(np.where(identity, 1, mantissa[..., None, :]))
    powers = exponent.sum(-1)[..., None, None] - exponent[..., :, None] - exponent[..., None, :]
    pairs = np.where(identity, 0, np.ldexp(without, powers))
    moved = np.einsum("...ik,...kk->...i", pairs, along)
    return _rotated(u, np.where(identity, moved[..., None], -pairs * transposed(along)), v)


def _rotated(u: Array, middle: Array, v: Array) -> Array:
    """cof(u X v) = cof(u) cof(X) cof(v), and cof(u) = det(u) conj(u) for unitary u."""
    sign = np.asarray(np.linalg.det(u) * np.linalg.det(v))
    return np.asarray((sign / np.abs(sign))[..., None, None] * (np.conj(u) @ middle @ np.conj(v)))


# equations and factors


def solve(a: Array, b: Array) -> Any:
    """x with a x = b; b's last two axes are matrices."""
    if a.ndim == 2 and b.ndim > 2:
        return _by_columns(solve, a, b)
    return _where_possible(np.linalg.solve, a, b.reshape((*(1,) * (a.ndim - b.ndim), *b.shape)))


def cholesky(x: Array) -> Any:
    """The lower triangular L with L L' the symmetric part of x."""
    factor = np.asarray(_where_possible(np.linalg.cholesky, 0.5 * x + 0.5 * transposed(x)))
    factor[np.any(np.isnan(np.diagonal(factor, 0, -2, -1)), -1)] = np.nan
    return factor


def solve_triangular(a: Array, b: Array, lower: bool, transpose: bool) -> Any:
    """x with T x = b, or T' x = b, T being the lower or the upper triangle of a; NaN where T is singular."""
    if a.ndim > 2:
        with np.errstate(all="ignore"):
            return _substituted(transposed(a) if transpose else a, b, lower != transpose)
    if b.ndim > 2:
        return _by_columns(lambda x, y: solve_triangular(x, y, lower, transpose), a, b)
    if b.size == 0:
        return np.zeros(b.shape, np.result_type(a, b))
    routine: Any = get_lapack_funcs("trtrs", (a, b))
    # LAPACK counts columns first: to it, `a` is its transpose.
    x, info = routine(a.T, b, lower=not lower, trans=0 if transpose else 1)
    return np.full_like(x, np.nan) if info else x


def _substituted(a: Array, b: Array, lower: bool) -> Array:
    """Forward or backward substitution in all matrices of a stack at once."""
    size = a.shape[-1]
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = np.array(np.broadcast_to(b, (*stack, *b.shape[-2:])), np.result_type(a, b))
    for k in range(size) if lower else reversed(range(size)):
        known = slice(0, k) if lower else slice(k + 1, size)
        x[..., k : k + 1, :] -= a[..., k : k + 1, known] @ x[..., known, :]
        x[..., k, :] /= a[..., k, k, None]
    singular = np.any(np.diagonal(a, 0, -2, -1) == 0, -1)
    x[np.broadcast_to(singular, stack)] = np.nan
    return x
