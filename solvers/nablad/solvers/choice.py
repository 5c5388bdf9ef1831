"""Which method, where the user names none: a table, read from the top; the first row that applies is taken.

A row decides by what an objective tells of itself without being evaluated: its size, its rows, its capabilities, and
the run's bounds. docs/solvers.md prints the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nablad.solvers.bounds import Bounds
from nablad.solvers.methods.base import Method
from nablad.solvers.methods.lbfgs import LBFGS
from nablad.solvers.methods.newton import Newton
from nablad.solvers.objective import Objective
from nablad.solvers.words import counted

DENSE_SIZE = 2_000
"""Up to so many parameters a Hessian and its factorization are worth their p^2 memory and p^3 work."""


@dataclass(frozen=True)
class Choice:
    """A row: a kind of problem, the method for it, and why."""

    problem: str
    """In words."""
    applies: Callable[[Objective, Bounds | None], bool]
    method: Callable[[], Method[Any]]
    reason: str
    """A sentence; {p} says how many parameters there are."""


CHOICES: tuple[Choice, ...] = (
    Choice(
        "linear least squares: a residual affine in up to 2,000 parameters",
        lambda f, bounds: f.capabilities.affine and f.size <= DENSE_SIZE,
        Newton,
        "The residual is affine in the {p}: one Newton step by QR is the solution.",
    ),
    Choice(
        "a sum of squares of up to 2,000 parameters",
        lambda f, bounds: f.capabilities.residual and f.size <= DENSE_SIZE,
        Newton,
        "With {p} second derivatives are affordable: Newton's method takes the Gauss-Newton matrix or the "
        "Hessian, whichever predicts the sum of squares better, and verifies its minimum.",
    ),
    Choice(
        "any other objective of up to 2,000 parameters",
        lambda f, bounds: f.size <= DENSE_SIZE,
        Newton,
        "With {p} second derivatives are affordable, and Newton's method verifies its minimum by them.",
    ),
    Choice(
        "more parameters, within bounds or not",
        lambda f, bounds: True,
        LBFGS,
        "A Hessian of {p} would be too large: L-BFGS builds its curvature from gradients. (To train a "
        "network on many rows rather than to find its minimum, ask for Adam.)",
    ),
)


def choose_method(objective: Objective, bounds: Bounds | None = None) -> tuple[Method[Any], str]:
    """A method for this objective within these bounds, and why: a sentence. Evaluates nothing."""
    row = next(row for row in CHOICES if row.applies(objective, bounds))
    return row.method(), row.reason.format(p=counted(objective.size, "parameter"))
