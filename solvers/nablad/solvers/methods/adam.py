r"""Adam: minibatch steps, each parameter's in units of its own gradient's size (Kingma and Ba 2015, algorithm 1).

    m_t = beta1 m_{t-1} + (1 - beta1) g_t              the running mean of the gradient
    v_t = beta2 v_{t-1} + (1 - beta2) g_t^2            and of its square, entry by entry
    theta_{t+1} = theta_t - rate mhat_t / (sqrt vhat_t + epsilon)
    mhat_t = m_t / (1 - beta1^t),   vhat_t = v_t / (1 - beta2^t)

m and v begin at zero; the divisions take that bias out: at t = 1, mhat = g and vhat = g^2. Where gradients agree from
batch to batch each entry moves by about the rate, and by less where they are mostly noise. g_t is a batch's unbiased
estimate of the whole gradient (minibatches.py: epochs, order, reports, ends, failures).

**Units.** A step does not change with f -> cf, except through epsilon; so sums and means may use one rate. The rate is
in the parameters' units, all of them alike: scale inputs so that parameters are of the order of one.

- `learning_rate` 1e-3, `beta1` 0.9, `beta2` 0.999, `epsilon` 1e-8: the paper's, good on networks with inputs scaled to
  about one. epsilon is compared with a gradient's entries, the one absolute number here: it matters where they are
  below 1e-7 or so. v remembers about 1 / (1 - beta2) = 1000 batches: for runs of fewer, take a smaller beta2.
- `batch_size` 32, `seed` 0: as in stochastic_gradient_descent.py.

With a fixed rate Adam does not converge in general (Reddi, Kale and Kumar 2018): give it a schedule for a minimum to
many digits, or go on from its point with another method.

Cost per epoch: N / b batches' gradients, about twelve sweeps of theta for each, and one whole value and gradient for
the report. Memory: theta, m, v, one vector more, and copies of b rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from nablad.solvers.control import Limits
from nablad.solvers.linalg.vectors import FloatArray
from nablad.solvers.methods.minibatches import MinibatchState, begin, check_settings, is_last, run_epoch
from nablad.solvers.methods.schedules import Schedule
from nablad.solvers.objective import Objective


@dataclass(frozen=True, kw_only=True)
class AdamState(MinibatchState):
    mean: FloatArray
    """m, shape (p,)."""
    square: FloatArray
    """v, shape (p,)."""
    updates: int
    """t."""


@dataclass(frozen=True)
class Adam:
    """Settings of Adam."""

    learning_rate: float = 1e-3
    """At a schedule's share of 1; in parameter units."""
    schedule: Schedule = field(default_factory=Schedule)
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    """In the gradient's units."""
    batch_size: int = 32
    """All rows, where there are fewer."""
    seed: int = 0

    name: ClassVar[str] = "adam"
    order: ClassVar[int] = 1
    bounded: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("separable",)
    state_type: ClassVar[type[AdamState]] = AdamState

    def __post_init__(self) -> None:
        check_settings(self.learning_rate, self.batch_size, self.seed)
        for name in ("beta1", "beta2"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if not 0.0 < self.epsilon < math.inf:
            raise ValueError(f"epsilon must be positive and finite, got {self.epsilon}")

    def init(self, objective: Objective, theta: FloatArray, limits: Limits) -> AdamState:
        def make(**known: Any) -> AdamState:
            return AdamState(mean=np.zeros_like(theta), square=np.zeros_like(theta), updates=0, **known)

        return begin(objective, theta, make)

    def step(self, objective: Objective, state: AdamState, limits: Limits) -> AdamState:
        rate = self.learning_rate * self.schedule.share(state.epoch)
        mean, square, updates = state.mean.copy(), state.square.copy(), state.updates
        change = np.empty_like(mean)

        def update(theta: FloatArray, gradient: FloatArray) -> None:
            nonlocal updates
            updates += 1
            np.multiply(mean, self.beta1, mean)
            np.multiply(gradient, 1.0 - self.beta1, change)
            np.add(mean, change, mean)
            np.multiply(square, self.beta2, square)
            # sqrt(1 - beta2) enters before the square is taken, which may overflow where the gradient does not.
            np.multiply(gradient, math.sqrt(1.0 - self.beta2), gradient)
            np.multiply(gradient, gradient, gradient)
            np.add(square, gradient, square)
            # mhat / (sqrt vhat + epsilon) with both corrections outside of the vectors.
            root = math.sqrt(1.0 - self.beta2**updates)
            np.sqrt(square, gradient)
            np.add(gradient, self.epsilon * root, gradient)
            np.divide(mean, gradient, change)
            np.multiply(change, rate * root / (1.0 - self.beta1**updates), change)
            np.subtract(theta, change, theta)

        def make(**known: Any) -> AdamState:
            return AdamState(mean=mean, square=square, updates=updates, **known)

        return run_epoch(
            objective,
            state,
            make,
            update=update,
            rate=rate,
            over=is_last(self.schedule, state.epoch),
            batch_size=self.batch_size,
            seed=self.seed,
        )
