r"""What methods of minibatches share: an epoch, its order of rows, and what is reported after it.

One iteration of the driver is one epoch: every data row once, b at a time, in a random order. Each batch's gradient
estimates the whole objective's without bias, whatever the reduction, with the penalty in each (objective.py); the last
batch, of N mod b rows where b does not divide N, does the same, with more noise. So the rate means the same for every
batch size and every batch.

**The order** of epoch k comes from numpy's PCG64 seeded by (seed, k) (SeedSequence mixes them). It is drawn anew, not
carried on, so that a state needs only the number of its epoch: resumed runs draw the same orders, to the bit. Drawing
without replacement covers every row each epoch and converges faster than independent draws (Gurbuzbalaban, Ozdaglar and
Parrilo 2021).

**What is reported** after an epoch are the value and gradient of the whole objective at its last point, not an average
over the way. They cost one evaluation, and the epoch's batches together another: N rows are paid as one (metered.py).
The best epoch's point is kept by the driver, for values go up, too.

**When it ends.** A fixed rate leaves the iterates in a cloud about the minimizer, so that the tests of the whole
gradient (stopping.py, order 1) pass only with a decaying rate, or where every row can be fitted exactly. Mostly the
number of epochs ends a run: the user's, the schedule's own end, or the default (stopping.py). The gradient is compared
with its roundoff, as for all methods of first order.

**Failures.** A batch whose value or gradient is NaN or infinite ends the run at once, named with its epoch; the epoch's
steps so far are dropped, and the point before it stands. Infinite is a rate too large (DIVERGED), NaN a place where the
model is not defined (NONFINITE).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nablad.solvers.linalg.vectors import FloatArray, is_finite, norm, ratio
from nablad.solvers.methods.first_order import (
    FirstOrderState,
    confirmed,
    curvature_along,
    ended,
    known_column_norms,
    over_roundoff,
)
from nablad.solvers.methods.schedules import Schedule
from nablad.solvers.objective import Objective
from nablad.solvers.status import Finding, Status
from nablad.solvers.words import nonfinite_entries


@dataclass(frozen=True, kw_only=True)
class MinibatchState(FirstOrderState):
    epoch: int = 0
    """How many have been made."""


M = TypeVar("M", bound=MinibatchState)

Update = Callable[[FloatArray, FloatArray], None]
"""(theta, gradient): one step, in place; the gradient may be overwritten."""


def check_settings(learning_rate: float, batch_size: int, seed: int) -> None:
    """Raise ValueError for what no run can use."""
    if not 0.0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate must be positive and finite, got {learning_rate}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")


def batches(rows: int, batch_size: int, seed: int, epoch: int) -> Iterator[NDArray[np.intp]]:
    """The rows 0 ... rows - 1 in the epoch's order, `batch_size` at a time."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
    order = generator.permutation(rows)
    for start in range(0, rows, batch_size):
        yield order[start : start + batch_size]


def begin(objective: Objective, theta: FloatArray, make: Callable[..., M]) -> M:
    """The state at the start; `make` is given what every method of minibatches knows there."""
    value, gradient = objective.value_and_gradient(theta)
    length = norm(gradient)
    finite = 0.0 < length < math.inf and math.isfinite(value)
    norms = known_column_norms(objective, theta) if finite else None
    return make(
        theta=theta,
        value=value,
        gradient=gradient,
        gradient_norm=length,
        column_norms=norms,
        jacobian_norm=math.nan if norms is None else norm(norms),
        curvature_seen=math.nan,
    )


def run_epoch(
    objective: Objective,
    state: M,
    make: Callable[..., M],
    *,
    update: Update,
    rate: float,
    over: bool,
    batch_size: int,
    seed: int,
) -> M:
    """One epoch of `update` from the state's point. `make` is given what every method knows after it.

    `rate` is the epoch's, `over` whether it is the schedule's last.
    """
    theta = state.theta.copy()
    count = -(-objective.rows // batch_size)
    for k, rows in enumerate(batches(objective.rows, batch_size, seed, state.epoch)):
        value, gradient = objective.batch(rows).value_and_gradient(theta)
        if not math.isfinite(value) or not is_finite(gradient):
            where = f"in epoch {state.epoch + 1}, batch {k + 1} of {count}"
            return _failed(state, value, gradient, f"{where}, at a learning rate of {rate:.3g}")
        update(theta, gradient)
    value, gradient = objective.value_and_gradient(theta)
    if not math.isfinite(value) or not is_finite(gradient):
        return _failed(state, value, gradient, f"after epoch {state.epoch + 1}, at a learning rate of {rate:.3g}")
    length, size = norm(gradient), norm(theta)
    moved = norm(theta - state.theta)
    seen = curvature_along(state, theta, gradient, moved, size)
    ending = Finding(
        Status.MAX_ITERATIONS,
        f"The schedule ended with epoch {state.epoch + 1}: its rate is 0 from here on.",
        "Give the schedule more epochs, or start again from the best point.",
    )
    following = make(
        theta=theta,
        value=value,
        gradient=gradient,
        gradient_norm=length,
        step_size=rate,
        relative_step=ratio(moved, size),
        gradient_over_roundoff=over_roundoff(length, seen * size, theta.dtype),
        column_norms=state.column_norms,
        jacobian_norm=state.jacobian_norm,
        curvature_seen=seen,
        epoch=state.epoch + 1,
        proposal=ending if over else None,
    )
    return confirmed(objective, following)


def is_last(schedule: Schedule, epoch: int) -> bool:
    """Whether nothing would move after this epoch, counted from 0."""
    return schedule.share(epoch + 1) == 0.0


def _failed(state: M, value: float, gradient: FloatArray, where: str) -> M:
    if value == -math.inf:
        return ended(state, Status.UNBOUNDED, f"The value is -inf {where}.")
    if math.isfinite(value):
        bad = gradient[~np.isfinite(gradient)]
        undefined = bool(np.isnan(bad).any())
        what = nonfinite_entries(bad.size, gradient.size)
    else:
        undefined = math.isnan(value)
        what = f"The value is {value}"
    status = Status.NONFINITE if undefined else Status.DIVERGED
    return ended(
        state, status, f"{what[0].upper()}{what[1:]} {where}; the whole value before it was {state.value:.6g}."
    )
