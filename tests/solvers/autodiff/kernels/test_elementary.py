"""Every row of the table of kernels: against 50 digits, and on special values against numpy.

An error is counted in units in the last place of the exact value, infinity counted as the power of two after the
largest number. Where a result is a small difference of large terms (logaddexp near its zero), no function of rounded
numbers has a small relative error; the unit is then that of the terms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath as m
import numpy as np
import pytest
from solvers.autodiff.kernels.calling import DTYPES, Array, computed

from nablad.expressions import OPS
from nablad.solvers.autodiff.kernels.elementary import PRECISION
from nablad.solvers.autodiff.kernels.native import available
from nablad.solvers.autodiff.kernels.table import KERNELS
from nablad.solvers.autodiff.ops import MEANING

pytestmark = pytest.mark.skipif(not available(), reason="this process has no kernels")

Exact = Callable[..., Any]


def _edges(dtype: str) -> list[float]:
    """Where a branch is taken, and both neighbours."""
    p = PRECISION[dtype]
    kind = np.dtype(dtype).type
    places = [*p.exp, p.expm1_low, p.tanh_high, p.erf_high, p.erfc_high, p.large, p.tiny]
    places += [p.erfc_high * math.sqrt(2.0), math.sqrt(0.5), math.sqrt(2.0), 0.5, 0.75, 1.0, 2.0]
    places += [math.log(2.0) / 2 * k for k in (1, 3, 5)] + [math.pi / 4 * k for k in range(1, 12)]
    places += [math.pi / 2 * k for k in np.random.default_rng(2).integers(12, int(0.6 * p.large), 40)]
    places += [
        math.log(float(np.finfo(dtype).max)),
        math.log(p.tiny),
        math.log(float(np.finfo(dtype).smallest_subnormal)),
    ]
    places += [math.log2(float(np.finfo(dtype).max)), math.log2(p.tiny), 3.466, 5.545]  # tanh_slope leaves 1 - y^2
    found: list[float] = []
    for x in places:
        for y in (kind(x), np.nextafter(kind(x), kind(math.inf)), np.nextafter(kind(x), kind(-math.inf))):
            found += [float(y), -float(y)]
    return found


def _points(dtype: str) -> Array:
    """Finite numbers of all sizes, dense where functions bend."""
    rng = np.random.default_rng(20)
    info = np.finfo(dtype)
    least, tiny, largest = float(info.smallest_subnormal), float(info.tiny), float(info.max)
    sizes = [least, 3 * least, 1001 * least, tiny / 3, tiny, 4 * tiny, largest / 3, largest]
    sizes += list(2.0 ** rng.uniform(math.log2(tiny), math.log2(largest), 40))
    sizes += list(2.0 ** rng.uniform(-30, 8, 40))
    around = [*rng.uniform(-1.5, 1.5, 40), *rng.uniform(-30, 30, 40), *rng.uniform(-800, 800, 30)]
    around += [1.0 + x for x in 2.0 ** rng.uniform(-50, -1, 20)] + [1.0 - x for x in 2.0 ** rng.uniform(-50, -1, 20)]
    values = np.array([*sizes, *[-x for x in sizes], *around, *[-x for x in around], *_edges(dtype)])
    return np.unique(values.astype(dtype))


def _phi(x: Any) -> Any:
    return m.erfc(-x / m.sqrt(2)) / 2


def _logistic(x: Any) -> Any:
    return 1 / (1 + m.exp(-x)) if x > 0 else m.exp(x) / (1 + m.exp(x))


def _bell(x: Any) -> Any:
    e = m.exp(-abs(x))
    return e / (1 + e) ** 2


def _logaddexp(x: Any, y: Any) -> Any:
    return max(x, y) + m.log1p(m.exp(-abs(x - y)))


@dataclass(frozen=True)
class Row:
    exact: Exact
    bound: float
    """Units in the last place, float64 and float32 alike."""
    within: tuple[float, float] = (-math.inf, math.inf)
    """Of arguments: the domain, or beyond it 50 digits would be of numbers with a thousand."""


EXPONENTIAL = (-3000.0, 3000.0)
ROWS: dict[str, Row] = {
    "square": Row(lambda x: x * x, 0.5),
    "reciprocal": Row(lambda x: 1 / x, 0.5),
    "one_minus_square": Row(lambda x: 1 - x * x, 1.5),
    "sqrt": Row(m.sqrt, 0.5, (0.0, math.inf)),
    "cbrt": Row(lambda x: m.sign(x) * m.cbrt(abs(x)), 3.0),
    "exp": Row(m.exp, 1.0, EXPONENTIAL),
    "exp2": Row(lambda x: m.mpf(2) ** x, 1.0, EXPONENTIAL),
    "expm1": Row(m.expm1, 2.5, EXPONENTIAL),
    "log": Row(m.log, 1.0, (0.0, math.inf)),
    "log2": Row(lambda x: m.log(x, 2), 1.0, (0.0, math.inf)),
    "log10": Row(m.log10, 2.0, (0.0, math.inf)),
    "log1p": Row(m.log1p, 2.0, (-1.0, math.inf)),
    "sigmoid": Row(_logistic, 2.5, EXPONENTIAL),
    "sigmoid_slope": Row(_bell, 3.5, EXPONENTIAL),
    "softplus": Row(lambda x: max(x, 0) + m.log1p(m.exp(-abs(x))), 2.5, EXPONENTIAL),
    "sin": Row(m.sin, 1.5),
    "cos": Row(m.cos, 1.5),
    "tan": Row(m.tan, 1.5),
    "arcsin": Row(m.asin, 1.0, (-1.0, 1.0)),
    "arccos": Row(m.acos, 1.0, (-1.0, 1.0)),
    "arctan": Row(m.atan, 1.0),
    "sinh": Row(m.sinh, 2.5, EXPONENTIAL),
    "cosh": Row(m.cosh, 2.5, EXPONENTIAL),
    "tanh": Row(m.tanh, 2.5, EXPONENTIAL),
    "arcsinh": Row(m.asinh, 2.5),
    "arccosh": Row(m.acosh, 2.5, (1.0, math.inf)),
    "arctanh": Row(m.atanh, 2.5, (-1.0, 1.0)),
    "erf": Row(m.erf, 2.5, (-100.0, 100.0)),
    "erfc": Row(m.erfc, 4.0, (-100.0, 100.0)),
    "normal_cdf": Row(_phi, 4.0, (-100.0, 100.0)),
    "negative": Row(lambda x: -x, 0.0),
    "absolute": Row(abs, 0.0),
    "sign": Row(m.sign, 0.0),
    "floor": Row(m.floor, 0.0),
    "ceil": Row(m.ceil, 0.0),
    "rint": Row(m.nint, 0.0),
    "relu": Row(lambda x: max(x, 0), 0.0),
    "add": Row(lambda x, y: x + y, 0.5),
    "subtract": Row(lambda x, y: x - y, 0.5),
    "multiply": Row(lambda x, y: x * y, 0.5),
    "divide": Row(lambda x, y: x / y, 0.5),
    "hypot": Row(m.hypot, 1.0),
    "arctan2": Row(m.atan2, 1.5),
    "maximum": Row(max, 0.0),
    "minimum": Row(min, 0.0),
}
OTHERS = {"power", "fixed_power", "logaddexp", "tanh_slope", "share", "where"}
"""Rows with tests of their own below."""
TRUTHS = [name for name in KERNELS if OPS[name].result == "truth"]


def test_every_row_is_tested() -> None:
    assert {*ROWS, *OTHERS, *TRUTHS} == set(KERNELS)


def _digits(x: Any, dtype: str) -> Any:
    """A number as mpmath's, infinity as the power of two after the largest."""
    beyond = m.mpf(2) ** (1024 if dtype == "float64" else 128)
    return m.sign(m.mpf(float(x))) * beyond if np.isinf(x) else m.mpf(float(x))


def _unit(size: Any, dtype: str) -> Any:
    """Of the last place of numbers of this size."""
    info = np.finfo(dtype)
    exponent = int(m.frexp(size)[1]) - 1 if size else info.minexp
    return m.mpf(2) ** (min(max(exponent, int(info.minexp)), int(info.maxexp) - 1) - info.nmant)


def errors(got: Array, exact: Sequence[Any], sizes: Sequence[Any] | None = None) -> list[float]:
    """In units in the last place of `sizes`, by default those of the exact values."""
    dtype = got.dtype.name
    beyond = m.mpf(2) ** (1024 if dtype == "float64" else 128)
    found = []
    for k, (ours, theirs) in enumerate(zip(got, exact, strict=True)):
        clipped = min(max(theirs, -beyond), beyond)
        unit = _unit(abs(clipped) if sizes is None else sizes[k], dtype)
        found.append(math.inf if np.isnan(ours) else float(abs(_digits(ours, dtype) - clipped) / unit))
    return found


def _arguments(row: Row, arity: int, dtype: str) -> list[Array]:
    x = _points(dtype)
    low, high = row.within
    x = x[(x > low) & (x < high) & (x != 0.0)] if math.isfinite(low) or low == 0.0 else x[x != 0.0]
    x = x[x < high]
    if arity == 1:
        return [x]
    rng = np.random.default_rng(5)
    near = x * rng.uniform(0.2, 3.0, x.size).astype(dtype)
    return [np.concatenate([x, x, x]), np.concatenate([rng.permutation(x), near, -x[::-1]])]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_right_to_a_few_units_in_the_last_place(name: str, dtype: str) -> None:
    row = ROWS[name]
    with np.errstate(all="ignore"):
        arguments = _arguments(row, OPS[name].arity or 1, dtype)
    kept = np.logical_and.reduce([np.isfinite(x) & (x != 0.0) for x in arguments])
    arguments = [np.ascontiguousarray(x[kept]) for x in arguments]
    with m.workdps(50):
        exact = [row.exact(*[m.mpf(float(x)) for x in place]) for place in zip(*arguments, strict=True)]
        found = errors(computed(name, *arguments), exact)
    worst = int(np.argmax(found))
    assert found[worst] <= row.bound, [float(x[worst]) for x in arguments]


@pytest.mark.parametrize("dtype", DTYPES)
def test_tanh_slope_is_right_where_tanh_has_rounded_to_one(dtype: str) -> None:
    x = _points(dtype)
    x = x[np.abs(x) < 3000.0]
    y = computed("tanh", x)
    with m.workdps(50):
        exact = [1 / m.cosh(m.mpf(float(value))) ** 2 for value in x]
        # 1 - y^2 >= 2^-8 takes over the rounding errors of y, times 2^8.
        sizes = [1 if e > 2.0**-9 else e for e in exact]
        found = errors(computed("tanh_slope", y, x), exact, sizes)
    worst = int(np.argmax(found))
    assert found[worst] <= 4.0, x[worst]


@pytest.mark.parametrize("dtype", DTYPES)
def test_logaddexp_is_right_to_units_of_its_terms(dtype: str) -> None:
    x, y = _arguments(Row(_logaddexp, 0.0, EXPONENTIAL), 2, dtype)
    kept = np.abs(y) < 3000.0
    x, y = x[kept], y[kept]
    with m.workdps(50):
        pairs = [(m.mpf(float(a)), m.mpf(float(b))) for a, b in zip(x, y, strict=True)]
        exact = [_logaddexp(a, b) for a, b in pairs]
        # The difference is rounded in units of x and y before its exponential is taken, which counts while it is small.
        sizes = [max(abs(a), abs(b), abs(e)) for (a, b), e in zip(pairs, exact, strict=True)]
        found = errors(computed("logaddexp", x, y), exact, sizes)
    worst = int(np.argmax(found))
    assert found[worst] <= 2.5, (x[worst], y[worst])


@pytest.mark.parametrize("exponent", [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.7, 2.0, 3.0, 10.0])
@pytest.mark.parametrize("name", ["power", "fixed_power"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_powers_are_right_to_a_unit_in_the_last_place(name: str, dtype: str, exponent: float) -> None:
    x = _points(dtype)
    x = x[(x > 0.0) | ((x < 0.0) & (exponent == round(exponent)))]
    y = np.full_like(x, exponent)
    with m.workdps(50):
        found = errors(computed(name, x, y), [m.mpf(float(value)) ** m.mpf(float(y[0])) for value in x])
    worst = int(np.argmax(found))
    assert found[worst] <= 1.0, x[worst]


def _special(dtype: str) -> Array:
    info = np.finfo(dtype)
    sizes = [0.0, float(info.smallest_subnormal), float(info.tiny), 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 2.5, 88.0, 1e4]
    sizes += [float(info.max), math.inf]
    return np.array([*sizes, *[-x for x in sizes], math.nan], dtype)


def _grid(name: str, dtype: str) -> list[Array]:
    x = _special(dtype)
    arity = OPS[name].arity or 1
    if name == "fixed_power":
        arity = 2
    grids = np.meshgrid(*[np.array([0.0, 1.0], dtype) if k in OPS[name].truths else x for k in range(arity)])
    return [np.ascontiguousarray(grid.ravel()) for grid in grids]


UNSIGNED = {"maximum", "minimum", "relu"}
"""Of two zeros numpy takes one or the other, as the processor has it."""


def _numpys(name: str, arguments: Sequence[Array]) -> Array:
    given = [x.astype(bool) if k in OPS[name].truths else x for k, x in enumerate(arguments)]
    with np.errstate(all="ignore"):
        if name == "fixed_power":
            parts = [MEANING[name].evaluate(x[None], float(y)) for x, y in zip(*given, strict=True)]
            return np.concatenate(parts)
        return np.asarray(MEANING[name].evaluate(*given))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in KERNELS if name not in TRUTHS])
def test_special_values_are_numpys(name: str, dtype: str) -> None:
    arguments = _grid(name, dtype)
    ours, theirs = computed(name, *arguments), _numpys(name, arguments)
    assert theirs.dtype == ours.dtype
    # numpy itself takes the root or the power, as the exponent is one number or an array: they differ at -0 and -inf.
    roots = (arguments[-1] == 0.5) & (name == "power")
    wrong = (np.isnan(ours) != np.isnan(theirs)) & ~roots
    wrong |= (np.isinf(ours) | np.isinf(theirs)) & (ours != theirs) & ~roots
    if name not in UNSIGNED:
        both_zero = (theirs == 0.0) & (ours == 0.0)
        wrong |= both_zero & (np.signbit(ours) != np.signbit(theirs)) & ~roots
    assert not wrong.any(), list(zip(*[x[wrong] for x in arguments], ours[wrong], theirs[wrong], strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", TRUTHS)
def test_truths_are_zeros_and_ones(name: str, dtype: str) -> None:
    arguments = _grid(name, dtype)
    np.testing.assert_array_equal(computed(name, *arguments), _numpys(name, arguments).astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_share_and_where_choose_as_numpy_does(dtype: str) -> None:
    for name in ("share", "where"):
        arguments = _grid(name, dtype)
        np.testing.assert_array_equal(computed(name, *arguments), _numpys(name, arguments))
