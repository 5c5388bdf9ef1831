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
"""So many pairs of successive differences, the last ones, tell."""
AGREEMENT = 2.0
"""Each pair by itself gives the order within this factor; else it is none."""
STRAIGHT = 0.98
"""Where the square of the correlation of log e_k with k is this, the order is 1, whatever the last pairs say."""
MANY = 8
"""So many steps make a line."""


def convergence_order(lengths: Sequence[float], roundoff: float) -> float | None:
    """q by least squares, from relative steps in the run's order; None where too few tell, or they do not agree.

    Steps within `roundoff` are no steps.
    """
    sizes = [e for e in lengths if math.isfinite(e)]
    while sizes and sizes[-1] <= roundoff:
        sizes.pop()
    if len(sizes) < PAIRS + 2 or min(sizes) <= 0.0:
        return None
    logs = np.log(sizes)
    falling = logs.size >= MANY and logs[-1] < logs[0] - math.log(2.0)
    if falling and float(np.corrcoef(np.arange(logs.size), logs)[0, 1]) ** 2 >= STRAIGHT:
        return 1.0
    falls = np.diff(logs)[-(PAIRS + 1) :]
    if not bool((falls < 0.0).all()):
        return None
    order = float(falls[1:].dot(falls[:-1]) / falls[:-1].dot(falls[:-1]))
    orders = falls[1:] / falls[:-1]
    agree = (orders <= AGREEMENT * order) & (orders >= order / AGREEMENT)
    return order if bool(agree.all()) else None
