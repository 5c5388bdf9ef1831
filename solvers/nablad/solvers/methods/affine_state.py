"""What a second-order method keeps of an affine residual (newton_affine.py); the states of all of them hold it."""

from __future__ import annotations

from dataclasses import dataclass

from nablad.solvers.linalg.vectors import FloatArray
from nablad.solvers.methods.base import State


@dataclass(frozen=True, kw_only=True)
class AffineState(State):
    direction: FloatArray
    """The next step, shape (p,)."""
    widest: FloatArray
    """The largest |theta| seen, by component."""
    refinements: int = 0
    """Steps taken from the triangle of an affine residual."""
