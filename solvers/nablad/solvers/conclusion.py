"""The last word on a run that a test, a limit or the method itself has ended: what the point really is.

A table of corrections: each looks at the finding and at the evidence, and may replace the finding. The first one that
does has the last word.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from nablad.solvers.evidence import NOT_FINITE, CurvatureFacts
from nablad.solvers.methods.base import State
from nablad.solvers.objective import Objective
from nablad.solvers.probes import level, lower, lower_around, noise, plateau_at_infinity, ran_away, recedes, suspicious
from nablad.solvers.progress import Point
from nablad.solvers.status import Finding, Status
from nablad.solvers.verification import Look, promises_little

STATIONARY = (Status.GRADIENT, Status.DECREMENT, Status.STEP, Status.ROUNDOFF)
"""The successes that claim a minimum."""
UNDECIDED = (Status.LINE_SEARCH_STALLED, Status.NO_PROGRESS)
"""The ends at which a method cannot tell a minimum, seen as well as roundoff allows, from a failure."""


@dataclass(frozen=True)
class Case:
    """What the corrections look at."""

    objective: Objective
    finding: Finding
    at: State
    facts: CurvatureFacts
    look: Look
    origin: Point
    """Where the run began."""
    trusting: bool
    """The user gave the tolerance: the test's word stands."""
    patient: bool
    """The limit on iterations, where it ended the run, was the default one."""

    @property
    def claims(self) -> bool:
        return self.finding.status in STATIONARY

    @property
    def decided(self) -> bool:
        return self.facts.verdict != "unverified"


def _indefinite(case: Case) -> Finding | None:
    if not case.claims or case.facts.verdict not in ("saddle", "maximum"):
        return None
    return Finding(Status.SADDLE, f"{case.finding.message} The point is a {case.facts.verdict}.")


def _lower_nearby(case: Case) -> Finding | None:
    if not case.claims or case.facts.below is None:
        return None
    return Finding(
        Status.SADDLE,
        f"{case.finding.message} But this is no minimum: where the curvature does not tell, the value falls to "
        f"{case.facts.below:.10g}.",
    )


def _beyond_numbers(case: Case) -> Finding | None:
    if not case.claims or bool(np.isfinite(case.at.theta).all()):
        return None
    return Finding(
        Status.RECEDING, f"The parameters have run beyond the range of numbers; the value is {case.at.value:.6g}."
    )


def _at_infinity(case: Case) -> Finding | None:
    """A long step that promises next to nothing, or a plateau of roundoff."""
    if case.trusting or not (case.claims or case.finding.status in UNDECIDED):
        return None
    flat = case.facts.verdict == "flat" and not case.objective.capabilities.quadratic
    if flat and plateau_at_infinity(case.objective, case.facts, case.at, case.origin):
        return Finding(
            Status.RECEDING,
            f"The gradient norm is {case.at.gradient_norm:.3e}, but only because {case.at.value:.10g} is as low as "
            f"roundoff lets the value fall: on the way here it fell ever more slowly, and the way has no end.",
        )
    grown = ran_away(case.facts, case.at, case.origin)
    if flat and grown is not None:
        return Finding(
            Status.RECEDING,
            f"The gradient norm is {case.at.gradient_norm:.3e}, but a parameter has grown by a factor of {grown:.0e}, "
            f"to where the value {case.at.value:.10g} hardly depends on it.",
        )
    return receding(case)


def receding(case: Case) -> Finding | None:
    """A finding where the next step is long, and f does not rise however far one goes along it."""
    if case.look.short:
        return None
    far = recedes(case.objective, case.facts, case.at, case.origin, case.look.weak)
    if far is None:
        return None
    return Finding(
        Status.RECEDING,
        f"The gradient norm has fallen to {case.at.gradient_norm:.3e} (Newton's step: {case.look.step:.1e} of the "
        f"parameters), but no minimum is near: even {far:.0e} times as far on, the value {case.at.value:.6g} does not "
        f"rise.",
    )


def _stalled_at_a_minimum(case: Case) -> Finding | None:
    """What stalled, or used up its iterations, did so where it should: Newton's decrement decides."""
    late = case.finding.status is Status.MAX_ITERATIONS and case.look.stationary
    if not (late or case.finding.status in UNDECIDED) or case.facts.verdict not in ("minimum", "flat"):
        return None
    eps = float(np.finfo(case.at.theta.dtype).eps)
    # Where f is 0 as a difference of larger terms, theta is resolved no better than f's whole way lets it be.
    blurred = case.facts.decrement is not None and case.facts.decrement <= eps * (case.origin.value - case.at.value)
    near = case.look.step <= eps ** (1 / 3) or (case.facts.verdict == "minimum" and blurred and not case.look.weak)
    if case.facts.below is not None or not near or not _as_low_as_seen(case):
        return None
    return Finding(
        Status.ROUNDOFF,
        f"The run passed no test (gradient norm {case.at.gradient_norm:.3e}), but ended where it should: all that "
        f"Newton's step still promises is a decrease of {case.facts.decrement or 0.0:.1e} of {case.at.value:.10g}.",
    )


def _as_low_as_seen(case: Case) -> bool:
    """Whether what Newton's step promises is nothing, or nothing that values of f could show."""
    if promises_little(case.facts, case.at, case.origin):
        return True
    decrement, eps = case.facts.decrement or 0.0, float(np.finfo(case.at.theta.dtype).eps)
    if not decrement <= max(math.sqrt(eps) * abs(case.at.value), eps * (case.origin.value - case.at.value)):
        return False
    lost = decrement <= NOISE_MARGIN * noise(case.objective, case.at)
    return lost or level(case.objective, case.facts, case.at)


NOISE_MARGIN = 4.0
"""A decrease must exceed this multiple of f's noise to be found by a search."""


def _ended_too_early(case: Case) -> Finding | None:
    """The method proposed its end, and Newton's step from there disagrees.

    A linear problem solved by its triangle is excepted: the method has refined its step with more digits than a
    gradient has.
    """
    if case.objective.capabilities.affine and case.at.triangle is not None:
        return None
    if not case.claims or case.trusting or not case.decided or case.look.stationary:
        return None
    if promises_little(case.facts, case.at, case.origin):
        return None
    return Finding(
        Status.NO_PROGRESS,
        f"{case.finding.message} But Newton's step from here still promises a decrease of {case.facts.decrement:.1e}.",
    )


def _at_a_limit(case: Case) -> Finding | None:
    return receding(case) if case.patient and case.finding.status is Status.MAX_ITERATIONS else None


CORRECTIONS: tuple[Callable[[Case], Finding | None], ...] = (
    _beyond_numbers,
    _lower_nearby,
    _indefinite,
    _at_infinity,
    _stalled_at_a_minimum,
    _ended_too_early,
    _at_a_limit,
)


def probed(case: Case) -> CurvatureFacts:
    """The facts, with a lower value nearby if the curvature is too weak to rule one out and probing finds it."""
    facts, finding = case.facts, case.finding
    late = finding.status is Status.MAX_ITERATIONS and case.look.stationary
    if not (case.claims or late or finding.status in UNDECIDED) or case.objective.capabilities.quadratic:
        return facts
    if facts.note == NOT_FINITE:
        below = lower_around(case.objective, case.at, case.origin)
        return facts if below is None else replace(facts, verdict="saddle", below=below)
    if not suspicious(facts, case.at, case.origin):
        return facts
    found = lower(case.objective, facts, case.at, case.origin)
    if found is None:
        weak = "flat" if facts.verdict == "flat" else "weakest"
        return replace(facts, note=f"Probing along the {weak} directions found nothing lower.")
    return replace(facts, verdict="saddle", below=found)


def concluded(case: Case) -> Finding:
    """The finding, corrected by the evidence."""
    for correction in CORRECTIONS:
        found = correction(case)
        if found is not None:
            return found
    return case.finding
