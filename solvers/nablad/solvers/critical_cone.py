r"""Curvature at the corners of a box: it counts only where steps may go.

Where a parameter sits on a bound and its gradient vanishes, it is free to move one way alone. The second-order
conditions then hold of the critical cone, the feasible directions of no slope (Nocedal and Wright 2006, theorems 12.5
and 12.6), here: w_i >= 0 (or <= 0) for such weakly active parameters W, any u for those inside, I, nothing for the
others. f = x y is nowhere below its value at (0, 0) in the quadrant, though its curvature is negative along (1, -1).

With signs such that w >= 0, and A the scaled Hessian of I and W, u is eliminated: A_II must have no negative
eigenvalue, a direction of no curvature in it must not couple with W, and then min over u is w'C w with Schur's
complement

    C = A_WW - A_WI A_II^+ A_IW,

which must be copositive: m = min w'C w over w >= 0, sum w = 1, not negative. m is attained at some w whose support S
solves C_SS w = m e, sum w = 1 (Bomze 1998), and where that is singular at one of smaller support: all supports are
tried. That copositivity is hard (Murty and Kabadi 1987) shows in their number; beyond `MOST_WEAK` parameters of W
only what is plain is told: without a negative entry C is copositive, and supports of one or two can disprove it.

The verdict is a saddle for m < 0, flat for 0, a minimum for m > 0 and a positive A_II.

For many parameters no C is formed: bounds.inward cuts a direction of negative curvature, and its opposite, to the cone.

Cost: 2^|W| systems of at most |W| + 1 equations, for points of negative curvature on bounds that do not press only.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from nablad.solvers.evidence import CurvatureFacts
from nablad.solvers.methods.base import State
from nablad.solvers.objective import FloatArray, Objective

MOST_WEAK = 10
COUPLING = 1e-6
"""Of the largest curvature: what couples less with a direction of no curvature is taken for roundoff."""


def within_cone(objective: Objective, at: State, facts: CurvatureFacts) -> CurvatureFacts:
    """The facts, their verdict being that of the critical cone."""
    spectrum = facts.spectrum
    if objective.bounds is None or spectrum is None or facts.verdict not in ("saddle", "maximum"):
        return facts
    turn = objective.bounds.sides(at.theta)[spectrum.free]
    weak = turn != 0
    if not weak.any():
        return facts
    signs = np.where(weak, turn, 1)
    A = (spectrum.vectors * spectrum.values) @ spectrum.vectors.T * signs * signs[:, None]
    verdict = _verdict(A, weak, spectrum.zero)
    if verdict == "unverified":
        note = f"Its negative curvature may lead out of the bounds, of which it touches {np.count_nonzero(weak)}."
        return replace(facts, verdict=verdict, note=note)
    if verdict == "saddle":
        return replace(facts, verdict=verdict)
    return replace(facts, verdict=verdict, note="Its negative curvature leads out of the bounds.")


def _verdict(A: FloatArray, weak: NDArray[np.bool_], zero: float) -> str:
    inside = ~weak
    values, vectors = np.linalg.eigh(A[np.ix_(inside, inside)])
    coupled = vectors.T @ A[np.ix_(inside, weak)]
    flat = np.abs(values) <= zero
    loose = float(np.max(np.abs(coupled[flat]), initial=0.0)) > COUPLING * float(np.max(np.abs(A), initial=0.0))
    if bool((values < -zero).any()) or loose:
        return "saddle"
    firm = coupled[~flat]
    C = A[np.ix_(weak, weak)] - firm.T @ (firm / values[~flat, None])
    least = least_on_simplex(C) if len(C) <= MOST_WEAK else _plain_least(C, zero)
    if math.isnan(least):
        return "unverified"
    if least < -zero:
        return "saddle"
    return "minimum" if least > zero and not flat.any() else "flat"


def _plain_least(C: FloatArray, zero: float) -> float:
    """The sign of m to within `zero`, by supports of one or two and by signs of entries; NaN where they do not tell."""
    own = np.diagonal(C)
    # Of two with c_ij < min(c_ii, c_jj) the least is (c_ii c_jj - c_ij^2) / (c_ii + c_jj - 2 c_ij).
    product, spread = np.outer(own, own) - C * C, own + own[:, None] - 2.0 * C
    between = np.minimum(own, own[:, None]) > C
    pairs = np.divide(product, spread, out=np.full_like(C, math.inf), where=between)
    least = min(float(own.min()), float(pairs.min()))
    if least < -zero:
        return least
    return float(own.min()) if float(C.min()) >= -zero else math.nan


def least_on_simplex(C: FloatArray) -> float:
    """min w'C w over w >= 0, sum w = 1, for a symmetric C of few rows, at least one."""
    size = len(C)
    least = float(np.min(np.diagonal(C)))
    for count in range(2, size + 1):
        for support in combinations(range(size), count):
            bordered = np.ones((count + 1, count + 1), C.dtype)
            bordered[:count, :count] = C[np.ix_(support, support)]
            bordered[count, count] = 0.0
            try:
                found = np.linalg.solve(bordered, np.eye(count + 1, dtype=C.dtype)[count])
            except np.linalg.LinAlgError:
                continue
            w = found[:count]
            if bool((w > 0.0).all()):
                least = min(least, float(w @ bordered[:count, :count] @ w) / float(np.sum(w)) ** 2)
    return least
