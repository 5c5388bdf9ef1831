r"""The linear least-squares step, from the triangle of a QR factorization.

To minimize ||r + J s||^2 over s, factor J = Q R (streamed over row blocks, so that J is never held: Demmel, Grigori,
Hoemmen and Langou 2012) and solve R s = -Q'r. That loses digits with the condition kappa of J, where the normal
equations lose them with kappa^2 (Higham 2002, chapter 20; on NIST's Filip, 8 digits against none).

Columns are divided by their norms c first. The units of the parameters then matter neither for the accuracy nor for the
rank: Filip has condition 1e15 as given, and 5e9 after equilibration, a full-rank problem all the same.

Where R is singular to working precision, its SVD R C^-1 = U S V' decides the rank. Every minimizer is then one of them
plus a null vector C^-1 V_0 y, and the one returned is that with the smallest ||theta||_2 in the user's own units,
which is what numpy.linalg.lstsq returns for columns of equal size: a choice that does not depend on where the run
started.

Refinement (corrected seminormal equations, Bjorck 1987): with the gradient 2 J'r of the true residual at the new point,
R'R s = -J'r gives a correction at the cost of one pass over the rows; as accurate as a backward stable method while
kappa^2 eps < 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import svd

from nablad.solvers.linalg.lapack import routine
from nablad.solvers.linalg.vectors import FloatArray


@dataclass(frozen=True)
class Step:
    """A step s (p,), and the decrease of ||r||^2 that it promises."""

    step: FloatArray
    decrease: float


@dataclass(frozen=True)
class Triangle:
    """R C^-1, its rank and its inverse's parts."""

    scale: FloatArray
    """c, the column norms of J; 1 where a column is zero. Shape (p,)."""
    rank: int
    condition: float
    """Of the equilibrated J: estimated in the 1-norm if of full rank, of its determined part else."""
    upper: FloatArray | None
    """R C^-1 (p, p), where of full rank."""
    left: FloatArray | None
    singular: FloatArray | None
    right: FloatArray | None
    """U (k, rank), S (rank,) and V (p, rank) elsewhere."""
    null: FloatArray | None
    """An orthonormal basis of the null space in the user's units, (p, p - rank)."""

    def step(self, qtr: FloatArray, theta: FloatArray) -> Step:
        """The step from theta to the minimizer, from Q'r (k,)."""
        if self.upper is not None:
            trtrs = routine("trtrs", self.upper)
            z, _ = trtrs(self.upper, qtr)
            return Step(-z / self.scale, float(qtr.dot(qtr)))
        assert self.left is not None
        return self._deficient(self.left.T @ qtr, theta)

    def correction(self, jtr: FloatArray, theta: FloatArray) -> Step:
        """The step from theta to the minimizer, from J'r (p,) at theta: the corrected seminormal equations."""
        a = jtr / self.scale
        if self.upper is not None:
            trtrs = routine("trtrs", self.upper)
            w, _ = trtrs(self.upper, a, trans=1)
            z, _ = trtrs(self.upper, w)
            return Step(-z / self.scale, float(w.dot(w)))
        assert self.right is not None
        assert self.singular is not None
        return self._deficient((self.right.T @ a) / self.singular, theta)

    def _deficient(self, w: FloatArray, theta: FloatArray) -> Step:
        assert self.right is not None
        assert self.singular is not None
        assert self.null is not None
        s = -(self.right @ (w / self.singular)) / self.scale
        s = s - self.null @ (self.null.T @ (theta + s))
        return Step(s, float(w.dot(w)))


def triangle(R: FloatArray) -> Triangle:
    """Equilibrate R, of shape (k, p) with k <= p, and decide its rank. R must be finite."""
    k, p = R.shape
    tolerance = rank_tolerance(R)
    scale = column_norms(R)
    scaled = np.asarray(R / scale)
    if k == p and p:
        rcond, _ = routine("trcon", scaled)(scaled)
        if rcond > tolerance:
            return Triangle(scale, p, 1.0 / float(rcond), scaled, None, None, None, None)
    return _by_svd(scaled, scale, tolerance)


def rank_tolerance(R: FloatArray) -> float:
    """Below this share of the largest, singular values of R (k, p) with columns of like length are zero."""
    return 10.0 * max(int(R.shape[1]), 1) * float(np.finfo(R.dtype).eps)


def column_norms(R: FloatArray) -> FloatArray:
    """The norms of R's columns, shape (p,), free of overflow and underflow; 1 where a column is zero."""
    widest = np.max(np.abs(R), axis=0, initial=0.0)
    widest = np.where(widest > 0.0, widest, 1.0)
    norms = widest * np.sqrt(np.sum((R / widest) ** 2, axis=0))
    return np.asarray(np.where(norms > 0.0, norms, 1.0), dtype=R.dtype)


def _by_svd(scaled: FloatArray, scale: FloatArray, tolerance: float) -> Triangle:
    U, S, Vt = svd(scaled, full_matrices=True, check_finite=False)
    rank = int(np.count_nonzero(tolerance * S[0] < S)) if S.size and S[0] > 0.0 else 0
    condition = float(S[0] / S[rank - 1]) if rank else 1.0
    null, _ = np.linalg.qr(Vt[rank:].T / scale[:, None])
    return Triangle(scale, rank, condition, None, U[:, :rank], S[:rank], Vt[:rank].T, null)
