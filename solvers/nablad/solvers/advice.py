"""The message of a report: what happened with its numbers, what the point is, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from nablad.solvers.events import Warning
from nablad.solvers.evidence import CurvatureFacts
from nablad.solvers.methods.minibatches import MinibatchState
from nablad.solvers.objective import Objective
from nablad.solvers.progress import Point, Progress
from nablad.solvers.report import Evidence, Report
from nablad.solvers.status import Family, Finding, Status
from nablad.solvers.trouble import name_of, named
from nablad.solvers.verification import Look
from nablad.solvers.words import newtons_step

VERDICTS = {
    "minimum": "All curvature is positive: a minimum.",
    "flat": "The curvature vanishes along some direction: a minimum here is not unique, or not certain.",
    "saddle": "The curvature is negative along some direction.",
    "maximum": "All curvature is negative.",
}

ODD_SCALE = 1e8
"""Curvatures that differ by this factor slow every method of first order down to nothing."""
UNDETERMINED = 1e-8
"""A parameter is determined if less than this of its unit vector, squared, lies in the undetermined directions."""
INVOLVED = 0.1
"""The same for a direction that is known by its sign only."""
SLIGHT = 1e-5
"""Of the largest curvature: what the distance from the stationary point may make of a zero."""
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
    words.append(_runaway(status, progress, point, objective))
    words.append(_distance(finding, facts, look))
    held = facts.active is not None and facts.active == point.theta.size
    if held and facts.verdict == "minimum":
        words.append("Bounds hold every parameter: a minimum among the points within them.")
    elif facts.below is None:
        words.append(VERDICTS.get(facts.verdict, facts.note if status.success else ""))
    if facts.verdict in VERDICTS and not held:
        words.append(facts.note)
    words.append(_undetermined(facts, look, objective))
    words.append(_scale(status, evidence, order))
    advice = _advice(finding, point, progress, look, order)
    words.append(advice if advice not in words else "")
    return " ".join(word for word in words if word)


SWING = 1e-3
"""A step of this share of theta that changes nothing leads from one side of a valley to the other."""
FITTING: tuple[tuple[Status, Callable[[Point, int], bool], str], ...] = (
    (Status.GRADIENT, lambda point, order: point.gradient_norm == 0.0, ""),
    (Status.ROUNDOFF, lambda point, order: point.gradient_norm == 0.0, ""),
    (
        Status.LINE_SEARCH_STALLED,
        lambda point, order: point.gradient_norm == 0.0,
        "Where the gradient vanishes no step is told apart from another: try another start.",
    ),
    (
        Status.GRADIENT,
        lambda point, order: order == 1,
        "For more digits use Newton, or ask for a smaller gradient tolerance.",
    ),
)
"""Where the point, or a method of this order, calls for other advice than the status's own."""


def _advice(finding: Finding, point: Point, progress: Progress, look: Look, order: int) -> str:
    """What to do next: the finding's or the status' own, but where the run shows what held it up."""
    if finding.advice is not None:
        return finding.advice
    if finding.status is Status.MAX_ITERATIONS and isinstance(progress.state, MinibatchState) and not point.iteration:
        return "No epoch got below the start: lower the learning rate, or take larger batches."
    if finding.status is Status.NO_PROGRESS:
        if order == 1 and progress.state.relative_step > SWING:
            return "The steps swing from one side to the other, and get no lower: shorten the step."
        if not (look.stationary or look.near):
            return "No minimum is here: a kink (abs, maximum), a jump or noise in the objective may hold the run."
    rows = (words for status, fits, words in FITTING if status is finding.status and fits(point, order))
    return next(rows, finding.status.advice)


RUNAWAY = (Status.RECEDING, Status.UNBOUNDED)
FARTHEST, FEW = 0.5, 3
"""Those are named that went this share of the farthest's way or more, and at most so many: a parameter that found its
minimum went twice the decrease that it brought, one that ran away many times that."""


def _runaway(status: Status, progress: Progress, point: Point, objective: Objective) -> str:
    """Which parameters ran away, and how far.

    A parameter's way is measured by what its slope, at either end, makes of it: in units of f, whatever its own are.
    """
    origin = progress.origin
    if status not in RUNAWAY:
        return ""
    with np.errstate(all="ignore"):
        moved = np.abs(point.theta - origin.theta)
        way = np.nan_to_num(np.maximum(np.abs(origin.gradient), np.abs(point.gradient)) * moved)
    farthest = np.argsort(-way, kind="stable")[:FEW]
    farthest = farthest[(way[farthest] > 0.0) & (way[farthest] >= FARTHEST * way.max())]
    if not farthest.size:
        return ""
    told = (f"{name_of(objective)(int(i))} from {origin.theta[i]:.3g} to {point.theta[i]:.3g}" for i in farthest)
    return f"What runs away: {', '.join(told)}."


def _distance(finding: Finding, facts: CurvatureFacts, look: Look) -> str:
    """How far the point is from stationary, where that was measured."""
    if facts.decrement is None or facts.spectrum is None or finding.status in (Status.ROUNDOFF, Status.RECEDING):
        return ""
    if not math.isfinite(facts.decrement):
        falls = "By its slope the value still falls along a direction without curvature."
        return falls if not finding.status.success else ""
    told = newtons_step(look.step, facts.decrement)
    if finding.status is Status.GRADIENT and facts.verdict in ("minimum", "flat"):
        return f"{told}."
    if finding.status.family is Family.LIMIT and not look.stationary:
        return f"It has not converged: {told}; Newton or LBFGS may take it at once."
    return ""


def undetermined_directions(facts: CurvatureFacts) -> NDArray[np.bool_]:
    """Which eigenvectors of a flat point's curvature are so.

    A point is flat also where its most negative curvature may be zero at the stationary one: then whatever is no
    larger than that may, if it is slight.
    """
    spectrum = facts.spectrum
    if spectrum is None or facts.verdict != "flat":
        return np.zeros(0, bool)
    lowest, largest = -float(spectrum.values[0]), float(np.abs(spectrum.values).max())
    slight = lowest if lowest <= SLIGHT * largest else 0.0
    return np.asarray(np.abs(spectrum.values) <= max(spectrum.zero, slight))


def _unseen_directions(facts: CurvatureFacts) -> NDArray[np.bool_]:
    """Which are of a negative curvature that is large in units of the diagonal, and that values of f do not show."""
    flat = undetermined_directions(facts)
    return flat if facts.spectrum is None or not flat.size else np.asarray(~flat & (facts.spectrum.values < 0.0))


def determined(facts: CurvatureFacts) -> int | None:
    """How many directions the objective determines, in keeping with the verdict; None where that was not measured."""
    if facts.rank is None or facts.spectrum is None or facts.verdict != "flat":
        return facts.rank
    open_ones = undetermined_directions(facts) | _unseen_directions(facts)
    return min(facts.rank, facts.spectrum.values.size - int(np.count_nonzero(open_ones)))


def _undetermined(facts: CurvatureFacts, look: Look, objective: Objective) -> str:
    """Which parameters the objective leaves open."""
    spectrum, flat, unseen = facts.spectrum, undetermined_directions(facts), _unseen_directions(facts)
    if spectrum is None or facts.verdict != "flat" or not (flat.any() or unseen.any() or look.idle):
        return ""
    share = np.sum(spectrum.vectors[:, flat] ** 2, axis=1)
    part = np.max(spectrum.vectors[:, unseen] ** 2, axis=1, initial=0.0)
    found = spectrum.free[(share > UNDETERMINED) | (part > INVOLVED)]
    which = np.union1d(found, look.idle).astype(np.intp)
    return f"It does not determine {named(objective, which, objective.size)}."


def _scale(status: Status, evidence: Evidence, order: int) -> str:
    """The parameter that is out of scale, where that may be what held the run up."""
    scale = evidence.worst_scale
    if status.success or scale is None or not scale > 0.0 or 1.0 / ODD_SCALE < scale < ODD_SCALE:
        return ""
    told = f"The curvature along {evidence.worst_scaled_parameter} is {scale:.1e} of the median"
    # Methods of second order do not see units.
    return f"{told}: change its unit, or use Newton, which needs none." if order == 1 else f"{told}."


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
