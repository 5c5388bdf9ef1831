"""Tracing: an ordinary function of numpy arrays, called once with symbols, becomes a graph.

    trace(lambda p: np.sum((p["A"] @ p["x"])**2), {"A": (2, 3), "x": (3,)})

Loops and functions of the traced function disappear; what it does depends on shapes, never on numbers. Each op is
labelled with the piece of the user's source that made it first: the code object and the instruction are noted while
tracing, and file, line and column are looked up when a label is asked for (PEP 657).
"""

from __future__ import annotations

import inspect
import linecache
import os
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import CodeType
from typing import Any

from nablad.expressions import definition
from nablad.expressions.definition import Inputs, TooManyNodes, Traced
from nablad.expressions.dimension import Shape
from nablad.expressions.graph import Node
from nablad.expressions.labels import Labels, recording
from nablad.expressions.symbol import Symbol, number

SINGLE = "theta"
"""What the one parameter is called where a function is traced with an array rather than with named ones."""

Place = tuple[CodeType, int]

_OBJECTS = ("array element with a sequence", "dtype('O')", "no callable")
"""What numpy says where it meets a list or an array of symbols and takes them for any Python objects."""

_NO_OBJECTS = (
    "numpy cannot look into lists, or into np.array([...]), of symbols here: make the array with np.stack, as in "
    "np.stack([a, b, c, d]).reshape(2, 2)"
)

_NO_SCIPY = (
    "this is Python code of scipy, which needs numbers; scipy's ufuncs (expit, gammaln, ...) do not. Symbols have "
    "methods for some of it: x.logsumexp(), x.softmax(), x.log_softmax()"
)


def trace(
    function: Callable[..., Any],
    parameters: Mapping[str, Shape] | Shape,
    data: Mapping[str, Shape] | None = None,
) -> Traced:
    """The graph of function(p), or of function(p, d) if data are given.

    p and d are dicts of symbols; p is one symbol, called theta, if `parameters` is one shape. The function returns a
    symbol, a number, or arrays and nested lists of them. Raises TypeError for any other result, InvalidName, and
    whatever the function raises.
    """
    named = parameters if isinstance(parameters, Mapping) else {SINGLE: parameters}
    inputs = Inputs.of(named, {} if data is None else data)
    p: Any = _Named("parameter", inputs.parameters) if named is parameters else inputs.parameters[SINGLE]
    arguments = (p,) if data is None else (p, _Named("data", inputs.data))
    _check_arguments(function, arguments)
    places: dict[Node, Place | None] = {}

    def note(node: Node) -> None:
        if node not in places:
            places[node] = _users_place()
            if len(places) > definition.NODES:
                raise TooManyNodes

    with recording(note):
        try:
            result = function(*arguments)
        except (TypeError, ValueError) as error:
            if _passed_scipy(error):
                error.add_note(_NO_SCIPY)
            elif any(sign in str(error) for sign in _OBJECTS):
                error.add_note(_NO_OBJECTS)
            raise
        output = _output(result)
    known = {node: place for node, place in places.items() if place is not None}
    return inputs.define(output, Labels(known, _describe))


def _passed_scipy(error: Exception) -> bool:
    """Whether it comes out of a Python function of scipy."""
    step = error.__traceback__
    while step is not None:
        if str(step.tb_frame.f_globals.get("__name__")).startswith("scipy."):
            return True
        step = step.tb_next
    return False


class _Named(dict[str, Symbol]):
    """Symbols by name, which tells the names that there are."""

    def __init__(self, kind: str, symbols: Mapping[str, Symbol]) -> None:
        super().__init__(symbols)
        self._kind = kind

    def __missing__(self, name: object) -> Symbol:
        listed = ", ".join(repr(known) for known in self) or "none"
        raise KeyError(f"no {self._kind} {name!r}; there are {listed}")

    def __getattr__(self, name: str) -> Symbol:
        hint = f": write [{name!r}] for .{name}" if name in self else ""
        raise AttributeError(f"the {self._kind} dict has no attribute {name!r}{hint}")


def _check_arguments(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    if not callable(function):
        raise TypeError(f"a function is needed, not {function!r:.80}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a builtin
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        called = "f(p), the parameters" if len(arguments) == 1 else "f(p, d), the parameters and the data"
        raise TypeError(f"the function is called as {called}, but it is f{signature}: {error}") from None


def _output(result: Any) -> Node:
    if result is None:
        raise TypeError("the function returned None: is there a `return` missing?")
    if isinstance(result, Mapping):
        raise TypeError(
            "the function returned a dict: return one array, such as np.stack([...]) or np.concatenate([...])"
        )
    try:
        return number(result)
    except TypeError as error:
        kind = type(result).__name__
        raise TypeError(f"the function returned what is no array of real numbers, {kind}: {error}") from None


def _users_place() -> Place | None:
    """The innermost running code that is neither ours nor numpy's, and its current instruction."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        if not name.startswith(("nablad.", "numpy.", "scipy.")):
            return frame.f_code, frame.f_lasti
        frame = frame.f_back  # type: ignore[assignment]
    return None


@lru_cache(maxsize=256)
def _positions(code: CodeType) -> tuple[tuple[int | None, int | None, int | None, int | None], ...]:
    return tuple(code.co_positions())


def _describe(place: Place) -> str:
    """`model.py:12: np.exp(-b * x)`, as much of it as is known."""
    code, instruction = place
    positions = _positions(code)
    line, last, start, stop = positions[instruction // 2] if instruction >= 0 else (None, None, None, None)
    line = code.co_firstlineno if line is None else line
    where = f"{os.path.basename(code.co_filename)}:{line}"
    text = linecache.getline(code.co_filename, line).rstrip("\n")
    if start is not None:
        # Columns count bytes of UTF-8; an expression of several lines is shown by its first.
        text = text.encode()[start : stop if last == line else None].decode(errors="replace")
    return f"{where}: {text.strip()}" if text.strip() else where


__all__ = ["SINGLE", "trace"]
