"""Pointwise ops: y_i = f(x_i), operands broadcast as numpy does."""

from __future__ import annotations

from typing import Any

from nablad.expressions.dimension import broadcast
from nablad.expressions.table.spec import OpSpec, ShapeRule


def _elementwise(name: str) -> ShapeRule:
    return lambda shapes, _: broadcast(name, shapes)


def _pointwise(name: str, arity: int, domain: str = "all real numbers", **rest: Any) -> OpSpec:
    return OpSpec(name, arity, _elementwise(name), domain, **rest)


ROWS: tuple[OpSpec, ...] = (
    _pointwise("add", 2),
    _pointwise("subtract", 2),
    _pointwise("multiply", 2),
    _pointwise("divide", 2, "denominator not 0; x/0 is infinite or NaN"),
    _pointwise("negative", 1),
    _pointwise("square", 1),
    _pointwise("reciprocal", 1, "x not 0; infinite there"),
    _pointwise("sqrt", 1, "x >= 0, NaN below; its derivative at 0 is infinite"),
    _pointwise("power", 1, "x >= 0, or any x when the exponent is an integer", attributes=("exponent",)),
    _pointwise("exp", 1),
    _pointwise("expm1", 1),
    _pointwise("log", 1, "x > 0; -infinity at 0, NaN below"),
    _pointwise("log1p", 1, "x > -1; -infinity at -1, NaN below"),
    _pointwise("tanh", 1),
    _pointwise("sin", 1),
    _pointwise("cos", 1),
    _pointwise("erf", 1),
    _pointwise("normal_cdf", 1),
    _pointwise("sigmoid", 1),
    _pointwise("softplus", 1),
    _pointwise("relu", 1, "all real numbers; its derivative at 0 is taken as 0, as in JAX"),
    _pointwise("greater", 2, result="truth"),
    _pointwise("equal", 2, result="truth"),
    _pointwise("where", 3, "a truth and two numbers; the number not chosen never matters"),
)
