"""One BLAS thread while numbers are computed.

Two reasons, both measured. A threaded BLAS splits a sum by the number of its threads, so that the same request gives
other bits on another machine or under another setting; and OpenBLAS with two threads collapses when another process
wants a core (a gradient of 24 ms became 160). Parallelism lives above BLAS: row blocks in threads, jobs in processes.

The setting belongs to the process, so blocks that overlap share it: the first to enter sets it (about 40
microseconds), the last to leave restores it, and those between only count. A run holds it from end to end; an
objective used without a run takes it once an evaluation.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Limit:
    """The process-wide limit, held until the last of its holders is done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._controller: Any = None
        self._limit: Any = None

    def take(self) -> None:
        with self._lock:
            if self._holders == 0:
                if self._controller is None:
                    from threadpoolctl import ThreadpoolController  # finds the libraries loaded by now: 1 ms, once

                    self._controller = ThreadpoolController().select(user_api="blas")
                self._limit = self._controller.limit(limits=1)
            self._holders += 1

    def release(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                self._limit.restore_original_limits()


_LIMIT = _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS at one thread inside the block; blocks may overlap, in one thread or several."""
    _LIMIT.take()
    try:
        yield
    finally:
        _LIMIT.release()
