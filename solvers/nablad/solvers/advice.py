"""The message of a report: what happened with its numbers, what the point is, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from nablad.solvers.events import Warning
from nablad.solvers.evidence import CurvatureFacts
from nablad.solvers.objective import Objective
from nablad.solvers.progress import Point, Progress
from nablad.solvers.report import Evidence, Report
from nablad.solvers.status import Family, Finding, Status
from nablad.solvers.trouble import named
from nablad.solvers.verification import Look

VERDICTS = {
    "minimum": "All curvature is positive: a minimum.",
    "flat": "The curvature vanishes along some direction: a minimum here is not unique, or not certain.",
    "saddle": "The curvature is negative along some direction.",
    "maximum": "All curvature is negative.",
}

ODD_SCALE = 1e8
"""Curvatures that differ by this factor slow every method of first order down to nothing."""
INVOLVED = 0.1
"""A parameter belongs to the undetermined directions if so much of its own unit vector, squared, lies in them."""
SLOW = 0.1
"""An order of convergence within this of 1 is linear."""


def message(
    finding: Finding,
    progress: Progress,
    point: Point,
    facts: CurvatureFacts,
    look: Look,
    evidence: Evidence,
    objective: Objective,
    order: int,
) -> str:
    """The words of the report on a method of this order."""
    status = finding.status
    words = [finding.message]
    if status.success and point.iteration != progress.iteration and progress.state.accepted:
        words.append(f"The point of iteration {point.iteration} is lower and is the one returned.")
    elif not status.success and math.isfinite(point.value):
        words.append(f"The best value is {point.value:.10g}, of iteration {point.iteration}.")
    words.append(_distance(finding, facts, look))
    if facts.below is None:
        words.append(VERDICTS.get(facts.verdict, facts.note if status.success else ""))
    if facts.verdict in VERDICTS:
        words.append(facts.note)
    words.append(_undetermined(facts, objective))
    words.append(_scale(status, evidence))
    words.append(_advice(status, progress, look, order))
    return " ".join(word for word in words if word)


SWING = 1e-3
"""A step of this share of theta that changes nothing leads from one side of a valley to the other."""


def _advice(status: Status, progress: Progress, look: Look, order: int) -> str:
    """The status' own, but where f stands still without being low."""
    if status is not Status.NO_PROGRESS:
        return status.advice
    if order == 1 and progress.state.relative_step > SWING:
        return "The steps swing from one side to the other, and get no lower: shorten the step."
    if not (look.stationary or look.near):
        return "No minimum is here: a kink (abs, maximum), a jump or noise in the objective may hold the run."
    return status.advice


def _distance(finding: Finding, facts: CurvatureFacts, look: Look) -> str:
    """How far the point is from stationary, where that was measured."""
    if facts.decrement is None or facts.spectrum is None or finding.status in (Status.ROUNDOFF, Status.RECEDING):
        return ""
    if not math.isfinite(facts.decrement):
        return "The value still falls along a direction without curvature." if not finding.status.success else ""
    told = f"{look.step:.1e} of the parameters and promises a decrease of {facts.decrement:.1e}"
    if finding.status is Status.GRADIENT and facts.verdict in ("minimum", "flat"):
        return f"Newton's step from here is {told}."
    if finding.status.family is Family.LIMIT and not look.stationary:
        return f"It has not converged: Newton's step from here is {told}; Newton or LBFGS may take it at once."
    return ""


def _undetermined(facts: CurvatureFacts, objective: Objective) -> str:
    """Which parameters the objective leaves open."""
    spectrum = facts.spectrum
    if spectrum is None or facts.verdict != "flat":
        return ""
    flat = spectrum.flat if spectrum.flat.any() else np.arange(spectrum.values.size) == 0
    share = np.sum(spectrum.vectors[:, flat] ** 2, axis=1)
    found = spectrum.free[share > min(INVOLVED, 0.5 * float(share.max()))]
    which = np.union1d(found, facts.lost) if spectrum.flat.any() or not facts.lost else np.array(facts.lost)
    return f"It does not determine {named(objective, which, objective.size)}."


def _scale(status: Status, evidence: Evidence) -> str:
    """The parameter that is out of scale, where that may be what held the run up."""
    scale = evidence.worst_scale
    if status.success or scale is None or not scale > 0.0 or 1.0 / ODD_SCALE < scale < ODD_SCALE:
        return ""
    return (
        f"The curvature along {evidence.worst_scaled_parameter} is {scale:.1e} of the median: change its unit, or use "
        f"Newton, which needs none."
    )


def warnings(report: Report) -> Iterator[Warning]:
    """What a person should know beside the status."""
    evidence = report.evidence
    size = report.theta.size
    if evidence.rank is not None and evidence.rank < size and evidence.verdict == "flat":
        yield Warning(
            "rank_deficient",
            f"The objective determines only {evidence.rank} of {size} directions: the minimizer is not unique.",
            report.iteration,
        )
    if evidence.condition is not None and evidence.condition > 1e-2 / math.sqrt(np.finfo(report.theta.dtype).eps) ** 2:
        yield Warning(
            "ill_conditioned",
            f"The condition is {evidence.condition:.1e}: about as many digits of the parameters are lost as it has.",
            report.iteration,
        )
