"""How a learning rate changes with the epochs, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nablad.client.core.encode import assign, assign_as
from nablad.client.errors import invalid
from nablad.v1 import method_pb2


@dataclass(frozen=True)
class InverseTimeDecay:
    """rate / (1 + decay * epoch): the classical one (Robbins and Monro 1951)."""

    decay: float
    """Positive."""

    def fill(self, message: method_pb2.LearningRateSchedule) -> None:
        """Writes itself into the message."""
        assign_as(message, "method.schedule.decay", inverse_time_decay=self.decay)


@dataclass(frozen=True)
class ExponentialDecay:
    """rate * factor^epoch."""

    factor: float
    """In (0, 1]."""

    def fill(self, message: method_pb2.LearningRateSchedule) -> None:
        """Writes itself into the message."""
        assign_as(message, "method.schedule.factor", exponential_factor=self.factor)


@dataclass(frozen=True)
class CosineDecay:
    """Falls along half a cosine to zero at an epoch, and stays (Loshchilov and Hutter 2017)."""

    epochs: int
    """At least 1. Usually max_iterations: then the run settles at its end."""

    def fill(self, message: method_pb2.LearningRateSchedule) -> None:
        """Writes itself into the message."""
        assign_as(message, "method.schedule.epochs", cosine_epochs=self.epochs)


@dataclass(frozen=True)
class StepDecay:
    """The rate times a factor, every so many epochs."""

    every: int
    """Epochs; at least 1."""
    factor: float
    """In (0, 1]."""

    def fill(self, message: method_pb2.LearningRateSchedule) -> None:
        """Writes itself into the message."""
        assign(message.step_decay, "method.schedule", every=self.every, factor=self.factor)
        message.step_decay.SetInParent()


LearningRateSchedule = InverseTimeDecay | ExponentialDecay | CosineDecay | StepDecay


def schedule(decay: Any, warmup_epochs: int | None) -> method_pb2.LearningRateSchedule | None:
    """The message; None where there is nothing to say. InvalidRequest."""
    if decay is None and warmup_epochs is None:
        return None
    message = method_pb2.LearningRateSchedule()
    if isinstance(decay, LearningRateSchedule):
        decay.fill(message)
    elif decay is not None:
        kinds = "InverseTimeDecay, ExponentialDecay, CosineDecay, StepDecay"
        raise invalid("method.schedule", f"is {decay!r:.60}; one of {kinds} or None is needed")
    assign(message, "method", warmup_epochs=warmup_epochs)
    return message
