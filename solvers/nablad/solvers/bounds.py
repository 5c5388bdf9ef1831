"""A box that confines the parameters: lower <= theta <= upper, component by component, -inf and inf where open.

A point is stationary in the box where no feasible direction descends (Nocedal and Wright 2006, section 16.7): each
component of the gradient is zero, or its parameter sits on a bound and the gradient presses it outwards. Those
components are the active ones; `free` is the rest, and the gradient on it, the `projected` one, is what vanishes at a
solution. It is in the gradient's own units, which P(theta - g) - theta, the other usual measure, is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Bounds:
    """lower and upper, shape (p,) each, lower <= upper; equal ones fix a parameter. Raises ValueError."""

    lower: FloatArray
    upper: FloatArray

    def __post_init__(self) -> None:
        if self.lower.ndim != 1 or self.lower.shape != self.upper.shape:
            raise ValueError(f"bounds: shapes {self.lower.shape} and {self.upper.shape} are not one and the same (p,)")
        if bool(np.isnan(self.lower).any() or np.isnan(self.upper).any()):
            raise ValueError("bounds: NaN is no bound; leave a side open with -inf or inf")
        crossed = np.flatnonzero((self.lower > self.upper) | (self.lower == np.inf) | (self.upper == -np.inf))
        if crossed.size:
            i = int(crossed[0])
            raise ValueError(f"bounds: element {i} has no room between {self.lower[i]:g} and {self.upper[i]:g}")

    def contains(self, theta: FloatArray) -> bool:
        return bool((self.lower <= theta).all() and (theta <= self.upper).all())

    def project(self, theta: FloatArray) -> FloatArray:
        """The nearest point of the box; NaN stays NaN."""
        return np.asarray(np.minimum(np.maximum(theta, self.lower), self.upper), dtype=theta.dtype)

    def active(self, theta: FloatArray, gradient: FloatArray) -> NDArray[np.bool_]:
        """Which parameters sit on a bound with the gradient pressing outwards, or have no room at all; shape (p,)."""
        low = (theta <= self.lower) & (gradient > 0.0)
        high = (theta >= self.upper) & (gradient < 0.0)
        return np.asarray(low | high | (self.lower == self.upper))

    def free(self, theta: FloatArray, gradient: FloatArray) -> NDArray[np.bool_]:
        """The others."""
        return ~self.active(theta, gradient)

    def sides(self, theta: FloatArray) -> NDArray[np.intp]:
        """Which way alone each parameter of a theta inside may move: 1 up, -1 down, 0 where both or neither; (p,)."""
        return np.asarray((theta <= self.lower).astype(np.intp) - (theta >= self.upper).astype(np.intp))

    def projected(self, theta: FloatArray, gradient: FloatArray) -> FloatArray:
        """The gradient with its active components zero; shape (p,)."""
        return np.where(self.active(theta, gradient), gradient.dtype.type(0.0), gradient)

    def reach(self, theta: FloatArray, direction: FloatArray) -> float:
        """The largest t >= 0 with theta + t direction inside, for theta inside; inf if the ray never leaves."""
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(direction > 0.0, self.upper - theta, self.lower - theta)
            steps = np.where(direction != 0.0, room / direction, np.inf)
        return float(np.min(steps, initial=np.inf))


def inward(bounds: Bounds, theta: FloatArray, direction: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The direction and its opposite, each without what would leave the box at once; shape (p,) each."""
    sides = bounds.sides(theta)
    forth, back = (np.where(sides * turned < 0.0, turned.dtype.type(0.0), turned) for turned in (direction, -direction))
    return forth, back
