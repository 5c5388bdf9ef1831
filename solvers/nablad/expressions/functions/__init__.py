"""The functions of the language: one table for text, for numpy's functions and for a Symbol's methods.

A name of numpy's, or of a ufunc of scipy.special, means here what it means there, with the same signature. Names within
a module of numpy's are written with it (`linalg.det`), and without it where that is clear (`det`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from nablad.expressions.functions import algebra, pointwise, reductions, shapes
from nablad.expressions.functions.row import Function
from nablad.expressions.symbol import Symbol

FUNCTIONS: tuple[Function, ...] = (*pointwise.ROWS, *reductions.ROWS, *shapes.ROWS, *algebra.ROWS)

NAMES: dict[str, Function] = {name: row for row in FUNCTIONS for name in (row.name, *row.aliases)}
"""Every name and alias."""


def call(name: str) -> Callable[..., Any]:
    """The function of a name or alias."""
    return NAMES[name].call


_METHODS: dict[str, Callable[..., Any]] = {
    "astype": shapes.astype,
    "item": shapes.item,
    "tolist": list,
    "size": shapes.size,
}
_PROPERTIES = frozenset({"size", "real"})


def method(symbol: Symbol, name: str) -> Any:
    """What `symbol.name` is. Raises AttributeError with the nearest names.

    Every function is a method too, as numpy's object arrays need: np.exp of an array of symbols calls their `exp`.
    """
    found = _METHODS.get(name)
    if found is None:
        row = NAMES.get(name)
        if row is None:
            raise AttributeError(
                f"a Symbol has no {name!r}{suggestion(name, (*NAMES, *_METHODS, 'T', 'shape', 'ndim'))}"
            )
        found = row.bind_first
    return found(symbol) if name in _PROPERTIES else partial(found, symbol)


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Up to three names that look like this one, the likeliest first."""
    by_folded: dict[str, str] = {}
    for other in known:
        by_folded.setdefault(other.lower(), other)
    return [
        by_folded[key]
        for key in difflib.get_close_matches(name.lower(), list(by_folded), 3, 0.6 if len(name) > 3 else 0.5)
    ]


def suggestion(name: str, known: Iterable[str]) -> str:
    """`: did you mean 'a' or 'b'?`, or nothing."""
    close = [repr(other) for other in nearest(name, known)]
    return f": did you mean {' or '.join(close)}?" if close else ""


__all__ = ["FUNCTIONS", "NAMES", "Function", "method", "nearest", "suggestion"]
