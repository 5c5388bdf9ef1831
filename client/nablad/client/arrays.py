"""What may be given where an array is wanted: anything that numpy reads, or a dataset on the server.

Numbers become float64, or float32 where float32 is given; labels become int64. What cannot be a tensor (objects, text,
complex numbers, masked or ragged rows) is refused here, because the server will never see it. Whether shapes fit
is the server's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nablad.client.errors import invalid

FLOAT64 = np.dtype(np.float64)
FLOAT32 = np.dtype(np.float32)
INT64 = np.dtype(np.int64)


@dataclass(frozen=True)
class Dataset:
    """An array on the server. Use it wherever an array is wanted."""

    name: str
    """`datasets/{id}`; the id is the SHA-256 of dtype, shape and bytes."""
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    create_time: datetime | None = None

    @property
    def size_bytes(self) -> int:
        """The number of bytes of its elements."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


Data: TypeAlias = ArrayLike | Dataset
Stored: TypeAlias = NDArray[Any] | Dataset
NewData: TypeAlias = Data | Mapping[str, Data]
"""Rows to predict for: a matrix; of an expression, arrays by name, or one where it has one."""


def numbers(value: Data, argument: str, *, like: np.dtype[Any] | None = None) -> Stored:
    """The value as float64 or float32 (`like`, if given); datasets as they are. InvalidRequest naming the argument."""
    if isinstance(value, Dataset):
        return value
    array = _array(value, argument)
    # An array decides for itself unless it follows another. (To numpy, a dtype equals None: it means float64.)
    leader = array.dtype if like is None else like
    dtype = FLOAT32 if leader.newbyteorder("=") == FLOAT32 else FLOAT64
    with np.errstate(over="ignore"):
        return array.astype(dtype, copy=False)


def labels(value: Data, argument: str, *, like: np.dtype[Any]) -> Stored:
    """Integers as int64 class labels; other numbers as `like`."""
    if isinstance(value, Dataset):
        return value
    array = _array(value, argument)
    if array.dtype.kind not in "iub":
        return numbers(array, argument, like=like)
    if array.dtype == np.uint64 and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise invalid(argument, "holds a label beyond 2^63 - 1")
    return array.astype(INT64, copy=False)


def upload_array(value: Data, as_labels: bool) -> Stored:
    """An array for an upload of its own, under the name X."""
    return labels(value, "X", like=FLOAT64) if as_labels else numbers(value, "X")


def _array(value: Any, argument: str) -> NDArray[Any]:
    if isinstance(value, np.ma.MaskedArray):
        raise invalid(argument, "is a masked array: fill or drop the masked entries")
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise invalid(argument, "is a sparse matrix, which cannot be sent yet: use .toarray()")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise invalid(argument, f"cannot be read as an array: {error}") from error
    if array.dtype.kind == "c":
        raise invalid(argument, "is complex; gradients here are of real functions: give its real and imaginary parts")
    if array.dtype.kind not in "fiub":
        raise invalid(argument, f"has dtype {array.dtype}; numbers are needed")
    return array
