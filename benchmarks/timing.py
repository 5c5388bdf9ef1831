"""Interleaved timing: contenders take turns, and each one's median is what counts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

REST = 0.2
"""Seconds. OpenBLAS keeps a core busy for 0.11 s after its last threaded product (measured), whoever comes next."""


@dataclass(frozen=True)
class Timing:
    """Seconds per call, over the rounds."""

    median: float
    fastest: float
    slowest: float


def interleaved(
    contenders: Mapping[str, Callable[[], object]], *, rounds: int = 9, seconds_per_turn: float = 0.1
) -> dict[str, Timing]:
    """Times each contender once a round, in turns of about `seconds_per_turn`; first calls are not counted.

    Before each turn stands a rest: threads of OpenMP and of OpenBLAS that have run out of work look for more a while,
    and would take a core from whoever comes next.
    """
    calls = {}
    for name, call in contenders.items():
        call()
        began = time.perf_counter()
        call()
        calls[name] = max(1, int(seconds_per_turn / max(time.perf_counter() - began, 1e-9)))
    turns: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            time.sleep(REST)
            began = time.perf_counter()
            for _ in range(calls[name]):
                call()
            turns[name].append((time.perf_counter() - began) / calls[name])
    return {name: Timing(statistics.median(t), min(t), max(t)) for name, t in turns.items()}


def pretty(seconds: float) -> str:
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, aligned, so that it can be pasted into docs/performance.md."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [head, ["-" * width for width in widths], *rows]
    ]
    return "\n".join(lines)
