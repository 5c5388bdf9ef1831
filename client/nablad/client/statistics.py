"""What a fit says of its parameters: how far each may be off, and how they depend on each other.

By linearization at the best point (Seber and Wild 2003, chapter 5): with y = f(theta) + e, the errors e independent
and of equal variance s^2, an estimate's covariance is s^2 (J'J)^-1. Exact for models that are linear in theta with
normal errors, and good for others where f is nearly linear over a few standard errors.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nablad.client.errors import NabladError, invalid
from nablad.client.named import Layout, Named
from nablad.client.student import student_t
from nablad.client.words import counted
from nablad.wire.elements import element_names

_ROWS = 24
"""A table shows so many parameters."""


@dataclass(frozen=True, eq=False)
class Intervals(Mapping[str, tuple[Any, Any]]):
    """An interval for each parameter: `intervals["b1"]` is (lower, upper), numbers or arrays of the parameter's shape.

    `np.asarray(intervals)` has shape (p, 2).
    """

    lower: NDArray[Any]
    """Shape (p,)."""
    upper: NDArray[Any]
    """Shape (p,)."""
    level: float
    """The probability."""
    layout: Layout

    def __getitem__(self, name: str) -> tuple[Any, Any]:
        return Named(self.lower, self.layout)[name], Named(self.upper, self.layout)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout)

    def __len__(self) -> int:
        return len(self.layout)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("intervals become an array by a copy only")
        return np.stack([self.lower, self.upper], axis=1).astype(dtype, copy=False)

    def __repr__(self) -> str:
        rows = zip(element_names(self.layout), self.lower.tolist(), self.upper.tolist(), strict=True)
        inner = ", ".join(f"{name}: [{low:.6g}, {high:.6g}]" for name, low, high in rows)
        return f"Intervals({self.level:g}: {inner})"


@dataclass(frozen=True, eq=False, repr=False)
class Statistics:
    """Of a sum of squares, at its best point. Without degrees of freedom what follows from them is None."""

    observations: int
    """The number of residuals."""
    degrees_of_freedom: int
    """Observations less the parameters that they determine."""
    residual_sum_of_squares: float
    residual_standard_deviation: float | None
    """s, the square root of the sum of squares over the degrees of freedom: the scatter of an observation."""
    standard_errors: NDArray[Any] | None
    """Of theta, shape (p,), in the parameters' units; inf where the data do not determine a parameter."""
    covariance: NDArray[Any] | None
    """Of theta, shape (p, p)."""
    warnings: tuple[str, ...]
    """Where these numbers mean little, and why."""
    theta: NDArray[Any]
    """The estimates, shape (p,)."""
    layout: Layout
    """The parameters' names and shapes, in the order of theta."""

    @property
    def named_standard_errors(self) -> Named | None:
        """The standard errors by parameter, each of its own shape."""
        return None if self.standard_errors is None else Named(self.standard_errors, self.layout)

    @property
    def named_covariance(self) -> Named | None:
        """`named_covariance["b1"]["b2"]`, of shape b1.shape + b2.shape."""
        return None if self.covariance is None else Named(self.covariance, self.layout, 2)

    @property
    def correlation(self) -> NDArray[Any] | None:
        """Of the estimates, shape (p, p), between -1 and 1: near either, the data tell only a combination of two."""
        if self.covariance is None:
            return None
        errors = np.sqrt(np.diagonal(self.covariance))
        scale = np.where(errors > 0.0, errors, 1.0)
        correlation = self.covariance / scale / scale[:, None]
        np.fill_diagonal(correlation, 1.0)
        return correlation

    def confidence_intervals(self, level: float = 0.95) -> Intervals:
        """estimate -+ t * standard error, with Student's t; in the long run the share `level` of such hold the truth.

        InvalidRequest for a level that is no probability, NabladError without degrees of freedom.
        """
        if self.standard_errors is None:
            raise NabladError(
                f"there are no intervals: {counted(self.observations, 'observation')} determine no fewer parameters, "
                "and leave no degrees of freedom"
            )
        try:
            t = student_t(level, self.degrees_of_freedom)
        except (TypeError, ValueError) as error:
            raise invalid("level", f"is {level!r}; it must be between 0 and 1, such as 0.95") from error
        with np.errstate(invalid="ignore"):
            reach = t * self.standard_errors
        return Intervals(self.theta - reach, self.theta + reach, level, self.layout)

    def uncertainty_rows(self) -> Iterator[tuple[str, str, str]]:
        """Of each element of theta, as text: standard error, t (the estimate in units of it), and 95% interval."""
        if self.standard_errors is None:
            return
        within = self.confidence_intervals()
        for value, error, low, high in zip(self.theta, self.standard_errors, within.lower, within.upper, strict=True):
            ratio = f"{value / error:.4g}" if 0.0 < error < np.inf else "-"
            interval = f"[{low:.6g}, {high:.6g}]" if np.isfinite(error) else "not determined"
            yield f"{error:.6g}", ratio, interval

    @property
    def summary(self) -> str:
        """A line: how far the data scatter, and how many of them there are."""
        s = self.residual_standard_deviation
        scatter = "no residual standard deviation" if s is None else f"residual standard deviation {s:.6g}"
        freedom = counted(self.degrees_of_freedom, "degree of freedom", "degrees of freedom")
        return f"{scatter}; {counted(self.observations, 'observation')}, {freedom}"

    def __repr__(self) -> str:
        lines = [f"Statistics: {self.summary}", f"  residual sum of squares {self.residual_sum_of_squares:.10g}"]
        if self.standard_errors is not None:
            lines += ["", *(f"  {row}" for row in _table(self))]
        for warning in self.warnings:
            lines += ["", *textwrap.wrap(warning, 96, initial_indent="  ", subsequent_indent="  ")]
        return "\n".join(lines)


_HEADINGS = ("parameter", "estimate", "standard error", "t", "95% interval")


def _table(statistics: Statistics) -> list[str]:
    """Lines of equal columns, numbers to the right; of many parameters the first ones."""
    shown = zip(element_names(statistics.layout), statistics.theta, statistics.uncertainty_rows(), strict=True)
    rows = [_HEADINGS, *((name, f"{value:.9g}", *cells) for name, value, cells in islice(shown, _ROWS))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADINGS))]
    lines = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, "<>>><", widths, strict=True)).rstrip()
        for row in rows
    ]
    left = statistics.theta.size - _ROWS
    return lines + ([f"... {left} more"] if left > 0 else [])


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted outputs and how sure they are."""

    outputs: NDArray[Any]
    """The model's outputs, shape (M,) or (M, outputs)."""
    lower: NDArray[Any]
    """The interval's lower end, of the same shape."""
    upper: NDArray[Any]
    """The interval's upper end, of the same shape."""
    interval: str
    """`confidence`, for the expected response, or `prediction`, for a new observation of it."""
    level: float
    """The probability."""
    warnings: tuple[str, ...] = ()
    """Where the interval means little, and why."""
