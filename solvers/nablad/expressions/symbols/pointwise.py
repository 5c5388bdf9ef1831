"""Pointwise functions of symbols. Operands broadcast as numpy's do; truths count as 0 or 1 where numbers are needed.

Names are numpy's, or scipy.special's where numpy has none. Domains and conventions at edges stand in docs/ops.md.
"""

from __future__ import annotations

import math

from nablad.expressions.attributes import check_attributes
from nablad.expressions.symbol import Operand, Symbol, apply, number
from nablad.expressions.table import OPS

# Arithmetic


def add(x: Operand, y: Operand) -> Symbol:
    return apply("add", x, y)


def subtract(x: Operand, y: Operand) -> Symbol:
    return apply("subtract", x, y)


def multiply(x: Operand, y: Operand) -> Symbol:
    return apply("multiply", x, y)


def divide(x: Operand, y: Operand) -> Symbol:
    return apply("divide", x, y)


def negative(x: Operand) -> Symbol:
    return apply("negative", x)


def square(x: Operand) -> Symbol:
    return apply("square", x)


def reciprocal(x: Operand) -> Symbol:
    return apply("reciprocal", x)


def sqrt(x: Operand) -> Symbol:
    return apply("sqrt", x)


def cbrt(x: Operand) -> Symbol:
    """The real cube root, of negative numbers too."""
    return apply("cbrt", x)


_CHEAPER_POWERS = {2.0: "square", -1.0: "reciprocal", 0.5: "sqrt"}


def power(x: Operand, exponent: Operand) -> Symbol:
    """x ** exponent, by the cheapest op that computes it: an exponent that is one constant number has its own."""
    node = number(exponent)
    fixed = float(node.value) if node.op == "constant" and node.shape == () else math.nan
    if not math.isfinite(fixed):
        return apply("power", x, node)
    if fixed == 1.0:
        return Symbol(number(x))
    if fixed in _CHEAPER_POWERS:
        return apply(_CHEAPER_POWERS[fixed], x)
    return apply("fixed_power", x, attributes=(fixed,))


def hypot(x: Operand, y: Operand) -> Symbol:
    """sqrt(x^2 + y^2), without overflow or underflow."""
    return apply("hypot", x, y)


# Exponentials and logarithms


def exp(x: Operand) -> Symbol:
    return apply("exp", x)


def exp2(x: Operand) -> Symbol:
    """2 ** x."""
    return apply("exp2", x)


def expm1(x: Operand) -> Symbol:
    """exp(x) - 1, accurate near 0."""
    return apply("expm1", x)


def log(x: Operand) -> Symbol:
    return apply("log", x)


def log2(x: Operand) -> Symbol:
    return apply("log2", x)


def log10(x: Operand) -> Symbol:
    return apply("log10", x)


def log1p(x: Operand) -> Symbol:
    """log(1 + x), accurate near 0."""
    return apply("log1p", x)


def logaddexp(x: Operand, y: Operand) -> Symbol:
    """log(exp(x) + exp(y)), without overflow."""
    return apply("logaddexp", x, y)


def sigmoid(x: Operand) -> Symbol:
    """1 / (1 + exp(-x)); scipy's expit."""
    return apply("sigmoid", x)


def softplus(x: Operand) -> Symbol:
    """log(1 + exp(x))."""
    return apply("softplus", x)


def silu(x: Operand) -> Symbol:
    """x sigmoid(x)."""
    return multiply(x, sigmoid(x))


# Trigonometric and hyperbolic functions


def sin(x: Operand) -> Symbol:
    return apply("sin", x)


def cos(x: Operand) -> Symbol:
    return apply("cos", x)


def tan(x: Operand) -> Symbol:
    return apply("tan", x)


def arcsin(x: Operand) -> Symbol:
    return apply("arcsin", x)


def arccos(x: Operand) -> Symbol:
    return apply("arccos", x)


def arctan(x: Operand) -> Symbol:
    return apply("arctan", x)


def arctan2(y: Operand, x: Operand) -> Symbol:
    """The angle of the point (x, y), from -pi to pi."""
    return apply("arctan2", y, x)


def sinh(x: Operand) -> Symbol:
    return apply("sinh", x)


def cosh(x: Operand) -> Symbol:
    return apply("cosh", x)


def tanh(x: Operand) -> Symbol:
    return apply("tanh", x)


def arcsinh(x: Operand) -> Symbol:
    return apply("arcsinh", x)


def arccosh(x: Operand) -> Symbol:
    return apply("arccosh", x)


def arctanh(x: Operand) -> Symbol:
    return apply("arctanh", x)


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
    return apply("erf", x)


def erfc(x: Operand) -> Symbol:
    """1 - erf(x), accurate where erf is near 1."""
    return apply("erfc", x)


def erfinv(x: Operand) -> Symbol:
    """The y with erf(y) = x."""
    return apply("erfinv", x)


def normal_cdf(x: Operand) -> Symbol:
    """The standard normal distribution function; scipy's ndtr."""
    return apply("normal_cdf", x)


def gelu(x: Operand) -> Symbol:
    """x normal_cdf(x), the exact form."""
    return multiply(x, normal_cdf(x))


def gamma(x: Operand) -> Symbol:
    return apply("gamma", x)


def gammaln(x: Operand) -> Symbol:
    """log|gamma(x)|."""
    return apply("gammaln", x)


def digamma(x: Operand) -> Symbol:
    """The derivative of log(gamma(x))."""
    return apply("digamma", x)


def polygamma(order: int, x: Operand) -> Symbol:
    """The derivative of digamma of the given order, from 0 to 100. Raises ValueError for another one."""
    if order == 0:
        return digamma(x)
    return apply("polygamma", x, attributes=check_attributes(OPS["polygamma"], (order,)))


# Piecewise functions


def absolute(x: Operand) -> Symbol:
    return apply("absolute", x)


def sign(x: Operand) -> Symbol:
    """-1, 0 or 1."""
    return apply("sign", x)


def floor(x: Operand) -> Symbol:
    return apply("floor", x)


def ceil(x: Operand) -> Symbol:
    return apply("ceil", x)


def rint(x: Operand) -> Symbol:
    """The nearest whole number, the even one of two."""
    return apply("rint", x)


def relu(x: Operand) -> Symbol:
    """x where it is positive, else 0."""
    return apply("relu", x)


def maximum(x: Operand, y: Operand) -> Symbol:
    return apply("maximum", x, y)


def minimum(x: Operand, y: Operand) -> Symbol:
    return apply("minimum", x, y)


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
    return apply("where", condition, x, y)


# Truths


def greater(x: Operand, y: Operand) -> Symbol:
    return apply("greater", x, y)


def greater_equal(x: Operand, y: Operand) -> Symbol:
    return apply("greater_equal", x, y)


def less(x: Operand, y: Operand) -> Symbol:
    return greater(y, x)


def less_equal(x: Operand, y: Operand) -> Symbol:
    return greater_equal(y, x)


def equal(x: Operand, y: Operand) -> Symbol:
    return apply("equal", x, y)


def not_equal(x: Operand, y: Operand) -> Symbol:
    return apply("not_equal", x, y)


def logical_and(x: Operand, y: Operand) -> Symbol:
    return apply("logical_and", x, y)


def logical_or(x: Operand, y: Operand) -> Symbol:
    return apply("logical_or", x, y)


def logical_not(x: Operand) -> Symbol:
    return apply("logical_not", x)


# What derivative rules need


def one_minus_square(x: Operand) -> Symbol:
    """1 - x^2, exact to rounding where x^2 is near 1."""
    return apply("one_minus_square", x)


def tanh_slope(y: Operand, x: Operand) -> Symbol:
    """1 - y^2 for y = tanh(x); x gives back the digits lost where |y| is near 1."""
    return apply("tanh_slope", y, x)


def sigmoid_slope(x: Operand) -> Symbol:
    """sigmoid(x) sigmoid(-x)."""
    return apply("sigmoid_slope", x)


def share(t: Operand, x: Operand, y: Operand) -> Symbol:
    """t where x > y, t/2 where x = y, 0 elsewhere."""
    return apply("share", t, x, y)
