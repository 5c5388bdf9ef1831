"""Labels: what messages call a node, such as the piece of source text that made it.

A label belongs to a definition, not to its nodes: nodes are hash-consed, and two definitions may share one. While a
definition is read or traced, every node that `apply` makes is noted by the recorder of the running thread; the first
place that made a node names it. Places are recorded as they come, and become text only when somebody asks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nablad.expressions.graph import Node

LONGEST = 200
"""Characters of a label; the middle of a longer one is left out."""


class Labels(Mapping[Node, str]):
    """Node -> source text. `describe` turns a recorded place into text; a node without a place has no label."""

    __slots__ = ("_describe", "_places")

    def __init__(self, places: Mapping[Node, Any] | None = None, describe: Callable[[Any], str] = str) -> None:
        self._places = {} if places is None else dict(places)
        self._describe = describe

    def __getitem__(self, node: Node) -> str:
        return shorten(self._describe(self._places[node]))

    def __contains__(self, node: object) -> bool:
        return node in self._places

    def __iter__(self) -> Iterator[Node]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def of(self, nodes: Iterable[Node]) -> Labels:
        """The labels of these nodes alone: the others may be forgotten."""
        places = self._places
        return Labels({node: places[node] for node in nodes if node in places}, self._describe)


def shorten(text: str, longest: int = LONGEST) -> str:
    """One line of at most `longest` characters."""
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    head = (longest - 5) // 2
    return f"{text[:head]} ... {text[len(text) - (longest - 5 - head) :]}"


class _Recorder(threading.local):
    note: Callable[[Node], None] | None = None


recorder = _Recorder()
"""`recorder.note(node)` is called for every node that is made in this thread while something records."""


@contextmanager
def recording(note: Callable[[Node], None]) -> Iterator[None]:
    """Within, `note` hears of every node that this thread makes. Recordings nest; the innermost hears."""
    before = recorder.note
    recorder.note = note
    try:
        yield
    finally:
        recorder.note = before
