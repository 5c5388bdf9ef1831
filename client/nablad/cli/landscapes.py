"""Paths of iterates over the contour lines of a function of two parameters, as picture files (the plot extra).

A row is a function, a column is a method. Curves are told apart by their places, not by colours; the one colour is from
the colour-blind-safe palette of Okabe and Ito (2008).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nablad.cli.files import write_atomically
from nablad.cli.plotting import check_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _CONTOUR, _PATH = "#333333", "#b8b8b8", "#d55e00"
_RESOLUTION = 400


@dataclass(frozen=True)
class Landscape:
    """A function of (x, y) over a rectangle."""

    title: str
    values: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]
    """f at two arrays of one shape."""
    x: tuple[float, float]
    y: tuple[float, float]
    levels: tuple[float, ...]
    """Of the contour lines, rising."""
    minimizers: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Track:
    """What one method did."""

    label: str
    points: NDArray[Any]
    """The iterates, shape (k, 2), start first."""
    note: str
    """How it ended."""


def write_landscapes(path: Path, rows: Sequence[tuple[Landscape, Sequence[Track]]], title: str = "") -> None:
    """Write a picture, a panel for each track. Raises CommandError for a path that cannot be written."""
    from matplotlib.figure import Figure

    check_plot(path)
    columns = max(len(tracks) for _, tracks in rows)
    figure = Figure(figsize=(3.3 * columns, 3.5 * len(rows) + 0.4), layout="constrained", dpi=100)
    if title:
        figure.suptitle(title, color=_INK, fontsize=13, fontweight="bold")
    for i, (landscape, tracks) in enumerate(rows):
        for k, track in enumerate(tracks):
            axes = figure.add_subplot(len(rows), columns, i * columns + k + 1)
            _draw(axes, landscape, track)
            axes.set_xlabel("x", color=_INK, fontsize=8)
            axes.set_ylabel(f"{landscape.title}\ny" if k == 0 else "y", color=_INK, fontsize=8)
    suffix = path.suffix.lower().lstrip(".")
    metadata = {"Date": None} if suffix == "svg" else {"Software": None}
    write_atomically(path, lambda stream: figure.savefig(stream, format=suffix, metadata=metadata))


def _draw(axes: Axes, landscape: Landscape, track: Track) -> None:
    x, y = np.meshgrid(np.linspace(*landscape.x, _RESOLUTION), np.linspace(*landscape.y, _RESOLUTION))
    axes.contour(x, y, landscape.values(x, y), levels=landscape.levels, colors=_CONTOUR, linewidths=0.7, zorder=1)
    points = track.points
    axes.plot(points[:, 0], points[:, 1], color=_PATH, linewidth=1.1, marker="o", markersize=2.6, zorder=3)
    axes.plot(*points[0], color="white", marker="o", markersize=8, markeredgecolor=_PATH, markeredgewidth=1.8, zorder=4)
    axes.plot(*points[-1], color=_PATH, marker="o", markersize=8, markeredgecolor=_INK, markeredgewidth=0.8, zorder=5)
    for minimizer in landscape.minimizers:
        axes.plot(*minimizer, color=_INK, marker="x", markersize=9, markeredgewidth=1.6, zorder=6)
    axes.set_xlim(*landscape.x)
    axes.set_ylim(*landscape.y)
    axes.set_title(f"{track.label}\n{track.note}", color=_INK, fontsize=9.5, loc="left")
    axes.tick_params(colors=_INK, labelsize=8)
