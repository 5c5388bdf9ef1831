"""What a job records, and what a watcher gets to see of it."""

from __future__ import annotations

from dataclasses import dataclass

from nablad.client.core.encode import assign, duration
from nablad.v1 import solver_pb2


@dataclass(frozen=True)
class RecordTheta:
    """Which iterates carry theta, for everyone who watches the job. The result carries it in any case."""

    policy: str
    value: int | bool = True

    @classmethod
    def never(cls) -> RecordTheta:
        """None of them."""
        return cls("never")

    @classmethod
    def every(cls, k: int) -> RecordTheta:
        """Iterations 0, k, 2k, ... and the last."""
        return cls("every", k)

    @classmethod
    def best_and_final(cls) -> RecordTheta:
        """The best and the last: the default."""
        return cls("best_and_final")

    def to_proto(self) -> solver_pb2.RecordTheta:
        """As a nablad.v1.RecordTheta."""
        message = solver_pb2.RecordTheta()
        assign(message, "record_theta", **{self.policy: self.value})
        return message


@dataclass(frozen=True)
class Thinning:
    """Which iterates a watcher gets. The first, the last, the best and the first ten non-finite ones always come."""

    policy: str | None = None
    value: float | None = None
    omit_theta: bool = False
    """Leaves theta out."""

    @classmethod
    def every(cls, n: int, *, omit_theta: bool = False) -> Thinning:
        """Iterations 0, n, 2n, ..."""
        return cls("every", n, omit_theta)

    @classmethod
    def interval(cls, seconds: float, *, omit_theta: bool = False) -> Thinning:
        """At most one in this time."""
        return cls("interval", seconds, omit_theta)

    @classmethod
    def per_decade(cls, k: int, *, omit_theta: bool = False) -> Thinning:
        """k per decade of iterations: 1, 2, 5, 10, 20, 50 at 3."""
        return cls("per_decade", k, omit_theta)

    @classmethod
    def budget(cls, n: int, *, omit_theta: bool = False) -> Thinning:
        """About n over the whole run, evenly spread."""
        return cls("budget", n, omit_theta)

    def to_proto(self) -> solver_pb2.Thinning:
        """As a nablad.v1.Thinning."""
        message = solver_pb2.Thinning()
        if self.policy == "interval" and self.value is not None:
            message.interval.CopyFrom(duration(self.value, "thinning.interval"))
        elif self.policy is not None:
            assign(message, "thinning", **{self.policy: self.value})
        assign(message, "thinning", omit_theta=self.omit_theta)
        return message
