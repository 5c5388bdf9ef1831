r"""The order at which a run's steps shrank.

Errors with e_{k+1} = C e_k^q have log e_{k+1} - log e_k = q (log e_k - log e_{k-1}): q is the slope between successive
differences of the logarithms, and C cancels (Nocedal and Wright 2006, appendix A.2, for the definition; here e_k is the
step's relative length, which is the error of the point before it, up to a factor). 1 is linear, 2 quadratic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

PAIRS = 2
"""So many pairs of differences at least."""
AGREEMENT = 2.0
"""Each pair by itself gives the order within this factor; else it is none."""
STRAIGHT = 0.9
"""How well, as the square of their correlation, log e_k must follow k to be called linear."""


def convergence_order(lengths: Sequence[float], roundoff: float) -> float | None:
    """q by least squares, from relative steps in the run's order; None where too few tell, or they do not agree.

    Steps within `roundoff` are no steps. The last ones count, back to where they began to shrink without a break. Where
    these disagree, as in a zigzag, a straight line through all of log e_k is still a linear order, 1.
    """
    sizes = [e for e in lengths if math.isfinite(e)]
    while sizes and sizes[-1] <= roundoff:
        sizes.pop()
    if len(sizes) < PAIRS + 2 or min(sizes) <= 0.0:
        return None
    logs = np.log(sizes)
    falls = np.diff(logs)
    rises = np.flatnonzero(falls >= 0.0)
    tail = falls[int(rises[-1]) + 1 :] if rises.size else falls
    tail = tail[-(PAIRS + 2) :]
    if tail.size > PAIRS:
        order = float(tail[1:].dot(tail[:-1]) / tail[:-1].dot(tail[:-1]))
        orders = tail[1:] / tail[:-1]
        if bool(((orders <= AGREEMENT * order) & (orders >= order / AGREEMENT)).all()):
            return order
    steps = np.arange(logs.size)
    if logs.size < 2 * (PAIRS + 2) or not logs[-1] < logs[0] - math.log(2.0):
        return None
    return 1.0 if float(np.corrcoef(steps, logs)[0, 1]) ** 2 >= STRAIGHT else None
