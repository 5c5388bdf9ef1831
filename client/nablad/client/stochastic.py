"""Methods that step along gradients of a few rows at a time, as data.

For models with so many rows that one pass over them is worth many steps: networks above all. An iteration is an epoch,
one pass over all rows in a seeded random order; the loss and gradient that are reported after it are those of all rows.
They come near a minimum quickly and settle slowly: a schedule, or Newton or LBFGS from where they end, does the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from nablad.client.core.encode import assign
from nablad.client.schedules import LearningRateSchedule, schedule
from nablad.v1 import method_pb2


@dataclass(frozen=True)
class StochasticGradientDescent:
    """theta <- theta - rate * (gradient of a batch, scaled to all rows), with momentum if asked for."""

    learning_rate: float
    """The step length, in the units of the whole objective: for a loss that is a sum over N rows about 1/N of what is
    usual for a mean. Positive."""
    schedule: LearningRateSchedule | None = None
    """How the rate falls with the epochs; it stays unless given."""
    warmup_epochs: int | None = None
    """The rate rises over so many epochs first."""
    momentum: float | None = None
    """In [0, 1): so much of the last step is added. 0 unless given; 0.9 is usual."""
    nesterov: bool = False
    """The gradient is taken where momentum leads. Needs momentum."""
    batch_size: int | None = None
    """Rows in a batch; 32 unless given. At most the number of rows."""
    seed: int | None = None
    """Of the order of the rows; 0 unless given. The same seed gives the same bits."""

    def to_proto(self) -> method_pb2.Method:
        """As a nablad.v1.Method."""
        message = method_pb2.StochasticGradientDescent(schedule=schedule(self.schedule, self.warmup_epochs))
        given = {"learning_rate": self.learning_rate, "momentum": self.momentum, "nesterov": self.nesterov}
        assign(message, "method", **given, batch_size=self.batch_size, seed=self.seed)
        return method_pb2.Method(stochastic_gradient_descent=message)


@dataclass(frozen=True)
class Adam:
    """The same, each parameter's step scaled by running means of its gradient and its square (Kingma and Ba 2015).

    Indifferent to the loss's scale, and robust with its defaults: what most networks are trained by.
    """

    learning_rate: float | None = None
    """About the length of a step in each parameter. Positive; 1e-3 unless given."""
    schedule: LearningRateSchedule | None = None
    """How the rate falls with the epochs; it stays unless given."""
    warmup_epochs: int | None = None
    """The rate rises over so many epochs first."""
    beta1: float | None = None
    """The decay of the gradient's mean, in [0, 1); 0.9 unless given."""
    beta2: float | None = None
    """The decay of the mean square, in [0, 1); 0.999 unless given."""
    epsilon: float | None = None
    """Added to the root of the mean square. Positive; 1e-8 unless given."""
    batch_size: int | None = None
    """Rows in a batch; 32 unless given. At most the number of rows."""
    seed: int | None = None
    """Of the order of the rows; 0 unless given. The same seed gives the same bits."""

    def to_proto(self) -> method_pb2.Method:
        """As a nablad.v1.Method."""
        message = method_pb2.Adam(schedule=schedule(self.schedule, self.warmup_epochs))
        given = {"learning_rate": self.learning_rate, "beta1": self.beta1, "beta2": self.beta2}
        assign(message, "method", **given, epsilon=self.epsilon, batch_size=self.batch_size, seed=self.seed)
        return method_pb2.Method(adam=message)
