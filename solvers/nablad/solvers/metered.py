"""An objective with a meter: every question passes through the run's limits and clock.

Putting the limits here, beneath the methods, makes them hold inside every line search by construction (scipy #12023 is
what happens otherwise), and gives the report its split of time between evaluation and linear algebra. About half a
microsecond a question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nablad.solvers.bounds import Bounds
from nablad.solvers.control import Limits
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
from nablad.solvers.trouble import Trouble, is_trouble, name_of

Answer = TypeVar("Answer")


class Metered:
    """The Objective `inner` within `bounds`, spending from `limits` and adding up `seconds`."""

    def __init__(self, inner: Objective, limits: Limits, bounds: Bounds | None = None) -> None:
        self.inner = inner
        self.limits = limits
        self.seconds = 0.0
        self.iteration = 0
        """The one at work, for what is told of a trial."""
        self.evaluations_before = 0
        """What the run's own count of evaluations is ahead of the objective's counters."""
        self.first_trouble: Trouble | None = None
        self.last_trouble: Trouble | None = None
        """The trials whose value or gradient was not finite."""
        self.size: int = inner.size
        self.rows: int = inner.rows
        self.dtype: np.dtype[Any] = inner.dtype
        self.capabilities: Capabilities = inner.capabilities
        self.counters: Counters = inner.counters
        self.bounds = bounds
        self._bought = 0
        """Rows of the evaluations paid for that no batch has used."""

    def value(self, theta: FloatArray) -> float:
        self.limits.spend()
        begin = perf_counter()
        try:
            value = self.inner.value(theta)
        finally:
            self.seconds += perf_counter() - begin
        if not isfinite(value):
            self._note("value", value, theta)
        return value

    def _note(self, what: str, value: float, theta: FloatArray) -> None:
        self.last_trouble = Trouble(self.iteration, self.counters.value + self.evaluations_before, what, value, theta)
        self.first_trouble = self.first_trouble or self.last_trouble

    def timed(self, question: Callable[[FloatArray], Answer], theta: FloatArray) -> Answer:
        """The answer to one that no limit holds back, on the clock."""
        begin = perf_counter()
        try:
            return question(theta)
        finally:
            self.seconds += perf_counter() - begin

    def gradient(self, theta: FloatArray) -> FloatArray:
        begin = perf_counter()
        try:
            return self.inner.gradient(theta)
        finally:
            self.seconds += perf_counter() - begin

    def value_and_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        self.limits.spend()
        begin = perf_counter()
        try:
            value, gradient = self.inner.value_and_gradient(theta)
        finally:
            self.seconds += perf_counter() - begin
        if is_trouble(value, gradient):
            self._note("gradient" if isfinite(value) else "value", value, theta)
        return value, gradient

    def hessian(self, theta: FloatArray) -> FloatArray:
        self.limits.checkpoint()
        begin = perf_counter()
        try:
            return self.inner.hessian(theta)
        finally:
            self.seconds += perf_counter() - begin

    def hvp(self, theta: FloatArray, v: FloatArray) -> FloatArray:
        self.limits.checkpoint()
        begin = perf_counter()
        try:
            return self.inner.hvp(theta, v)
        finally:
            self.seconds += perf_counter() - begin

    def linearize(self, theta: FloatArray) -> Linearization:
        self.limits.spend()
        begin = perf_counter()
        try:
            line = self.inner.linearize(theta)
        finally:
            self.seconds += perf_counter() - begin
        if is_trouble(line.value, line.gradient):
            self._note("gradient" if isfinite(line.value) else "value", line.value, theta)
        return _MeteredLinearization(self, line)

    def residual(self, theta: FloatArray) -> FloatArray:
        begin = perf_counter()
        try:
            return self.inner.residual(theta)
        finally:
            self.seconds += perf_counter() - begin

    def jacobian(self, theta: FloatArray) -> FloatArray:
        self.limits.checkpoint()
        begin = perf_counter()
        try:
            return self.inner.jacobian(theta)
        finally:
            self.seconds += perf_counter() - begin

    def column_norms(self, theta: FloatArray) -> FloatArray:
        self.limits.checkpoint()
        begin = perf_counter()
        try:
            return self.inner.column_norms(theta)
        finally:
            self.seconds += perf_counter() - begin

    def gram(self, theta: FloatArray) -> Gram:
        self.limits.checkpoint()
        begin = perf_counter()
        try:
            return self.inner.gram(theta)
        finally:
            self.seconds += perf_counter() - begin

    def tsqr(self, theta: FloatArray) -> Tsqr:
        self.limits.checkpoint()
        begin = perf_counter()
        try:
            return self.inner.tsqr(theta)
        finally:
            self.seconds += perf_counter() - begin

    def refined_gradient(self, theta: FloatArray) -> FloatArray | None:
        """The gradient of an affine residual to more digits, if the objective can tell."""
        if not isinstance(self.inner, Refining):
            return None
        self.limits.checkpoint()
        begin = perf_counter()
        try:
            return self.inner.refined_gradient(theta)
        finally:
            self.seconds += perf_counter() - begin

    def explain(self, theta: FloatArray) -> str | None:
        """What is not finite at theta, in words, if the objective can tell."""
        return self.inner.explain(theta) if isinstance(self.inner, Explaining) else None

    def parameter_name(self, index: int) -> str:
        """What messages call a parameter."""
        return name_of(self.inner)(index)

    def batch(self, indices: Sequence[int] | NDArray[np.intp]) -> Batch:
        return _MeteredBatch(self, self.inner.batch(indices))

    def pay_rows(self, rows: int) -> None:
        """Allow an evaluation of so many rows, or raise Interrupted.

        Whole evaluations of value and gradient are bought in advance, N rows each: the batches of one pass over the
        data count as one, whatever their size.
        """
        if self._bought >= rows:
            self.limits.checkpoint()
        while self._bought < rows:
            self.limits.spend()
            self.counters.value += 1
            self.counters.gradient += 1
            self._bought += self.rows
        self._bought -= rows


class _MeteredBatch:
    """A batch that is paid by its rows."""

    def __init__(self, owner: Metered, inner: Batch) -> None:
        self.rows = inner.rows
        self._owner = owner
        self._inner = inner

    def value_and_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        self._owner.pay_rows(self.rows)
        begin = perf_counter()
        try:
            return self._inner.value_and_gradient(theta)
        finally:
            self._owner.seconds += perf_counter() - begin


class _MeteredLinearization:
    """A linearization whose products pass through the same limits and clock."""

    def __init__(self, owner: Metered, inner: Linearization) -> None:
        self._owner = owner
        self._inner = inner
        self.value = inner.value
        self.gradient = inner.gradient

    def hvp(self, v: FloatArray) -> FloatArray:
        self._owner.limits.checkpoint()
        begin = perf_counter()
        try:
            return self._inner.hvp(v)
        finally:
            self._owner.seconds += perf_counter() - begin
