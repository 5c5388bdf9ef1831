"""What was derived from a graph is remembered, as long as graphs are few or small.

A worker lives for months and sees graphs of a hundred thousand nodes. So what is remembered is limited by nodes, not by
the number of results: the least recently used is forgotten first, and the few last ones stay whatever their size.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from nablad.expressions import Graph, Node, topological
from nablad.expressions.collecting import collection_put_off

P = ParamSpec("P")
Result = TypeVar("Result")

NODES_LIMIT = 2_000_000
"""Of all arguments and results together; a node counts in each that needs it."""
LAST = 12
"""So many results stay in any case: what one derivative is made of."""


class Memory:
    """Results by call, the least recently used first. Shared between threads.

    A result that keeps more than nodes, or grows later, counts as at least `least` nodes.
    """

    def __init__(self, limit: int = NODES_LIMIT, last: int = LAST, least: int = 0) -> None:
        self._limit = limit
        self._last = last
        self._least = least
        self._results: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._nodes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._results)

    def remembered(self, function: Callable[P, Result]) -> Callable[P, Result]:
        """The function, called once for the same arguments, which are given by position."""

        @wraps(function)
        def call(*arguments: P.args, **named: P.kwargs) -> Result:
            key = (function, arguments, *named.items())
            with self._lock:
                if key in self._results:
                    self._results.move_to_end(key)
                    found: Result = self._results[key][0]
                    return found
            # Two threads may do the same work at the same time; the results are equal.
            with collection_put_off():
                found = function(*arguments, **named)
                weight = max(self._least, len(topological(_nodes(arguments) | _nodes(found))))
            with self._lock:
                self._forget(key)
                self._results[key] = found, weight
                self._nodes += weight
                while self._nodes > self._limit and len(self._results) > self._last:
                    self._forget(next(iter(self._results)))
            return found

        return call

    def _forget(self, key: Hashable) -> None:
        if key in self._results:
            self._nodes -= self._results.pop(key)[1]


def _nodes(value: Any) -> dict[Node, None]:
    """The nodes at the top of whatever holds some."""
    if isinstance(value, Node):
        return {value: None}
    graph = value if isinstance(value, Graph) else getattr(value, "graph", None)
    if isinstance(graph, Graph):  # a program's too
        return dict.fromkeys(graph.outputs)
    if isinstance(value, tuple):
        return {node: None for item in value for node in _nodes(item)}
    if is_dataclass(value):
        return {node: None for field in fields(value) for node in _nodes(getattr(value, field.name))}
    return {}


remembered = Memory().remembered
