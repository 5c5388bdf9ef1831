r"""Schedules: how a minibatch method's learning rate changes with the epochs.

    rate_k = learning_rate * warmup_k * decay_k,    epochs k = 0, 1, 2, ...; the rate is the same within an epoch

A batch's gradient is noise about the whole one, and with a fixed rate the iterates end in a cloud about the minimizer,
as wide as the root of the rate (Bottou, Curtis and Nocedal 2018, theorem 4.6). A decaying rate lets the cloud shrink:

    InverseTime(decay)          1 / (1 + decay k)                   Robbins and Monro (1951): sum of rates infinite, of
                                                                    their squares finite, and so convergence for certain
    Exponential(factor)         factor^k
    Cosine(epochs)              (1 + cos(pi k / epochs)) / 2        Loshchilov and Hutter (2017), without restarts; zero
                                                                    from k = epochs on, where the run ends
    StepDecay(every, factor)    factor^floor(k / every)

None keeps the rate. The warm-up rises linearly to the whole rate at epoch `warmup_epochs`, so that the first steps are
short while running means are still guesses; the decay's epochs are counted from the start of the run all the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class InverseTime:
    decay: float
    """Positive, per epoch: after 1 / decay epochs the rate is halved."""

    def __post_init__(self) -> None:
        if not 0.0 < self.decay < math.inf:
            raise ValueError(f"decay must be positive and finite, got {self.decay}")

    def at(self, epoch: int) -> float:
        return 1.0 / (1.0 + self.decay * epoch)


@dataclass(frozen=True)
class Exponential:
    factor: float
    """In (0, 1]."""

    def __post_init__(self) -> None:
        if not 0.0 < self.factor <= 1.0:
            raise ValueError(f"factor must lie in (0, 1], got {self.factor}")

    def at(self, epoch: int) -> float:
        return float(self.factor**epoch)


@dataclass(frozen=True)
class Cosine:
    epochs: int
    """At least 1."""

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, got {self.epochs}")

    def at(self, epoch: int) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * epoch / self.epochs)) if epoch < self.epochs else 0.0


@dataclass(frozen=True)
class StepDecay:
    every: int
    """At least 1."""
    factor: float
    """In (0, 1]."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every must be at least 1, got {self.every}")
        if not 0.0 < self.factor <= 1.0:
            raise ValueError(f"factor must lie in (0, 1], got {self.factor}")

    def at(self, epoch: int) -> float:
        return float(self.factor ** (epoch // self.every))


@dataclass(frozen=True)
class Schedule:
    """A decay, and a warm-up before it has much effect. The default keeps the rate."""

    decay: InverseTime | Exponential | Cosine | StepDecay | None = None
    warmup_epochs: int = 0

    def __post_init__(self) -> None:
        if self.warmup_epochs < 0:
            raise ValueError(f"warmup_epochs must not be negative, got {self.warmup_epochs}")

    def share(self, epoch: int) -> float:
        """What epoch 0, 1, 2, ... takes of the learning rate, in [0, 1]; 0 where the schedule has ended."""
        warm = min(1.0, (epoch + 1.0) / (self.warmup_epochs + 1.0))
        return warm if self.decay is None else warm * self.decay.at(epoch)
