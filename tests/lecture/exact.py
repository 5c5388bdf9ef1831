"""What the lecture's derivatives are: by sympy's rules, or by mpmath's difference quotients; numbers to 50 digits.

A float is taken as the binary fraction that it is, so that engine and oracle speak of the same point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import sympy

Array = Any
DIGITS = 50
TOLERANCE = 1e-12


def symbols(name: str, shape: tuple[int, ...]) -> Array:
    """An array of sympy's symbols."""
    found = np.empty(shape, object)
    for index in np.ndindex(shape):
        found[index] = sympy.Symbol("_".join([name, *map(str, index)]), real=True)
    return found


def rational(x: Array) -> Array:
    """The same numbers as fractions."""
    return np.vectorize(lambda number: sympy.Rational(float(number)), otypes=[object])(x)


def differentiate(f: Any, x: Array) -> Array:
    """Every df/dx as an expression, shape f.shape + x.shape."""
    f = np.asarray(f, object)
    found = np.empty(f.shape + x.shape, object)
    for i in np.ndindex(f.shape):
        for j in np.ndindex(x.shape):
            found[i + j] = sympy.diff(f[i], x[j])
    return found


def evaluate(f: Any, x: Array, at: Array) -> Array:
    """The numbers of an array of expressions, each rounded once, from 50 digits."""
    f = np.asarray(f, object)
    compiled = sympy.lambdify(list(x.flat), [sympy.sympify(e) for e in f.flat], "mpmath", cse=True)
    with mpmath.workdps(DIGITS):
        found = compiled(*[mpmath.mpf(float(number)) for number in np.ravel(at)])
        return np.array([float(number) for number in found]).reshape(f.shape)


def jacobian(f: Callable[[Array], Any], at: Array) -> Array:
    """df/dx at a point, by sympy, for an f of an array of symbols."""
    x = symbols("x", np.shape(at))
    return evaluate(differentiate(f(x), x), x, at)


def hessian(f: Callable[[Array], Any], at: Array) -> Array:
    """d2f/dx2 at a point, by sympy."""
    x = symbols("x", np.shape(at))
    return evaluate(differentiate(differentiate(f(x), x), x), x, at)


def matrix_jacobian(f: Callable[[Any], Any], at: Array) -> Array:
    """df/dX at a matrix, for an f of an mpmath matrix that gives a number or a matrix.

    Central quotients with h = 1e-30 in 100 digits: they miss by about h^2, far below what a float shows.
    """
    with mpmath.workdps(2 * DIGITS):
        h = mpmath.mpf(10) ** -30
        columns = []
        for index in np.ndindex(np.shape(at)):
            ahead, behind = mpmath.matrix(at.tolist()), mpmath.matrix(at.tolist())
            ahead[index] += h
            behind[index] -= h
            columns.append(_floats((_numbers(f(ahead)) - _numbers(f(behind))) / (2 * h)))
        return np.moveaxis(np.array(columns), 0, -1).reshape(columns[0].shape + np.shape(at))


def _numbers(x: Any) -> Array:
    return np.array(x.tolist(), object) if isinstance(x, mpmath.matrix) else np.array(x, object)


def _floats(x: Any) -> Array:
    return np.vectorize(float, otypes=[float])(x)


def assert_equal(found: Array, exact: Array, scale: float | None = None) -> None:
    """Equal shapes, and every entry within 1e-12: of itself, or of `scale` where entries are differences of such size.

    What is zero is zero: without a scale an entry that should vanish must vanish.
    """
    found, exact = np.asarray(found), np.asarray(exact)
    assert found.shape == exact.shape
    assert np.all(np.isfinite(found))
    assert np.all(np.abs(found - exact) <= TOLERANCE * (np.abs(exact) if scale is None else scale))


def size(x: Array) -> float:
    """The largest entry: the scale of an array whose entries are sums of products."""
    return float(np.max(np.abs(x)))
