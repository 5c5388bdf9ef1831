r"""An affine sum of squares about a reference point: values and gradients without the data.

f = ||r||^2 with r affine in theta is its own Taylor polynomial. With G = J'J, computed once, and f_0, g_0 at theta_0,

    f(theta) = f_0 + g_0'd + d'G d,    grad f(theta) = g_0 + 2 G d,    d = theta - theta_0

exactly; an evaluation costs 2 p^2 operations where a pass over N rows costs 4 N p. What rounding does to it:

- f loses what cancels between f_0 and the rest: about f_0 / f roundings of f, as many as `SHRINK` allows;
- component i of the gradient is off by some eps ||J_i|| sum_k ||J_k|| |d_k|, where a pass is off by some
  eps ||J_i|| (||r|| + sum_k ||J_k|| |theta_k|). No condition enters; d need only not be far longer than theta.

Where one of the two would be too much, the point is evaluated by a true pass and becomes the reference. A run that
takes f down by 10^6 so makes five of them. `truth` and `settle` make true passes on demand: no end of a run is decided,
and nothing is reported as final, by anything else.

The first call reads J'J together with f and g, and then the columns' norms, products with the Hessian and, where the
condition allows, the triangle of J are had from it too. J'J costs N p^2 operations, faster ones than a gradient's:
about p / 64 gradients for p above 64; so many evaluations are made plainly before it pays.

Everything here follows from the calls in their order: the same run has the same bits. Its `Expansion` goes into
checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nablad.solvers.bounds import Bounds
from nablad.solvers.linalg.lapack import routine
from nablad.solvers.linalg.normal_equations import well_conditioned
from nablad.solvers.linalg.vectors import epsilon, is_finite, norm, smallest_normal
from nablad.solvers.methods.base import Method, State
from nablad.solvers.objective import (
    Batch,
    Capabilities,
    Counters,
    Explaining,
    FloatArray,
    Gram,
    Linearization,
    Objective,
    Refining,
    Tsqr,
)
from nablad.solvers.trouble import name_of

LEAST_ENTRIES = 50_000
"""Of J: below, a pass costs no more than the calls around it."""
ROWS_PER_PARAMETER = 4
"""A pass costs 4 N p, an expansion 2 p^2 in one matrix-vector product."""
FREE_SIZE = 64
"""J'J costs about p / FREE_SIZE gradients; up to twice so many parameters it is made at once."""
SHRINK = 1.0 / 16.0
"""f may fall to this share of the reference's before cancellation matters: to four digits of two."""
STRETCH = 4.0
"""sum_k ||J_k|| |d_k| may be so many times ||r|| + sum_k ||J_k|| |theta_k|."""
TRIANGLE_CONDITION = 1e6
"""Up to this condition the triangle from J'J tells the singular values of J to three digits at least."""


@dataclass(frozen=True)
class Expansion:
    """Where an objective is expanded about: all that is not computed from the objective alone."""

    asked: int = 0
    """Evaluations before there was a reference."""
    refused: bool = False
    """J'J is not finite, or its diagonal is zero or out of the range of its precision."""
    theta: FloatArray | None = None
    value: float = math.nan
    gradient: FloatArray | None = None


def pays(objective: Objective, method: Method[Any]) -> bool:
    """Whether a run of the method on the objective is to evaluate it by expansion: methods of first order, on affine
    residuals of many rows in double precision."""
    known = objective.capabilities
    if method.order > 1 or "separable" in method.needs or not (known.residual and known.affine):
        return False
    tall = objective.rows >= ROWS_PER_PARAMETER * objective.size
    return tall and objective.rows * objective.size >= LEAST_ENTRIES and objective.dtype == np.float64


def renumbered(state: State, value: float, gradient: FloatArray, bounds: Bounds | None) -> State:
    """The state at the same point with this value and gradient (p,)."""
    descent = gradient if bounds is None else bounds.projected(state.theta, gradient)
    return replace(state, value=value, gradient=gradient, gradient_norm=norm(descent))


class Expanded:
    """The Objective `inner`, evaluated from J'J where that is exact enough. Counts in `inner`'s counters."""

    def __init__(self, inner: Objective, known: Expansion | None = None) -> None:
        self.inner = inner
        self.size: int = inner.size
        self.rows: int = inner.rows
        self.dtype: np.dtype[Any] = inner.dtype
        self.capabilities: Capabilities = inner.capabilities
        self.counters: Counters = inner.counters
        self.bounds: Bounds | None = inner.bounds
        self.known = known or Expansion()
        self._jtj: FloatArray | None = None
        self._norms: FloatArray | None = None
        self._triangle: FloatArray | None = None
        self._true: tuple[FloatArray, float, FloatArray] | None = None
        if self.known.theta is not None:
            self._take(inner.gram(self.known.theta))

    def value(self, theta: FloatArray) -> float:
        found = self._expanded(theta)
        if found is not None:
            self.counters.value += 1
            self.counters.cached += 1
            return found[0]
        return self._plain(theta)[0]

    def gradient(self, theta: FloatArray) -> FloatArray:
        """df/dtheta, shape (p,)."""
        found = self._expanded(theta)
        if found is None:
            return self._plain(theta)[1]
        self.counters.gradient += 1
        self.counters.cached += 1
        return found[1]

    def value_and_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        found = self._expanded(theta)
        if found is None:
            return self._plain(theta)
        self.counters.value += 1
        self.counters.gradient += 1
        self.counters.cached += 2
        return found

    def approximate(self, theta: FloatArray) -> bool:
        """Whether what was told at theta, last, may not have come from a true pass."""
        return self.known.theta is not None and not np.array_equal(theta, self.known.theta)

    def truth(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient (p,) by a true pass; one made last at the same point is not made again."""
        known = self.known
        if known.theta is not None and known.gradient is not None and np.array_equal(theta, known.theta):
            return known.value, known.gradient.copy()
        if self._true is None or not np.array_equal(theta, self._true[0]):
            self._true = (theta.copy(), *self.inner.value_and_gradient(theta))
        return self._true[1:]

    def settle(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """The same, at what then is the reference."""
        value, gradient = self.truth(theta)
        if self._jtj is not None:
            self._refer(theta, value, gradient)
        return value, gradient

    def hessian(self, theta: FloatArray) -> FloatArray:
        if self._jtj is None:
            return self.inner.hessian(theta)
        self.counters.hessian += 1
        self.counters.cached += 1
        return np.asarray(self._jtj + self._jtj.T)

    def hvp(self, theta: FloatArray, v: FloatArray) -> FloatArray:
        if self._jtj is None:
            return self.inner.hvp(theta, v)
        self.counters.hvp += 1
        self.counters.cached += 1
        return np.asarray(2.0 * self._jtj.dot(v))

    def column_norms(self, theta: FloatArray) -> FloatArray:
        if self._norms is None:
            return self.inner.column_norms(theta)
        self.counters.jacobian += 1
        self.counters.cached += 1
        return self._norms

    def tsqr(self, theta: FloatArray) -> Tsqr:
        found = None if self._triangle is None else self._expanded(theta)
        if found is None or self._triangle is None:
            return self.inner.tsqr(theta)
        self.counters.jacobian += 1
        self.counters.residual += 1
        self.counters.cached += 2
        value, gradient = found
        qtr, _ = routine("trtrs", self._triangle)(self._triangle, 0.5 * gradient, trans=1)
        return Tsqr(self._triangle, qtr, max(0.0, value - float(qtr.dot(qtr))))

    def linearize(self, theta: FloatArray) -> Linearization:
        return self.inner.linearize(theta)

    def residual(self, theta: FloatArray) -> FloatArray:
        return self.inner.residual(theta)

    def jacobian(self, theta: FloatArray) -> FloatArray:
        return self.inner.jacobian(theta)

    def gram(self, theta: FloatArray) -> Gram:
        return self.inner.gram(theta)

    def batch(self, indices: Sequence[int] | NDArray[np.intp]) -> Batch:
        return self.inner.batch(indices)

    def refined_gradient(self, theta: FloatArray) -> FloatArray | None:
        """The gradient to more digits, if `inner` can tell."""
        return self.inner.refined_gradient(theta) if isinstance(self.inner, Refining) else None

    def explain(self, theta: FloatArray) -> str | None:
        """What is not finite at theta, in words, if `inner` can tell."""
        return self.inner.explain(theta) if isinstance(self.inner, Explaining) else None

    def parameter_name(self, index: int) -> str:
        """What messages call a parameter."""
        return name_of(self.inner)(index)

    def _expanded(self, theta: FloatArray) -> tuple[float, FloatArray] | None:
        """f and its gradient (p,) from the reference; None where there is none, or where a true pass is due."""
        known, jtj = self.known, self._jtj
        if jtj is None or known.theta is None or known.gradient is None or self._norms is None:
            return None
        d = theta - known.theta
        if not d.any():
            return known.value, known.gradient.copy()
        bend = jtj.dot(d)
        value = known.value + float((known.gradient + bend).dot(d))
        far = STRETCH * (math.sqrt(known.value) + float(self._norms.dot(np.abs(theta))))
        # Also where something is not finite, for NaN compares as false.
        if not (value >= SHRINK * known.value and float(self._norms.dot(np.abs(d))) <= far < math.inf):
            return None
        return value, known.gradient + 2.0 * bend

    def _plain(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """A true pass, from which on the objective is expanded about theta if that pays by now."""
        if self._jtj is None and not self.known.refused:
            if self.known.asked >= self.size // FREE_SIZE - 1:
                gram = self.inner.gram(theta)
                if self._take(gram):
                    self.counters.value += 1
                    self.counters.gradient += 1
                    self._refer(theta, gram.rtr, np.asarray(2.0 * gram.jtr))
                    return gram.rtr, 2.0 * gram.jtr
            else:
                self.known = replace(self.known, asked=self.known.asked + 1)
        value, gradient = self.inner.value_and_gradient(theta)
        if self._jtj is not None and math.isfinite(value) and is_finite(gradient):
            self._refer(theta, value, gradient)
        return value, gradient

    def _refer(self, theta: FloatArray, value: float, gradient: FloatArray) -> None:
        self.known = replace(self.known, theta=theta.copy(), value=value, gradient=gradient)

    def _take(self, gram: Gram) -> bool:
        """Keep J'J, unless it does not tell J."""
        squares = np.diagonal(gram.jtj)
        eps = epsilon(self.dtype)
        low, high = smallest_normal(self.dtype) / eps, float(np.finfo(self.dtype).max) * eps
        finite = math.isfinite(gram.rtr) and is_finite(gram.jtr) and is_finite(gram.jtj)
        if not finite or not np.all((squares > low) & (squares < high)):
            self.known = replace(self.known, refused=True)
            return False
        self._jtj, self._norms = gram.jtj, np.sqrt(squares)
        found = well_conditioned(gram.jtj, TRIANGLE_CONDITION)
        self._triangle = None if found is None else found[0]
        return True
