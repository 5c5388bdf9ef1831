"""What a sum of squares is as a fit of data: which residuals are observations, and in which units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nablad.solvers.models.base import Model


@dataclass(frozen=True)
class Regression:
    """A model whose objective is scale * sum_i w_i (y_i - f_i)^2, and perhaps a penalty."""

    observations: int
    """How many residuals have a weight above zero."""
    scale: float = 1.0
    """1/N where the objective is a mean over N rows."""
    weighted: bool = False
    unpenalized: Callable[[], Model] | None = None
    """Where there is a penalty: the same model without it."""
