"""Norms of short vectors: exact in range, cheap in calls.

The square of a number below 1e-154 underflows, and a gradient of that size would then look like zero: exactly the false
success that scaling an objective must not produce. `norm` takes the plain root of the sum of squares where that is safe
and divides by the largest entry elsewhere (Higham 2002, section 27.8). `np.linalg.norm` costs three times as much on
the few numbers of a small problem.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[Any]

_DOUBLE = np.dtype(np.float64)
_SAFE_LOW = 1e-270
_SAFE_HIGH = 1e300


def norm(v: FloatArray) -> float:
    """The Euclidean length of v, shape (p,); NaN or inf where an entry is."""
    v = v if v.dtype is _DOUBLE else v.astype(np.float64)
    square = float(v.dot(v))
    if _SAFE_LOW < square < _SAFE_HIGH:
        return math.sqrt(square)
    largest = float(np.max(np.abs(v), initial=0.0))
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    w = v / largest
    return largest * math.sqrt(float(w.dot(w)))


@cache
def epsilon(dtype: np.dtype[Any]) -> float:
    """The relative spacing of numbers of this type; np.finfo takes half a microsecond to say so."""
    return float(np.finfo(dtype).eps)


@cache
def smallest_normal(dtype: np.dtype[Any]) -> float:
    """Below it numbers of this type lose digits, one after the other."""
    return float(np.finfo(dtype).tiny)


def is_finite(v: FloatArray) -> bool:
    """Whether every entry of v is finite."""
    return math.isfinite(float(np.vdot(v, v))) or bool(np.isfinite(v).all())


def ratio(numerator: float, denominator: float) -> float:
    """numerator / denominator for non-negative numbers, with 0 / 0 = 0 and x / 0 = inf."""
    if denominator > 0.0:
        return numerator / denominator
    return 0.0 if numerator == 0.0 else math.inf
