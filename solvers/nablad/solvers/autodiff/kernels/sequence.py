"""Several native calls as one: between them no thread needs the interpreter's lock.

Two threads that each make thirty short calls for a block of rows, letting go of the lock and taking it again around
each, wait for one another more than they compute. A block's calls that follow upon each other are one call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nablad.solvers.autodiff.kernels.native import Native

SHORT = 15_000.0
"""Nanoseconds, about, up to which a call keeps the interpreter's lock: others would not be let in for so little."""


@dataclass(frozen=True)
class NativeCall:
    """A function of loops.py and the task that it is given."""

    native: Native
    function: int
    """Its address."""
    task: int
    """The task's address."""
    nanoseconds: float
    """About so long it takes."""
    keep: Any
    """What owns the memory."""


def address(array: NDArray[Any]) -> int:
    """Of the array's first number."""
    return int(array.__array_interface__["data"][0])


def call_once(native: Native, function: str, task: Sequence[int]) -> None:
    """One call, made now, without the interpreter's lock. Who calls keeps the memory that the task names."""
    calls = np.array([1, native.addresses[function], 0, *task], np.int64)
    begin = address(calls)
    calls[2] = begin + 3 * calls.itemsize
    native.sequence(begin)


class NativeSequence:
    """`call(*arguments)` makes all calls, in order."""

    def __init__(self, calls: Sequence[NativeCall]) -> None:
        numbers = [len(calls)]
        for call in calls:
            numbers += [call.function, call.task]
        self._task = np.array(numbers, np.int64)
        self._keep = calls
        short = sum(call.nanoseconds for call in calls) <= SHORT
        native = calls[0].native
        self.call: Callable[[int], None] = native.sequence_locked if short else native.sequence
        self.arguments = (address(self._task),)


Call = tuple[Callable[..., object], tuple[Any, ...]]
"""A function, and what it is given each time."""


def sequenced(calls: Sequence[Call | NativeCall]) -> tuple[list[Call], list[NativeSequence]]:
    """The same calls, native ones that follow upon each other as one; and what is to be kept while they are used."""
    program: list[Call] = []
    sequences: list[NativeSequence] = []
    together: list[NativeCall] = []

    def close() -> None:
        if together:
            sequence = NativeSequence(tuple(together))
            sequences.append(sequence)
            program.append((sequence.call, sequence.arguments))
            together.clear()

    for call in calls:
        if isinstance(call, NativeCall):
            together.append(call)
        else:
            close()
            program.append(call)
    close()
    return program, sequences
