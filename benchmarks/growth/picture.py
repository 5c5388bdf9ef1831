"""Panels of growth as pictures: two columns, logarithmic axes, the expected order dashed beside each curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.growth.curves import Curve, Panel, upper_half

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, PALE = "#2b2b2b", "#e6e6e6"
LOOKS = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"))
"""Colour and mark of a panel's curves: of Okabe and Ito's palette, which the colour-blind can tell apart."""
APART = 1.4
"""The factor by which an expected order stays away from its curve."""
DASHES = (0, (4, 2.5))
WIDTH, HEIGHT = 9.0, 3.5
"""Inches: of the picture, and of a row of panels. A picture of 900 pixels so has type of 12."""

Units = Sequence[tuple[float, str]]
SECONDS: Units = ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s"))
BYTES: Units = ((1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"))


def draw(path: Path, panels: Sequence[Panel], quantity: str, units: Units) -> None:
    """Writes the panels, two beside each other. `quantity` stands at each vertical axis, in `units`."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.lines import Line2D

    rows = math.ceil(len(panels) / 2)
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.1)
    figure = Figure(figsize=(WIDTH, HEIGHT * rows), layout=layout, dpi=200)
    for place, panel in enumerate(panels):
        _draw(figure.add_subplot(rows, 2, place + 1), panel, quantity, units)
    handles = [
        Line2D([], [], color=INK, marker="o", markersize=4.5, linewidth=1.8, label="measured"),
        Line2D([], [], color=INK, linestyle=DASHES, linewidth=1.2, label="the expected order, beside it"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False, labelcolor=INK, fontsize=9.5)
    figure.savefig(path, metadata={"Software": None})


def _draw(axes: Axes, panel: Panel, quantity: str, units: Units) -> None:
    drawn = [value for curve in panel.curves for value in (*curve.values, *beside(curve)[1])]
    low, high = min(drawn), max(drawn)
    axes.set_xscale("log")
    axes.set_yscale("log")
    # Room above for what the curves are called, and below for an order.
    span = max(high / low, 4.0)
    axes.set_ylim(low / span**0.12, high * span ** (0.12 + 0.11 * len(panel.curves)))
    for curve, (color, mark) in zip(panel.curves, LOOKS, strict=False):
        _draw_curve(axes, panel, curve, color, mark)
    axes.set_xlabel(panel.variable, color=INK, fontsize=9)
    axes.set_ylabel(quantity, color=INK, fontsize=9)
    axes.set_title(panel.title, color=INK, fontsize=10, fontweight="bold", loc="left")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axes.yaxis.set_major_formatter(lambda y, _: in_units(y, units))
    axes.grid(True, which="major", color=PALE, linewidth=0.8)
    axes.tick_params(colors=INK, which="major", labelsize=8.5)
    axes.tick_params(colors=PALE, which="minor")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False, labelcolor=INK, fontsize=8.5, loc="upper left", borderaxespad=0.2, handlelength=1.6)


def _draw_curve(axes: Axes, panel: Panel, curve: Curve, color: str, mark: str) -> None:
    axes.plot(curve.sizes, curve.values, color=color, marker=mark, markersize=4.5, linewidth=1.8, label=curve.name)
    sizes, expected = beside(curve)
    axes.plot(sizes, expected, color=color, linestyle=DASHES, linewidth=1.2)
    axes.annotate(
        power(panel.symbol, curve.order),
        (sizes[-1], expected[-1]),
        (2, -4 if curve.below else 4),
        textcoords="offset points",
        color=color,
        fontsize=9.5,
        ha="right",
        va="top" if curve.below else "bottom",
    )


def beside(curve: Curve) -> tuple[list[float], list[float]]:
    """The expected order over the upper half of the sizes, as near to the curve as it may come on its own side."""
    places = upper_half(curve.sizes)
    sizes = [curve.sizes[k] for k in places]
    ratios = [curve.values[k] / curve.sizes[k] ** curve.order for k in places]
    scale = min(ratios) / APART if curve.below else max(ratios) * APART
    return sizes, [scale * size**curve.order for size in sizes]


def power(symbol: str, order: float) -> str:
    """The order as it is written: 1, N, or N to a power."""
    if order == 0.0:
        return "constant"
    return rf"$\propto {symbol}$" if order == 1.0 else rf"$\propto {symbol}^{{{order:g}}}$"


def in_units(value: float, units: Units) -> str:
    """A number in the largest unit that it reaches."""
    scale, unit = max((scale, unit) for scale, unit in units if scale <= value * (1 + 1e-9) or scale == units[0][0])
    return f"{value / scale:,.12g} {unit}"
