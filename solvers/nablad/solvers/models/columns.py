"""Data arrays on their way into a model: floating, contiguous, finite, read-only; never copied without need.

A float32 or float64 array that is contiguous is attached as it is (the caller must not change it while the model
lives), so that a memory-mapped data set of any size costs no memory. It is read once, in row blocks, to see that every
number is finite.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nablad.solvers.models.errors import InvalidModel
from nablad.solvers.objective import FloatArray

CHECK_ELEMENTS = 1 << 17
COMPLEX = (
    "is complex; gradients here are of real functions of real numbers, and a real function of a complex z = x + iy has "
    "no complex derivative unless it is constant: give x and y as two arrays"
)


def floating(field: str, value: ArrayLike, dtype: np.dtype[Any] | None = None) -> FloatArray:
    """The value as a read-only contiguous array: float32 stays so, all else becomes float64, unless `dtype` says."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InvalidModel(field, f"is not an array of numbers: {error}") from error
    if np.iscomplexobj(array):
        raise InvalidModel(field, COMPLEX)
    if array.dtype.kind not in "fiub":
        raise InvalidModel(field, f"has dtype {array.dtype}; real numbers are needed")
    if dtype is None:
        dtype = np.dtype(np.float32) if array.dtype == np.float32 else np.dtype(np.float64)
    owned = np.ascontiguousarray(array, dtype).reshape(array.shape).view()
    owned.flags.writeable = False
    return owned


def table(field: str, value: ArrayLike) -> FloatArray:
    """A matrix (N, D) with N, D >= 1, of finite numbers."""
    array = floating(field, value)
    if array.ndim != 2:
        raise InvalidModel(field, f"has {array.ndim} axes; a matrix of shape (rows, columns) is needed")
    if 0 in array.shape:
        raise InvalidModel(field, f"is empty: shape {array.shape}")
    check_finite(field, array)
    return array


def check_rows(field: str, array: FloatArray, rows: int, than: str) -> None:
    """As many rows as the field `than`."""
    if array.shape[:1] != (rows,):
        have = array.shape[0] if array.ndim else "no"
        raise InvalidModel(field, f"has {have} rows, but {than} has {rows}")


def check_finite(field: str, array: FloatArray) -> None:
    """Every element is finite, looked at in blocks of rows."""
    if array.ndim == 0:
        if not np.isfinite(array):
            raise InvalidModel(field, f"is {array}; every number must be finite")
        return
    width = max(1, array[:1].size)
    step = max(1, CHECK_ELEMENTS // width)
    with np.errstate(all="ignore"):
        for start in range(0, array.shape[0], step):
            block = array[start : start + step]
            # A finite sum proves finite terms; a sum that is not may only have overflowed.
            if not np.isfinite(np.add.reduce(block, axis=None)) and not np.all(np.isfinite(block)):
                where = np.argwhere(~np.isfinite(block))[0]
                where[0] += start
                index = ", ".join(str(k) for k in where)
                raise InvalidModel(f"{field}[{index}]", f"is {array[tuple(where)]}; every number must be finite")


def nonnegative(field: str, value: float) -> float:
    """A finite number >= 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating, np.integer)):
        raise InvalidModel(field, f"is {value!r}; a number is needed")
    if not np.isfinite(value) or value < 0:
        raise InvalidModel(field, f"is {value}; a finite number >= 0 is needed")
    return float(value)


def choice(field: str, value: str, known: tuple[str, ...]) -> str:
    """One of the known names."""
    if value not in known:
        raise InvalidModel(field, f"is {value!r}; known are {', '.join(known)}")
    return value
