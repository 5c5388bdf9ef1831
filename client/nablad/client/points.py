"""Where a derivative is taken, in the words of the caller; and its result in the same words.

theta may be
    flat     (p,), or (B, p) for B points at once
    named    a mapping with an array for each parameter; for B points each has one more axis of length B in front
    own      of a model with one parameter: an array of that parameter's shape, or one more axis in front
and so may a direction. On the wire theta is flat. A result whose last axes run over theta comes back flat, by name, or
in the parameter's own shape, as theta was given.

An array that may be read in two ways is taken as (p,), or else in the parameter's own shape, or else as (B, p).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nablad.client.arrays import Data, Dataset, Stored, numbers
from nablad.client.errors import invalid
from nablad.client.named import Layout, Named, number_or_array, size_of

Form = Literal["flat", "named", "own"]
Point = Data | Mapping[str, Any]


@dataclass(frozen=True)
class Flattened:
    """A point, or several, or directions, as one array."""

    array: NDArray[Any] | Dataset
    """(p,) or (B, p)."""
    form: Form


def needs_layout(value: Point) -> bool:
    """Whether the parameters' shapes must be known to flatten it: a plain vector says itself what it is."""
    return isinstance(value, Mapping) or (not isinstance(value, Dataset) and np.ndim(value) != 1)


def flatten(value: Point, argument: str, layout: Layout | None, dtype: np.dtype[Any] | None = None) -> Flattened:
    """The flat array and the form in which it was given. InvalidRequest naming the argument.

    Without a layout only flat arrays can be told; whether they fit is then the server's to say.
    """
    if isinstance(value, Mapping):
        if layout is None:
            raise invalid(argument, "is given by name, but the parameters are not known here: give a flat array")
        return Flattened(_joined(value, argument, layout, dtype), "named")
    stored = numbers(value, argument, like=dtype)
    if isinstance(stored, Dataset) or layout is None:
        return Flattened(stored, "flat")
    return _read(stored, argument, layout)


def start_array(value: Point, layout: Layout | None, dtype: np.dtype[Any] | None) -> Stored:
    """Where a solve begins, given as a flat array (p,), which the server checks, or by name."""
    if not isinstance(value, Mapping):
        return numbers(value, "start", like=dtype)
    for name, shape in (layout or {}).items():
        if name in value:
            _check_one(value[name], f"start[{name!r}]", tuple(shape), dtype)
    start = flatten(value, "start", layout, dtype).array
    if not isinstance(start, Dataset) and start.ndim > 1:
        raise invalid("start", f"holds {start.shape[0]} points; a solve begins at one")
    return start


def _check_one(value: Any, argument: str, shape: tuple[int, ...], dtype: np.dtype[Any] | None) -> None:
    """That a part is of its parameter's own shape: a solve begins at one point."""
    part = numbers(value, argument, like=dtype)
    if not isinstance(part, Dataset) and part.shape != shape:
        wanted = f"an array of shape {shape}" if shape else "a single number"
        raise invalid(argument, f"has shape {part.shape}; {wanted} is needed")


def _read(array: NDArray[Any], argument: str, layout: Layout) -> Flattened:
    size = size_of(layout)
    if array.shape == (size,):
        return Flattened(array, "flat")
    if len(layout) == 1:
        (shape,) = layout.values()
        if array.shape == tuple(shape):
            return Flattened(array.reshape(size), "own")
    if array.ndim == 2 and array.shape[1] == size:
        return Flattened(array, "flat")
    if len(layout) == 1 and array.ndim and array.shape[1:] == tuple(shape):
        return Flattened(array.reshape(array.shape[0], size), "own")
    allowed = [f"({size},)", f"(B, {size})"]
    if len(layout) == 1 and tuple(shape) != (size,):
        allowed += [f"{tuple(shape)}", f"(B, {', '.join(map(str, shape))})".replace(", )", ",)")]
    named = ", ".join(f"{name} {tuple(shape)}" for name, shape in list(layout.items())[:8])
    raise invalid(argument, f"has shape {array.shape}; it may be {', '.join(allowed)}, or by name: {named}")


def _joined(given: Mapping[str, Any], argument: str, layout: Layout, dtype: np.dtype[Any] | None) -> NDArray[Any]:
    for name in given:
        if name not in layout:
            raise invalid(f"{argument}[{name!r}]", f"there is no such parameter; there are {', '.join(layout)}")
    parts = {}
    for name in layout:
        if name not in given:
            raise invalid(f"{argument}[{name!r}]", f"is missing; the parameters are {', '.join(layout)}")
        part = numbers(given[name], f"{argument}[{name!r}]", like=dtype)
        if isinstance(part, Dataset):
            raise invalid(f"{argument}[{name!r}]", "is a dataset; give an array, or all of theta as one dataset")
        parts[name] = part
    batches = {name: _batch(part, tuple(layout[name]), f"{argument}[{name!r}]") for name, part in parts.items()}
    lengths = set(batches.values())
    if len(lengths) > 1:
        told = ", ".join(f"{name}: {'one point' if b is None else f'{b} points'}" for name, b in batches.items())
        raise invalid(argument, f"has parts of different numbers of points ({told})")
    (batch,) = lengths or {None}
    before = () if batch is None else (batch,)
    rows = [part.reshape((*before, math.prod(layout[name]))) for name, part in parts.items()]
    return np.concatenate(rows, axis=-1)


def _batch(part: NDArray[Any], shape: tuple[int, ...], argument: str) -> int | None:
    """How many points a part holds; None where it is one without an axis for them."""
    if part.shape == shape:
        return None
    if part.ndim == len(shape) + 1 and part.shape[1:] == shape:
        return int(part.shape[0])
    raise invalid(argument, f"has shape {part.shape}, should be {shape}")


def default_form(layout: Layout) -> Form:
    """Of results at the model's own point: plain arrays where its one parameter is called theta."""
    return "own" if tuple(layout) == ("theta",) else "named"


def shaped(array: NDArray[Any], layout: Layout, form: Form, axes: int = 1) -> Any:
    """An array whose last `axes` axes run over theta, in the given form."""
    if form == "named":
        return Named(array, layout, axes)
    if form == "own":
        (shape,) = layout.values()
        array = array.reshape(array.shape[: array.ndim - axes] + tuple(shape) * axes)
    return number_or_array(array)
