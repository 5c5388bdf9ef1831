"""What a run says while it goes: a stream of frozen events.

Started, then an Iterate per iteration (iteration 0 is the start), Warnings and Checkpoints between them, and Done
last. The clock's fields aside, the same request gives the same events, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from nablad.solvers.objective import FloatArray
from nablad.solvers.report import Report


@dataclass(frozen=True)
class RecordTheta:
    """Which iterates carry their theta: "never", "best_and_final" (the default), or every k-th.

    The final iterate is that at which a test ended the run; where the end came from outside (cancel, time), and for the
    best point, look into the report, which always carries both.
    """

    policy: str = "best_and_final"
    every: int | None = None

    def __post_init__(self) -> None:
        if self.policy not in ("never", "best_and_final", "every"):
            raise ValueError(f"record_theta: unknown policy {self.policy!r}; choose never, best_and_final or every")
        if (self.policy == "every") != (self.every is not None):
            raise ValueError("record_theta: `every` goes with the policy 'every', and only with it")
        if self.every is not None and self.every < 1:
            raise ValueError("record_theta: `every` must be at least 1")

    @classmethod
    def never(cls) -> RecordTheta:
        return cls("never")

    @classmethod
    def best_and_final(cls) -> RecordTheta:
        return cls("best_and_final")

    @classmethod
    def each(cls, every: int = 1) -> RecordTheta:
        return cls("every", every)

    def wants(self, iteration: int, final: bool) -> bool:
        if self.policy == "never":
            return False
        return final or (self.every is not None and iteration % self.every == 0)


@dataclass(frozen=True, slots=True)
class Started:
    """The first event: what runs, with which settings."""

    method: str
    parameters: int
    rows: int
    dtype: str
    method_settings: dict[str, Any]
    stopping_given: dict[str, Any]
    stopping_used: dict[str, Any]
    resumed_at: int | None = None


class Iterate(NamedTuple):
    """One iteration's outcome. `seconds` counts from the run's start; the counts are the run's so far.

    A tuple: there is one an iteration, and a frozen dataclass takes eight times as long to make.
    """

    iteration: int
    value: float
    gradient_norm: float
    step_size: float
    seconds: float
    values: int
    gradients: int
    hessians: int
    hvps: int
    theta: FloatArray | None
    accepted: bool


@dataclass(frozen=True, slots=True)
class Warning:
    """Something that the user should know and that does not end the run."""

    code: str
    message: str
    iteration: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The run's state after `iteration`: `run(..., resume=state)` goes on to the same bits."""

    iteration: int
    state: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """The last event."""

    report: Report


Event = Started | Iterate | Warning | Checkpoint | Done
