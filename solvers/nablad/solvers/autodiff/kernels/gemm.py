"""Products of matrices as instructions: C = A B, or C += A B, by our own tiles or by the BLAS that scipy brings.

Tiles (tiles.py) are quicker where A lies in row order and B is small; BLAS where A is turned, as in the sums over rows
that a weight's gradient is, where B is large, and where C is a single column.

numpy's product cannot add to its result, and takes a microsecond of Python for each call; here the thirteen arguments
of dgemm or sgemm are laid out once, when a plan is bound, and a call is one address. The routine's own address is what
scipy publishes for Cython (scipy.linalg.cython_blas). BLAS counts columns first: the rows of C = A B are the columns of
C' = B' A', so the operands change places.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cython_blas

from nablad.solvers.autodiff.kernels.native import native
from nablad.solvers.autodiff.kernels.sequence import NativeCall, address

Array = NDArray[Any]

_ROUTINES = {"float64": "dgemm", "float32": "sgemm"}
NANOSECONDS = 0.06
"""For each multiplication, about."""
TILED_BYTES = 256 << 10
"""Of B, up to which tiles are quicker: it stays in the second-level cache while rows of A go by."""
_LETTERS = np.array([ord("N"), ord("T")], np.uint8)


@cache
def _routine(dtype: str) -> int | None:
    """The address of gemm, None where scipy's takes other arguments than we give."""
    capsule = cython_blas.__pyx_capi__.get(_ROUTINES[dtype])
    if capsule is None:
        return None
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    signature = name(capsule)
    if signature.count(b"int *") != 6:
        return None
    address = pointer(capsule, signature)
    return None if address is None else int(address)


class Product(Protocol):
    """C = A B + beta C: `native` computes it. Made by `product`."""

    @property
    def native(self) -> NativeCall: ...


class BlasProduct:
    """Matrices in row order or turned, as BLAS takes them."""

    def __init__(self, a: tuple[Array, str, int], b: tuple[Array, str, int], out: Array, beta: float) -> None:
        (m, n), k = out.shape, a[0].shape[1]
        code = native(out.dtype.name)
        routine = _routine(out.dtype.name)
        assert routine is not None
        self._numbers = np.array([n, m, k, b[2], a[2], max(1, n)], np.int32)
        self._scales = np.array([1.0, beta], out.dtype)
        self._keep = (a[0], b[0], out)
        number = [address(self._numbers[i:]) for i in range(6)]
        letter = {"N": address(_LETTERS), "T": address(_LETTERS[1:])}
        alpha, beta_at = address(self._scales), address(self._scales[1:])
        self._task = np.array(
            [
                routine,
                letter[b[1]],
                letter[a[1]],
                *number[:3],
                alpha,
                address(b[0]),
                number[3],
                address(a[0]),
                number[4],
                beta_at,
                address(out),
                number[5],
            ],
            np.int64,
        )
        time = NANOSECONDS * m * n * k
        # The parts, not this object: a cycle would keep large arrays until the collector comes.
        keep = (self._keep, self._numbers, self._scales, self._task)
        self.native = NativeCall(code, code.addresses["gemm"], address(self._task), time, keep)


class TiledProduct:
    """A and C in row order, B in any."""

    def __init__(self, a: Array, b: Array, out: Array, beta: float) -> None:
        (m, k), n, size = a.shape, b.shape[1], out.itemsize
        code = native(out.dtype.name)
        row, column = (stride // size for stride in b.strides)
        distances = (out.strides[0] // size, a.strides[0] // size)
        numbers = (address(out), distances[0], address(a), distances[1], address(b), row, column, m, n, k, beta != 0)
        self._task = np.array(numbers, np.int64)
        keep = ((a, b, out), self._task)
        self.native = NativeCall(code, code.addresses["tiles"], address(self._task), NANOSECONDS * m * n * k, keep)


def product(a: Array, b: Array, out: Array, beta: float) -> Product | None:
    """A (m, k), B (k, n), C (m, n); beta is 0 or 1.

    None where their memory is not as BLAS wants it, or nothing is to be summed.
    """
    first, second = _laid_out(a), _laid_out(b)
    if first is None or second is None or 0 in (*a.shape, *b.shape) or not out.flags.c_contiguous:
        return None
    if a.shape[1] != b.shape[0] or out.shape != (a.shape[0], b.shape[1]):
        raise ValueError(f"a product of shapes {a.shape} and {b.shape} cannot be of shape {out.shape}")
    if address(a) == address(b):  # numpy computes half of a symmetric product
        return None
    if first[1] == "N" and out.shape[1] > 1 and b.nbytes <= TILED_BYTES:
        return TiledProduct(a, b, out, beta)
    return None if _routine(out.dtype.name) is None else BlasProduct(first, second, out, beta)


def _laid_out(x: Array) -> tuple[Array, str, int] | None:
    """The array, whether BLAS sees it turned, and the distance of its columns."""
    rows, columns = x.shape
    if not x.flags.aligned or any(s % x.itemsize for s in x.strides):
        return None
    down, across = (s // x.itemsize for s in x.strides)
    if (across == 1 or columns == 1) and down >= max(1, columns):
        return x, "N", down
    if (down == 1 or rows == 1) and across >= max(1, rows):
        return x, "T", across
    if rows == 1 and across == 1:
        return x, "N", max(1, columns)
    return None
