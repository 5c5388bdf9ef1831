r"""A quadratic model within a ball, from products with its matrix alone: conjugate gradients, and beyond them Lanczos.

    minimize g's + s'H s / 2   subject to   ||s|| <= radius,   s in span{g, H g, ..., H^(k-1) g}

The Lanczos iteration makes an orthonormal basis Q of that space, with Q'H Q = T tridiagonal and Q'g = ||g|| e_1, one
product a vector (Golub and Van Loan 2013, chapter 10). In it the model is a problem of size k, solved to its end by
linalg/trust_region.py, hard case and all; s = Q y. As long as the solution lies inside the ball it is that of conjugate
gradients; where that of Steihaug (1983) and Toint (1981) stops, at the ball or at the first direction of negative
curvature, this one goes on (Gould, Lucidi, Roma and Toint 1999). On random indefinite matrices of size 50 the stop at
the first direction gets 3 % of the best decrease.

- Another radius needs no product: a refused step costs a value.
- ||(H + lambda I) s + g|| = beta_k |y_k|, known without a product, tells when s is as exact as was asked.
- The smallest eigenvalue of T bounds H's from above: negative curvature is seen as soon as the space holds any.

Vectors are orthogonalized against all before, twice where it matters: without that, copies of converged eigenvalues
appear. Cost: k products, 2 k^2 p multiplications, and k p numbers of memory.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nablad.solvers.linalg.trust_region import ModelStep, Spectrum, spectrum
from nablad.solvers.linalg.vectors import FloatArray, epsilon, norm

Product = Callable[[FloatArray], FloatArray]

CHECKS = 8
"""The small problem is solved each time the space has grown by this share, one part in so many."""


class Lanczos:
    """The space of one matrix and one first vector, grown as far as it is asked to."""

    def __init__(self, product: Product, first: FloatArray, most: int) -> None:
        """`first` (p,) is g, not zero; at most `most` >= 1 products are made."""
        self.product = product
        self.size = norm(first)
        self.most = min(most, first.size)
        self.basis = np.empty((min(16, self.most), first.size), dtype=first.dtype)
        self.basis[0] = first / self.size
        self.diagonal: list[float] = []
        self.beside: list[float] = []
        """beta_k, the last of which leads out of the space."""
        self.exhausted = False
        """The space holds all that g can reach."""
        self._spectrum: tuple[int, Spectrum] | None = None

    @property
    def products(self) -> int:
        return len(self.diagonal)

    def step(self, radius: float, tolerance: float) -> ModelStep:
        """The model's minimizer in the ball of this radius (inf where the space has no negative curvature), the
        residual within `tolerance` ||g|| or the products used up."""
        if not self.products:
            self._grow()
        while True:
            found = self._solve(radius)
            k = self.products
            if self._full or self.beside[-1] * abs(float(found.step[-1])) <= tolerance * self.size:
                s = self.basis[:k].T @ found.step
                return ModelStep(s, found.predicted, found.multiplier, found.at_edge)
            for _ in range(1 + k // CHECKS):
                if not self._full:
                    self._grow()

    def lowest(self) -> tuple[float, FloatArray]:
        """The smallest eigenvalue in the whole space that may be grown, and its unit vector (p,)."""
        while not self._full:
            self._grow()
        small = self._small()
        return float(small.values[0]), np.asarray(self.basis[: self.products].T @ small.vectors[:, 0])

    @property
    def values(self) -> FloatArray:
        """The eigenvalues of T, ascending, shape (k,)."""
        return self._small().values

    @property
    def _full(self) -> bool:
        return self.exhausted or self.products >= self.most

    def _solve(self, radius: float) -> ModelStep:
        small = self._small()
        if not np.isfinite(radius) and float(small.values[0]) <= 0.0:
            return ModelStep(np.zeros_like(small.values), 0.0, 0.0, True)
        return small.step(radius)

    def _small(self) -> Spectrum:
        k = self.products
        if self._spectrum is None or self._spectrum[0] != k:
            beside = np.asarray(self.beside[: k - 1])
            T = np.diag(np.asarray(self.diagonal)) + np.diag(beside, 1) + np.diag(beside, -1)
            slope = np.zeros(k)
            slope[0] = self.size
            self._spectrum = k, spectrum(T.astype(self.basis.dtype), slope.astype(self.basis.dtype))
        return self._spectrum[1]

    def _grow(self) -> None:
        k = self.products
        q = self.basis[k]
        w = self.product(q)
        size = norm(w)
        self.diagonal.append(float(q.dot(w)))
        known = self.basis[: k + 1]
        for _ in range(2):
            w = w - known.T @ (known @ w)
        beta = norm(w)
        self.beside.append(beta)
        if not beta > 100.0 * epsilon(w.dtype) * size:
            self.exhausted = True
        elif k + 1 < self.most:
            if k + 1 == self.basis.shape[0]:
                more = min(2 * self.basis.shape[0], self.most) - self.basis.shape[0]
                self.basis = np.vstack([self.basis, np.empty((more, w.size), dtype=w.dtype)])
            self.basis[k + 1] = w / beta
