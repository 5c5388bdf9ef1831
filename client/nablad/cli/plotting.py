"""Charts as picture files, PNG or SVG, drawn by matplotlib (the plot extra)."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nablad.cli.chart import Chart, IterationScale, iteration_scale, loss_scale, tick_labels
from nablad.cli.errors import CommandError
from nablad.cli.files import check_writable, write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SUFFIXES = (".png", ".svg")
_INK, _PALE = "#333333", "#e4e4e4"


def check_plot(path: Path) -> None:
    """Raise CommandError if the picture could not be written at the end."""
    check_writable(path, _SUFFIXES)
    if importlib.util.find_spec("matplotlib") is None:
        raise CommandError("--plot needs matplotlib: pip install 'nablad[plot]'")


def write_plot(path: Path, charts: Sequence[Chart], title: str = "") -> None:
    """Write the charts side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.0 + 5.6 * len(charts), 4.6), layout="constrained", dpi=160)
    if title:
        figure.suptitle(title, color=_INK, fontsize=13, fontweight="bold")
    for index, chart in enumerate(charts):
        _draw(figure.add_subplot(1, len(charts), index + 1), chart)
    suffix = path.suffix.lower().lstrip(".")
    # Without a date, the same runs give the same file.
    metadata = {"Date": None} if suffix == "svg" else {"Software": None}
    write_atomically(path, lambda stream: figure.savefig(stream, format=suffix, metadata=metadata))


def _draw(axes: Axes, chart: Chart) -> None:
    x_scale, y_scale = iteration_scale(chart.curves), loss_scale(chart.curves, chart.floor)
    for curve in chart.curves:
        points = curve.points()
        axes.plot(
            [x_scale.position(k) for k, _ in points],
            [max(f, chart.floor) for _, f in points],
            color=curve.look.print_color,
            marker=curve.look.print_mark if curve.look.marks_every_point else "",
            markersize=5,
            linewidth=1.8,
            label=curve.label,
            clip_on=False,
            zorder=3,
        )
    _iteration_axis(axes, x_scale)
    axes.set_yscale("log")
    axes.set_ylim(y_scale.low, y_scale.high)
    values = y_scale.ticks(most=9)
    axes.set_yticks(values, tick_labels(values))
    axes.minorticks_off()
    axes.set_xlabel(chart.x_label, color=_INK)
    axes.set_ylabel(chart.y_label, color=_INK)
    axes.set_title(chart.title, color=_INK, fontsize=10, loc="left")
    axes.grid(True, which="major", color=_PALE, linewidth=0.8)
    axes.tick_params(colors=_INK, which="both")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False, labelcolor=_INK)


def _iteration_axis(axes: Axes, scale: IterationScale) -> None:
    ticks = scale.ticks(dense=scale.last < 200)
    axes.set_xlim(0.0, 1.0)
    axes.set_xticks([scale.position(k) for k in ticks], [f"{k:,}" for k in ticks])
