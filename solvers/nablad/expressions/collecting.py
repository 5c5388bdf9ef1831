"""Python's cyclic garbage collector, put off while a graph is being made.

Reading, differentiating and compiling make some dozens of objects for each node, and all of them stay. The collector
counts what is made and not given back, so it looks through the growing heap again and again, and finds nothing: a third
of the time that large graphs took, measured. Nothing is lost by waiting: nodes, graphs and plans form no cycles, so
reference counts free them as ever.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_holders = 0
_was_enabled = False


@contextmanager
def collection_put_off() -> Iterator[None]:
    """Within, the collector does not run of itself, in any thread. Nests; the outermost puts back what it found."""
    global _holders, _was_enabled
    with _lock:
        if not _holders:
            _was_enabled = gc.isenabled()
            gc.disable()
        _holders += 1
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if not _holders and _was_enabled:
                gc.enable()


__all__ = ["collection_put_off"]
