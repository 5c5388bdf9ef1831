"""The pointwise rows in lanes: what a kernel computes for each op that has one.

A column of the meaning table, kept by itself as the scalar templates are: the row's numpy call is the definition, and
this gives the same numbers to a few units in the last place, the same NaN, infinities and truths. An op that is not
here (the gamma family, the inverse error function) is a numpy call in a plan as before. Truths come and go as 0 and 1.

`fixed_power` has its exponent as a second operand here. Functions of the C library, one lane after the other, cost what
they cost there, five to ten times an exponential; they keep a kernel in one piece.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from nablad.solvers.autodiff.kernels import elementary as e
from nablad.solvers.autodiff.kernels.vectors import Truth, Vector

Kernel = Callable[..., Vector | Truth]


def _library(name: str) -> Kernel:
    return lambda x: x.each(name)


def _library_of_two(name: str) -> Kernel:
    return lambda x, y: x.each(name, y)


def _power(x: Vector, y: Vector) -> Vector:
    """numpy takes the root for 1/2, which differs from the library's at -inf and -0."""
    half = y.equals(0.5)
    return half.choose(x.sqrt(), x.each("pow", y))


def _share(t: Vector, x: Vector, y: Vector) -> Vector:
    return (x > y).choose(t, x.equals(y).choose(0.5 * t, 0.0))


def _sign(x: Vector) -> Vector:
    return (x > 0.0).choose(1.0, (x < 0.0).choose(-1.0, x.equals(0.0).choose(0.0, x)))


KERNELS: dict[str, Kernel] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "negative": lambda x: -x,
    "square": lambda x: x * x,
    "reciprocal": lambda x: 1.0 / x,
    "one_minus_square": lambda x: (1.0 - x) * (1.0 + x),
    "sqrt": lambda x: x.sqrt(),
    "cbrt": _library("cbrt"),
    "power": _power,
    "fixed_power": _power,
    "hypot": _library_of_two("hypot"),
    "exp": e.exp,
    "exp2": e.exp2,
    "expm1": e.expm1,
    "log": e.log,
    "log2": _library("log2"),
    "log10": _library("log10"),
    "log1p": e.log1p,
    "logaddexp": e.logaddexp,
    "sigmoid": e.sigmoid,
    "sigmoid_slope": e.sigmoid_slope,
    "softplus": e.softplus,
    "sin": e.sin,
    "cos": e.cos,
    "tan": _library("tan"),
    "arcsin": _library("asin"),
    "arccos": _library("acos"),
    "arctan": _library("atan"),
    "arctan2": _library_of_two("atan2"),
    "sinh": _library("sinh"),
    "cosh": _library("cosh"),
    "tanh": e.tanh,
    "tanh_slope": e.tanh_slope,
    "arcsinh": _library("asinh"),
    "arccosh": _library("acosh"),
    "arctanh": _library("atanh"),
    "erf": e.erf,
    "erfc": e.erfc,
    "normal_cdf": e.normal_cdf,
    "absolute": lambda x: x.absolute(),
    "sign": _sign,
    "floor": lambda x: x.intrinsic("floor"),
    "ceil": lambda x: x.intrinsic("ceil"),
    "rint": lambda x: x.rounded(),
    "relu": lambda x: ((x > 0.0) | x.is_nan()).choose(x, 0.0),
    "maximum": e.maximum,
    "minimum": e.minimum,
    "share": _share,
    "where": lambda truth, x, y: e.truth(truth).choose(x, y),
    "greater": lambda x, y: x > y,
    "greater_equal": lambda x, y: x >= y,
    "equal": lambda x, y: x.equals(y),
    "not_equal": lambda x, y: x.differs(y),
    "logical_and": lambda x, y: e.truth(x) & e.truth(y),
    "logical_or": lambda x, y: e.truth(x) | e.truth(y),
    "logical_not": lambda x: ~e.truth(x),
}

INNER: dict[str, Kernel] = {
    "copy": lambda x: x,
    # From the sum of all smaller terms, the number of largest ones, and their exponent, which may be infinite or NaN.
    "log_sum_exp_end": lambda others, count, m: (m.absolute() < math.inf).choose(
        m + e.log1p(others + (count - 1.0)), m
    ),
}
"""What programs need beside the rows of the language."""

LIBRARY = (
    ("cbrt", 1),
    ("pow", 2),
    ("hypot", 2),
    ("log2", 1),
    ("log10", 1),
    ("sin", 1),
    ("cos", 1),
    ("tan", 1),
    ("asin", 1),
    ("acos", 1),
    ("atan", 1),
    ("atan2", 2),
    ("sinh", 1),
    ("cosh", 1),
    ("asinh", 1),
    ("acosh", 1),
    ("atanh", 1),
)
"""The C library's functions that kernels call, and how many arguments each takes."""
