"""Tasks dealt to threads, for work whose result does not depend on which thread does what."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np

Worker = TypeVar("Worker")


def in_threads(work: Callable[[Worker, int], None], workers: Sequence[Worker], tasks: int) -> None:
    """Do each task once, with one of the workers, each in a thread of its own; what one raises ends all."""
    todo = iter(range(tasks))
    turn = threading.Lock()
    failed = threading.Event()

    def take(worker: Worker) -> None:
        try:
            with np.errstate(all="ignore"):
                while not failed.is_set():
                    with turn:
                        task = next(todo, None)
                    if task is None:
                        return
                    work(worker, task)
        except BaseException:
            failed.set()
            raise

    if len(workers) == 1 or tasks < 2:
        for task in todo:
            work(workers[0], task)
        return
    pool = _pool(len(workers) - 1)
    futures: list[Future[None]] = []
    try:
        futures += [pool.submit(take, worker) for worker in workers[1:]]
        take(workers[0])
    finally:
        # One that has not begun by now, for the pool is busy elsewhere, has nothing left to do.
        errors = [error for future in futures if not future.cancel() for error in ended(future, failed)]
    for error in errors:
        raise error


def ended(future: Future[None], failed: threading.Event) -> list[BaseException]:
    """Waits until a helper is done, whatever interrupts the waiting: its buffers are in use until then.

    Gives what it raised, and what the waiting raised.
    """
    errors: list[BaseException] = []
    while not future.done():
        try:
            future.exception()
        except BaseException as interruption:
            failed.set()
            errors.append(interruption)
    error = future.exception()
    return errors if error is None else [*errors, error]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """The process's helpers beside the calling thread, shared by all."""
    return ThreadPoolExecutor(threads, thread_name_prefix="nablad-rows")
