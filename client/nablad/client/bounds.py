"""A box for the parameters, in the words of the caller: lower <= theta <= upper.

    {"b1": (0, None), "b2": (None, 5)}   by parameter name; a side is a number, an array of the parameter's shape, or
                                         None where it is open; parameters without a name here are free
    (lower, upper)                       for all: a side is a number, a flat array (p,), a mapping with a number or an
                                         array for some parameters, or None

inf and -inf are open, too, and equal sides fix a parameter. On the wire a side is a number or flat.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nablad.client.arrays import Data, Dataset, numbers
from nablad.client.core.encode import Encoder
from nablad.client.errors import invalid
from nablad.client.named import Layout
from nablad.v1 import solver_pb2

Side: TypeAlias = "Data | Mapping[str, Data | None] | None"
Bounds: TypeAlias = "Mapping[str, tuple[Data | None, Data | None]] | tuple[Side, Side]"

_OPEN = (-np.inf, np.inf)
_SIDES = ("lower", "upper")


def bounds_message(
    given: Bounds, layout: Layout | None, dtype: np.dtype[Any] | None, encoder: Encoder
) -> solver_pb2.Bounds:
    """As a nablad.v1.Bounds. InvalidRequest names the bound at fault."""
    if isinstance(given, Mapping):
        pairs = {name: _pair(value, f"bounds[{name!r}]") for name, value in given.items()}
        lower, upper = ({name: pair[side] for name, pair in pairs.items()} for side in (0, 1))
        sides: tuple[Any, Any] = (lower, upper)
    else:
        sides = _pair(given, "bounds")
    message = solver_pb2.Bounds()
    arrays = [_array(side, which, layout, dtype) for which, side in enumerate(sides)]
    if layout is not None and any(isinstance(side, Mapping) for side in sides):
        _check_room(arrays, layout)
    for name, array in zip(_SIDES, arrays, strict=True):
        if array is not None:
            getattr(message, name).CopyFrom(encoder.tensor(array))
    return message


def _pair(value: Any, path: str) -> tuple[Any, Any]:
    # A list may be scipy's list of pairs, one for each parameter: with two parameters it would be read the other way.
    if isinstance(value, tuple) and len(value) == 2:
        return value
    example = "a tuple (lower, upper), with None for a side that is open"
    more = ", or a dict of such tuples by parameter name" if path == "bounds" else ""
    raise invalid(path, f"is {value!r:.60}; {example}{more} is needed")


def _array(side: Side, which: int, layout: Layout | None, dtype: np.dtype[Any] | None) -> NDArray[Any] | Dataset | None:
    path = f"bounds.{_SIDES[which]}"
    if side is None:
        return None
    if not isinstance(side, Mapping):
        return numbers(side, path, like=dtype)
    if layout is None:
        raise invalid("bounds", "are given by name, but the parameters are not known here: give flat arrays")
    for name in side:
        if name not in layout:
            raise invalid(f"bounds[{name!r}]", f"there is no such parameter; there are {', '.join(layout)}")
    parts = [_part(side.get(name), which, name, shape, dtype) for name, shape in layout.items()]
    return np.concatenate(parts)


def _part(
    value: Data | None, which: int, name: str, shape: tuple[int, ...], dtype: np.dtype[Any] | None
) -> NDArray[Any]:
    path = f"bounds[{name!r}]"
    array = numbers(_OPEN[which] if value is None else value, path, like=dtype)
    if isinstance(array, Dataset):
        raise invalid(path, "is a dataset; give an array, or all of a side as one dataset")
    if array.shape not in ((), tuple(shape)):
        raise invalid(path, f"has a side of shape {array.shape}; a number or shape {tuple(shape)} is needed")
    if np.isnan(array).any():
        raise invalid(path, "has NaN for a bound; None leaves a side open")
    return np.full(math.prod(shape), array.reshape(-1) if array.ndim else array, array.dtype)


def _check_room(sides: list[Any], layout: Layout) -> None:
    """Between sides given by name, whose parameter can be told."""
    lower, upper = (_OPEN[which] if side is None else side for which, side in enumerate(sides))
    if any(isinstance(side, Dataset) or np.ndim(side) > 1 for side in (lower, upper)):
        return
    size = sum(math.prod(shape) for shape in layout.values())
    if {np.size(lower), np.size(upper)} - {1, size}:
        return  # of another length, which the server tells
    crossed = np.broadcast_to(np.greater(lower, upper), (size,))
    start = 0
    for name, shape in layout.items():
        stop = start + math.prod(shape)
        if crossed[start:stop].any():
            raise invalid(f"bounds[{name!r}]", "has a lower bound above its upper one")
        start = stop
