"""The constants that belong to an op, checked: an attribute's name tells its kind, and each kind has one check.

A graph may come from anywhere. Before `make` and the shape rules see an attribute it has the right type and a size that
no loop and no allocation can choke on; what it may be for these operands (an axis that they have, a range that lies in
it) the shape rules say.
"""

from __future__ import annotations

import math
import operator
import reprlib
from collections.abc import Callable, Sequence
from typing import Any

from nablad.expressions.dimension import ROWS, Dimension, Shape
from nablad.expressions.table.spec import OpSpec

MAX_AXES = 24
"""numpy arrays have at most 32 axes in its older versions; batches and derivatives put theirs in front."""

MAX_LENGTH = 2**48
"""No array is longer, and products of a few lengths are still quick to compute."""

MAX_ORDER = 100
"""Of polygamma: its values grow as the factorial, and 171! is infinite."""


def check_attributes(spec: OpSpec, attributes: Sequence[Any]) -> tuple[Any, ...]:
    """The attributes in their one normal form: numbers as int and float, lists as tuples.

    Raises ValueError that names the op and the attribute, and says what is expected.
    """
    if len(attributes) != len(spec.attributes):
        names = ", ".join(spec.attributes) or "none"
        raise ValueError(f"{spec.name} has {len(spec.attributes)} attributes ({names}), not {len(attributes)}")
    checked = []
    for name, value in zip(spec.attributes, attributes, strict=True):
        try:
            checked.append(KINDS[name](value))
        except ValueError as error:
            raise ValueError(f"{spec.name}: {name} must be {error}, not {_shown(value)}") from None
    if spec.name == "constant":
        _check_constant(*checked)
    return tuple(checked)


def check_operands(spec: OpSpec, results: Sequence[str]) -> None:
    """Whether truths stand where truths are read and real numbers elsewhere; `results` are the operands' own, in order.

    Raises ValueError that names the op and the operand.
    """
    for place, result in enumerate(results):
        expected = "truth" if place in spec.truths else "real"
        if result != expected:
            advice = "compare it with 0" if expected == "truth" else "choose numbers by it with `where`"
            kinds = {"truth": "a truth", "real": "real numbers"}
            raise ValueError(f"{spec.name}: operand {place} must be {kinds[expected]}, not {kinds[result]}: {advice}")


def _shown(value: Any) -> str:
    try:
        return reprlib.repr(value)
    except ValueError:  # Python refuses to print an integer of thousands of digits
        return "a number too long to print"


def _whole(value: Any, low: int, high: int, what: str) -> int:
    if not isinstance(value, bool):
        try:
            number = operator.index(value)
        except TypeError:
            pass
        else:
            if low <= number <= high:
                return number
    raise ValueError(what)


def _items(value: Any, what: str, most: int = MAX_AXES) -> Sequence[Any]:
    if not isinstance(value, tuple | list) or len(value) > most:
        raise ValueError(what)
    return value


def _axis(value: Any) -> int:
    return _whole(value, 0, MAX_AXES - 1, "an axis counted from 0")


def _axes(value: Any) -> tuple[int, ...]:
    what = f"a list of at most {MAX_AXES} axes counted from 0"
    return tuple(_whole(item, 0, MAX_AXES - 1, what) for item in _items(value, what))


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _size(value: Any) -> int:
    return _whole(value, 0, MAX_LENGTH, "a length")


def _offset(value: Any) -> int:
    return _whole(value, -MAX_LENGTH, MAX_LENGTH, "a whole number")


def _order(value: Any) -> int:
    return _whole(value, 1, MAX_ORDER, f"a whole number from 1 to {MAX_ORDER}")


def _real(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("a finite number")
    return number


def _shape(value: Any) -> Shape:
    what = f"a list of at most {MAX_AXES} lengths, each a whole number from 0 or N"
    shape: list[Dimension] = [d if d is ROWS else _whole(d, 0, MAX_LENGTH, what) for d in _items(value, what)]
    return tuple(shape)


def _range(value: Any, what: str) -> tuple[int, ...] | None:
    if value is None:
        return None
    bounds = tuple(_whole(item, -MAX_LENGTH, MAX_LENGTH, what) for item in _items(value, what, 3))
    if len(bounds) < 2 or bounds[2:] == (0,):
        raise ValueError(what)
    return bounds[:2] if bounds[2:] == (1,) else bounds


def _ranges(value: Any) -> tuple[tuple[int, ...] | None, ...]:
    what = "a list with none, (start, stop) or (start, stop, step) for each axis, the step not 0"
    return tuple(_range(item, what) for item in _items(value, what))


def _places(value: Any) -> tuple[tuple[tuple[int, ...] | None, ...], ...]:
    return tuple(_ranges(item) for item in _items(value, "a list with a list of ranges for each operand", MAX_LENGTH))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text")
    return value


def _role(value: Any) -> str:
    if value not in ("parameter", "data"):
        raise ValueError('"parameter" or "data"')
    return str(value)


_ITEM_SIZES = {"<f4": 4, "<f8": 8}


def _dtype(value: Any) -> str:
    if not isinstance(value, str) or value not in _ITEM_SIZES:
        raise ValueError('"<f4" or "<f8", little-endian floating point')
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("bytes")
    return value


def _check_constant(dtype: str, shape: Shape, data: bytes) -> None:
    if any(d is ROWS for d in shape):
        raise ValueError("constant: shape must be numbers; a constant has no axis of N data rows")
    needed = math.prod(d for d in shape if d is not ROWS) * _ITEM_SIZES[dtype]
    if len(data) != needed:
        raise ValueError(f"constant: bytes must be {needed} for this dtype and shape, not {len(data)}")


KINDS: dict[str, Callable[[Any], Any]] = {
    "axes": _axes,
    "axis": _axis,
    "bytes": _bytes,
    "dtype": _dtype,
    "exponent": _real,
    "keepdims": _flag,
    "lower": _flag,
    "name": _text,
    "offset": _offset,
    "order": _order,
    "permutation": _axes,
    "places": _places,
    "ranges": _ranges,
    "reverse": _flag,
    "role": _role,
    "shape": _shape,
    "size": _size,
    "transposed": _flag,
}
"""Attribute name -> its check: value -> normal form, or ValueError that says what it must be."""
