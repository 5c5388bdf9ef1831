"""One iterate of a run, as a typed value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Iterate:
    """The run after an iteration. Iteration 0 is the start. Counts are totals up to now."""

    seq: int
    time: datetime | None
    iteration: int
    loss: float
    gradient_norm: float
    """||g||, the Euclidean norm."""
    step_size: float | None
    """The factor of the direction; None at the start."""
    seconds: float
    """Since the run began."""
    values: int
    gradients: int
    hessians: int
    hessian_vector_products: int
    theta: NDArray[Any] | None = None
    """The point, shape (p,), where it was recorded."""

    def __repr__(self) -> str:
        step = "" if self.step_size is None else f", step_size={self.step_size:.3g}"
        theta = "" if self.theta is None else f", theta=({self.theta.size})"
        return (
            f"Iterate({self.iteration}, loss={self.loss:.10g}, gradient_norm={self.gradient_norm:.3g}{step}, "
            f"seconds={self.seconds:.3g}{theta})"
        )
