"""How cost grows: time and memory against rows, width, depth, parameters, columns, nodes and watchers.

Writes docs/growth-time.png and docs/growth-memory.png, measured points with the expected order dashed beside them, and
gives the same as tables: the expected exponent, the one that the counted work has over the same sizes where it can be
counted, and the one that was measured, each fitted to the upper half of the sizes (curves.py).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.growth import engine, memory, watchers
from benchmarks.growth.curves import Curve, Order, Panel
from benchmarks.growth.picture import BYTES, SECONDS, draw, in_units
from benchmarks.machine import describe
from benchmarks.timing import table
from nablad.solvers.blas import one_blas_thread

DOCS = Path(__file__).resolve().parents[2] / "docs"
WORSE = 0.15
"""An exponent that is larger than expected by more than this, and by two standard errors, is called worse."""


def written(order: Order | None) -> str:
    if order is None:
        return "-"
    error = "" if math.isnan(order.error) else f" ± {order.error:.2f}"
    return f"{order.exponent:.2f}{error}"


def rounded(value: float, units: Sequence[tuple[float, str]]) -> str:
    return in_units(float(f"{value:.3g}"), units)


def verdict(curve: Curve) -> str:
    """How the measured order stands to the expected one."""
    excess = curve.measured.exponent - curve.order
    error = 0.0 if math.isnan(curve.measured.error) else curve.measured.error
    if excess > max(WORSE, 2.0 * error):
        return "worse"
    return "better" if excess < -max(WORSE, 2.0 * error) else "as expected"


def rows_of(panel: Panel, units: Sequence[tuple[float, str]]) -> list[list[str]]:
    return [
        [
            curve.name,
            f"{panel.symbol} = {curve.sizes[0]:,.0f} to {curve.sizes[-1]:,.0f}",
            f"{rounded(curve.values[0], units)} to {rounded(curve.values[-1], units)}",
            f"{curve.order:g}",
            written(curve.foretold),
            written(curve.measured),
            verdict(curve),
        ]
        for curve in panel.curves
    ]


def picture(times: Sequence[Panel], sizes: Sequence[Panel]) -> None:
    draw(DOCS / "growth-time.png", times, "time", SECONDS)
    draw(DOCS / "growth-memory.png", sizes, "memory", BYTES)


def main() -> str:
    times, sizes = [], []
    with one_blas_thread():
        for build in engine.PANELS:
            print(f"growth: time, {build.__name__.replace('_', ' ')}", file=sys.stderr)
            times.append(build())
        for measure in memory.PANELS:
            print(f"growth: memory, {measure.__name__.replace('_', ' ')}", file=sys.stderr)
            sizes.append(measure())
    # Before the watchers, which take a server each and may fail on a busy machine.
    picture(times, sizes)
    print("growth: watchers", file=sys.stderr)
    streams = watchers.panels()
    if streams is not None:
        times.append(streams[0])
        sizes.append(streams[1])
        picture(times, sizes)
    head = ["", "sizes", "from, to", "expected", "counted", "measured", ""]
    of_times = [row for panel in times for row in rows_of(panel, SECONDS)]
    of_memory = [row for panel in sizes for row in rows_of(panel, BYTES)]
    return "\n\n".join(
        [
            describe("numpy", "grpcio"),
            "### Time",
            table(["time", *head[1:]], of_times),
            "### Memory",
            table(["memory", *head[1:]], of_memory),
        ]
    )
