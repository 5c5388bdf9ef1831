r"""A step of L-BFGS-B: nearly the minimizer, in a box, of the quadratic model with B of limited memory.

    q(z) = g'z + z'B z / 2,   lower <= x + z <= upper

Everything is multiplied by gamma (limited_memory.py), so that gamma B = I - W M W' and gamma g is a step.

1. **Generalized Cauchy point** (Byrd, Lu, Nocedal and Zhu 1995, algorithm CP): the first local minimizer of q along the
   path x(t) = P(x - t gamma g), piece by piece between the t at which parameters meet their bounds. It decides which
   parameters are on a bound.
2. **Subspace minimization** over the others (section 5.1 there): by Sherman, Morrison and Woodbury's formula

       d = -(r + W_F (M^-1 - W_F'W_F)^-1 W_F'r),   r the free part of q's gradient at the Cauchy point.

   The result is projected on the box, which keeps more of it than cutting it short where it first meets a bound; if the
   direction to the projected point does not descend, it is cut after all (Morales and Nocedal 2011).

Cost: O(k p) multiplications, p log p comparisons, O(k^2) for each bound met, O(k^3).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nablad.solvers.linalg.limited_memory import Pairs
from nablad.solvers.linalg.vectors import FloatArray


def box_step(
    pairs: Pairs,
    gradient: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    checkpoint: Callable[[], None],
) -> FloatArray | None:
    """z (p,) with lower <= z <= upper, these being the room around x: lower <= 0 <= upper; None if the pairs' matrices
    are singular in their precision.

    `checkpoint` is called at each bound met.
    """
    W, inverse = pairs.compact()
    g = pairs.scale * gradient.astype(np.float64)
    try:
        M = np.linalg.inv(inverse)
        cauchy, free, c = _cauchy_point(g, W, M, lower, upper, checkpoint)
        if not free.any():
            return cauchy.astype(gradient.dtype)
        rest = g[free] + cauchy[free] - W[free] @ (M @ c)
        F = W[free]
        move = -(rest + F @ np.linalg.solve(inverse - F.T @ F, F.T @ rest))
    except np.linalg.LinAlgError:
        return None
    target = cauchy.copy()
    target[free] = np.clip(cauchy[free] + move, lower[free], upper[free])
    if not float(target.dot(g)) < 0.0:
        target[free] = cauchy[free] + _inside(cauchy[free], move, lower[free], upper[free]) * move
        target = np.clip(target, lower, upper)
    return target.astype(gradient.dtype)


def _cauchy_point(
    g: FloatArray,
    W: FloatArray,
    M: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    checkpoint: Callable[[], None],
) -> tuple[FloatArray, NDArray[np.bool_], FloatArray]:
    """The generalized Cauchy point z, which parameters are off their bounds there, and W'z."""
    meets = _meeting_times(g, lower, upper)
    direction = np.where(meets > 0.0, -g, 0.0)
    z = np.zeros_like(g)
    p, c = W.T @ direction, np.zeros(W.shape[1])
    slope = -float(direction.dot(direction))
    bend = first_bend = -slope - float(p @ M @ p)
    now = 0.0
    for i in _in_order(meets):
        until = -slope / bend
        if not until >= meets[i] - now:
            break
        checkpoint()
        passed, now = meets[i] - now, meets[i]
        z[i] = upper[i] if direction[i] > 0.0 else lower[i]
        c += passed * p
        w = W[i]
        slope += passed * bend + g[i] * (g[i] + z[i] - float(w @ M @ c))
        bend += -g[i] * g[i] - 2.0 * g[i] * float(w @ M @ p) - g[i] * g[i] * float(w @ M @ w)
        bend = max(bend, np.finfo(np.float64).eps * first_bend)
        p = p + g[i] * w
        direction[i] = 0.0
    free = direction != 0.0
    until = max(0.0, -slope / bend) if free.any() else 0.0
    z[free] = np.clip((now + until) * direction[free], lower[free], upper[free])
    return z, free, c + until * p


def _meeting_times(g: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """The t at which -t g meets a side, for each parameter; inf if never."""
    room = np.where(g < 0.0, upper, lower)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(g != 0.0, -room / g, np.inf)


def _in_order(meets: FloatArray) -> NDArray[np.intp]:
    """The parameters that meet a bound at some positive time, the first first."""
    some = np.flatnonzero((meets > 0.0) & (meets < np.inf))
    return some[np.argsort(meets[some], kind="stable")]


def _inside(z: FloatArray, move: FloatArray, lower: FloatArray, upper: FloatArray) -> float:
    """The largest share of `move`, at most 1, that stays inside."""
    room = np.where(move > 0.0, upper - z, lower - z)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(move != 0.0, room / move, np.inf)
    return float(np.min(shares, initial=1.0))
