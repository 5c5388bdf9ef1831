"""The polynomials' tables against their functions in 50 digits: below a fifth of a unit where they enter.

That is the error of the polynomial. A table also has the roundings of its coefficients to the type, half a unit of
each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as m
import numpy as np
import pytest
from solvers.autodiff.kernels.calling import DTYPES

from nablad.solvers.autodiff.kernels import coefficients
from nablad.solvers.autodiff.kernels.elementary import TAIL_CENTER

Function = Callable[[Any], Any]


def _expm1(r: Any) -> tuple[Any, Any, Any]:
    return r, (m.expm1(r) - r) / r**2, r**2 / m.exp(r)


def _log(f: Any) -> tuple[Any, Any, Any]:
    s = f / (2 + f)
    return s**2, (2 * m.atanh(s) / s - 2) / s**2, s**3 / m.log1p(f)


def _erf(x: Any) -> tuple[Any, Any, Any]:
    return x**2, m.erf(x) / x, x / m.erf(x)


def _erfcx(x: Any) -> tuple[Any, Any, Any]:
    value = (1 + 2 * x) * m.exp(x * x) * m.erfc(x)
    return (x - TAIL_CENTER) / (x + TAIL_CENTER), value, 1 / value


def _sin(r: Any) -> tuple[Any, Any, Any]:
    return r**2, (m.sin(r) / r - 1) / r**2, r**3 / m.sin(r)


def _cos(r: Any) -> tuple[Any, Any, Any]:
    return r**2, (m.cos(r) - 1 + r**2 / 2) / r**4, r**4 / m.cos(r)


TABLES: dict[str, tuple[Function, Callable[[], tuple[Any, Any]]]] = {
    "EXPM1": (_expm1, lambda: (-m.log(2) / 2, m.log(2) / 2)),
    "LOG": (_log, lambda: (m.sqrt(0.5) - 1, m.sqrt(2) - 1)),
    "ERF": (_erf, lambda: (m.mpf(0), m.mpf(1))),
    "ERFCX": (_erfcx, lambda: (m.mpf(0.5), m.mpf(28))),
    "SIN": (_sin, lambda: (m.mpf(0), m.pi / 4)),
    "COS": (_cos, lambda: (m.mpf(0), m.pi / 4)),
}
"""Of the argument that the docstring names: (the polynomial's argument, its value, what multiplies its error in the
relative error of the result)."""


def test_every_table_is_tested() -> None:
    assert {name for name in vars(coefficients) if name.isupper()} == set(TABLES)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_its_function_to_a_fifth_of_a_unit(name: str, dtype: str) -> None:
    function, ends = TABLES[name]
    table = getattr(coefficients, name)[dtype]
    # As the polynomial meets them: rounded to the type, and exactly evaluated.
    rounded = [m.mpf(float(np.dtype(dtype).type(c))) for c in table]
    with m.workdps(50):
        low, high = ends()
        worst = m.mpf(0)
        unit = m.mpf(float(np.finfo(dtype).eps))
        for k in range(1, 201):
            # Not the middle, where the quotients are 0 / 0.
            x = low + (high - low) * (1 - m.cos(m.pi * (2 * k - 1) / 400.0 + m.mpf("1e-9"))) / 2
            at, value, factor = function(x)
            roundings = unit / 2 * sum(abs(c * at**k) for k, c in enumerate(rounded))
            excess = abs(m.polyval(rounded[::-1], at) - value) - roundings
            worst = max(worst, excess * abs(factor) / unit)
    assert float(worst) < 0.2
