"""Derivatives by parameter: a mapping that mirrors the parameters, over one flat array.

theta is the parameters one after the other, each row by row. An array whose last axes run over theta is cut along them:
`gradient["A"]` has shape (...) + A.shape, `hessian["A"]["B"]` has (...) + A.shape + B.shape, where (...) is what stands
before: the batch, if there is one, and the shape of f.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Layout = Mapping[str, tuple[int, ...]]
"""Parameter name -> shape, in the order of theta."""


def size_of(layout: Layout) -> int:
    """p, the length of theta."""
    return sum(math.prod(shape) for shape in layout.values())


def number_or_array(array: NDArray[Any]) -> Any:
    """The array; a float where it has no axes."""
    return array if array.ndim else float(array)


class Named(Mapping[str, Any]):
    """An array (..., p), or (..., p, p) with `axes=2`, read by parameter name.

    `named["A"]` is an array (a float where it has no axes); of two axes it is a Named again, so that
    `hessian["A"]["B"]` is a block. `.flat` is the whole array, and what numpy makes of it.
    """

    def __init__(self, flat: NDArray[Any], layout: Layout, axes: int = 1) -> None:
        self.flat = flat
        """The whole array, its last axis or axes of length p."""
        self.layout = layout
        """Parameter name -> shape, in the order of theta."""
        self._axes = axes

    @cached_property
    def _ranges(self) -> dict[str, slice]:
        ranges, start = {}, 0
        for name, shape in self.layout.items():
            ranges[name] = slice(start, start + math.prod(shape))
            start = ranges[name].stop
        return ranges

    def __getitem__(self, name: str) -> Any:
        if name not in self._ranges:
            raise KeyError(f"{name!r}: there is no such parameter; there are {', '.join(self.layout)}")
        before = self.flat.shape[: self.flat.ndim - self._axes]
        shape = tuple(self.layout[name])
        if self._axes == 1:
            return number_or_array(self.flat[..., self._ranges[name]].reshape(before + shape))
        rows = self.flat[..., self._ranges[name], :]
        return Named(rows.reshape((*before, *shape, rows.shape[-1])), self.layout)

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout)

    def __len__(self) -> int:
        return len(self.layout)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        array = np.asarray(self.flat, dtype)
        if copy is False and array is not self.flat:
            raise ValueError(f"an array of {dtype} cannot be had without a copy")
        return array.copy() if copy and array is self.flat else array

    def __repr__(self) -> str:
        inner = ", ".join(f"{name!r}: {value!r}" for name, value in self.items())
        return f"Named({{{inner}}})"
