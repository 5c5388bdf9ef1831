"""What a symbol can do beyond being a node, told to it from above.

Every function of the language is made of symbols, so symbol.py stands beneath them all; yet `x ** y`, `x[i]`,
`x.sum()` and `np.exp(x)` are such functions. So that nothing is imported in a circle, `nablad.expressions` fills this
page when it is imported, and symbol.py reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Vocabulary:
    """Filled once. Reading what has not been filled in is an AttributeError."""

    named: Callable[[str], Callable[..., Any]]
    """The function of a name in text."""
    method: Callable[[Any, str], Callable[..., Any]]
    """A symbol's method of a name."""
    power: Callable[[Any, Any], Any]
    matmul: Callable[[Any, Any], Any]
    read: Callable[[Any, Any], Any]
    """x[key]."""
    ufunc: Callable[..., Any]
    """NumPy's __array_ufunc__, and __array_function__."""
    array_function: Callable[..., Any]
    unknown: Callable[[Any], TypeError]
    """What is raised for a function of numpy that has no rule."""
    holds_symbols: Callable[[Any], bool]
    """Whether nested lists or an object array hold symbols."""
    stacked: Callable[[Any], Any]
    """The node of such lists."""


vocabulary = Vocabulary()
