"""Reading elements: x[key], with numpy's meaning of a key.

Whole numbers, slices, `...` and None are one slice and one reshape. Arrays of whole numbers and masks are numpy's
advanced indexing (NumPy user guide, "Indexing on ndarrays"): the axes that they index are merged into one, and `take`
reads from that. A symbol that holds whole numbers, such as a data column of group numbers, may stand for an array.
"""

from __future__ import annotations

import math
import operator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nablad.expressions import symbols as s
from nablad.expressions.dimension import ROWS, Dimension, Shape, ShapeError, broadcast
from nablad.expressions.graph import Node
from nablad.expressions.stacking import holds_symbols
from nablad.expressions.symbol import Symbol, is_comparison, lift, made, number

Range: TypeAlias = tuple[int, int] | tuple[int, int, int] | None
Index: TypeAlias = "NDArray[np.int64] | Symbol"


def read(x: Symbol, key: Any) -> Symbol:
    """x[key]. Raises IndexError outside of the array, ShapeError where data rows would be told apart, TypeError."""
    node = number(x)
    if type(key) is int and len(node.shape) == 1:  # what loops do, thousands of times
        place = _inside(key, node.shape, 0)
        return made("reshape", (made("slice", (node,), (((place, place + 1),),)).node,), ((),))
    parts = [piece for part in (key if isinstance(key, tuple) else (key,)) for piece in _normal(part)]
    neighbours = _neighbours(parts)
    ranges: list[Range] = []
    kept: list[Dimension] = []
    arrays: dict[int, Index] = {}
    target: int | None = None
    for part in _spelled_out(parts, len(node.shape)):
        if part is None:
            kept.append(1)
            continue
        axis = len(ranges)
        if isinstance(part, slice):
            bounds, length = _bounds(part, node.shape, axis)
            ranges.append(bounds)
            kept.append(length)
            continue
        if target is None:
            target = len(kept) if neighbours else 0
        if isinstance(part, int):
            place = _inside(part, node.shape, axis)
            ranges.append((place, place + 1))
        else:
            arrays[len(kept)] = _indices(part, node.shape, axis)
            ranges.append(None)
            kept.append(node.shape[axis])
    if any(bounds is not None for bounds in ranges):
        node = s.slice_of(node, ranges).node
    if tuple(kept) != node.shape:
        node = s.reshape(node, tuple(kept)).node
    return _gather(node, arrays, target or 0) if arrays else Symbol(node)


def _normal(part: Any) -> list[Any]:
    """A part of a key as int, slice, None, ..., arrays of whole numbers, or a symbol. A mask is one array an axis."""
    if part is None or part is ... or isinstance(part, slice):
        return [part]
    if isinstance(part, list | tuple | Symbol):
        part = _constant_or_symbol(part)
    if isinstance(part, Symbol):
        if is_comparison(part.node):
            raise TypeError("how many elements x[condition] has would depend on numbers: use np.where(condition, x, 0)")
        return [part]
    if isinstance(part, np.ndarray) and part.dtype.kind == "b" and part.ndim:
        return [_Masked(part.shape[axis], index) for axis, index in enumerate(np.nonzero(part))]
    if isinstance(part, np.ndarray) and part.ndim:
        if part.dtype.kind not in "iu" and part.size:
            raise IndexError(f"indices must be whole numbers, not {part.dtype}")
        return [part.astype(np.int64)]
    if not isinstance(part, bool | np.bool_):
        try:
            return [operator.index(part)]
        except TypeError:
            pass
    hint = ": this is one array, not arrays by name" if isinstance(part, str) else ""
    raise IndexError(f"an index must be a whole number, a slice or an array of them, not {part!r:.80}{hint}")


class _Masked:
    """The places where a mask holds, along one of its axes."""

    def __init__(self, length: int, index: NDArray[np.int64]) -> None:
        self.length = length
        self.index = index


def _constant_or_symbol(value: Any) -> Any:
    return Symbol(lift(value)) if holds_symbols(value) else np.asarray(value)


def _neighbours(parts: list[Any]) -> bool:
    """Whether numpy leaves the axes of advanced indices in their place: nothing stands between them."""
    places = [k for k, part in enumerate(parts) if not (part is None or part is ... or isinstance(part, slice))]
    return not places or places[-1] - places[0] + 1 == len(places)


def _spelled_out(parts: list[Any], rank: int) -> list[Any]:
    """The parts with `...` as whole axes, so that every axis has its part."""
    dots = [k for k, part in enumerate(parts) if part is ...]
    given = sum(part is not None and part is not ... for part in parts)
    if len(dots) > 1:
        raise IndexError("an index has at most one '...'")
    if given > rank:
        raise IndexError(f"too many indices: {given} for {rank} axes")
    at = dots[0] if dots else len(parts)
    return [*parts[:at], *[slice(None)] * (rank - given), *parts[at + 1 :]]


def _known(shape: Shape, axis: int) -> int:
    length = shape[axis]
    if length is ROWS:
        raise ShapeError("indexing", [shape], f"axis {axis} runs over the data rows, which cannot be told apart")
    return length


def _inside(k: int, shape: Shape, axis: int) -> int:
    length = _known(shape, axis)
    if not -length <= k < length:
        raise IndexError(f"index {k} is out of bounds for axis {axis} with length {length}")
    return k % length


def _bounds(part: slice, shape: Shape, axis: int) -> tuple[Range, Dimension]:
    """The range that a slice reads, and how many elements that is."""
    if part in (slice(None), slice(None, None, 1), slice(0, None), slice(0, None, 1)):
        return None, shape[axis]
    length = _known(shape, axis)
    start, stop, step = part.indices(length)
    reads = len(range(start, stop, step))
    if not reads:
        return (0, 0), 0
    if (start, reads, step) == (0, length, 1):
        return None, length
    return ((start, stop) if step == 1 else (start, stop, step)), reads


def _indices(part: Any, shape: Shape, axis: int) -> Index:
    """An array of indices, those of a constant checked and counted from the front."""
    if isinstance(part, Symbol):
        return part
    length = _known(shape, axis)
    index = part
    if isinstance(part, _Masked):
        index = part.index
        if part.length != length:
            raise IndexError(f"the mask is {part.length} long, axis {axis} is {length}")
    outside = (index < -length) | (index >= length)
    if outside.any():
        raise IndexError(f"index {index[outside][0]} is out of bounds for axis {axis} with length {length}")
    result: NDArray[np.int64] = np.where(index < 0, index + length, index)
    return result


def _gather(node: Node, arrays: dict[int, Index], target: int) -> Symbol:
    """The elements at the indices of some axes; the axes of the indices come at `target`."""
    axes = sorted(arrays)
    shape = node.shape
    others = [axis for axis in range(len(shape)) if axis not in arrays]
    order = [*others[:target], *axes, *others[target:]]
    if order != list(range(len(shape))):
        node = s.transpose(node, order).node
    if len(axes) == 1:
        return s.take(node, _operand(arrays[axes[0]]), target)
    lengths = [_known(shape, axis) for axis in axes]
    merged = (*[shape[k] for k in others[:target]], math.prod(lengths), *[shape[k] for k in others[target:]])
    index = _merged([arrays[axis] for axis in axes], lengths)
    return s.take(s.reshape(node, merged), _operand(index), target)


def _operand(index: Index) -> Symbol:
    return index if isinstance(index, Symbol) else Symbol(lift(index.astype(np.float64)))


def _merged(indices: list[Index], lengths: list[int]) -> Index:
    """One index into the merged axes, C order. NaN, which `take` reads as NaN, where a symbol's index is outside."""
    shapes = [index.node.shape if isinstance(index, Symbol) else index.shape for index in indices]
    broadcast("indexing", shapes)
    total: Any = 0
    for index, length in zip(indices, lengths, strict=True):
        if isinstance(index, Symbol):
            counted = s.where(s.less(index, 0.0), index + float(length), index)
            inside = s.logical_and(s.greater_equal(counted, 0.0), s.less(counted, float(length)))
            index = s.where(inside, counted, np.nan)
        total = total * length + index
    return total if isinstance(total, Symbol) else np.asarray(total)
