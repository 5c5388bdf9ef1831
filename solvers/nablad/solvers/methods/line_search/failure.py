"""A search that found nothing, in the words of a report."""

from __future__ import annotations

from nablad.solvers.methods.line_search.ray import Search
from nablad.solvers.status import Status
from nablad.solvers.words import counted


def search_failure(found: Search, gradient_norm: float) -> tuple[Status, str]:
    """What a search without an acceptable trial says of the run."""
    if found.plunged:
        return Status.UNBOUNDED, f"The value is -inf at a trial of step {found.last_step:.3g}."
    if found.nonfinite and found.nonfinite == found.trials:
        return (
            Status.NONFINITE,
            f"All {found.trials} trials along the direction, to a step of {found.last_step:.1e}, were NaN or infinite.",
        )
    if not found.trials:
        return (
            Status.LINE_SEARCH_STALLED,
            f"No step along the direction is long enough to change a parameter; the gradient norm is "
            f"{gradient_norm:.3e}.",
        )
    return (
        Status.LINE_SEARCH_STALLED,
        f"No step down to {found.last_step:.1e} times the direction lowered the objective "
        f"({counted(found.trials, 'trial')}); the gradient norm is {gradient_norm:.3e}.",
    )
