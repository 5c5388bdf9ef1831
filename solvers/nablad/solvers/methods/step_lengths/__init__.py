"""Step lengths of gradient descent: the table. To add one is to add a row, and a module with its argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nablad.solvers.linalg.vectors import FloatArray
from nablad.solvers.methods.descent_state import DescentState
from nablad.solvers.methods.line_search import Armijo, Wolfe
from nablad.solvers.methods.step_lengths.barzilai_borwein import BarzilaiBorwein, barzilai_borwein_step
from nablad.solvers.methods.step_lengths.constant import Constant, constant_step
from nablad.solvers.methods.step_lengths.exact import Exact, exact_step
from nablad.solvers.methods.step_lengths.searched import armijo_step, wolfe_step
from nablad.solvers.objective import Objective

__all__ = ["STEP_LENGTHS", "BarzilaiBorwein", "Constant", "Exact", "Row", "StepLength"]

StepLength = Constant | Armijo | Wolfe | BarzilaiBorwein | Exact


@dataclass(frozen=True)
class Row:
    """What is known of a step length."""

    words: str
    """What messages call it."""
    take: Callable[[Objective, DescentState, FloatArray, Any], DescentState]
    """(objective, state, direction, settings) -> the next state."""
    given: Callable[[Any], float | None]
    """The first step that the settings ask for; None leaves it to the method."""
    momentum: bool = True
    """Whether it goes with a direction that is not the gradient's."""
    nesterov: bool = False
    """Whether it goes with Nesterov's extrapolation (nesterov.py)."""
    bounded: bool = False
    """Whether it keeps bounds."""
    quadratic: bool = False
    """Whether it needs a quadratic objective."""


STEP_LENGTHS: dict[type[StepLength], Row] = {
    Constant: Row("a constant step", constant_step, lambda s: s.step_size, nesterov=True, bounded=True),
    Armijo: Row("an Armijo search", armijo_step, lambda s: s.initial, nesterov=True, bounded=True),
    Wolfe: Row("a Wolfe search", wolfe_step, lambda s: s.initial),
    BarzilaiBorwein: Row(
        "a Barzilai-Borwein step", barzilai_borwein_step, lambda s: None, momentum=False, bounded=True
    ),
    Exact: Row("an exact step", exact_step, lambda s: None, quadratic=True),
}
