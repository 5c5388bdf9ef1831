"""BLAS on one thread, for as long as row blocks run.

BLAS threads collapse when another process wants their core, and how they cut a product changes its bits. A worker
process sets one thread for good; this guard makes an objective that is used without a worker just as safe. It is taken
once an evaluation, not once a block (about 40 microseconds), and only where there are several stripes to run.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]


class _Limit:
    """The process-wide limit, held until the last of its holders is done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._controller: Any = None
        self._limit: Any = None

    def take(self) -> None:
        with self._lock:
            if self._controller is None:
                self._controller = ThreadpoolController().select(user_api="blas")
            if self._holders == 0:
                self._limit = self._controller.limit(limits=1)
            self._holders += 1

    def release(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                self._limit.restore_original_limits()


_LIMIT = _Limit()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """One BLAS thread in this process while inside."""
    _LIMIT.take()
    try:
        yield
    finally:
        _LIMIT.release()
