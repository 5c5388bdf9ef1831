"""Pointwise ops: y_i = f(x_i), operands broadcast as numpy does.

The last group are functions that derivative rules need, written as ops of their own because the textbook formula loses
digits: the slope of tanh as 1 - y^2 is wrong in every digit where y rounds to 1.
"""

from __future__ import annotations

from typing import Any

from nablad.expressions.dimension import broadcast
from nablad.expressions.table.spec import OpSpec, ShapeRule


def _elementwise(name: str) -> ShapeRule:
    return lambda shapes, _: broadcast(name, shapes)


def _pointwise(name: str, arity: int, domain: str = "all real numbers", **rest: Any) -> OpSpec:
    return OpSpec(name, arity, _elementwise(name), domain, **rest)


def _comparison(name: str) -> OpSpec:
    return _pointwise(name, 2, "all real numbers; no derivative, which counts as 0", result="truth")


def _logical(name: str, arity: int) -> OpSpec:
    return _pointwise(name, arity, "truths", result="truth", truths=tuple(range(arity)))


_STEPS = "all real numbers; its derivative is 0 everywhere, at the steps too"
_SHARE = "all real numbers, NaN if either is; where both are equal each has half the derivative, as in JAX"

ARITHMETIC: tuple[OpSpec, ...] = (
    _pointwise("add", 2),
    _pointwise("subtract", 2),
    _pointwise("multiply", 2),
    _pointwise("divide", 2, "denominator not 0; x/0 is infinite or NaN"),
    _pointwise("negative", 1),
    _pointwise("square", 1),
    _pointwise("reciprocal", 1, "x not 0; infinite there"),
    _pointwise("sqrt", 1, "x >= 0, NaN below; its derivative at 0 is infinite"),
    _pointwise("cbrt", 1, "all real numbers; its derivative at 0 is infinite"),
    _pointwise(
        "fixed_power",
        1,
        "x >= 0, or any x when the exponent is a whole number, NaN elsewhere; x^0 = 1 with derivative 0, at 0 too",
        attributes=("exponent",),
    ),
    _pointwise(
        "power",
        2,
        "x > 0 with any y; x < 0 with whole y, where only the derivative in x exists and that in y is NaN; "
        "0^y = 0 for y > 0 with derivative 0 in y; 0^0 = 1 with derivatives 0; 0^y is infinite for y < 0",
    ),
    _pointwise("hypot", 2, "all real numbers, without overflow; its derivative at (0, 0) is 0, the least subgradient"),
)

EXPONENTIAL: tuple[OpSpec, ...] = (
    _pointwise("exp", 1),
    _pointwise("exp2", 1),
    _pointwise("expm1", 1),
    _pointwise("log", 1, "x > 0; -infinity at 0, NaN below"),
    _pointwise("log2", 1, "x > 0; -infinity at 0, NaN below"),
    _pointwise("log10", 1, "x > 0; -infinity at 0, NaN below"),
    _pointwise("log1p", 1, "x > -1; -infinity at -1, NaN below"),
    _pointwise("logaddexp", 2, "all real numbers; its derivatives are NaN where both are the same infinity"),
    _pointwise("sigmoid", 1),
    _pointwise("softplus", 1),
)

TRIGONOMETRIC: tuple[OpSpec, ...] = (
    _pointwise("sin", 1),
    _pointwise("cos", 1),
    _pointwise("tan", 1),
    _pointwise("arcsin", 1, "-1 <= x <= 1, NaN beyond; its derivative at the ends is infinite"),
    _pointwise("arccos", 1, "-1 <= x <= 1, NaN beyond; its derivative at the ends is infinite"),
    _pointwise("arctan", 1),
    _pointwise(
        "arctan2", 2, "the angle of the point (x, y), in (-pi, pi]; its derivatives at (0, 0) are NaN, as in JAX"
    ),
    _pointwise("sinh", 1),
    _pointwise("cosh", 1),
    _pointwise("tanh", 1),
    _pointwise("arcsinh", 1),
    _pointwise("arccosh", 1, "x >= 1, NaN below; its derivative at 1 is infinite"),
    _pointwise("arctanh", 1, "-1 <= x <= 1, infinite at the ends, NaN beyond"),
)

SPECIAL: tuple[OpSpec, ...] = (
    _pointwise("erf", 1),
    _pointwise("erfc", 1),
    _pointwise("erfinv", 1, "-1 <= x <= 1, infinite at the ends, NaN beyond"),
    _pointwise("normal_cdf", 1),
    _pointwise("gamma", 1, "x other than 0, -1, -2, ...; NaN at the negative ones, infinite at 0"),
    _pointwise("gammaln", 1, "log|gamma(x)|; infinite at x = 0, -1, -2, ..."),
    _pointwise("digamma", 1, "x other than 0, -1, -2, ..., where it is infinite or NaN"),
    _pointwise(
        "polygamma",
        1,
        "the derivative of digamma of that order, 1 or more; x other than 0, -1, -2, ..., where it is infinite or NaN",
        attributes=("order",),
    ),
)

PIECEWISE: tuple[OpSpec, ...] = (
    _pointwise(
        "absolute",
        1,
        "all real numbers; its derivative at 0 is 0, the least subgradient, so that |x| is stationary at its minimum "
        "(JAX takes 1)",
    ),
    _pointwise("sign", 1, _STEPS),
    _pointwise("floor", 1, _STEPS),
    _pointwise("ceil", 1, _STEPS),
    _pointwise("rint", 1, _STEPS + "; halves go to the even number"),
    _pointwise("relu", 1, "all real numbers; its derivative at 0 is 0, as in JAX"),
    _pointwise("maximum", 2, _SHARE),
    _pointwise("minimum", 2, _SHARE),
    _pointwise(
        "where",
        3,
        "x where the truth c holds, else y; the number not chosen never matters, and its derivative is 0",
        truths=(0,),
    ),
)

TRUTHS: tuple[OpSpec, ...] = (
    _comparison("greater"),
    _comparison("greater_equal"),
    _comparison("equal"),
    _comparison("not_equal"),
    _logical("logical_and", 2),
    _logical("logical_or", 2),
    _logical("logical_not", 1),
)

DERIVED: tuple[OpSpec, ...] = (
    _pointwise("one_minus_square", 1, "(1 - x)(1 + x), exact to rounding where x^2 is near 1"),
    _pointwise(
        "tanh_slope",
        2,
        "1 - y^2 for y = tanh(x); x gives it back the digits that 1 - y^2 loses where |y| is near 1. A function of y: "
        "x is not differentiated",
    ),
    _pointwise("sigmoid_slope", 1, "sigmoid(x) sigmoid(-x)"),
    _pointwise("share", 3, "w where x > y, w/2 where x = y, 0 elsewhere; x and y are not differentiated"),
)

ROWS: tuple[OpSpec, ...] = (*ARITHMETIC, *EXPONENTIAL, *TRIGONOMETRIC, *SPECIAL, *PIECEWISE, *TRUTHS, *DERIVED)
