"""Pointwise rows: y_i = f(x_i).

Costs are counted in the usual way: one operation for arithmetic, ten for an elementary function, which is about their
ratio in time with numpy's vectorized loops. Conventions where f is not differentiable: relu'(0) = 0, as in JAX. A
branch of `where` that is not chosen gets a zero cotangent, not 0 * (its derivative), so that NaN and infinity beyond
the branch do not leak into the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.special

from nablad.expressions import Node, Symbol
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.ops.row import Array, Meaning, Partial, Pointwise, bind_ufunc

TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)
ONE_OVER_ROOT_TWO_PI = 1.0 / math.sqrt(2.0 * math.pi)


def batch_pointwise(node: Node, operands: Sequence[Symbol], batched: Sequence[bool], size: int) -> Symbol:
    """Give every batched operand the result's rank, so that the batch axis lines up in front."""
    rank = len(node.shape)
    aligned = [
        s.reshape(x, (size, *(1,) * (rank - x.ndim + 1), *x.shape[1:])) if is_batched and x.ndim <= rank else x
        for x, is_batched in zip(operands, batched, strict=True)
    ]
    return s.apply(node.op, *aligned, attributes=node.attributes)


def degree_transcendental(degrees: Sequence[float]) -> float:
    return 0.0 if all(d == 0 for d in degrees) else math.inf


def degree_linear(degrees: Sequence[float]) -> float:
    return max(degrees)


def degree_product(degrees: Sequence[float]) -> float:
    return sum(degrees)


def _row(
    name: str,
    call: Callable[..., Any],
    *partials: Partial | None,
    cost: float = 1.0,
    degree: Callable[[Sequence[float]], float] = degree_transcendental,
    evaluate: Callable[..., Any] | None = None,
    analytic: bool = True,
    in_place: tuple[int, ...] | None = None,
) -> Meaning:
    return Meaning(
        name,
        evaluate=evaluate or call,
        bind=bind_ufunc(call),
        derivative=Pointwise(partials),
        batch=batch_pointwise,
        degree=degree,
        cost=cost,
        analytic=analytic,
        in_place=tuple(range(len(partials))) if in_place is None else in_place,
    )


def _sigmoid(x: Array) -> Any:
    return 1.0 / (1.0 + np.exp(-x)) if np.iscomplexobj(x) else scipy.special.expit(x)


def _softplus(x: Array) -> Any:
    if np.iscomplexobj(x):
        return np.log1p(np.exp(-np.abs(x.real) - 1j * x.imag * np.sign(x.real))) + np.where(x.real > 0, x, 0)
    return np.logaddexp(np.zeros_like(x), x)


def _softplus_into(x: Array, out: Array) -> None:
    np.logaddexp(x, out.dtype.type(0), out)


def _relu_into(x: Array, out: Array) -> None:
    np.maximum(x, out.dtype.type(0), out=out)


def _where_into(truth: Array, x: Array, y: Array, out: Array) -> None:
    np.copyto(out, y)
    np.copyto(out, x, where=truth)


def _power_row() -> Meaning:
    def derive(t: Symbol, x: Symbol, y: Symbol) -> Symbol:
        exponent = float(y.node.attributes[0])
        if exponent == 0.0:
            return t * s.zeros(x.shape)
        return t * (exponent * s.power(x, exponent - 1.0))

    return Meaning(
        "power",
        evaluate=lambda x, exponent: np.power(x, x.dtype.type(exponent)),
        bind=lambda arrays, attributes, out, scratch: (np.power, (arrays[0], out.dtype.type(attributes[0]), out)),
        derivative=Pointwise((lambda t, x, y: derive(t, x[0], y),)),
        batch=batch_pointwise,
        degree=degree_transcendental,
        cost=20.0,
        in_place=(0,),
    )


ROWS: tuple[Meaning, ...] = (
    _row("add", np.add, lambda t, x, y: t, lambda t, x, y: t, degree=degree_linear),
    _row("subtract", np.subtract, lambda t, x, y: t, lambda t, x, y: -t, degree=degree_linear),
    _row("multiply", np.multiply, lambda t, x, y: t * x[1], lambda t, x, y: t * x[0], degree=degree_product),
    _row(
        "divide",
        np.divide,
        lambda t, x, y: t / x[1],
        lambda t, x, y: -(t * y / x[1]),
        degree=lambda d: d[0] if d[1] == 0 else math.inf,
    ),
    _row("negative", np.negative, lambda t, x, y: -t, degree=degree_linear),
    _row("square", np.square, lambda t, x, y: t * (2.0 * x[0]), degree=lambda d: 2 * d[0]),
    _row("reciprocal", np.reciprocal, lambda t, x, y: -(t * s.square(y))),
    _row("sqrt", np.sqrt, lambda t, x, y: t / (2.0 * y), cost=4.0),
    _power_row(),
    _row("exp", np.exp, lambda t, x, y: t * y, cost=10.0),
    _row("expm1", np.expm1, lambda t, x, y: t * (y + 1.0), cost=10.0),
    _row("log", np.log, lambda t, x, y: t / x[0], cost=10.0),
    _row("log1p", np.log1p, lambda t, x, y: t / (1.0 + x[0]), cost=10.0),
    _row("tanh", np.tanh, lambda t, x, y: t * (1.0 - s.square(y)), cost=10.0),
    _row("sin", np.sin, lambda t, x, y: t * s.cos(x[0]), cost=10.0),
    _row("cos", np.cos, lambda t, x, y: -(t * s.sin(x[0])), cost=10.0),
    _row("erf", scipy.special.erf, lambda t, x, y: t * (TWO_OVER_ROOT_PI * s.exp(-s.square(x[0]))), cost=10.0),
    _row(
        "normal_cdf",
        scipy.special.ndtr,
        lambda t, x, y: t * (ONE_OVER_ROOT_TWO_PI * s.exp(-0.5 * s.square(x[0]))),
        cost=10.0,
    ),
    _row("sigmoid", scipy.special.expit, lambda t, x, y: t * (y * (1.0 - y)), cost=10.0, evaluate=_sigmoid),
    _row("softplus", _softplus_into, lambda t, x, y: t * s.sigmoid(x[0]), cost=20.0, evaluate=_softplus),
    _row(
        "relu",
        _relu_into,
        lambda t, x, y: s.where(s.greater(y, 0.0), t, 0.0),
        evaluate=lambda x: np.maximum(x, x.dtype.type(0)),
        analytic=False,
    ),
    _row("greater", np.greater, None, None, analytic=False, in_place=()),
    _row("equal", np.equal, None, None, analytic=False, in_place=()),
    _row(
        "where",
        _where_into,
        None,
        lambda t, x, y: s.where(x[0], t, 0.0),
        lambda t, x, y: s.where(x[0], 0.0, t),
        degree=lambda d: max(d[1:]) if d[0] == 0 else math.inf,
        evaluate=np.where,
        analytic=False,
        in_place=(2,),
    ),
)
