"""Pointwise functions: one row for each, named as numpy or scipy.special name them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nablad.expressions import symbols as s
from nablad.expressions.functions.arguments import whole
from nablad.expressions.functions.row import Function
from nablad.expressions.graph import Node
from nablad.expressions.symbol import Operand, Symbol, lift, number, truth

Build = Callable[..., Symbol]


def unary(name: str) -> Build:
    build: Build = getattr(s, name)

    def call(x: Operand) -> Symbol:
        return build(x)

    return call


def binary(name: str) -> Build:
    build: Build = getattr(s, name)

    def call(x: Operand, y: Operand) -> Symbol:
        return build(x, y)

    return call


def bitwise(sign: str, call: Build) -> Build:
    """numpy's & | ^ of truths; of anything else they are not real functions."""

    def checked(x: Operand, y: Operand) -> Symbol:
        for operand in (x, y):
            if not is_truth(operand):
                raise TypeError(f"{sign} joins comparisons: write (x > 0) {sign} (y > 0), with parentheses")
        return call(x, y)

    return checked


def is_truth(value: Any) -> bool:
    """Whether it is made of truths alone: a comparison, perhaps moved about, or an array of bools."""
    if not isinstance(value, Symbol | Node):
        return bool(np.asarray(value).dtype.kind == "b")
    node = lift(value)
    while node.op in ("reshape", "transpose", "slice", "broadcast_to", "take", "diagonal"):
        node = node.operands[0]
    if node.op == "where":
        return [n.op == "constant" and n.value.tolist() for n in node.operands[1:]] == [1.0, 0.0]
    return truth(node) is node


def logical_xor(x: Operand, y: Operand) -> Symbol:
    return s.not_equal(Symbol(truth(x)), Symbol(truth(y)))


def where(condition: Operand, x: Operand, y: Operand) -> Symbol:
    return s.where(condition, x, y)


def select(condlist: Sequence[Operand], choicelist: Sequence[Operand], default: Operand = 0.0) -> Symbol:
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError(f"select needs a choice for each condition, not {len(choicelist)} for {len(condlist)}")
    result = Symbol(number(default))
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = s.where(condition, choice, result)
    return result


def clip(x: Operand, min: Any = None, max: Any = None, *, a_min: Any = None, a_max: Any = None) -> Symbol:
    low, high = (bound if bound is not None else other for bound, other in ((min, a_min), (max, a_max)))
    return s.clip(x, low, high)


def polygamma(n: Any, x: Operand) -> Symbol:
    return s.polygamma(whole(n, "the order of polygamma"), number(x))


def heaviside(x: Operand, y: Operand) -> Symbol:
    x = number(x)
    at_zero = s.where(s.equal(x, 0.0), number(y), x)  # NaN stays NaN
    return s.where(s.greater(x, 0.0), 1.0, s.where(s.less(x, 0.0), 0.0, at_zero))


def xlogy(x: Operand, y: Operand) -> Symbol:
    """Where x is 0 and log(y) is finite this is an ordinary product, with the derivative log(y) in x."""
    x, y = number(x), number(y)
    finite = s.logical_and(s.greater(y, 0.0), s.less(y, np.inf))
    vanishes = s.logical_and(s.equal(x, 0.0), s.logical_not(s.logical_or(finite, s.not_equal(y, y))))
    return s.where(vanishes, 0.0, s.multiply(x, s.log(s.where(vanishes, 1.0, y))))


def logit(x: Operand) -> Symbol:
    x = Symbol(number(x))
    return s.log(x) - s.log1p(-x)


def degrees(x: Operand) -> Symbol:
    return s.multiply(number(x), 180.0 / np.pi)


def radians(x: Operand) -> Symbol:
    return s.multiply(number(x), np.pi / 180.0)


def positive(x: Operand) -> Symbol:
    return Symbol(number(x))


def isnan(x: Operand) -> Symbol:
    node = number(x)
    return s.not_equal(node, node)


def rounded(x: Operand, decimals: int = 0) -> Symbol:
    if whole(decimals, "decimals"):
        raise TypeError("round takes decimals=0 only: divide and multiply around it")
    return s.rint(number(x))


def invert(x: Operand) -> Symbol:
    if not is_truth(x):
        raise TypeError("~ turns comparisons around: write ~(x > 0), with parentheses")
    return s.logical_not(x)


_UNARY = (
    ("negative", "-x", ()),
    ("absolute", "|x|", ("abs", "fabs")),
    ("sign", "-1, 0 or 1", ()),
    ("square", "x²", ()),
    ("reciprocal", "1/x", ()),
    ("sqrt", "square root", ()),
    ("cbrt", "cube root, of negative x too", ()),
    ("exp", "eˣ", ()),
    ("exp2", "2ˣ", ()),
    ("expm1", "eˣ - 1, accurate near 0", ()),
    ("log", "natural logarithm", ("ln",)),
    ("log2", "logarithm to base 2", ()),
    ("log10", "logarithm to base 10", ()),
    ("log1p", "log(1 + x), accurate near 0", ()),
    ("sin", "sine", ()),
    ("cos", "cosine", ()),
    ("tan", "tangent", ()),
    ("arcsin", "inverse sine", ("asin",)),
    ("arccos", "inverse cosine", ("acos",)),
    ("arctan", "inverse tangent", ("atan",)),
    ("sinh", "hyperbolic sine", ()),
    ("cosh", "hyperbolic cosine", ()),
    ("tanh", "hyperbolic tangent", ()),
    ("arcsinh", "inverse hyperbolic sine", ("asinh",)),
    ("arccosh", "inverse hyperbolic cosine", ("acosh",)),
    ("arctanh", "inverse hyperbolic tangent", ("atanh",)),
    ("sinc", "sin(πx)/(πx)", ()),
    ("erf", "error function", ()),
    ("erfc", "1 - erf(x), accurate for large x", ()),
    ("erfinv", "inverse error function", ()),
    ("gamma", "gamma function", ()),
    ("gammaln", "log |gamma(x)|", ("lgamma",)),
    ("digamma", "derivative of log gamma(x)", ("psi",)),
    ("normal_cdf", "normal distribution function", ("ndtr",)),
    ("sigmoid", "1/(1 + e⁻ˣ)", ("expit", "logistic")),
    ("softplus", "log(1 + eˣ)", ()),
    ("relu", "max(x, 0)", ()),
    ("gelu", "x normal_cdf(x)", ()),
    ("silu", "x sigmoid(x)", ("swish",)),
    ("floor", "largest whole number that is not above x", ()),
    ("ceil", "smallest whole number that is not below x", ()),
)
_BINARY = (
    ("add", "x + y", ()),
    ("subtract", "x - y", ()),
    ("multiply", "x * y", ()),
    ("divide", "x / y", ("true_divide",)),
    ("power", "x ** y", ("pow", "float_power")),
    ("arctan2", "the angle, in (-π, π], with sine x and cosine y", ("atan2",)),
    ("hypot", "sqrt(x² + y²), without overflow", ()),
    ("logaddexp", "log(eˣ + eʸ), without overflow", ()),
    ("maximum", "the larger of two", ()),
    ("minimum", "the smaller of two", ()),
    ("greater", "x > y", ()),
    ("greater_equal", "x >= y", ()),
    ("less", "x < y", ()),
    ("less_equal", "x <= y", ()),
    ("equal", "x == y", ()),
    ("not_equal", "x != y", ()),
)

ROWS: tuple[Function, ...] = (
    *(Function(name, unary(name), about, aliases) for name, about, aliases in _UNARY),
    *(Function(name, binary(name), about, aliases) for name, about, aliases in _BINARY),
    Function("logical_and", binary("logical_and"), "x and y"),
    Function("logical_or", binary("logical_or"), "x or y"),
    Function("logical_xor", logical_xor, "one of x and y, not both"),
    Function("logical_not", unary("logical_not"), "not x"),
    Function("bitwise_and", bitwise("&", s.logical_and), "numpy's (x > 0) & (y > 0)"),
    Function("bitwise_or", bitwise("|", s.logical_or), "numpy's (x > 0) | (y > 0)"),
    Function("bitwise_xor", bitwise("^", logical_xor), "numpy's (x > 0) ^ (y > 0)"),
    Function("invert", invert, "numpy's ~(x > 0)", ("bitwise_not", "bitwise_invert")),
    Function("where", where, "x where the condition holds, y elsewhere"),
    Function("select", select, "the choice of the first condition that holds"),
    Function("clip", clip, "x, held between min and max"),
    Function("round", rounded, "nearest whole number, halves to the even one", ("rint", "around")),
    Function("polygamma", polygamma, "n-th derivative of digamma"),
    Function("heaviside", heaviside, "0 below 0, 1 above, y at 0"),
    Function("xlogy", xlogy, "x log(y), 0 where x is 0"),
    Function("logit", logit, "log(x/(1 - x))"),
    Function("degrees", degrees, "radians to degrees", ("rad2deg",)),
    Function("radians", radians, "degrees to radians", ("deg2rad",)),
    Function("positive", positive, "+x", ("real", "conjugate", "conj", "copy")),
    Function("isnan", isnan, "whether x is not a number"),
)
