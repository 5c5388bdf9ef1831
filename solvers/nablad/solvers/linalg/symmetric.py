r"""A symmetric matrix made fit for Newton's method: modified Cholesky by spectrum.

Newton's step solves H s = -g and is a descent direction only if H is positive definite. H is first scaled by its own
diagonal, H_s = D^-1 H D^-1 with D_i = sqrt(H_ii), so that the units of the parameters do not matter: by Sylvester's law
the signs of the curvature survive, and by van der Sluis (1969) this diagonal is within a factor p of the best one.

Cholesky is tried first (p^3 / 3 multiplications), and its condition is estimated (LAPACK pocon, O(p^2)). Where it
fails, or where H_s is singular to working precision, the spectrum H_s = V L V' (about 9 p^3) is modified instead,

    |H| = V max(|L|, floor) V',

the choice of Nocedal and Wright (2006), section 3.4, and Greenstadt (1967): it repels from saddles, where adding a
multiple of I would not, and it gives the direction of most negative curvature at no further cost. Gill-Murray-Wright
or Schnabel-Eskow factors cost less when H is indefinite, but give no reliable direction of negative curvature (Cheng
and Higham 1998); H is indefinite in few iterations of a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from scipy.linalg import eigh

from nablad.solvers.linalg.lapack import routine
from nablad.solvers.linalg.vectors import FloatArray


class Curvature(Enum):
    """The sign of the smallest curvature, relative to the largest."""

    POSITIVE = "positive"
    FLAT = "flat"
    NEGATIVE = "negative"
    UNKNOWN = "unknown"


INDEFINITE_FLOOR = 3e-4
"""Where the curvature is negative somewhere, Newton's model is no guide far out: curvatures below this share of the
largest count as this. On networks of 49 to 100 parameters any share from 1e-4 to 1e-3 nearly halved the iterations of
none at all; 1e-2 was too timid. Positive definite matrices, and so the last phase, are not concerned."""


def curvature_tolerance(size: int, eps: float) -> float:
    """Eigenvalues below this share of the largest are zero: a Hessian is known to a multiple of its roundoff."""
    return 100.0 * max(size, 1) * eps


STEP_MARGIN = 4.0
"""In p eps: what the spectrum itself rounds off. A step reckons with curvatures above it, though their sign is not told
from zero below `curvature_tolerance`: the next value of f shows whether they were real."""


def step_spectrum(values: FloatArray) -> FloatArray:
    """Eigenvalues (p,) ascending as a step reckons with them: 0 where roundoff may have made them."""
    eps = float(np.finfo(values.dtype).eps)
    largest = float(np.abs(values).max(initial=0.0))
    negative = -curvature_tolerance(values.size, eps) * largest
    positive = STEP_MARGIN * values.size * eps * largest
    return np.where((values >= negative) & (values <= positive), values.dtype.type(0.0), values)


def gradient_noise(H: FloatArray, vectors: FloatArray, scaled_theta: FloatArray) -> FloatArray:
    """What rounding theta changes in the slopes V'g, |V|'|H| |D theta| eps, shape (k,), for a scaled H (k, k): a slope
    along a direction of no curvature must exceed it to mean something.

    A parameter whose row of H is zero has no part in it, however far it has gone: on w^2 - b the slope along b is 1 at
    b = 1e30, too.
    """
    eps = float(np.finfo(H.dtype).eps)
    return np.asarray(STEP_MARGIN * eps * (np.abs(vectors).T @ (np.abs(H) @ np.abs(scaled_theta))))


def classify(smallest: float, largest: float, tolerance: float) -> Curvature:
    """The sign of a spectrum with these extremes, by a relative threshold: curvature has units (scipy #19268)."""
    bound = tolerance * max(abs(smallest), abs(largest))
    if smallest < -bound:
        return Curvature.NEGATIVE
    return Curvature.POSITIVE if smallest > bound else Curvature.FLAT


RUIZ_SWEEPS = 40


def diagonal_scale(H: FloatArray) -> FloatArray:
    """D > 0, shape (p,), such that D^-1 H D^-1 has no units: sqrt(H_ii) where H may be positive definite.

    Then |H_ij| <= D_i D_j. Where that fails, as in [[0, 1], [1, 0]], the diagonal says nothing of the scale, and rows
    are scaled to the largest entry 1 by Ruiz' iteration (2001), which converges from any units to the same matrix.
    """
    if H.shape[0] == 0:
        return np.ones(0, dtype=H.dtype)
    diagonal = np.diagonal(H)
    if bool((diagonal > 0.0).all()):
        scale = np.sqrt(diagonal)
        if float(np.max(np.abs(H / scale / scale[:, None]))) <= 2.0:
            return np.asarray(scale)
    size = np.abs(H)
    scale = np.ones(H.shape[0], dtype=H.dtype)
    for _ in range(RUIZ_SWEEPS):
        widest = np.max(size / scale / scale[:, None], axis=1)
        if bool((np.abs(widest - 1.0) <= 1e-2)[widest > 0.0].all()):
            break
        scale = scale * np.sqrt(np.where(widest > 0.0, widest, 1.0))
    return np.asarray(scale, dtype=H.dtype)


@dataclass(frozen=True)
class SymmetricFactor:
    """|H| = D (factor) D, ready to solve."""

    scale: FloatArray
    """D, shape (p,)."""
    curvature: Curvature
    condition: float
    """Of the scaled matrix: estimated in the 1-norm after Cholesky, of the nonzero spectrum else."""
    rank: int
    triangle: FloatArray | None
    """Lower Cholesky factor of H_s, where H_s is safely positive definite."""
    eigenvalues: FloatArray | None
    """Elsewhere, ascending; 0 where roundoff may have made them."""
    eigenvectors: FloatArray | None
    floor: float
    """The least curvature that a step within a line search reckons with."""
    scaled: FloatArray | None = None
    """H_s, where there are eigenvalues."""

    def newton_step(self, gradient: FloatArray, theta: FloatArray) -> tuple[FloatArray, float]:
        """The step -|H|^-1 g, shape (p,), and g'|H|^-1 g, twice the decrease that it promises; inf where f falls along
        a direction of no curvature, and no length can be promised.

        Along directions of no curvature, a gradient that is mere roundoff is left out: divided by almost nothing it
        would be a long and meaningless step.
        """
        g = gradient / self.scale
        if self.triangle is not None:
            trtrs = routine("trtrs", self.triangle)
            w, _ = trtrs(self.triangle, g, lower=1)
            z, _ = trtrs(self.triangle, w, lower=1, trans=1)
            return -z / self.scale, float(w.dot(w))
        assert self.eigenvalues is not None
        assert self.eigenvectors is not None
        assert self.scaled is not None
        size = np.abs(self.eigenvalues)
        h = self.eigenvectors.T @ g
        noise = gradient_noise(self.scaled, self.eigenvectors, self.scale * theta)
        h = np.where((size == 0.0) & (np.abs(h) <= noise), 0.0, h)
        least = self.floor if self.curvature is Curvature.NEGATIVE else 0.0
        w = h / np.where(size > 0.0, np.maximum(size, least), self.floor if self.floor > 0.0 else 1.0)
        unresolved = bool(((size == 0.0) & (h != 0.0)).any())
        return -(self.eigenvectors @ w) / self.scale, np.inf if unresolved else float(h.dot(w))

    def descent_curve(self, gradient: FloatArray) -> tuple[FloatArray, float]:
        """The direction v of most negative curvature, ||D v|| = 1, turned downhill, and v'Hv < 0."""
        assert self.eigenvalues is not None
        assert self.eigenvectors is not None
        u = self.eigenvectors[:, 0]
        # An eigenvector's sign is the library's whim: fix it, so that the run is the same everywhere.
        u = u * (1.0 if u[int(np.argmax(np.abs(u)))] > 0 else -1.0)
        v = u / self.scale
        return (-v if float(gradient.dot(v)) > 0.0 else v), float(self.eigenvalues[0])


def factorize(H: FloatArray) -> SymmetricFactor:
    """Factorize |H|, of a finite symmetric H of shape (p, p)."""
    size = H.shape[0]
    eps = float(np.finfo(H.dtype).eps)
    tolerance = curvature_tolerance(size, eps)
    scale = diagonal_scale(H)
    scaled: FloatArray = H / scale / scale[:, None]
    if size and bool((np.diagonal(scaled) > 0.0).all()):
        triangle, condition = _cholesky(scaled)
        if triangle is not None and condition * tolerance < 1.0:
            return SymmetricFactor(scale, Curvature.POSITIVE, condition, size, triangle, None, None, 0.0)
    values, vectors = _spectrum(scaled)
    sizes = np.abs(values)
    largest = float(sizes.max(initial=0.0))
    zero = tolerance * largest
    kept = sizes[sizes > zero]
    condition = float(largest / kept.min()) if kept.size else 1.0
    kind = classify(float(values[0]), float(values[-1]), tolerance) if size else Curvature.FLAT
    floor = INDEFINITE_FLOOR * largest if kind is Curvature.NEGATIVE else zero
    return SymmetricFactor(scale, kind, condition, int(kept.size), None, step_spectrum(values), vectors, floor, scaled)


def _cholesky(A: FloatArray) -> tuple[FloatArray | None, float]:
    triangle, info = routine("potrf", A)(A, lower=1, clean=1)
    if info != 0:
        return None, np.inf
    rcond, _ = routine("pocon", A)(triangle, float(np.abs(A).sum(axis=0).max()), uplo="L")
    return triangle, (1.0 / float(rcond) if rcond > 0.0 else np.inf)


def _spectrum(A: FloatArray) -> tuple[FloatArray, FloatArray]:
    values: Any
    vectors: Any
    values, vectors = eigh(A, check_finite=False)
    return values, vectors


def extreme_eigenvalues(H: FloatArray) -> tuple[float, float]:
    """The smallest and the largest eigenvalue of a symmetric H, in the user's units; NaN for an empty one."""
    if H.shape[0] == 0:
        return float("nan"), float("nan")
    values = np.linalg.eigvalsh(H)
    return float(values[0]), float(values[-1])
