"""Pointwise functions of symbols. Operands broadcast as numpy's do; truths count as 0 or 1 where numbers are needed.

Names are numpy's, or scipy.special's where numpy has none. Domains and conventions at edges stand in docs/ops.md.
"""

from __future__ import annotations

import math

from nablad.expressions.attributes import check_attributes
from nablad.expressions.symbol import Operand, Symbol, apply, number, truth
from nablad.expressions.table import OPS


def _numbers(op: str, *operands: Operand, attributes: tuple[object, ...] = ()) -> Symbol:
    return apply(op, *[number(operand) for operand in operands], attributes=attributes)


def _truths(op: str, *operands: Operand) -> Symbol:
    return apply(op, *[truth(operand) for operand in operands])


# Arithmetic


def add(x: Operand, y: Operand) -> Symbol:
    return _numbers("add", x, y)


def subtract(x: Operand, y: Operand) -> Symbol:
    return _numbers("subtract", x, y)


def multiply(x: Operand, y: Operand) -> Symbol:
    return _numbers("multiply", x, y)


def divide(x: Operand, y: Operand) -> Symbol:
    return _numbers("divide", x, y)


def negative(x: Operand) -> Symbol:
    return _numbers("negative", x)


def square(x: Operand) -> Symbol:
    return _numbers("square", x)


def reciprocal(x: Operand) -> Symbol:
    return _numbers("reciprocal", x)


def sqrt(x: Operand) -> Symbol:
    return _numbers("sqrt", x)


def cbrt(x: Operand) -> Symbol:
    """The real cube root, of negative numbers too."""
    return _numbers("cbrt", x)


_CHEAPER_POWERS = {2.0: "square", -1.0: "reciprocal", 0.5: "sqrt"}


def power(x: Operand, exponent: Operand) -> Symbol:
    """x ** exponent, by the cheapest op that computes it: an exponent that is one constant number has its own."""
    node = number(exponent)
    fixed = float(node.value) if node.op == "constant" and node.shape == () else math.nan
    if not math.isfinite(fixed):
        return _numbers("power", x, node)
    if fixed == 1.0:
        return Symbol(number(x))
    if fixed in _CHEAPER_POWERS:
        return _numbers(_CHEAPER_POWERS[fixed], x)
    return _numbers("fixed_power", x, attributes=(fixed,))


def hypot(x: Operand, y: Operand) -> Symbol:
    """sqrt(x^2 + y^2), without overflow or underflow."""
    return _numbers("hypot", x, y)


# Exponentials and logarithms


def exp(x: Operand) -> Symbol:
    return _numbers("exp", x)


def exp2(x: Operand) -> Symbol:
    """2 ** x."""
    return _numbers("exp2", x)


def expm1(x: Operand) -> Symbol:
    """exp(x) - 1, accurate near 0."""
    return _numbers("expm1", x)


def log(x: Operand) -> Symbol:
    return _numbers("log", x)


def log2(x: Operand) -> Symbol:
    return _numbers("log2", x)


def log10(x: Operand) -> Symbol:
    return _numbers("log10", x)


def log1p(x: Operand) -> Symbol:
    """log(1 + x), accurate near 0."""
    return _numbers("log1p", x)


def logaddexp(x: Operand, y: Operand) -> Symbol:
    """log(exp(x) + exp(y)), without overflow."""
    return _numbers("logaddexp", x, y)


def sigmoid(x: Operand) -> Symbol:
    """1 / (1 + exp(-x)); scipy's expit."""
    return _numbers("sigmoid", x)


def softplus(x: Operand) -> Symbol:
    """log(1 + exp(x))."""
    return _numbers("softplus", x)


def silu(x: Operand) -> Symbol:
    """x sigmoid(x)."""
    return multiply(x, sigmoid(x))


# Trigonometric and hyperbolic functions


def sin(x: Operand) -> Symbol:
    return _numbers("sin", x)


def cos(x: Operand) -> Symbol:
    return _numbers("cos", x)


def tan(x: Operand) -> Symbol:
    return _numbers("tan", x)


def arcsin(x: Operand) -> Symbol:
    return _numbers("arcsin", x)


def arccos(x: Operand) -> Symbol:
    return _numbers("arccos", x)


def arctan(x: Operand) -> Symbol:
    return _numbers("arctan", x)


def arctan2(y: Operand, x: Operand) -> Symbol:
    """The angle of the point (x, y), from -pi to pi."""
    return _numbers("arctan2", y, x)


def sinh(x: Operand) -> Symbol:
    return _numbers("sinh", x)


def cosh(x: Operand) -> Symbol:
    return _numbers("cosh", x)


def tanh(x: Operand) -> Symbol:
    return _numbers("tanh", x)


def arcsinh(x: Operand) -> Symbol:
    return _numbers("arcsinh", x)


def arccosh(x: Operand) -> Symbol:
    return _numbers("arccosh", x)


def arctanh(x: Operand) -> Symbol:
    return _numbers("arctanh", x)


_SINC_TERMS = 13
"""The series' first term left out is 1 / 27! = 1e-28 at u = 1: six derivatives stay exact to rounding."""


def sinc(x: Operand) -> Symbol:
    """sin(u) / u with u = pi x, 1 at 0: numpy's sinc.

    Within |u| < 1 by its series, since derivatives of the quotient cancel there.
    """
    u = math.pi * Symbol(number(x))
    near = less(absolute(u), 1.0)
    inner, outer = where(near, u, 0.0), where(near, 1.0, u)
    z = square(inner)
    series: Symbol | float = 0.0
    for k in reversed(range(_SINC_TERMS)):
        series = add(multiply(z, series), (-1.0) ** k / math.factorial(2 * k + 1))
    return where(near, series, divide(sin(outer), outer))


# Special functions


def erf(x: Operand) -> Symbol:
    return _numbers("erf", x)


def erfc(x: Operand) -> Symbol:
    """1 - erf(x), accurate where erf is near 1."""
    return _numbers("erfc", x)


def erfinv(x: Operand) -> Symbol:
    """The y with erf(y) = x."""
    return _numbers("erfinv", x)


def normal_cdf(x: Operand) -> Symbol:
    """The standard normal distribution function; scipy's ndtr."""
    return _numbers("normal_cdf", x)


def gelu(x: Operand) -> Symbol:
    """x normal_cdf(x), the exact form."""
    return multiply(x, normal_cdf(x))


def gamma(x: Operand) -> Symbol:
    return _numbers("gamma", x)


def gammaln(x: Operand) -> Symbol:
    """log|gamma(x)|."""
    return _numbers("gammaln", x)


def digamma(x: Operand) -> Symbol:
    """The derivative of log(gamma(x))."""
    return _numbers("digamma", x)


def polygamma(order: int, x: Operand) -> Symbol:
    """The derivative of digamma of the given order, from 0 to 100. Raises ValueError for another one."""
    if order == 0:
        return digamma(x)
    return _numbers("polygamma", x, attributes=check_attributes(OPS["polygamma"], (order,)))


# Piecewise functions


def absolute(x: Operand) -> Symbol:
    return _numbers("absolute", x)


def sign(x: Operand) -> Symbol:
    """-1, 0 or 1."""
    return _numbers("sign", x)


def floor(x: Operand) -> Symbol:
    return _numbers("floor", x)


def ceil(x: Operand) -> Symbol:
    return _numbers("ceil", x)


def rint(x: Operand) -> Symbol:
    """The nearest whole number, the even one of two."""
    return _numbers("rint", x)


def relu(x: Operand) -> Symbol:
    """x where it is positive, else 0."""
    return _numbers("relu", x)


def maximum(x: Operand, y: Operand) -> Symbol:
    return _numbers("maximum", x, y)


def minimum(x: Operand, y: Operand) -> Symbol:
    return _numbers("minimum", x, y)


def clip(x: Operand, low: Operand | None = None, high: Operand | None = None) -> Symbol:
    """minimum(maximum(x, low), high), as numpy's; a bound that is None does not bind.

    At a bound, x and the bound have half the derivative each, as in JAX.
    """
    result = Symbol(number(x))
    if low is not None:
        result = maximum(result, low)
    return result if high is None else minimum(result, high)


def where(condition: Operand, x: Operand, y: Operand) -> Symbol:
    """x where the condition holds, y elsewhere. A number counts as true where it is not 0."""
    return apply("where", truth(condition), number(x), number(y))


# Truths


def greater(x: Operand, y: Operand) -> Symbol:
    return _numbers("greater", x, y)


def greater_equal(x: Operand, y: Operand) -> Symbol:
    return _numbers("greater_equal", x, y)


def less(x: Operand, y: Operand) -> Symbol:
    return greater(y, x)


def less_equal(x: Operand, y: Operand) -> Symbol:
    return greater_equal(y, x)


def equal(x: Operand, y: Operand) -> Symbol:
    return _numbers("equal", x, y)


def not_equal(x: Operand, y: Operand) -> Symbol:
    return _numbers("not_equal", x, y)


def logical_and(x: Operand, y: Operand) -> Symbol:
    return _truths("logical_and", x, y)


def logical_or(x: Operand, y: Operand) -> Symbol:
    return _truths("logical_or", x, y)


def logical_not(x: Operand) -> Symbol:
    return _truths("logical_not", x)


# What derivative rules need


def one_minus_square(x: Operand) -> Symbol:
    """1 - x^2, exact to rounding where x^2 is near 1."""
    return _numbers("one_minus_square", x)


def tanh_slope(y: Operand, x: Operand) -> Symbol:
    """1 - y^2 for y = tanh(x); x gives back the digits lost where |y| is near 1."""
    return _numbers("tanh_slope", y, x)


def sigmoid_slope(x: Operand) -> Symbol:
    """sigmoid(x) sigmoid(-x)."""
    return _numbers("sigmoid_slope", x)


def share(t: Operand, x: Operand, y: Operand) -> Symbol:
    """t where x > y, t/2 where x = y, 0 elsewhere."""
    return _numbers("share", t, x, y)
