"""Exponentials, logarithms, and the functions of logistic models.

expm1' is exp, not expm1 + 1, which loses all digits for very negative x. The slope of the sigmoid is
sigma(x) sigma(-x), not sigma (1 - sigma), and its own derivative -tanh(x/2) sigma(x) sigma(-x), not
sigma (1 - sigma)(1 - 2 sigma): both keep their digits in the tails and near 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special

from nablad.expressions import symbols as s
from nablad.solvers.autodiff.ops.pointwise import pointwise_row
from nablad.solvers.autodiff.ops.row import Array, Meaning


def _logaddexp(x: Array, y: Array) -> Any:
    if not (np.iscomplexobj(x) or np.iscomplexobj(y)):
        return np.logaddexp(x, y)
    larger, smaller = np.where(x.real > y.real, x, y), np.where(x.real > y.real, y, x)
    return larger + np.log1p(np.exp(smaller - larger))


def _sigmoid(x: Array) -> Any:
    return 1.0 / (1.0 + np.exp(-x)) if np.iscomplexobj(x) else scipy.special.expit(x)


def _sigmoid_slope(x: Array) -> Any:
    if np.iscomplexobj(x):
        return np.square(0.5 / np.cosh(0.5 * x))
    out = np.empty_like(x)
    _sigmoid_slope_into(x, out)
    return out


def _sigmoid_slope_into(x: Array, out: Array) -> None:
    """e / (1 + e)^2 with e = exp(-|x|), which never overflows."""
    np.absolute(x, out)
    np.negative(out, out)
    np.exp(out, out)
    np.divide(out, np.square(1 + out), out)


def _softplus(x: Array) -> Any:
    return _logaddexp(x, np.zeros_like(x))


def _softplus_into(x: Array, out: Array) -> None:
    np.logaddexp(x, out.dtype.type(0), out)


ROWS: tuple[Meaning, ...] = (
    pointwise_row("exp", np.exp, lambda t, x, y: t * y, cost=10.0),
    pointwise_row("exp2", np.exp2, lambda t, x, y: t * (math.log(2.0) * y), cost=10.0),
    pointwise_row("expm1", np.expm1, lambda t, x, y: t * s.exp(x[0]), cost=10.0),
    pointwise_row("log", np.log, lambda t, x, y: t / x[0], cost=10.0),
    pointwise_row("log2", np.log2, lambda t, x, y: t / (math.log(2.0) * x[0]), cost=10.0),
    pointwise_row("log10", np.log10, lambda t, x, y: t / (math.log(10.0) * x[0]), cost=10.0),
    pointwise_row("log1p", np.log1p, lambda t, x, y: t / (1.0 + x[0]), cost=10.0),
    pointwise_row(
        "logaddexp",
        np.logaddexp,
        lambda t, x, y: t * s.sigmoid(x[0] - x[1]),
        lambda t, x, y: t * s.sigmoid(x[1] - x[0]),
        cost=20.0,
        evaluate=_logaddexp,
    ),
    pointwise_row(
        "sigmoid", scipy.special.expit, lambda t, x, y: t * s.sigmoid_slope(x[0]), cost=10.0, evaluate=_sigmoid
    ),
    pointwise_row(
        "sigmoid_slope",
        _sigmoid_slope_into,
        lambda t, x, y: -(t * (s.tanh(0.5 * x[0]) * y)),
        cost=12.0,
        evaluate=_sigmoid_slope,
    ),
    pointwise_row("softplus", _softplus_into, lambda t, x, y: t * s.sigmoid(x[0]), cost=20.0, evaluate=_softplus),
)
