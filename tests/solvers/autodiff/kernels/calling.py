"""Calls of single native functions on arrays, for the tests of kernels and loops."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nablad.solvers.autodiff.kernels.native import native

Array = NDArray[Any]
DTYPES = ("float64", "float32")

_FUNCTION = ctypes.CFUNCTYPE(None, *[ctypes.c_size_t] * 4, *[ctypes.c_int64] * 2)


def call(name: str, out: Array, *inputs: Array, n: int | None = None, width: int = 0) -> Array:
    """The function on what begins where `inputs` do, written from where `out` begins; n is by default out.size."""
    addresses = [int(x.__array_interface__["data"][0]) for x in (out, *inputs)]
    addresses += [0] * (4 - len(addresses))
    _FUNCTION(native(out.dtype.name).addresses[name])(*addresses, out.size if n is None else n, width)
    return out


def computed(name: str, *inputs: Array) -> Array:
    """A row of the table on arrays of one length."""
    return call(name, np.empty_like(inputs[0]), *inputs)
