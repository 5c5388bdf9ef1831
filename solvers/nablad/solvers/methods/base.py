"""The one contract of all methods: `init` looks at the start, `step` makes one iteration.

A method is a frozen value of settings; all that changes is in its state, itself frozen, so that a state written to
bytes and read back goes on exactly as if nothing had happened. The driver owns limits, best point, events and
verdicts; the method proposes an end only where it alone can know (a failed line search, a direct solution).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar, runtime_checkable

from nablad.solvers.control import Limits
from nablad.solvers.linalg.symmetric import Curvature
from nablad.solvers.objective import FloatArray, Objective, UnsupportedObjective
from nablad.solvers.status import Finding


@dataclass(frozen=True, kw_only=True)
class State:
    """A point and what is known there. After a step that was refused, the old point with `accepted` False."""

    theta: FloatArray
    value: float
    gradient: FloatArray
    gradient_norm: float
    step_size: float = 0.0
    """The multiple of the direction that was taken; 0 at the start."""
    accepted: bool = True
    relative_step: float = math.inf
    """Length of a step relative to theta: the last one (first order), the next one (second order)."""
    step_uncertainty: float = 0.0
    """Roundoff of `relative_step`."""
    predicted_decrease: float = math.inf
    """What the next step promises, where the method has a model of f that tells."""
    gradient_over_roundoff: float = math.inf
    """The gradient in units of its own roundoff."""
    curvature: Curvature = Curvature.UNKNOWN
    condition: float = math.nan
    rank: int = -1
    """-1 where unknown."""
    factorizations: int = 0
    """So far in the run."""
    hessian: FloatArray | None = None
    """At theta, shape (p, p), where the method has it."""
    triangle: FloatArray | None = None
    """R of J = QR at theta, shape (k, p), where the method has it."""
    column_norms: FloatArray | None = None
    """Of the Jacobian of an affine residual, shape (p,), 1 where a column is zero; None elsewhere."""
    jacobian_norm: float = math.nan
    """The length of `column_norms`: the Jacobian's Frobenius norm."""
    unfinished: bool = False
    """A refinement is due: tests of the next step's size must wait for it."""
    glimpsed: bool = False
    """Only a part of the curvature was looked at: tests of the next step must wait for the rest, but for tolerances
    that the user gave."""
    proposal: Finding | None = None
    """The method's own reason to end here."""


S = TypeVar("S", bound=State)


def state_of(kind: type[S], **known: Any) -> S:
    """kind(**known), at a tenth of its cost: a frozen dataclass sets its fields one by one, each by a call.

    For what is made at every iteration. Fields left out have their default, which the class keeps as an attribute;
    those without one must be given, and nothing checks that.
    """
    state = object.__new__(kind)
    state.__dict__.update(known)
    return state


class Method(Protocol[S]):
    """A frozen value of settings. Class variables say what it is and needs; the driver holds an objective to them."""

    @property
    def name(self) -> str: ...
    @property
    def order(self) -> int:
        """1 or 2: the highest derivative used, which selects the default stopping rules."""
        ...

    @property
    def bounded(self) -> bool:
        """Whether it can keep parameters within bounds."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the capabilities that an objective must have, such as "residual"."""
        ...

    @property
    def state_type(self) -> type[S]: ...

    def init(self, objective: Objective, theta: FloatArray, limits: Limits) -> S:
        """The state at the start. Raises UnsupportedObjective if the objective lacks what the method needs."""
        ...

    def step(self, objective: Objective, state: S, limits: Limits) -> S:
        """One iteration: a pure function of the objective and the state."""
        ...


def fields_of(value: Any) -> dict[str, Any]:
    """A dataclass as a dict, one level deep, arrays shared."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


NEEDS = {
    "residual": "a sum of squares: a model of least squares, or an expression with a response or residual=True",
    "separable": "a sum over data rows, from which batches can be drawn",
    "quadratic": "a quadratic objective, such as least squares",
}
"""What each capability means, in words for whoever chose the method."""


@runtime_checkable
class Particular(Protocol):
    """A method some of whose settings need more than the method does."""

    def check(self, objective: Objective) -> None:
        """Raise UnsupportedObjective, naming the setting."""
        ...


def check_supported(method: Method[Any], objective: Objective) -> None:
    """Raise UnsupportedObjective where the objective lacks what the method needs, or has bounds that it cannot keep."""
    for need in method.needs:
        if not getattr(objective.capabilities, need):
            raise UnsupportedObjective(method.name, need, f"{method.name} needs {NEEDS[need]}; this objective is none")
    if objective.bounds is not None and not method.bounded:
        message = f"{method.name} cannot keep parameters within bounds"
        raise UnsupportedObjective(method.name, "no bounds", message)
    if isinstance(method, Particular):
        method.check(objective)
