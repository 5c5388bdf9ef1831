"""What an element of theta is called: `b1` where the parameter is a number, `A_0[3,1]` where it is an array."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

Shapes = Mapping[str, tuple[int, ...]]
"""Parameter name -> shape, in the order of theta."""


def element_name(shapes: Shapes, index: int) -> str:
    """The name of theta[index]. IndexError past the end."""
    rest = index
    for name, shape in shapes.items():
        size = math.prod(shape)
        if 0 <= rest < size:
            return f"{name}{_place(shape, rest)}"
        rest -= size
    raise IndexError(f"theta has no element {index}")


def element_names(shapes: Shapes) -> Iterator[str]:
    """The names of all elements, in order."""
    for name, shape in shapes.items():
        for place in range(math.prod(shape)):
            yield f"{name}{_place(shape, place)}"


def _place(shape: tuple[int, ...], flat: int) -> str:
    return f"[{','.join(str(int(i)) for i in np.unravel_index(flat, shape))}]" if shape else ""
