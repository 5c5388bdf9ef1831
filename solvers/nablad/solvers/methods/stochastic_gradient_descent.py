r"""Stochastic gradient descent: steps along the gradients of minibatches (Robbins and Monro 1951).

    v_t = mu v_{t-1} - g_t,     theta_{t+1} = theta_t + rate v_t                              momentum (Polyak 1964)
                                theta_{t+1} = theta_t + rate (mu v_t - g_t)                   nesterov=True

g_t is a batch's unbiased estimate of the whole gradient (minibatches.py: epochs, order, reports, ends, failures). The
second line is Nesterov's method (1983) written in the extrapolated points, so that the gradient is taken where theta is
(Sutskever, Martens, Dahl and Hinton 2013, section 3, up to that change of variables). mu = 0 is the plain recursion.

**The learning rate has units**, parameter squared per objective, and no default fits all problems: it must be given.
The recursion needs rate < 2 (1 + mu) / L at the least, L being the largest curvature of the whole objective, and less
with small batches. A sum over N rows has N times the curvature of their mean: for the same steps, its rate is N times
smaller. Nothing here is invariant to a change of units, f -> cf or x -> cx; `Adam` is, to the first.

- `momentum` 0 by default, as in the plain method; 0.9 is usual, and behaves as a rate 1 / (1 - 0.9) = 10 times larger.
- `batch_size` 32: small enough for many steps an epoch, and large enough to fill matrix products; b = N (or more) is
  gradient descent with a constant step.
- `seed` 0: the same seed, the same bits.

Cost per epoch: N / b batches' gradients, three sweeps of theta for each, and one whole value and gradient for the
report. Memory: theta, the velocity, and copies of b rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import numpy as np

from nablad.solvers.control import Limits
from nablad.solvers.linalg.vectors import FloatArray
from nablad.solvers.methods.minibatches import MinibatchState, begin, check_settings, is_last, run_epoch
from nablad.solvers.methods.schedules import Schedule
from nablad.solvers.objective import Objective


@dataclass(frozen=True, kw_only=True)
class MomentumState(MinibatchState):
    velocity: FloatArray
    """v, shape (p,); zero at the start."""


@dataclass(frozen=True)
class StochasticGradientDescent:
    """Settings of stochastic gradient descent."""

    learning_rate: float
    """At a schedule's share of 1; in parameter units squared per objective unit."""
    schedule: Schedule = field(default_factory=Schedule)
    momentum: float = 0.0
    """mu, in [0, 1)."""
    nesterov: bool = False
    batch_size: int = 32
    """All rows, where there are fewer."""
    seed: int = 0

    name: ClassVar[str] = "stochastic_gradient_descent"
    order: ClassVar[int] = 1
    bounded: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("separable",)
    state_type: ClassVar[type[MomentumState]] = MomentumState

    def __post_init__(self) -> None:
        check_settings(self.learning_rate, self.batch_size, self.seed)
        if not 0.0 <= self.momentum < 1.0:
            raise ValueError(f"momentum must lie in [0, 1), got {self.momentum}")
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("momentum must be positive where nesterov is asked for")

    def init(self, objective: Objective, theta: FloatArray, limits: Limits) -> MomentumState:
        return begin(objective, theta, partial(MomentumState, velocity=np.zeros_like(theta)))

    def step(self, objective: Objective, state: MomentumState, limits: Limits) -> MomentumState:
        rate = self.learning_rate * self.schedule.share(state.epoch)
        velocity = state.velocity.copy()

        def update(theta: FloatArray, gradient: FloatArray) -> None:
            np.multiply(velocity, self.momentum, velocity)
            np.subtract(velocity, gradient, velocity)
            if self.nesterov:
                np.subtract(self.momentum * velocity, gradient, gradient)
                np.multiply(gradient, rate, gradient)
            else:
                np.multiply(velocity, rate, gradient)
            np.add(theta, gradient, theta)

        return run_epoch(
            objective,
            state,
            partial(MomentumState, velocity=velocity),
            update=update,
            rate=rate,
            over=is_last(self.schedule, state.epoch),
            batch_size=self.batch_size,
            seed=self.seed,
        )
