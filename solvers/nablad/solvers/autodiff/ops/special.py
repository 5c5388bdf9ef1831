"""The error function, the normal distribution, and the gamma family.

    erf' = 2/sqrt(pi) exp(-x^2),   erfinv' = sqrt(pi)/2 exp(y^2),   Phi' = exp(-x^2/2)/sqrt(2 pi)
    gamma' = gamma psi,   log|gamma|' = psi,   psi' = psi_1,   psi_n' = psi_{n+1}

scipy sums the series of psi_n(x) from x on, one term for each unit, so a large negative x would take as long as its
size. Left of 0 we reflect instead (NIST Handbook, 5.15.6), psi_n(x) = (-1)^n psi_n(1 - x) - pi d^n/dx^n cot(pi x),
where the derivatives of c = cot(pi x) are polynomials in c: P_0 = c, P_{k+1} = -(1 + c^2) P_k'.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.special
from numpy.polynomial import Polynomial

from nablad.expressions import Symbol
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.ops.pointwise import batch_pointwise, degree_transcendental, pointwise_row
from nablad.solvers.autodiff.ops.row import Array, Instruction, Meaning, Pointwise

TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)
HALF_ROOT_PI = 0.5 * math.sqrt(math.pi)
ONE_OVER_ROOT_TWO_PI = 1.0 / math.sqrt(2.0 * math.pi)


def _bell(x: Symbol) -> Symbol:
    return TWO_OVER_ROOT_PI * s.exp(-s.square(x))


def _gamma(x: Array) -> Any:
    if not np.iscomplexobj(x):
        return scipy.special.gamma(x)
    right = np.where(x.real < 0.5, 1 - x, x)
    value = scipy.special.gamma(right)
    return np.where(x.real < 0.5, math.pi / (np.sin(math.pi * x) * value), value)


def _gammaln(x: Array) -> Any:
    if not np.iscomplexobj(x):
        return scipy.special.gammaln(x)
    right = np.where(x.real < 0.5, 1 - x, x)
    sine = np.sin(math.pi * x)
    reflected = np.log(math.pi / (np.sign(sine.real) * sine)) - scipy.special.loggamma(right)
    return np.where(x.real < 0.5, reflected, scipy.special.loggamma(right))


def _polygamma(x: Array, order: int) -> Any:
    left = x < 0
    value = np.asarray(scipy.special.polygamma(order, np.where(left, 1 - x, x)), x.dtype)
    if not np.any(left):
        return value
    slope = Polynomial([0.0, 1.0])
    for _ in range(order):
        slope = -Polynomial([1.0, 0.0, 1.0]) * slope.deriv()
    # tan has the period 1 in x, and x - rint(x) is exact.
    cotangent = 1 / np.tan(math.pi * (x - np.rint(x)))
    reflected = (-1) ** order * value - math.pi ** (order + 1) * slope(cotangent)
    return np.where(left, reflected, value).astype(x.dtype)


def _polygamma_into(x: Array, order: int, out: Array) -> None:
    out[...] = _polygamma(x, order)


def _bind_polygamma(
    arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None
) -> Instruction:
    return _polygamma_into, (arrays[0], attributes[0], out)


ROWS: tuple[Meaning, ...] = (
    pointwise_row("erf", scipy.special.erf, lambda t, x, y: t * _bell(x[0]), cost=10.0),
    pointwise_row("erfc", scipy.special.erfc, lambda t, x, y: -(t * _bell(x[0])), cost=10.0),
    pointwise_row(
        "erfinv",
        scipy.special.erfinv,
        lambda t, x, y: t * (HALF_ROOT_PI * s.exp(s.square(y))),
        cost=10.0,
        analytic=False,  # scipy's takes real numbers only
    ),
    pointwise_row(
        "normal_cdf",
        scipy.special.ndtr,
        lambda t, x, y: t * (ONE_OVER_ROOT_TWO_PI * s.exp(-0.5 * s.square(x[0]))),
        cost=10.0,
    ),
    pointwise_row("gamma", scipy.special.gamma, lambda t, x, y: t * (y * s.digamma(x[0])), cost=20.0, evaluate=_gamma),
    pointwise_row("gammaln", scipy.special.gammaln, lambda t, x, y: t * s.digamma(x[0]), cost=20.0, evaluate=_gammaln),
    pointwise_row("digamma", scipy.special.digamma, lambda t, x, y: t * s.polygamma(1, x[0]), cost=20.0),
    Meaning(
        "polygamma",
        evaluate=_polygamma,
        bind=_bind_polygamma,
        derivative=Pointwise((lambda t, x, y: t * s.polygamma(y.node.attributes[0] + 1, x[0]),)),
        batch=batch_pointwise,
        degree=degree_transcendental,
        cost=30.0,
        analytic=False,  # scipy's takes real numbers only
        in_place=(0,),
    ),
)
