"""What may be written with symbols: one function for each op, and those that are made of several.

    theta = parameter("theta", (3,))
    residual = data("y", (ROWS,)) - matmul(data("Phi", (ROWS, 3)), theta)
    loss = sum(square(residual))

Model builders and derivative rules are written with these.
"""

from nablad.expressions.symbol import Operand, Symbol, apply, data, lift, parameter, power
from nablad.expressions.symbols.algebra import matmul
from nablad.expressions.symbols.pointwise import (
    cos,
    equal,
    erf,
    exp,
    expm1,
    greater,
    log,
    log1p,
    normal_cdf,
    reciprocal,
    relu,
    sigmoid,
    sin,
    softplus,
    sqrt,
    square,
    tanh,
    where,
)
from nablad.expressions.symbols.reductions import logsumexp, sum
from nablad.expressions.symbols.structure import (
    Range,
    broadcast_to,
    concatenate,
    eye,
    ones,
    reshape,
    rows,
    scatter,
    slice_of,
    transpose,
    zeros,
)

__all__ = [
    "Operand",
    "Range",
    "Symbol",
    "apply",
    "broadcast_to",
    "concatenate",
    "cos",
    "data",
    "equal",
    "erf",
    "exp",
    "expm1",
    "eye",
    "greater",
    "lift",
    "log",
    "log1p",
    "logsumexp",
    "matmul",
    "normal_cdf",
    "ones",
    "parameter",
    "power",
    "reciprocal",
    "relu",
    "reshape",
    "rows",
    "scatter",
    "sigmoid",
    "sin",
    "slice_of",
    "softplus",
    "sqrt",
    "square",
    "sum",
    "tanh",
    "transpose",
    "where",
    "zeros",
]
