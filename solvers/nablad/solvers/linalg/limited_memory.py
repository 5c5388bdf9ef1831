r"""BFGS matrices of limited memory: applied, never formed.

From k pairs (s_i, y_i), oldest first, with y_i's_i > 0, and a number gamma, the matrix H is what k BFGS updates make
of gamma I, and B = H^-1 what they make of I / gamma.

- H v by the two-loop recursion (Nocedal 1980; Nocedal and Wright 2006, algorithm 7.4), in 4 k p multiplications.
- B in compact form (Byrd, Nocedal and Schnabel 1994, theorem 2.3). With Y^ = gamma Y, in units of s,

      gamma B = I - W M W',   W = [Y^ S]  (p, 2k),   M^-1 = [[-D, L'], [L, S'S]]  (2k, 2k),

  D the diagonal of S'Y^ and L its part below. In this scaling no entry depends on the objective's units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nablad.solvers.linalg.vectors import FloatArray


@dataclass(frozen=True)
class Pairs:
    """S and Y as rows, oldest first, shape (k, p) each; products y_i's_i, shape (k,); gamma."""

    steps: FloatArray
    changes: FloatArray
    products: FloatArray
    scale: float

    @classmethod
    def none(cls, like: FloatArray, scale: float) -> Pairs:
        """No pairs: H = scale I, of the size and precision of `like`."""
        empty = np.empty((0, like.size), dtype=like.dtype)
        return cls(empty, empty, np.empty(0), scale)

    def pushed(self, s: FloatArray, y: FloatArray, product: float, scale: float, memory: int) -> Pairs:
        """With one pair more, the oldest left out beyond `memory`."""
        first = max(0, len(self.steps) + 1 - memory)
        return Pairs(
            np.vstack([self.steps[first:], s]),
            np.vstack([self.changes[first:], y]),
            np.append(self.products[first:], product),
            scale,
        )

    def inverse_times(self, v: FloatArray) -> FloatArray:
        """H v, shape (p,)."""
        q = v.copy()
        pairs = list(zip(self.steps, self.changes, self.products.tolist(), strict=True))
        shares = []
        for s, y, product in reversed(pairs):
            share = float(s.dot(q)) / product
            shares.append(share)
            q -= share * y
        q *= self.scale
        for (s, y, product), share in zip(pairs, reversed(shares), strict=True):
            q += (share - float(y.dot(q)) / product) * s
        return q

    def compact(self) -> tuple[FloatArray, FloatArray]:
        """W (p, 2k) and M^-1 (2k, 2k), in float64."""
        S, Y = self.steps.astype(np.float64), self.scale * self.changes.astype(np.float64)
        SY = S @ Y.T
        lower = np.tril(SY, -1)
        inverse = np.block([[-np.diag(np.diag(SY)), lower.T], [lower, S @ S.T]])
        return np.vstack([Y, S]).T, inverse
