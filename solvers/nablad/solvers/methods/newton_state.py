"""What Newton's method knows at a point, shared by its two kinds of step."""

from __future__ import annotations

from dataclasses import dataclass

from nablad.solvers.linalg.vectors import FloatArray, norm, ratio
from nablad.solvers.methods.base import State

GRADIENT_MARGIN = 4.0
"""How many roundings of theta a gradient must exceed to mean something."""
TRAVEL_SHARE = 1e-8
"""A minimizer at zero is known relative to this share of the longest theta seen."""


@dataclass(frozen=True, kw_only=True)
class NewtonState(State):
    direction: FloatArray
    """Of the next search, shape (p,)."""
    slope: float
    """g'd."""
    bend: float = 0.0
    """d'Hd where d was chosen for its negative curvature, else 0."""
    widest: FloatArray
    """The largest |theta| seen, by component."""
    refinements: int = 0
    """Steps taken from the triangle."""


def relative_length(scale: FloatArray, step: FloatArray, theta: FloatArray, widest: FloatArray) -> float:
    """||D s|| / ||D theta||, with D the diagonal `scale` that takes the parameters' units out."""
    reference = max(norm(scale * theta), TRAVEL_SHARE * norm(scale * widest))
    return ratio(norm(scale * step), reference)
