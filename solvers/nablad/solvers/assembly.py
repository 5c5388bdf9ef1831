"""The report, put together: which point, and the evidence for it."""

from __future__ import annotations

import math
from typing import Any

from nablad.solvers.advice import determined, message
from nablad.solvers.evidence import CurvatureFacts, relative, worst_scaled
from nablad.solvers.linalg.vectors import epsilon
from nablad.solvers.methods.base import Method
from nablad.solvers.objective import Counters, Objective
from nablad.solvers.order import convergence_order
from nablad.solvers.progress import Point, Progress
from nablad.solvers.report import Evidence, Report, Seconds
from nablad.solvers.settings import settings_of
from nablad.solvers.status import Finding
from nablad.solvers.trouble import name_of
from nablad.solvers.verification import Look

ROUNDOFF_LENGTH = 10.0
"""A relative step of so many eps is no step."""
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
    look: Look,
    *,
    objective: Objective,
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
    oddest = worst_scaled(facts)
    evidence = Evidence(
        gradient_norm=point.gradient_norm,
        relative_gradient_norm=relative(point.gradient_norm, progress.first_gradient_norm),
        verdict=facts.verdict,
        smallest_curvature=facts.smallest,
        largest_curvature=facts.largest,
        condition=facts.condition,
        rank=determined(facts),
        decrement=decrement if math.isfinite(decrement) else None,
        convergence_order=convergence_order(progress.lengths, ROUNDOFF_LENGTH * epsilon(point.theta.dtype)),
        worst_scaled_parameter="" if oddest is None else name_of(objective)(oddest[0]),
        worst_scale=None if oddest is None else oddest[1],
        active_bounds=facts.active,
        note=facts.note,
    )
    return Report(
        status=finding.status,
        message=message(finding, progress, point, facts, look, evidence, objective, method.order),
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
