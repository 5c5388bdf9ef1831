"""What the reported point is: minimum, saddle, flat or maximum, from the curvature there.

The signs are those of the Hessian scaled by its own diagonal (Sylvester: the same signs, in any units of the
parameters), and what is zero is relative to the largest (linalg/symmetric.py). Methods of second order have the matrix
at hand. For others it is computed once, at the end, where it costs no more than the run itself did; else the verdict
says "unverified".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from nablad.solvers.linalg.least_squares import column_norms, triangle
from nablad.solvers.linalg.symmetric import curvature_tolerance, diagonal_scale, extreme_eigenvalues, factorize
from nablad.solvers.linalg.vectors import is_finite
from nablad.solvers.methods.base import State
from nablad.solvers.objective import FloatArray, Objective

LARGEST_SIZE = 500
"""Beyond so many parameters a Hessian is not computed for the verdict alone."""
ALWAYS_SIZE = 64
"""Up to so many it always is."""
GRADIENTS_PER_COLUMN = 3
"""A Hessian's column costs about so many gradients."""


@dataclass(frozen=True)
class CurvatureFacts:
    """The spectrum at a point, summed up."""

    verdict: str
    smallest: float | None
    largest: float | None
    condition: float | None
    rank: int | None
    decrement: float | None = None
    """What a Newton step from the point promises, where one was computed for it."""
    note: str = ""


def unverified(note: str) -> CurvatureFacts:
    return CurvatureFacts("unverified", None, None, None, None, note=note)


def affordable(objective: Objective, gradients: int) -> bool:
    """Whether a Hessian for the verdict costs little, or no more than the `gradients` of the run."""
    p = objective.size
    return p <= ALWAYS_SIZE or (p <= LARGEST_SIZE and GRADIENTS_PER_COLUMN * p <= gradients)


def curvature_at(objective: Objective, state: State, gradients: int) -> CurvatureFacts:
    """The facts at the state's point. May evaluate a Hessian or a QR, if affordable."""
    if objective.size == 0:
        return CurvatureFacts("minimum", None, None, None, 0, note="There are no parameters.")
    if state.triangle is not None:
        return of_triangle(state.triangle)
    if state.hessian is not None:
        return of_hessian(state.hessian)
    theta, slope = state.theta, state.gradient
    if not affordable(objective, gradients):
        return unverified(
            f"A Hessian of {objective.size} parameters, for the verdict alone, would cost more than the run."
        )
    if objective.capabilities.residual and objective.capabilities.affine:
        R = objective.tsqr(theta).r
        facts = of_triangle(R)
        known = facts.rank is not None
        return replace(facts, decrement=triangle(R).correction(0.5 * slope, theta).decrease) if known else facts
    H = objective.hessian(theta)
    facts = of_hessian(H)
    known = facts.rank is not None
    return replace(facts, decrement=0.5 * factorize(H).newton_step(slope, theta)[1]) if known else facts


def of_hessian(H: FloatArray) -> CurvatureFacts:
    """The facts of a symmetric H (p, p)."""
    if not is_finite(H):
        return unverified("The Hessian is not finite there.")
    scale = diagonal_scale(H)
    values = np.linalg.eigvalsh(H / scale / scale[:, None])
    sizes = np.abs(values)
    bound = curvature_tolerance(H.shape[0], float(np.finfo(H.dtype).eps)) * float(sizes.max())
    kept = sizes[sizes > bound]
    smallest, largest = extreme_eigenvalues(H)
    return CurvatureFacts(
        verdict=_verdict(float(values[0]), float(values[-1]), bound),
        smallest=smallest,
        largest=largest,
        condition=float(kept.max() / kept.min()) if kept.size else None,
        rank=int(kept.size),
    )


def of_triangle(R: FloatArray) -> CurvatureFacts:
    """The facts of the Hessian 2 R'R, from R (k, p): the squares never taken of small singular values."""
    if not is_finite(R):
        return unverified("The Jacobian is not finite there.")
    p = R.shape[1]
    factor = triangle(R)
    widest = float(column_norms(R).max())
    singular = np.linalg.svd(R / widest, compute_uv=False) if R.shape[0] else np.zeros(1)
    smallest = float(singular[-1]) if R.shape[0] >= p else 0.0
    return CurvatureFacts(
        verdict="minimum" if factor.rank == p else "flat",
        smallest=_twice_square(smallest * widest),
        largest=_twice_square(float(singular[0]) * widest),
        condition=factor.condition,
        rank=factor.rank,
    )


def _twice_square(x: float) -> float:
    """2 x^2, infinite where that is beyond the range: Python's own power would raise."""
    return 2.0 * x * x


def _verdict(smallest: float, largest: float, bound: float) -> str:
    if smallest > bound:
        return "minimum"
    if smallest >= -bound:
        return "flat"
    return "maximum" if largest < -bound else "saddle"


def relative(size: float, first: float) -> float:
    """size / first, with 0 / 0 = 0."""
    if first > 0.0:
        return size / first
    return 0.0 if size == 0.0 else math.inf
