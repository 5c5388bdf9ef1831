"""Methods and stopping rules, as data: how a model is minimized.

    GradientDescent   theta <- theta - alpha g, with an optional heavy-ball term
    Newton            theta <- theta - alpha H^{-1} g, H exact and made positive definite where it is not

Whatever is None is the server's default; the result's `settings_used` tells what was in force.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from nablad.client.core.encode import assign, duration
from nablad.client.errors import invalid
from nablad.v1 import method_pb2


class Method(Protocol):
    """Anything that can describe itself as a nablad.v1.Method."""

    def to_proto(self) -> method_pb2.Method:
        """The message."""
        ...


@dataclass(frozen=True)
class ConstantStep:
    """The same step length at every iteration."""

    step_size: float
    """Positive and finite."""


@dataclass(frozen=True)
class ArmijoSearch:
    """Backtracking until f falls by a share of what the slope promises (Armijo 1966)."""

    initial_step: float | None = None
    """The first trial's step length."""
    sufficient_decrease: float | None = None
    """The share c1, in (0, 0.5)."""
    shrink: float | None = None
    """The factor of each backtrack, in (0, 1)."""
    max_trials: int | None = None
    """At most so many trials an iteration."""

    def fill(self, message: method_pb2.ArmijoSearch, path: str) -> None:
        """Writes itself into the message."""
        message.SetInParent()
        assign(
            message,
            path,
            initial_step=self.initial_step,
            sufficient_decrease=self.sufficient_decrease,
            shrink=self.shrink,
            max_trials=self.max_trials,
        )


@dataclass(frozen=True)
class GradientDescent:
    """Steepest descent."""

    step: float | ConstantStep | ArmijoSearch | None = None
    """A number is a constant step; an Armijo search unless given."""
    momentum: float | None = None
    """The heavy-ball coefficient, in [0, 1)."""

    def to_proto(self) -> method_pb2.Method:
        """As a nablad.v1.Method."""
        message = method_pb2.GradientDescent()
        if isinstance(self.step, ArmijoSearch):
            self.step.fill(message.armijo, "method.step")
        elif self.step is not None:
            size = self.step.step_size if isinstance(self.step, ConstantStep) else self.step
            message.constant.SetInParent()
            assign(message.constant, "method.step", step_size=size)
        assign(message, "method", momentum=self.momentum)
        return method_pb2.Method(gradient_descent=message)


@dataclass(frozen=True)
class Newton:
    """Newton's method with the exact Hessian."""

    line_search: ArmijoSearch | None = None
    """The first trial is the full step."""

    def to_proto(self) -> method_pb2.Method:
        """As a nablad.v1.Method."""
        message = method_pb2.Newton()
        if self.line_search is not None:
            if not isinstance(self.line_search, ArmijoSearch):
                raise invalid("method.line_search", "is an ArmijoSearch(...) or None")
            self.line_search.fill(message.line_search, "method.line_search")
        return method_pb2.Method(newton=message)


@dataclass(frozen=True)
class Stopping:
    """When to stop: at the first rule that holds. Defaults are the method's own."""

    max_iterations: int | None = None
    """0 evaluates the start."""
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
