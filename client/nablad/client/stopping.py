"""When to stop, as data."""

from __future__ import annotations

from dataclasses import dataclass

from nablad.client.core.encode import assign, duration
from nablad.v1 import method_pb2


@dataclass(frozen=True)
class Stopping:
    """When to stop: at the first rule that holds. Defaults are the method's own."""

    max_iterations: int | None = None
    """0 evaluates the start. Of a stochastic method, epochs."""
    max_evaluations: int | None = None
    """Of the objective, line searches included."""
    max_time: float | None = None
    """Seconds."""
    gradient_tolerance: float | None = None
    """||g|| at most this."""
    relative_gradient_tolerance: float | None = None
    """||g|| at most this times its norm at the start."""
    step_tolerance: float | None = None
    """An accepted step at most this times ||theta||."""
    decrement_tolerance: float | None = None
    """Half the Newton decrement squared at most this times |f|."""
    target_value: float | None = None
    """f at most this."""

    def to_proto(self) -> method_pb2.Stopping:
        """As a nablad.v1.Stopping."""
        message = method_pb2.Stopping()
        rules = {name: value for name, value in vars(self).items() if name != "max_time"}
        assign(message, "stopping", **rules)
        if self.max_time is not None:
            message.max_time.CopyFrom(duration(self.max_time, "stopping.max_time"))
        return message
