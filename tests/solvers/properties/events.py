"""What the property suites read from a run's events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nablad.solvers import Event, Iterate


def trace(events: Iterable[Event]) -> list[tuple[Any, ...]]:
    """Iterates without the clock; theta as bytes."""
    return [
        (
            e.iteration,
            e.value,
            e.gradient_norm,
            e.step_size,
            e.values,
            e.gradients,
            e.hessians,
            e.hvps,
            None if e.theta is None else e.theta.tobytes(),
            e.accepted,
        )
        for e in events
        if isinstance(e, Iterate)
    ]
