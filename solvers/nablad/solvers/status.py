"""How a run ended: the table of statuses.

A row is a name, the family that decides success, and advice: what a person may do next. Only the CONVERGED family is a
success; the message of a report says what happened with its numbers, and ends with the row's advice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Family(Enum):
    """What kind of an end a status is."""

    CONVERGED = "converged"
    STALLED = "stalled"
    LIMIT = "limit"
    USER = "user"
    FAILED = "failed"


class Status(Enum):
    """Why a run ended."""

    GRADIENT = (Family.CONVERGED, "For more digits ask for a smaller gradient tolerance.")
    DECREMENT = (Family.CONVERGED, "For more digits ask for a smaller decrement tolerance.")
    STEP = (Family.CONVERGED, "For more digits ask for a smaller step tolerance.")
    TARGET = (Family.CONVERGED, "The target value was reached; remove target_value to go on to a minimum.")
    ROUNDOFF = (Family.CONVERGED, "This is as accurate as the arithmetic allows.")

    SADDLE = (
        Family.STALLED,
        "The gradient vanishes, but this is no minimum: start elsewhere, if only a little off this point.",
    )
    LINE_SEARCH_STALLED = (
        Family.STALLED,
        "Check that the gradient is the objective's own, look at the scaling of the parameters, or try another start.",
    )
    RECEDING = (
        Family.STALLED,
        "The objective seems to have no minimum at finite parameters: add a penalty (ridge), or set bounds.",
    )
    NO_PROGRESS = (
        Family.STALLED,
        "The objective may be as low as roundoff lets it be seen. If it is not, shorten a constant step, and look for "
        "a kink, where the gradient jumps.",
    )

    MAX_ITERATIONS = (Family.LIMIT, "Raise max_iterations, or start again from the best point.")
    MAX_EVALUATIONS = (Family.LIMIT, "Raise max_evaluations, or start again from the best point.")
    MAX_TIME = (Family.LIMIT, "Raise max_seconds, or start again from the best point.")

    CANCELLED = (Family.USER, "The best point so far is kept: start again from it to go on.")

    NONFINITE_START = (Family.FAILED, "Choose a start where the objective and its gradient are finite.")
    NONFINITE = (
        Family.FAILED,
        "Look at the model's domain near the best point: a logarithm, a root, a division, an overflow.",
    )
    DIVERGED = (Family.FAILED, "Lower the step or the learning rate, or use the Armijo line search.")
    UNBOUNDED = (Family.FAILED, "The objective seems to have no minimum: add a penalty, or look for a wrong sign.")
    WORKER_LOST = (Family.FAILED, "The process that ran this ended unexpectedly; start it again.")
    OUT_OF_MEMORY = (Family.FAILED, "Use a method that needs less memory, fewer parameters, or a larger limit.")
    INTERNAL = (Family.FAILED, "This is a fault of nablad: please report it.")

    def __init__(self, family: Family, advice: str) -> None:
        self.family = family
        self.advice = advice

    @property
    def success(self) -> bool:
        """True of the CONVERGED family only."""
        return self.family is Family.CONVERGED


@dataclass(frozen=True)
class Finding:
    """A status, and what was seen with its numbers."""

    status: Status
    message: str
    advice: str | None = None
    """In place of the status's own, where what was seen calls for another."""
