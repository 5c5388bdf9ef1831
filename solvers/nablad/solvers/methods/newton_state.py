"""What Newton's method knows at a point, shared by its kinds of step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nablad.solvers.linalg.vectors import FloatArray, epsilon, norm, ratio
from nablad.solvers.methods.affine_state import AffineState

GRADIENT_MARGIN = 4.0
"""How many roundings of theta a gradient must exceed to mean something."""
TRAVEL_SHARE = 1e-8
"""A minimizer at zero is known relative to this share of the longest theta seen."""

HESSIAN, GAUSS_NEWTON = "hessian", "gauss_newton"


@dataclass(frozen=True, kw_only=True)
class NewtonState(AffineState):
    slope: float
    """g'd."""
    bend: float = 0.0
    """d'Hd where d was chosen for its negative curvature, else 0."""
    scale: FloatArray | None = None
    """D, by which a trust region measures steps, shape (p,)."""
    radius: float = 0.0
    """Of the trust region: ||D s|| <= radius."""
    eager: bool = True
    """Whether the next search's first trial will probably be taken."""
    model: str = HESSIAN
    """The curvature that the next step will use: "hessian", or "gauss_newton" for 2 J'J."""
    gauss_newton: FloatArray | None = None
    """2 J'J at theta, shape (p, p), where the method has it."""
    doubts: int = 0
    """How many of the last steps in a row erred much (newton_blend.py)."""
    gauss_newton_steps: int = 0
    """How many of the steps so far used 2 J'J."""
    at_edge: bool = False
    """Whether the radius alone keeps `direction` from being longer (conjugate gradients)."""
    forcing: float = 0.0
    """The share of the gradient that conjugate gradients left of it."""
    scaled_gradient: float = 0.0
    """||D^-1 g||, of the free parameters (conjugate gradients)."""
    scale_age: int = 0
    """Iterations since the diagonal was last estimated (conjugate gradients)."""

    @property
    def matrix(self) -> FloatArray | None:
        """The best curvature that is known at theta."""
        return self.gauss_newton if self.hessian is None else self.hessian


def relative_length(scale: FloatArray, step: FloatArray, theta: FloatArray, widest: FloatArray) -> float:
    """||D s|| / ||D theta||, with D the diagonal `scale` that takes the parameters' units out."""
    reference = max(norm(scale * theta), TRAVEL_SHARE * norm(scale * widest))
    return ratio(norm(scale * step), reference)


def relative_change(scale: FloatArray, step: FloatArray, theta: FloatArray, widest: FloatArray) -> float:
    """The length above, or eps^(1/6) times the largest relative change of any one parameter, if that is more.

    Where one parameter's curvature outweighs the others' by far, the scaled length sees nothing else (Chebyquad from
    afar: one root settled, and the others anywhere). With the share, a step of eps^(2/3) changes each by sqrt(eps) at
    most. A parameter near zero is measured by its share TRAVEL_SHARE of the largest it was, or by eps of its share of
    the whole.
    """
    eps = epsilon(theta.dtype)
    length = relative_length(scale, step, theta, widest)
    reference = np.maximum(np.maximum(np.abs(theta), TRAVEL_SHARE * widest), eps * norm(scale * theta) / scale)
    moving = step != 0.0
    changes = np.abs(step[moving]) / reference[moving]
    return max(length, float(eps ** (1 / 6) * changes.max(initial=0.0)))
