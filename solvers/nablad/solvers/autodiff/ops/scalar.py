"""Scalar Python for the pointwise rows: what generated source (source.py) says for one number.

Each template is an expression in its operands {0}, {1}, ... (names of slots) and its attributes {a0}, ... (likewise),
over the names in `NAMES`. It gives what the row's numpy call gives, for every float64 operand: the same number within a
few units in the last place, the same NaN, infinity and sign of zero, or else an ArithmeticError or a ValueError, upon
which the caller evaluates by arrays. So `math.log(0.0)` may raise, but nothing may be wrong in silence: a comparison
with NaN is false, and every choice below is written with that in mind. `x ** y` is not used, since a negative x gives a
complex number. A row without a template calls its numpy function on one number.
"""

from __future__ import annotations

import math
from typing import Any

NAMES: dict[str, Any] = {
    call.__name__: call
    for call in (
        math.acos,
        math.acosh,
        math.asin,
        math.asinh,
        math.atan,
        math.atan2,
        math.atanh,
        math.cbrt,
        math.ceil,
        math.copysign,
        math.cos,
        math.cosh,
        math.erf,
        math.erfc,
        math.exp,
        math.exp2,
        math.expm1,
        math.fabs,
        math.floor,
        math.hypot,
        math.log,
        math.log10,
        math.log1p,
        math.log2,
        math.pow,
        math.sin,
        math.sinh,
        math.sqrt,
        math.tan,
        math.tanh,
    )
}
"""Everything that a template may call, beside `float` and `round`."""

SCALAR: dict[str, str] = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "negative": "-{0}",
    "square": "{0} * {0}",
    "reciprocal": "1.0 / {0}",
    "sqrt": "sqrt({0})",
    "cbrt": "cbrt({0})",
    # numpy takes the root for 0.5, which differs from pow at -inf and -0.
    "power": "sqrt({0}) if {1} == 0.5 else pow({0}, {1})",
    "fixed_power": "sqrt({0}) if {a0} == 0.5 else pow({0}, {a0})",
    "hypot": "hypot({0}, {1})",
    "exp": "exp({0})",
    "exp2": "exp2({0})",
    "expm1": "expm1({0})",
    "log": "log({0})",
    "log2": "log2({0})",
    "log10": "log10({0})",
    "log1p": "log1p({0})",
    "sin": "sin({0})",
    "cos": "cos({0})",
    "tan": "tan({0})",
    "arcsin": "asin({0})",
    "arccos": "acos({0})",
    "arctan": "atan({0})",
    "arctan2": "atan2({0}, {1})",
    "sinh": "sinh({0})",
    "cosh": "cosh({0})",
    "tanh": "tanh({0})",
    "arcsinh": "asinh({0})",
    "arccosh": "acosh({0})",
    "arctanh": "atanh({0})",
    "erf": "erf({0})",
    "erfc": "erfc({0})",
    # Two forms, so that the exponential never overflows.
    "sigmoid": "1.0 / (1.0 + exp(-{0})) if {0} >= 0.0 else exp({0}) / (1.0 + exp({0}))",
    "softplus": "({0} if {0} > 0.0 else 0.0) + log1p(exp(-fabs({0})))",
    "logaddexp": (
        "{0} + 0.6931471805599453 if {0} == {1} else ({0} if {0} > {1} else {1}) + log1p(exp(-fabs({0} - {1})))"
    ),
    "one_minus_square": "(1.0 - {0}) * (1.0 + {0})",
    "tanh_slope": (
        "1.0 - {0} * {0} if not 1.0 - {0} * {0} < 0.00390625 "
        "else exp(-2.0 * fabs({1})) / (0.25 * (1.0 + exp(-2.0 * fabs({1}))) * (1.0 + exp(-2.0 * fabs({1}))))"
    ),
    "sigmoid_slope": "exp(-fabs({0})) / ((1.0 + exp(-fabs({0}))) * (1.0 + exp(-fabs({0}))))",
    "share": "{0} if {1} > {2} else 0.5 * {0} if {1} == {2} else 0.0",
    "absolute": "fabs({0})",
    "sign": "1.0 if {0} > 0.0 else -1.0 if {0} < 0.0 else 0.0 if {0} == 0.0 else {0}",
    "floor": "copysign(float(floor({0})), {0})",
    "ceil": "copysign(float(ceil({0})), {0})",
    "rint": "copysign(float(round({0})), {0})",
    "relu": "{0} if {0} > 0.0 or {0} != {0} else 0.0",
    # numpy's let NaN through from either side.
    "maximum": "{0} if {0} >= {1} or {0} != {0} else {1}",
    "minimum": "{0} if {0} <= {1} or {0} != {0} else {1}",
    "where": "{1} if {0} else {2}",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
    "logical_and": "{0} and {1}",
    "logical_or": "{0} or {1}",
    "logical_not": "not {0}",
}
