"""Measured growth as values: a quantity at several sizes, the order that is expected of it, the order that it has.

Most costs are a fixed part and a part that grows, a + c x^k, so the order of all points together says little: it is
fitted, as the slope of least squares in logarithms, to the points of the upper half of the range (in logarithms), where
the fixed part has lost its weight. Its uncertainty is the slope's standard error; two points have none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.timing import interleaved

ROUNDS = 7
SECONDS_PER_TURN = 0.03


@dataclass(frozen=True)
class Order:
    """A fitted exponent."""

    exponent: float
    error: float
    """One standard error; NaN where it cannot be told."""


@dataclass(frozen=True)
class Curve:
    """A quantity at growing sizes."""

    name: str
    order: float
    """The expected exponent."""
    sizes: tuple[float, ...]
    values: tuple[float, ...]
    counted: tuple[float, ...] | None = None
    """The same quantity as counted before anything runs (operations, bytes), where it can be."""
    below: bool = False
    """Whether its expected order is drawn below it."""

    @property
    def measured(self) -> Order:
        return fit(self.sizes, self.values)

    @property
    def foretold(self) -> Order | None:
        """The order of what was counted, over the same sizes."""
        return None if self.counted is None else fit(self.sizes, self.counted)


@dataclass(frozen=True)
class Panel:
    """Curves over one variable."""

    title: str
    variable: str
    """What grows, in words, for the axis."""
    symbol: str
    """The same as a letter, in which the expected orders are written."""
    curves: tuple[Curve, ...]


def upper_half(sizes: Sequence[float]) -> list[int]:
    """The places of the sizes at or above the geometric middle of the range."""
    middle = math.sqrt(min(sizes) * max(sizes)) * (1.0 - 1e-12)
    return [k for k, size in enumerate(sizes) if size >= middle]


def fit(sizes: Sequence[float], values: Sequence[float]) -> Order:
    """The exponent k of c x^k through the upper half of the points. ValueError for less than two of them there."""
    places = upper_half(sizes)
    if len(places) < 2:
        raise ValueError(f"an order needs two sizes in the upper half of the range, got {len(places)}")
    x = [math.log(sizes[k]) for k in places]
    y = [math.log(values[k]) for k in places]
    center, level = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - center) ** 2 for a in x)
    slope = sum((a - center) * b for a, b in zip(x, y, strict=True)) / spread
    if len(x) < 3:
        return Order(slope, math.nan)
    rest = sum((b - level - slope * (a - center)) ** 2 for a, b in zip(x, y, strict=True))
    return Order(slope, math.sqrt(rest / (len(x) - 2) / spread))


def seconds(calls: Sequence[Callable[[], object]], seconds_per_turn: float = SECONDS_PER_TURN) -> tuple[float, ...]:
    """Median seconds of each call; all sizes of a curve take turns, so that a drift bends none of it."""
    timings = interleaved(
        {str(k): call for k, call in enumerate(calls)}, rounds=ROUNDS, seconds_per_turn=seconds_per_turn
    )
    return tuple(timing.median for timing in timings.values())
