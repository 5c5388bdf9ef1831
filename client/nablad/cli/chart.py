"""What a chart of losses is, apart from where it is drawn: curves, their looks, and the scale of each axis.

Iterations are shown on a log scale with a place of its own for iteration 0, so that Newton's five iterations and
gradient descent's thousands are both visible. Losses are shown on a log scale. Both the terminal (curves.py) and the
picture file (plotting.py) draw from here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Iteration 0 lies this many decades to the left of iteration 1.
_ZERO_OFFSET = 0.4
# The ticks within a decade, from many to few.
_MANTISSAS: tuple[tuple[float, ...], ...] = (
    (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 5, 7),
    (1, 2, 5),
    (1, 3),
    (1,),
)
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Look:
    """How a curve looks: told apart by shape alone, in the colour-blind-safe colours of Okabe and Ito (2008)."""

    terminal_color: str
    print_color: str
    mark: str
    ascii_mark: str
    ascii_line: str
    print_mark: str
    marks_every_point: bool


MANY = Look("#56b4e9", "#0072b2", "─", ".", ".", "", False)
"""Of methods of many iterations: a line."""
FEW = Look("#e69f00", "#d55e00", "●", "o", "-", "o", True)
"""Of methods of few: a line with a mark at each iterate."""


@dataclass(frozen=True)
class Curve:
    """One method's losses by iteration."""

    label: str
    look: Look
    iterations: Sequence[int]
    losses: Sequence[float]

    def points(self) -> list[tuple[int, float]]:
        """The points that a log scale can show: finite and positive losses."""
        return [(k, f) for k, f in zip(self.iterations, self.losses, strict=False) if math.isfinite(f) and f > 0.0]


@dataclass(frozen=True)
class Chart:
    """Curves with what their axes mean."""

    title: str
    y_label: str
    curves: tuple[Curve, ...]
    x_label: str = "iteration (log scale)"
    # The lowest value worth showing: below it there is only rounding.
    floor: float = 0.0


@dataclass(frozen=True)
class IterationScale:
    """Iterations 0 .. last on a log scale, iteration 0 at the left edge."""

    last: int

    def position(self, iteration: float) -> float:
        """From 0 (left) to 1 (right)."""
        return self._place(iteration) / self._place(self.last)

    @staticmethod
    def _place(iteration: float) -> float:
        return 0.0 if iteration < 1 else _ZERO_OFFSET + math.log10(iteration)

    def ticks(self, dense: bool) -> list[int]:
        """0 and the powers of ten, with their multiples by 2 and 5 where there is room."""
        steps = (1, 2, 5) if dense else (1,)
        decades = range(int(math.log10(self.last)) + 1)
        return [0] + [m * 10**d for d in decades for m in steps if m * 10**d <= self.last]


def iteration_scale(curves: Sequence[Curve]) -> IterationScale:
    """The scale that holds every point, its end rounded up to 1, 2 or 5 times a power of ten, at least 10."""
    last = max((curve.iterations[-1] for curve in curves if curve.iterations), default=0)
    decade = 10 ** int(math.log10(max(last, 10)))
    return IterationScale(next(m * decade for m in (1, 2, 5, 10) if m * decade >= last))


@dataclass(frozen=True)
class LossScale:
    """Losses from low to high on a log scale."""

    low: float
    high: float

    def position(self, loss: float) -> float:
        """From 0 (bottom) to 1 (top); outside values are moved to the edge."""
        span = math.log10(self.high) - math.log10(self.low)
        return min(1.0, max(0.0, (math.log10(loss) - math.log10(self.low)) / span))

    def ticks(self, most: int) -> list[float]:
        """At most so many round values, from the bottom up: powers of ten, or their multiples on a short axis."""
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        if last - first >= 2:
            for stride in (1, 2, 3, 5, 10, 20, 50, 100, 200):
                # Multiples of the stride, so that ticks stay put while the axis grows.
                decades = [d for d in range(first, last + 1) if d % stride == 0]
                if 2 <= len(decades) <= most:
                    return [10.0**d for d in decades]
            return [10.0**first, 10.0**last]
        for steps in _MANTISSAS:
            values = [m * 10.0**d for d in range(first - 1, last + 1) for m in steps]
            inside = [v for v in values if self.low * (1 - 1e-9) <= v <= self.high * (1 + 1e-9)]
            if 2 <= len(inside) <= most:
                return inside
        return [self.low, self.high]


def loss_scale(curves: Sequence[Curve], floor: float = 0.0) -> LossScale:
    """The scale that holds every point above the floor, its ends rounded outwards."""
    losses = [max(f, floor) for curve in curves for _, f in curve.points()]
    if not losses:
        return LossScale(0.1, 10.0)
    low, high = math.log10(min(losses)), math.log10(max(losses))
    if high - low > 2.0:
        return LossScale(10.0 ** math.floor(low), 10.0 ** math.ceil(high))
    margin = max(0.03, 0.05 * (high - low))
    return LossScale(10.0 ** (low - margin), 10.0 ** (high + margin))


def tick_labels(values: Sequence[float], ascii_only: bool = False) -> list[str]:
    """Short names for ticks: 200, 0.05 on a short axis, 10⁷ on a long one (1e7 where only ASCII can be shown)."""
    plain = min(values) >= 1e-3 and max(values) < 1e5 and max(values) / min(values) < 1e5
    return [f"{value:.4g}" if plain else _power(value, ascii_only) for value in values]


def _power(value: float, ascii_only: bool) -> str:
    exponent = math.floor(math.log10(value) + 1e-9)
    mantissa = f"{value / 10.0**exponent:.3g}"
    if ascii_only:
        return f"{mantissa}e{exponent}"
    power = "10" + str(exponent).translate(_SUPERSCRIPTS)
    return power if mantissa == "1" else f"{mantissa}·{power}"
