"""NumPy's functions on symbols: its two protocols (NEP 13: ufuncs; NEP 18: everything else), looked up by name.

A function's name is that of `functions.NAMES`; ufuncs of other libraries, such as scipy.special's, arrive here too.
What is not in the table is a TypeError that says what can be used instead, never a wrong number.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from nablad.expressions.functions import NAMES, suggestion
from nablad.expressions.functions.row import without_defaults
from nablad.expressions.symbol import Symbol, lift, number

INSTEAD = {
    "cumprod": "use np.exp(np.cumsum(np.log(x))) of positive numbers, or np.stack of a loop's products",
    "pad": "join zeros to it with np.concatenate",
    "convolve": "add shifted slices of one, times the elements of the other",
    "correlate": "add shifted slices of one, times the elements of the other",
    "vander": "write np.stack([x**k for k in range(n)], axis=-1)",
    "insert": "join the parts with np.concatenate",
    "delete": "read what is kept, as in x[[0, 2]]",
    "empty_like": "use np.zeros_like",
    "trunc": "write np.sign(x) * np.floor(np.abs(x))",
    "fix": "write np.sign(x) * np.floor(np.abs(x))",
    "isfinite": "write np.abs(x) < np.inf",
    "isinf": "write np.abs(x) == np.inf",
    "isclose": "write np.abs(x - y) <= tolerance",
    "allclose": "write np.all(np.abs(x - y) <= tolerance)",
    "nan_to_num": "write np.where(np.isnan(x), 0, x)",
    "linspace": "write a + (b - a) * np.linspace(0, 1, n)",
    "gradient": "of numbers on a grid: write it with slices; derivatives of the expression are computed for you",
    "betaln": "write gammaln(a) + gammaln(b) - gammaln(a + b)",
    "beta": "write np.exp(gammaln(a) + gammaln(b) - gammaln(a + b)) for positive a and b",
    "loggamma": "use gammaln, which is the same for positive numbers",
    "log_expit": "write -softplus(-x), where softplus(x) is np.logaddexp(x, 0)",
    "xlog1py": "write xlogy(x, 1 + y)",
    "entr": "write -xlogy(x, x)",
    "rel_entr": "write xlogy(x, x / y)",
    "log_ndtr": "write np.log(ndtr(x)), for x above -37",
    "floor_divide": "write np.floor(x / y)",
    "remainder": "write x - y * np.floor(x / y)",
    "fmod": "write x - y * np.floor(x / y)",
    "fmax": "use np.maximum, in which NaN stays NaN",
    "fmin": "use np.minimum, in which NaN stays NaN",
    "argmax": "an index is no real function: use np.max, whose derivative picks the element",
    "argmin": "an index is no real function: use np.min, whose derivative picks the element",
    "sort": "the order is not known while tracing",
    "median": "the order is not known while tracing",
    "array_equal": "compare with == and np.all, or compare x.node with y.node",
    "linalg.pinv": "use np.linalg.solve(A.T @ A, A.T)",
    "linalg.lstsq": "use np.linalg.solve(A.T @ A, A.T @ b)",
    "count_nonzero": "use np.sum(x != 0)",
    "imag": "expressions are real",
    "interp": "write it with np.where, or as a matrix of weights times the values",
}

_REDUCE = {
    "add": "sum",
    "multiply": "prod",
    "maximum": "max",
    "minimum": "min",
    "logaddexp": "logsumexp",
    "logical_and": "all",
    "logical_or": "any",
}
_ACCUMULATE = {"add": "cumsum"}

_INSPECT: dict[str, Callable[..., Any]] = {
    "shape": lambda x: _seen_shape(x),
    "ndim": lambda x: len(lift(x).shape),
    "iscomplexobj": lambda x: False,
    "isrealobj": lambda x: True,
    "isscalar": lambda x: not lift(x).shape,
    "result_type": lambda *_: np.dtype(np.float64),
    "common_type": lambda *_: np.float64,
}


def call_ufunc(ufunc: np.ufunc, how: str, operands: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """A ufunc or one of its methods. Raises TypeError for what has no meaning on symbols."""
    name = ufunc.__name__
    if any(out is not None for out in keywords.pop("out", None) or ()):
        raise TypeError(
            f"np.{name} cannot write into an array here, since a symbol's numbers are not known while a function is "
            "traced: write a = a + x for a += x, and no out="
        )
    if how == "__call__":
        if name not in NAMES:
            raise unknown(ufunc)
        return NAMES[name].bind(operands, without_defaults(keywords))
    if how == "outer" and len(operands) == 2 and name in NAMES and not keywords:
        x, y = (number(operand) for operand in operands)
        return NAMES[name].call(Symbol(x)[(..., *[None] * len(y.shape))], Symbol(y))
    table = {"reduce": _REDUCE, "accumulate": _ACCUMULATE}.get(how, {})
    if name not in table:
        raise TypeError(f"np.{name}.{how} has no meaning on symbols")
    keywords.setdefault("axis", 0)
    keywords = {key: value for key, value in keywords.items() if value is not None or key == "axis"}
    return NAMES[table[name]].bind(operands, keywords)


def call_function(function: Callable[..., Any], operands: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """A function of numpy that is no ufunc. Raises TypeError for what has no meaning on symbols."""
    module, name = function.__module__ or "", function.__name__
    full = f"{module}.{name}".removeprefix("numpy.")
    if full in _INSPECT:
        return _INSPECT[full](*operands)
    row = NAMES.get(full) or (NAMES.get(name) if module.startswith("numpy.lib") else None)
    if row is None:
        raise _unknown(full, f"np.{full}")
    if not operands:
        operands = tuple([keywords.pop(name) for name in _first_name(function) if name in keywords])
    return row.bind(operands, without_defaults(keywords))


@lru_cache(maxsize=1024)
def _first_name(function: Callable[..., Any]) -> tuple[str, ...]:
    """What numpy calls the function's first argument: a, m, v, ary or array, where we always say x."""
    try:
        return tuple(inspect.signature(function).parameters)[:1]
    except ValueError:  # of a function written in C
        return ()


def _seen_shape(x: Any) -> Any:
    shape = lift(x).shape
    return tuple(d if isinstance(d, int) else Symbol(lift(x)).size for d in shape)


def unknown(ufunc: np.ufunc) -> TypeError:
    """The error of a ufunc, numpy's or another library's, that has no row."""
    name = ufunc.__name__
    return _unknown(name, f"np.{name}" if getattr(np, name, None) is ufunc else name)


def _unknown(name: str, called: str) -> TypeError:
    hint = f": {INSTEAD[name]}" if name in INSTEAD else suggestion(name, NAMES)
    if name.startswith("linalg.") and name not in INSTEAD:
        hint = (
            ": of the functions of a matrix there are det, slogdet, inv, solve, cholesky, trace, diagonal, norm and "
            "matrix_power"
        )
    return TypeError(f"{called} has no rule for symbols, and so no derivative{hint}")
