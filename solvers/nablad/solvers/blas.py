"""One BLAS thread while a run lasts.

Two reasons, both measured. A threaded BLAS splits a sum by the number of its threads, so that the same request gives
other bits on another machine or under another setting; and OpenBLAS with two threads collapses when another process
wants a core (a gradient of 24 ms became 160). Parallelism lives above BLAS: row blocks in threads, jobs in processes.

The setting belongs to the process, so runs that overlap share it: the first to enter sets it, the last to leave
restores it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

_lock = threading.Lock()
_inside = 0
_limit: AbstractContextManager[Any] | None = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS at one thread inside the block; blocks may overlap, in one thread or several."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside, _limit
    with _lock:
        _inside += 1
        if _inside == 1:
            import threadpoolctl

            _limit = threadpoolctl.threadpool_limits(limits=1, user_api="blas")


def _leave() -> None:
    global _inside, _limit
    with _lock:
        _inside -= 1
        if _inside == 0 and _limit is not None:
            _limit.__exit__(None, None, None)
            _limit = None
