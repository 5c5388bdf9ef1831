"""Trigonometric and hyperbolic functions, and their inverses.

tanh' = 1 - y^2 costs two operations, but the rounding error of y, half an ulp of 1, is all that is left of it once y is
near 1: at x = 10 it has 8 digits. `tanh_slope` computes it so, and from exp(-2|x|) in the few places where that is
needed; its derivative -2y cancels nothing. In the inverse functions 1 - x^2 is (1 - x)(1 + x), where both factors are
exact near the ends.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nablad.expressions import Symbol
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.ops.pointwise import pointwise_row
from nablad.solvers.autodiff.ops.row import Array, Meaning

CANCELLED = 2.0**-8
"""Below this 1 - y^2 has lost eight bits, and is told from x instead."""


def _tanh_slope(y: Array, x: Array) -> Any:
    if np.iscomplexobj(y):
        return (1 - y) * (1 + y)
    out = np.empty(np.broadcast(y, x).shape, y.dtype)
    _tanh_slope_into(y, x, out)
    return out


def _tanh_slope_into(y: Array, x: Array, out: Array) -> None:
    np.square(y, out)
    np.subtract(1, out, out)
    far = out < CANCELLED
    if far.any():
        e = np.exp(-2 * np.abs(np.broadcast_to(x, out.shape)[far]))
        out[far] = 4 * e / np.square(1 + e)


def _arctan2(y: Array, x: Array) -> Any:
    if not (np.iscomplexobj(y) or np.iscomplexobj(x)):
        return np.arctan2(y, x)
    y, x = np.broadcast_arrays(y, x)
    flat = np.abs(y.real) <= np.abs(x.real)
    base = np.where(x.real < 0, np.copysign(math.pi, y.real), 0.0)
    near_x = base + np.arctan(y / np.where(flat, x, 1))
    return np.where(flat, near_x, np.copysign(math.pi / 2, y.real) - np.arctan(x / np.where(flat, 1, y)))


def _turned(t: Symbol, leg: Symbol, x: tuple[Symbol, ...]) -> Symbol:
    """t leg / r^2 with r the distance from 0; r^2 itself may overflow."""
    r = s.hypot(x[0], x[1])
    return (t / r) * (leg / r)


ROWS: tuple[Meaning, ...] = (
    pointwise_row("sin", np.sin, lambda t, x, y: t * s.cos(x[0]), cost=10.0),
    pointwise_row("cos", np.cos, lambda t, x, y: -(t * s.sin(x[0])), cost=10.0),
    pointwise_row("tan", np.tan, lambda t, x, y: t * (1.0 + s.square(y)), cost=10.0),
    pointwise_row("arcsin", np.arcsin, lambda t, x, y: t / s.sqrt(s.one_minus_square(x[0])), cost=10.0),
    pointwise_row("arccos", np.arccos, lambda t, x, y: -(t / s.sqrt(s.one_minus_square(x[0]))), cost=10.0),
    pointwise_row("arctan", np.arctan, lambda t, x, y: t / (1.0 + s.square(x[0])), cost=10.0),
    pointwise_row(
        "arctan2",
        np.arctan2,
        lambda t, x, y: _turned(t, x[1], x),
        lambda t, x, y: -_turned(t, x[0], x),
        cost=10.0,
        evaluate=_arctan2,
    ),
    pointwise_row("sinh", np.sinh, lambda t, x, y: t * s.cosh(x[0]), cost=10.0),
    pointwise_row("cosh", np.cosh, lambda t, x, y: t * s.sinh(x[0]), cost=10.0),
    pointwise_row("tanh", np.tanh, lambda t, x, y: t * s.tanh_slope(y, x[0]), cost=10.0),
    pointwise_row(
        "tanh_slope",
        _tanh_slope_into,
        lambda t, x, y: t * (-2.0 * x[0]),
        None,
        cost=3.0,
        evaluate=_tanh_slope,
        in_place=(0,),
    ),
    pointwise_row("arcsinh", np.arcsinh, lambda t, x, y: t / s.hypot(1.0, x[0]), cost=10.0),
    # The product of two roots, since the root of the product would overflow.
    pointwise_row("arccosh", np.arccosh, lambda t, x, y: t / (s.sqrt(x[0] - 1.0) * s.sqrt(x[0] + 1.0)), cost=10.0),
    pointwise_row("arctanh", np.arctanh, lambda t, x, y: t / s.one_minus_square(x[0]), cost=10.0),
)
