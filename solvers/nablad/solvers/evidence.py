r"""What a point is: minimum, saddle, flat or maximum, and how far it is from stationary, from the curvature there.

The Hessian is scaled by its own diagonal, H_s = D^-1 H D^-1 (Sylvester: the same signs, in any units of the
parameters), and taken apart, H_s = V L V'; what is zero is relative to the largest (linalg/symmetric.py). For an affine
residual H = 2 J'J, and L comes from the singular values of J's triangle, so that no small one is squared away. All that
is told of the point follows from this one spectrum:

- the verdict, by the signs of L; condition and rank, by its sizes;
- Newton's step s = -D^-1 V |L|^-1 V' D^-1 g and the decrease d = g'|H|^-1 g / 2 that it promises: how far the point is
  from the stationary one, in theta and in f (Nocedal and Wright 2006, section 3.3);
- the directions that f does not determine, and the parameters in them; the parameter of oddest scale.

Within bounds all of this is of the free parameters: the reduced Hessian, and the gradient's free part. Lengths in units
of the curvature, ||D theta||, are of the parameters that have any: one without curvature has no such unit, and says
nothing of how large the others are.

All of it is of the curvature alone. Whether the point is stationary is asked by verification.py; where it is not,
positive curvature makes no minimum.

Cost: methods of second order have H at hand. For others it is computed where it costs no more than the run itself did.
About 9 p^3 operations for the spectrum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nablad.solvers.linalg.least_squares import column_norms, triangle
from nablad.solvers.linalg.symmetric import curvature_tolerance, diagonal_scale, extreme_eigenvalues
from nablad.solvers.linalg.vectors import is_finite, norm, ratio
from nablad.solvers.methods.base import State
from nablad.solvers.objective import FloatArray, Objective

LARGEST_SIZE = 500
"""Beyond so many parameters a Hessian is not computed for the verdict alone."""
ALWAYS_SIZE = 64
"""Up to so many it always is."""
GRADIENTS_PER_COLUMN = 3
"""A Hessian's column costs about so many gradients."""
GRADIENT_MARGIN = 4.0
"""How many roundings of theta a gradient must exceed to mean something."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """H_s = V L V' over the free parameters, k of them."""

    free: NDArray[np.intp]
    """Which they are, of all p; shape (k,)."""
    scale: FloatArray
    """D, shape (k,)."""
    values: FloatArray
    """L, ascending, shape (k,)."""
    vectors: FloatArray
    """V, (k, k)."""
    zero: float
    """Values up to this size are zero to working precision."""
    curved: NDArray[np.bool_]
    """Which of the free parameters have any curvature, a row of H_s that is not zero; shape (k,)."""

    def length(self, theta: FloatArray) -> float:
        """||D theta||, for theta (p,)."""
        return norm((self.scale * theta[self.free])[self.curved])

    def directions(self, which: NDArray[np.bool_], size: int) -> FloatArray:
        """D^-1 v for the chosen eigenvectors, as columns (p, m) in the user's units."""
        found = np.zeros((size, int(np.count_nonzero(which))), self.vectors.dtype)
        found[self.free] = self.vectors[:, which] / self.scale[:, None]
        return found

    def without_curvature(self, way: FloatArray) -> FloatArray:
        """The part of a way, (p,), in the directions of no curvature."""
        flat = self.vectors[:, self.flat]
        part = np.zeros_like(way)
        part[self.free] = (flat @ (flat.T @ (self.scale * way[self.free]))) / self.scale
        return part

    @property
    def flat(self) -> NDArray[np.bool_]:
        """Which eigenvalues are zero."""
        return np.asarray(np.abs(self.values) <= self.zero)


@dataclass(frozen=True, eq=False)
class CurvatureFacts:
    """The curvature at a point, summed up."""

    verdict: str
    smallest: float | None = None
    largest: float | None = None
    condition: float | None = None
    rank: int | None = None
    decrement: float | None = None
    """The decrease that Newton's step from the point promises; inf where f falls along a direction of no curvature."""
    step: FloatArray | None = None
    """That step, (p,)."""
    diagonal: FloatArray | None = None
    """H_ii (p,), NaN for parameters that bounds hold."""
    spectrum: Spectrum | None = None
    active: int | None = None
    """How many parameters are held by their bounds; None without bounds."""
    over_roundoff: float = math.inf
    """The largest component of the gradient in units of what rounding theta changes in it, 4 eps |H| |theta|."""
    blur: FloatArray | None = None
    """What rounding the free parameters once changes in each component, eps |H| |theta|, (p,); NaN for the others."""
    note: str = ""
    below: float | None = field(default=None)
    """A value found lower nearby, where probing found one (probes.py)."""
    finite: bool = True
    """Whether the Hessian is, where it was asked for."""
    lost: tuple[int, ...] = ()
    """Parameters that f does not determine although they have curvature, too little of it (verification.py)."""


NOT_FINITE = "The Hessian is not finite there."


def unverified(note: str) -> CurvatureFacts:
    return CurvatureFacts("unverified", note=note)


def without_hessian() -> CurvatureFacts:
    """Where it, or a product with it, is not finite."""
    return CurvatureFacts("unverified", note=NOT_FINITE, finite=False)


def affordable(objective: Objective, gradients: int) -> bool:
    """Whether a Hessian for the verdict costs little, or no more than the `gradients` of the run."""
    p = objective.size
    return p <= ALWAYS_SIZE or (p <= LARGEST_SIZE and GRADIENTS_PER_COLUMN * p <= gradients)


def too_large(objective: Objective) -> str:
    """Why there is no verdict."""
    return f"A Hessian of {objective.size:,} parameters, for the verdict alone, would cost more than the run."


def exact_at_hand(objective: Objective, state: State) -> bool:
    """Whether the state holds the exact curvature; the triangle of a nonlinear residual has only the part 2 J'J."""
    return state.hessian is not None or (state.triangle is not None and objective.capabilities.affine)


def curvature_at(objective: Objective, state: State, gradients: int) -> CurvatureFacts:
    """The facts at the state's point. May evaluate a Hessian or a QR, if affordable."""
    if objective.size == 0:
        return CurvatureFacts("minimum", rank=0, decrement=0.0, note="There are no parameters.")
    if not (math.isfinite(state.value) and is_finite(state.gradient)):
        return unverified("The value or the gradient is not finite there.")
    at_hand = exact_at_hand(objective, state)
    if not at_hand and not affordable(objective, gradients):
        return unverified(too_large(objective))
    free, active = _free(objective, state)
    if not free.size:
        return CurvatureFacts("minimum", rank=0, decrement=0.0, active=active, note="Bounds hold every parameter.")
    if objective.capabilities.residual and objective.capabilities.affine:
        R = state.triangle if state.triangle is not None else objective.tsqr(state.theta).r
        return of_triangle(R, state.theta, state.gradient, free, active)
    H = state.hessian if state.hessian is not None else objective.hessian(state.theta)
    return of_hessian(H, state.theta, state.gradient, free, active)


def _free(objective: Objective, state: State) -> tuple[NDArray[np.intp], int | None]:
    if objective.bounds is None:
        return np.arange(objective.size), None
    free = np.flatnonzero(objective.bounds.free(state.theta, state.gradient))
    return free, objective.size - free.size


def of_hessian(
    H: FloatArray, theta: FloatArray, gradient: FloatArray, free: NDArray[np.intp], active: int | None
) -> CurvatureFacts:
    """The facts from a symmetric H (p, p)."""
    part = H[np.ix_(free, free)] if free.size < theta.size else H
    if not is_finite(part):
        return without_hessian()
    eps = float(np.finfo(H.dtype).eps)
    scale = diagonal_scale(part)
    scaled = part / scale / scale[:, None]
    values, vectors = np.linalg.eigh(scaled)
    sizes = np.abs(values)
    zero = curvature_tolerance(free.size, eps) * float(sizes.max())
    spectrum = Spectrum(free, scale, values, vectors, zero, np.asarray(part.any(axis=1)))
    kept = sizes[sizes > zero]
    smallest, largest = extreme_eigenvalues(part)
    step, decrease = newton_step(spectrum, gradient, theta, np.abs(scaled) @ np.abs(scale * theta[free]))
    floor = GRADIENT_MARGIN * eps * (np.abs(H) @ np.abs(theta))[free]
    return CurvatureFacts(
        verdict=_verdict(float(values[0]), float(values[-1]), zero, _blur(spectrum, step, theta)),
        smallest=smallest,
        largest=largest,
        condition=float(kept.max() / kept.min()) if kept.size else None,
        rank=int(kept.size),
        decrement=decrease,
        step=step,
        diagonal=_scattered(np.diagonal(part), free, theta.size),
        spectrum=spectrum,
        active=active,
        over_roundoff=_largest_ratio(np.abs(gradient[free]), floor),
        blur=_scattered(eps * (np.abs(part) @ np.abs(theta[free])), free, theta.size),
    )


def of_triangle(
    R: FloatArray, theta: FloatArray, gradient: FloatArray, free: NDArray[np.intp], active: int | None
) -> CurvatureFacts:
    """The facts of the Hessian 2 R'R, from R (k, p): the squares never taken of small singular values."""
    part = R[:, free]
    if not is_finite(part):
        return unverified("The Jacobian is not finite there.")
    factor = triangle(np.asarray(np.linalg.qr(part, mode="r")) if free.size < min(R.shape) else part)
    rank, size = factor.rank, free.size
    scaled = part / factor.scale
    singular, vectors = _singular(scaled)
    # Rank is decided by singular values; their squares are told apart from zero where those are.
    values = np.where(np.arange(size) < size - rank, 0.0, 2.0 * singular**2)
    spectrum = Spectrum(free, factor.scale, values, vectors, 0.0, np.asarray(part.any(axis=0)))
    widest = float(column_norms(part).max())
    extremes = np.linalg.svd(part / widest, compute_uv=False) if len(part) else np.zeros(1)
    smallest = float(extremes[-1]) if len(part) >= size else 0.0
    rounded = 2.0 * (np.abs(scaled).T @ (np.abs(scaled) @ np.abs(factor.scale * theta[free])))
    step, decrease = newton_step(spectrum, gradient, theta, rounded)
    return CurvatureFacts(
        verdict="minimum" if rank == size else "flat",
        smallest=_twice_square(smallest * widest),
        largest=_twice_square(float(extremes[0]) * widest),
        condition=factor.condition,
        rank=rank,
        decrement=decrease,
        step=step,
        diagonal=_scattered(2.0 * np.sum(part**2, axis=0), free, theta.size),
        spectrum=spectrum,
        active=active,
    )


def _singular(A: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Singular values ascending, with zeros for those that a wide A lacks, and the right vectors (k, k)."""
    size = A.shape[1]
    if not len(A):
        return np.zeros(size, A.dtype), np.eye(size, dtype=A.dtype)
    _, found, transposed = np.linalg.svd(A, full_matrices=True)
    values = np.zeros(size, A.dtype)
    values[size - found.size :] = found[::-1]
    return values, transposed.T[:, ::-1]


SLOPE_MARGIN = 100.0
"""In roundings of theta: a slope along a direction of no curvature that is no more than these is none."""


def newton_step(
    spectrum: Spectrum, gradient: FloatArray, theta: FloatArray, rounded: FloatArray
) -> tuple[FloatArray, float]:
    """The step -|H|^-1 g, (p,), and the decrease that it promises, g'|H|^-1 g / 2.

    Along a direction of no curvature a gradient that is roundoff counts as none; one that is more makes the promise
    infinite, for no length is then natural. `rounded`, |H_s| |D theta| (k,), tells what is roundoff: not ||D theta||,
    of which a parameter without curvature may be the largest part (b, on w^2 - b), though rounding it changes nothing.
    """
    size, free = np.abs(spectrum.values), spectrum.free
    h = spectrum.vectors.T @ (gradient[free] / spectrum.scale)
    eps = float(np.finfo(theta.dtype).eps)
    flat = size <= spectrum.zero
    blur = SLOPE_MARGIN * eps * (np.abs(spectrum.vectors).T @ rounded)
    downhill = bool((np.abs(h) > blur)[flat].any())
    h = np.where(flat, 0.0, h)
    w = h / np.where(flat, 1.0, size)
    step = np.zeros_like(theta)
    step[free] = -(spectrum.vectors @ w) / spectrum.scale
    return step, math.inf if downhill else 0.5 * float(h.dot(w))


def worst_scaled(facts: CurvatureFacts) -> tuple[int, float] | None:
    """The parameter whose curvature H_ii is farthest from the median of all, and their ratio; None for fewer than two.

    By logarithms; a parameter without any curvature is farther than all others.
    """
    if facts.diagonal is None:
        return None
    known = np.flatnonzero(np.isfinite(facts.diagonal))
    sizes = np.abs(facts.diagonal[known])
    if known.size < 2 or not sizes.any():
        return None
    with np.errstate(divide="ignore"):
        logs = np.log(sizes)
    distance = logs - np.median(logs[np.isfinite(logs)])
    i = int(np.argmax(np.abs(distance)))
    return int(known[i]), math.exp(min(float(distance[i]), 700.0))


def _scattered(values: FloatArray, free: NDArray[np.intp], size: int) -> FloatArray:
    found = np.full(size, math.nan)
    found[free] = values
    return found


def _largest_ratio(sizes: FloatArray, floors: FloatArray) -> float:
    return max((ratio(float(size), float(floor)) for size, floor in zip(sizes, floors, strict=True)), default=0.0)


def _twice_square(x: float) -> float:
    """2 x^2, infinite where that is beyond the range: Python's own power would raise."""
    return 2.0 * x * x


DRIFT = 10.0
"""By how much, in units of the largest curvature, the curvature changes where theta changes by its own length."""


def _blur(spectrum: Spectrum, step: FloatArray, theta: FloatArray) -> float:
    """How far the curvature here is from that at the stationary point, Newton's step away; 0 where that is far."""
    far = ratio(spectrum.length(step), spectrum.length(theta))
    near = far <= float(np.finfo(theta.dtype).eps) ** (1 / 3)
    return DRIFT * far * float(np.abs(spectrum.values).max()) if near else 0.0


def _verdict(smallest: float, largest: float, zero: float, blur: float = 0.0) -> str:
    """By the extreme curvatures; one that is negative by less than `blur` may be zero at the stationary point."""
    if smallest > zero:
        return "minimum"
    if smallest >= -max(zero, blur):
        return "flat"
    return "maximum" if largest < -zero else "saddle"


def relative(size: float, first: float) -> float:
    """size / first, with 0 / 0 = 0."""
    if first > 0.0:
        return size / first
    return 0.0 if size == 0.0 else math.inf
