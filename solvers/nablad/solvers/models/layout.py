"""Where each named parameter lies in the flat vector theta: one after the other, rows first (C order)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nablad.expressions import Symbol
from nablad.expressions import symbols as s
from nablad.solvers.models.errors import InvalidModel
from nablad.solvers.objective import FloatArray


@dataclass(frozen=True)
class Layout(Mapping[str, tuple[int, ...]]):
    """Names and shapes, in order: a mapping from name to shape."""

    shapes: Mapping[str, tuple[int, ...]]

    def __getitem__(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    @cached_property
    def ranges(self) -> dict[str, tuple[int, int]]:
        ranges, start = {}, 0
        for name, shape in self.shapes.items():
            ranges[name] = (start, start + math.prod(shape))
            start = ranges[name][1]
        return ranges

    @property
    def size(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes.values())

    def element(self, index: int) -> str:
        """What messages call one element of the flat vector: "A_0[3,1]", or "b1" where the parameter is one number."""
        for name, (start, stop) in self.ranges.items():
            if start <= index < stop:
                shape = self.shapes[name]
                place = ",".join(str(int(k)) for k in np.unravel_index(index - start, shape)) if shape else ""
                return f"{name}[{place}]" if place else name
        raise IndexError(index)

    def part(self, theta: Symbol, name: str) -> Symbol:
        """The named parameter as a symbol, read from the flat vector."""
        return s.reshape(s.slice_of(theta, [self.ranges[name]]), self.shapes[name])

    def split(self, theta: FloatArray) -> dict[str, FloatArray]:
        """theta (p,) as named arrays (views)."""
        return {name: theta[slice(*self.ranges[name])].reshape(shape) for name, shape in self.shapes.items()}

    def join(self, parameters: Mapping[str, ArrayLike], dtype: np.dtype[Any]) -> FloatArray:
        """Named arrays as one vector (p,). Raises InvalidModel naming the parameter at fault."""
        known = ", ".join(self.shapes)
        for name in parameters:
            if name not in self.shapes:
                raise InvalidModel(f"start.{name}", f"no such parameter; the model's parameters are {known}")
        theta = np.empty(self.size, dtype)
        for name, shape in self.shapes.items():
            if name not in parameters:
                raise InvalidModel(f"start.{name}", f"missing; the model's parameters are {known}")
            value = np.asarray(parameters[name], dtype)
            if value.shape != shape:
                raise InvalidModel(f"start.{name}", f"has shape {value.shape}, should be {shape}")
            theta[slice(*self.ranges[name])] = value.reshape(-1)
        return theta
