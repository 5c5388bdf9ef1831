"""One BLAS thread while numbers are computed.

Two reasons, both measured. A threaded BLAS splits a sum by the number of its threads, so that the same request gives
other bits on another machine or under another setting; and OpenBLAS with two threads collapses when another process
wants a core (a gradient of 24 ms became 160). Parallelism lives above BLAS: row blocks in threads, jobs in processes.

The setting belongs to the process, so blocks that overlap share it: the first to enter sets it (some microseconds),
the last to leave restores it, and those between only count. A run holds it from end to end; an objective used without
a run takes it once an evaluation.
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
        self._libraries: list[Any] | None = None
        self._before: list[int] = []

    def take(self) -> None:
        with self._lock:
            if self._holders == 0:
                if self._libraries is None:
                    from threadpoolctl import ThreadpoolController  # finds the libraries loaded by now: 1 ms, once

                    self._libraries = ThreadpoolController().select(user_api="blas").lib_controllers
                self._before = [library.num_threads for library in self._libraries]
                for library in self._libraries:
                    library.set_num_threads(1)
            self._holders += 1

    def release(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                for library, count in zip(self._libraries or (), self._before, strict=True):
                    library.set_num_threads(count)


_LIMIT = _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS at one thread inside the block; blocks may overlap, in one thread or several."""
    _LIMIT.take()
    try:
        yield
    finally:
        _LIMIT.release()
