"""Arithmetic, powers and roots.

Powers: the derivative of x^0 is 0 also at x = 0, and that of 0^y in y is 0 for y > 0, as in JAX. A negative base with a
whole exponent has its derivative in x; in y there is none, and it is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nablad.expressions import Symbol
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.ops.pointwise import (
    batch_pointwise,
    degree_linear,
    degree_product,
    pointwise_row,
)
from nablad.solvers.autodiff.ops.row import Array, Instruction, Meaning, Pointwise

Operands = tuple[Symbol, ...]


def _cbrt(x: Array) -> Any:
    if not np.iscomplexobj(x):
        return np.cbrt(x)
    side = np.where(x.real < 0, -1.0, 1.0)
    return side * (side * x) ** (1.0 / 3.0)


# power


def _fixed_power(x: Array, exponent: float) -> Any:
    return np.power(x, x.dtype.type(exponent))


def _bind_fixed_power(
    arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None
) -> Instruction:
    return np.power, (arrays[0], out.dtype.type(attributes[0]), out)


def _fixed_power_degree(degrees: Sequence[float], attributes: tuple[Any, ...]) -> float:
    (exponent,) = attributes
    return exponent * degrees[0] if exponent >= 0 and exponent == math.floor(exponent) else math.inf


def _fixed_power_slope(t: Symbol, x: Operands, y: Symbol) -> Symbol:
    exponent = float(y.node.attributes[0])
    if exponent == 0.0:
        return t * s.zeros(x[0].shape)
    return t * (exponent * s.power(x[0], exponent - 1.0))


def _power_by_base(t: Symbol, x: Operands, y: Symbol) -> Symbol:
    """y x^(y - 1), with 0 * 0^-1 taken as 0 and never as NaN."""
    base, exponent = x
    both_zero = s.logical_and(s.equal(base, 0.0), s.equal(exponent, 0.0))
    return t * (exponent * s.power(base, s.where(both_zero, 1.0, exponent) - 1.0))


def _power_by_exponent(t: Symbol, x: Operands, y: Symbol) -> Symbol:
    """x^y log(x), with 0^y log(0) taken as 0 for y > 0."""
    base, _ = x
    return t * (y * s.log(s.where(s.equal(base, 0.0), 1.0, base)))


# hypot


def _hypot(x: Array, y: Array) -> Any:
    if not (np.iscomplexobj(x) or np.iscomplexobj(y)):
        return np.hypot(x, y)
    scale = np.maximum(np.abs(x), np.abs(y))
    scale = np.where(scale > 0, scale, 1)
    return scale * np.sqrt((x / scale) ** 2 + (y / scale) ** 2)


def _along(t: Symbol, x: Symbol, y: Symbol) -> Symbol:
    """t x / y, 0 where y = 0. The quotient is safe on both sides of `where`, so its derivatives leak nothing."""
    zero = s.equal(y, 0.0)
    return t * s.where(zero, 0.0, x / s.where(zero, 1.0, y))


ROWS: tuple[Meaning, ...] = (
    pointwise_row("add", np.add, lambda t, x, y: t, lambda t, x, y: t, degree=degree_linear),
    pointwise_row("subtract", np.subtract, lambda t, x, y: t, lambda t, x, y: -t, degree=degree_linear),
    pointwise_row("multiply", np.multiply, lambda t, x, y: t * x[1], lambda t, x, y: t * x[0], degree=degree_product),
    pointwise_row(
        "divide",
        np.divide,
        lambda t, x, y: t / x[1],
        # The quotient t / x[1] is the one above: a common subexpression.
        lambda t, x, y: -((t / x[1]) * y),
        degree=lambda d, _: d[0] if d[1] == 0 else math.inf,
    ),
    pointwise_row("negative", np.negative, lambda t, x, y: -t, degree=degree_linear),
    pointwise_row("square", np.square, lambda t, x, y: t * (2.0 * x[0]), degree=lambda d, _: 2 * d[0]),
    pointwise_row("reciprocal", np.reciprocal, lambda t, x, y: -(t * s.square(y))),
    pointwise_row("sqrt", np.sqrt, lambda t, x, y: t / (2.0 * y), cost=4.0),
    pointwise_row("cbrt", np.cbrt, lambda t, x, y: t / (3.0 * s.square(y)), cost=10.0, evaluate=_cbrt),
    Meaning(
        "fixed_power",
        evaluate=_fixed_power,
        bind=_bind_fixed_power,
        derivative=Pointwise((_fixed_power_slope,)),
        batch=batch_pointwise,
        degree=_fixed_power_degree,
        cost=20.0,
        in_place=(0,),
    ),
    pointwise_row("power", np.power, _power_by_base, _power_by_exponent, cost=20.0),
    pointwise_row(
        "hypot",
        np.hypot,
        lambda t, x, y: _along(t, x[0], y),
        lambda t, x, y: _along(t, x[1], y),
        cost=7.0,
        evaluate=_hypot,
    ),
    pointwise_row(
        "one_minus_square",
        lambda x, out: np.multiply(1 - x, 1 + x, out),
        lambda t, x, y: t * (-2.0 * x[0]),
        cost=3.0,
        degree=lambda d, _: 2 * d[0],
        evaluate=lambda x: (1 - x) * (1 + x),
    ),
)
