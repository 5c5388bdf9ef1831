r"""The triangle of J from J'J: half the work of a QR factorization, at the price of a squared condition.

    J'J = R'R,    R C^-1 = chol(C^-1 J'J C^-1),    c_j = ||J_j||

The columns are equilibrated before the factorization: within a factor of sqrt(p) no other scaling has a smaller
condition kappa (van der Sluis 1969). The computed R belongs to a J'J that is off by some p eps, so a step from it is
off by rho = p kappa^2 eps of itself, where one from QR is off by kappa eps. The corrections of linalg/least_squares.py,
from the true residual, multiply that error by rho each, down to what QR leaves (Bjorck 1987; Higham 2002, section
20.6). Who asks for R decides up to which kappa this is worth it.

Cost: p^3 / 3, beside the N p^2 of J'J.
"""

from __future__ import annotations

import numpy as np

from nablad.solvers.linalg.lapack import routine
from nablad.solvers.linalg.least_squares import Triangle, triangle
from nablad.solvers.linalg.vectors import FloatArray, epsilon, is_finite, smallest_normal


def cholesky_triangle(jtj: FloatArray) -> FloatArray | None:
    """R (p, p), upper triangular with R'R = J'J (p, p), which must be symmetric.

    None where J'J is not finite, not positive definite to working precision, or where squares of J's entries may have
    left the range of their precision: then only J itself tells.
    """
    squares = np.diagonal(jtj)
    eps = epsilon(jtj.dtype)
    low, high = smallest_normal(jtj.dtype) / eps, float(np.finfo(jtj.dtype).max) * eps
    if not (is_finite(jtj) and np.all((squares > low) & (squares < high))):
        return None
    scale = np.sqrt(squares)
    upper, info = routine("potrf", jtj)(jtj / scale / scale[:, None], lower=0, clean=1)
    return None if info else np.asarray(upper * scale)


def well_conditioned(jtj: FloatArray, largest: float) -> tuple[FloatArray, Triangle] | None:
    """R (p, p) and R equilibrated, where the condition of that is estimated below `largest`; None elsewhere.

    The singular values of R C^-1 are those of J C^-1 but for kappa^2 eps of themselves. R's own condition tells J's
    while p kappa^2 eps is far below one: ask for no more than 1e6 of float64.
    """
    R = cholesky_triangle(jtj)
    if R is None:
        return None
    factor = triangle(R)
    return (R, factor) if factor.upper is not None and factor.condition < largest else None
