"""Where values that are not finite come from: the trial, the parameters, the node of the definition; and what is told
of arithmetic of our own that went out of its range."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nablad.solvers.objective import Explaining, FloatArray, Naming, Objective

ARITHMETIC = (ArithmeticError, np.linalg.LinAlgError)
"""What numbers beyond all range may raise: no reason to lose a run and its best point."""
NAMES_TOLD = 6
"""Of more parameters only these are named."""


@dataclass(frozen=True)
class Trouble:
    """A trial whose value or gradient was not finite."""

    iteration: int
    """In which it was tried: 0 is the start."""
    evaluation: int
    what: str
    """"value" or "gradient"."""
    number: float
    """The value there."""
    theta: FloatArray

    def __str__(self) -> str:
        where = f"in iteration {self.iteration}, at evaluation {self.evaluation}"
        return (
            f"The value was {self.number} {where}." if self.what == "value" else f"The gradient was not finite {where}."
        )


def explained(trouble: Trouble, objective: Objective, inner: Objective) -> str:
    """The trouble in words, with the node of the definition and the entries of the gradient, as far as can be told.

    Evaluates the gradient once, and the graph in checked mode (autodiff/checked.py).
    """
    words = [str(trouble)]
    if isinstance(inner, Explaining):
        words.append(inner.explain(trouble.theta) or "")
    bad = ~np.isfinite(inner.gradient(trouble.theta))
    if trouble.what == "gradient" and bad.any():
        words.append(f"NaN or infinite were the derivatives by {named(objective, np.flatnonzero(bad), bad.size)}.")
    return " ".join(word for word in words if word)


def raised(error: BaseException) -> str:
    """What was raised, and where, in words."""
    *_, frame = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} ({error}) was raised by {frame.name}, {Path(frame.filename).name}:{frame.lineno},"


def name_of(objective: Objective) -> Callable[[int], str]:
    """What the objective calls a parameter."""
    if isinstance(objective, Naming):
        return objective.parameter_name
    return lambda index: f"theta[{index}]"


def named(objective: Objective, which: Iterable[int], size: int) -> str:
    """Some of `size` parameters, in words."""
    indices = [int(i) for i in which]
    if len(indices) == size and size > 1:
        return f"all {size} parameters"
    name = name_of(objective)
    told = ", ".join(name(i) for i in indices[:NAMES_TOLD])
    return told if len(indices) <= NAMES_TOLD else f"{told} and {len(indices) - NAMES_TOLD} more"


def is_trouble(value: float, gradient: FloatArray) -> bool:
    """Whether a value or a gradient is not finite: one inner product, where all is well."""
    if not math.isfinite(value):
        return True
    return not math.isfinite(float(gradient.dot(gradient))) and not bool(np.isfinite(gradient).all())
