"""Methods and scipy's on one footing: the same derivatives, counted in function-equivalents, and how each run ended.

A value costs 1, a gradient 2 (a value with its gradient 3), a Hessian 2p, a Hessian-vector product 4; of residuals, one
costs 1, and a Jacobian 2p, streamed or whole. A value, or a residual, is paid for once at a point, whoever asks how
often: a pass over J comes by its residual on the way. Peers are given this engine's derivatives through the same
counter.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

import nablad.solvers as nablad
from nablad.solvers.objective import Batch, Gram, Linearization, Objective, Tsqr

FloatArray = NDArray[Any]

SCIPY: Any = optimize
"""Its stubs have an overload for each method by name; here the name is data."""


class Counted:
    """The objective `inner`, with a bill; `first` is the bill when a value first was `good`."""

    def __init__(self, inner: Objective, good: Callable[[float], bool]) -> None:
        self.inner, self.good = inner, good
        self.size, self.rows, self.dtype = inner.size, inner.rows, inner.dtype
        self.capabilities, self.counters, self.bounds = inner.capabilities, inner.counters, inner.bounds
        self.bill = 0
        self.first: int | None = None
        self._valued: bytes | None = None
        """The point whose value was paid for last."""

    def _saw(self, value: float) -> None:
        if self.first is None and self.good(value):
            self.first = self.bill

    def _pay_value(self, theta: FloatArray) -> None:
        point = theta.tobytes()
        self.bill += point != self._valued
        self._valued = point

    def value(self, theta: FloatArray) -> float:
        self._pay_value(theta)
        value = self.inner.value(theta)
        self._saw(value)
        return value

    def gradient(self, theta: FloatArray) -> FloatArray:
        self.bill += 2
        return self.inner.gradient(theta)

    def value_and_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        self._pay_value(theta)
        self.bill += 2
        value, gradient = self.inner.value_and_gradient(theta)
        self._saw(value)
        return value, gradient

    def hessian(self, theta: FloatArray) -> FloatArray:
        self.bill += 2 * self.size
        return self.inner.hessian(theta)

    def hvp(self, theta: FloatArray, v: FloatArray) -> FloatArray:
        self.bill += 4
        return self.inner.hvp(theta, v)

    def linearize(self, theta: FloatArray) -> Linearization:
        self._pay_value(theta)
        self.bill += 2
        inner = self.inner.linearize(theta)
        self._saw(inner.value)
        return _Counted(self, inner)

    def residual(self, theta: FloatArray) -> FloatArray:
        self._pay_value(theta)
        residual = self.inner.residual(theta)
        self._saw(float(residual @ residual))
        return residual

    def jacobian(self, theta: FloatArray) -> FloatArray:
        self.bill += 2 * self.size
        return self.inner.jacobian(theta)

    def column_norms(self, theta: FloatArray) -> FloatArray:
        self.bill += 2 * self.size
        return self.inner.column_norms(theta)

    def gram(self, theta: FloatArray) -> Gram:
        self._pay_value(theta)
        self.bill += 2 * self.size
        return self.inner.gram(theta)

    def tsqr(self, theta: FloatArray) -> Tsqr:
        self._pay_value(theta)
        self.bill += 2 * self.size
        return self.inner.tsqr(theta)

    def batch(self, indices: Sequence[int] | NDArray[np.intp]) -> Batch:
        return self.inner.batch(indices)


@dataclass(frozen=True)
class _Counted:
    """A linearization whose products go on the bill too."""

    owner: Counted
    inner: Linearization

    @property
    def value(self) -> float:
        return self.inner.value

    @property
    def gradient(self) -> FloatArray:
        return self.inner.gradient

    def hvp(self, v: FloatArray) -> FloatArray:
        self.owner.bill += 4
        return self.inner.hvp(v)


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    theta: FloatArray
    value: float
    claimed: bool
    """Whether it calls itself a success."""
    ended: str
    first: int | None
    """Function-equivalents until a value was good; None if none ever was."""
    total: int


Contender = Callable[[Counted, FloatArray], Outcome]


def own(method: Any) -> Contender:
    def run(f: Counted, start: FloatArray) -> Outcome:
        report = nablad.solve(f, method, start)
        # The report's own evidence is not part of the search.
        return Outcome(report.theta, report.value, report.success, report.status.name, f.first, f.bill)

    return run


def least_squares(method: str) -> Contender:
    """scipy.optimize.least_squares, variables scaled by the Jacobian, all three tolerances 1e-15."""

    def run(f: Counted, start: FloatArray) -> Outcome:
        found = SCIPY.least_squares(
            f.residual,
            start,
            f.jacobian,
            method=method,
            x_scale="jac",
            ftol=1e-15,
            xtol=1e-15,
            gtol=1e-15,
            max_nfev=5_000,
        )
        return Outcome(found.x, 2.0 * float(found.cost), bool(found.success), str(found.message), f.first, f.bill)

    return _guarded(run)


def minimize(method: str, options: Callable[[Counted, FloatArray], dict[str, Any]], second: bool = False) -> Contender:
    """scipy.optimize.minimize, with the Hessian where `second`."""

    def run(f: Counted, start: FloatArray) -> Outcome:
        found = SCIPY.minimize(
            f.value_and_gradient,
            start,
            jac=True,
            hess=f.hessian if second else None,
            method=method,
            options=options(f, start),
        )
        return Outcome(found.x, float(found.fun), bool(found.success), str(found.message), f.first, f.bill)

    return _guarded(run)


def _guarded(run: Contender) -> Contender:
    """Peers warn of overflow, and raise where an evaluation is not finite: such a run has ended without success."""

    def guarded(f: Counted, start: FloatArray) -> Outcome:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                return run(f, start)
            except (ValueError, np.linalg.LinAlgError) as error:
                return Outcome(start, math.nan, False, f"{type(error).__name__}: {error}", f.first, f.bill)

    return guarded
