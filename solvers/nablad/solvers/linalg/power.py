"""The largest curvature by power iteration on Hessian-vector products (Golub and Van Loan 2013, section 7.3).

v <- H v / ||H v|| turns towards the eigenvector of the eigenvalue largest in size, gaining the ratio of the two
largest at each product; the Rayleigh quotient is then a lower bound of it, within a few per cent after some tens of
products. That is what a gradient method needs to know: its largest stable constant step on a quadratic is 2 / L.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nablad.solvers.linalg.vectors import FloatArray, is_finite, norm


def largest_curvature(hvp: Callable[[FloatArray], FloatArray], start: FloatArray, products: int = 30) -> float | None:
    """A lower estimate of the largest |eigenvalue| of H, from some products; None if one is not finite."""
    size = norm(start)
    v = start / size if size > 0.0 else np.ones_like(start)
    estimate = 0.0
    for _ in range(products):
        w = hvp(v)
        if not is_finite(w):
            return None
        length = norm(w)
        if length == 0.0:
            break
        previous, estimate = estimate, length / norm(v)
        v = w / length
        if abs(estimate - previous) <= 1e-3 * estimate:
            break
    return estimate
