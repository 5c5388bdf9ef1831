r"""Least squares in a ball: More's (1978) subproblem of the Levenberg-Marquardt method, by singular values.

    minimize ||b + A z||   subject to   ||z|| <= radius,    A (k, p) of any rank

Either a shortest minimizer lies in the ball, or z = -(A'A + l I)^-1 A'b with the l > 0 that puts z on the sphere. From
A = U S V' and w = U'b both are sums over singular values, z = -V (S w / (S^2 + l)), so that any number of values of l
costs no factorization more, and squares of small singular values are never subtracted from anything. (More factorizes
[R; sqrt(l) D] anew for each l, two or three times an iteration; a singular value decomposition costs about as much as
four of those, does not depend on how many there are, and shows the rank.)

l is the root of 1/||z(l)|| - 1/radius, which is nearly linear in l (Hebden 1973; Reinsch 1971), concave and rising:
from l = 0 Newton's iteration for it climbs to the root without passing it. A few iterations of O(p) each bring ||z||
within a thousandth of the radius, which is more than a radius is worth; what is left of the excess is cut off, so that
z lies in the ball in every digit.

Singular values below `tolerance` times the largest are taken for zero, and z has no part there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import svd

from nablad.solvers.linalg.vectors import FloatArray, norm

CLOSE = 1e-3
"""The relative excess over the radius at which the iteration ends."""
ITERATIONS = 100


@dataclass(frozen=True)
class DampedLeastSquares:
    """The nonzero part of A = U S V', ready for any b, radius or damping."""

    left: FloatArray
    """U, shape (k, rank)."""
    singular: FloatArray
    """S > 0, descending, shape (rank,)."""
    right: FloatArray
    """V, shape (p, rank)."""

    def within(self, b: FloatArray, radius: float) -> tuple[FloatArray, float]:
        """z (p,) for this b (k,) and radius >= 0, and its l; l is 0 where z is the shortest minimizer of all."""
        w = self.left.T @ b
        damping = self._damping(w, radius)
        z = self._damped(w, damping)
        size = norm(z)
        return (z if size <= radius else (max(radius, 0.0) / size) * z), damping

    def response(self, slope: FloatArray, damping: float) -> FloatArray:
        """-(A'A + damping I)^-1 slope, shape (p,), for a slope A'b (p,); of the nonzero part of A."""
        return self._damped((self.right.T @ slope) / self.singular, damping)

    def _damped(self, w: FloatArray, damping: float) -> FloatArray:
        return -(self.right @ (w / (self.singular + damping / self.singular)))

    def _damping(self, w: FloatArray, radius: float) -> float:
        s = self.singular
        if not radius > 0.0 or norm(w / s) <= radius:
            return 0.0
        damping = 0.0
        for _ in range(ITERATIONS):
            below = s + damping / s
            z = w / below
            size = norm(z)
            if size <= (1.0 + CLOSE) * radius:
                break
            # ||z|| = size, and -d||z||^2 / dl / 2 = sum z_i^2 / (s_i below_i).
            unit = z / size
            damping += (size / radius - 1.0) / float((unit * unit / (s * below)).sum())
        return damping


def damped(A: FloatArray, tolerance: float) -> DampedLeastSquares:
    """Decompose A (k, p), which must be finite; `tolerance` relative to the largest singular value decides the rank."""
    U, S, Vt = svd(A, full_matrices=False, check_finite=False)
    rank = int(np.count_nonzero(tolerance * S[0] < S)) if S.size and S[0] > 0.0 else 0
    return DampedLeastSquares(U[:, :rank], S[:rank], Vt[:rank].T)
