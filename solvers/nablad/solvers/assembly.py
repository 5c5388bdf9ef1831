"""The report, put together: which point, which words."""

from __future__ import annotations

import math
from typing import Any

from nablad.solvers.evidence import CurvatureFacts, relative
from nablad.solvers.methods.base import Method
from nablad.solvers.objective import Counters
from nablad.solvers.progress import Point, Progress
from nablad.solvers.report import Evidence, Report, Seconds
from nablad.solvers.settings import settings_of
from nablad.solvers.status import Finding

BEST_SHARE = 1e-6
"""A converged point is reported even if an earlier one was lower, by no more than this share of the whole decrease."""


def reported(progress: Progress, finding: Finding) -> Point:
    """The point to report: the one that converged, or else the lowest.

    Tests hold of the last point; an earlier one may be lower by roundoff or by a swing of momentum, which is no reason
    to report a point whose gradient is larger. If it is lower by more, it is the better answer.
    """
    last, best = Point.of(progress.state, progress.arrived), progress.best
    whole = progress.first_value - best.value
    excess = last.value - best.value
    if finding.status.success and progress.state.accepted and excess <= max(BEST_SHARE * whole, 0.0):
        return last
    return best


def assemble(
    finding: Finding,
    progress: Progress,
    point: Point,
    facts: CurvatureFacts,
    *,
    counts: Counters,
    seconds: Seconds,
    method: Method[Any],
    given: dict[str, Any],
    used: dict[str, Any],
    nonfinite: str | None,
) -> Report:
    """The report of a run that ended with `finding`."""
    state = progress.state
    decrement = state.predicted_decrease if point.iteration == progress.arrived else math.inf
    if facts.decrement is not None:
        decrement = facts.decrement
    evidence = Evidence(
        gradient_norm=point.gradient_norm,
        relative_gradient_norm=relative(point.gradient_norm, progress.first_gradient_norm),
        verdict=facts.verdict,
        smallest_curvature=facts.smallest,
        largest_curvature=facts.largest,
        condition=facts.condition,
        rank=facts.rank,
        decrement=decrement if math.isfinite(decrement) else None,
        note=facts.note,
    )
    return Report(
        status=finding.status,
        message=_message(finding, progress, point, facts),
        theta=point.theta.copy(),
        value=point.value,
        gradient=point.gradient.copy(),
        iteration=point.iteration,
        iterations=progress.iteration,
        last_theta=state.theta.copy(),
        last_value=state.value,
        evidence=evidence,
        counts=counts,
        factorizations=state.factorizations,
        seconds=seconds,
        method=method.name,
        method_settings=settings_of(method),
        stopping_given=given,
        stopping_used=used,
        first_nonfinite=nonfinite,
    )


VERDICTS = {
    "minimum": "All curvature is positive: a minimum.",
    "flat": "The curvature vanishes along some direction: a minimum here is not unique, or not certain.",
    "saddle": "The curvature is negative along some direction.",
    "maximum": "All curvature is negative.",
}


def _message(finding: Finding, progress: Progress, point: Point, facts: CurvatureFacts) -> str:
    words = [finding.message]
    if finding.status.success and point.iteration != progress.iteration and progress.state.accepted:
        words.append(f"The point of iteration {point.iteration} is lower and is the one returned.")
    elif not finding.status.success and math.isfinite(point.value):
        words.append(f"The best value is {point.value:.10g}, of iteration {point.iteration}.")
    words.append(VERDICTS.get(facts.verdict, facts.note if finding.status.success else ""))
    words.append(finding.status.advice)
    return " ".join(word for word in words if word)
