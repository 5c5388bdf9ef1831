"""The last word on a run that a test, a limit or the method itself has ended: what the point really is.

A table of corrections: each looks at the finding and at the evidence, and may replace the finding. The first one that
does has the last word.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from nablad.solvers.evidence import CurvatureFacts
from nablad.solvers.linalg.vectors import norm
from nablad.solvers.methods.base import State
from nablad.solvers.methods.descent_state import DescentState
from nablad.solvers.objective import Objective
from nablad.solvers.probes import (
    RUN_AWAY,
    falls,
    level,
    lower,
    lower_around,
    noise,
    plateau_at_infinity,
    ran_away,
    recedes,
    suspicious,
)
from nablad.solvers.progress import Point
from nablad.solvers.status import Finding, Status
from nablad.solvers.trouble import named
from nablad.solvers.unbounded import endless_fall
from nablad.solvers.verification import Look, promises_little
from nablad.solvers.words import newtons_step

STATIONARY = (Status.GRADIENT, Status.DECREMENT, Status.STEP, Status.ROUNDOFF)
"""The successes that claim a minimum."""
UNDECIDED = (Status.LINE_SEARCH_STALLED, Status.NO_PROGRESS)
"""The ends at which a method cannot tell a minimum, seen as well as roundoff allows, from a failure."""
BY_TOLERANCE = (Status.GRADIENT, Status.DECREMENT, Status.STEP)
"""The successes whose tolerance the user may have given."""


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
    last: float
    """The value where the run ended; `at` is the point that is reported."""
    iteration: int
    """The one that led to the point."""

    @property
    def claims(self) -> bool:
        return self.finding.status in STATIONARY

    @property
    def decided(self) -> bool:
        return self.facts.verdict != "unverified"

    @property
    def late(self) -> bool:
        """Whether the default limit on iterations ended the run."""
        return self.patient and self.finding.status is Status.MAX_ITERATIONS


def _without_end(case: Case) -> Finding | None:
    """f falls along some ray as far as numbers go."""
    claims = case.claims and not (case.trusting and case.finding.status in BY_TOLERANCE)
    stopped = case.late or case.finding.status in (*UNDECIDED, Status.RECEDING)
    if not (claims or stopped) or (case.facts.verdict == "minimum" and _held(case, stopped)):
        return None
    found = endless_fall(case.objective, case.at, case.origin, case.facts)
    if found is None:
        return None
    share = (found.direction / norm(found.direction)) ** 2
    which = named(case.objective, np.flatnonzero(share > INVOLVED * float(share.max())), share.size)
    return Finding(
        Status.UNBOUNDED,
        f"The value falls without end along {which}: from {case.at.value:.6g}, where the run ended, to "
        f"{found.lowest:.3e} and on.",
    )


def _held(case: Case, stopped: bool) -> bool:
    """Whether positive curvature is enough to believe in a minimum: the run came to rest, no immense way off."""
    if case.objective.capabilities.quadratic:
        return True
    if stopped:
        return False
    begun = np.where(case.origin.theta != 0.0, np.abs(case.origin.theta), 1.0)
    away = bool((np.abs(case.at.theta) > RUN_AWAY * begun).any())
    return case.look.short and not away and not suspicious(case.facts, case.at, case.origin)


INVOLVED = 0.01
"""A parameter has a part in a direction by so much of the largest one's, squared."""


ENOUGH = 50
"""With momentum f may rise at first, and fall in the end: a run of fewer steps, which the user's limit ended, tells
nothing."""


def _rising(case: Case) -> Finding | None:
    """No step of the user's constant length ever brought f below the start, and it is far above now.

    Methods that choose their steps are not concerned, and neither are estimates from minibatches: those rise from any
    good start.
    """
    ended = case.finding.status in (Status.NO_PROGRESS, Status.MAX_ITERATIONS)
    constant = isinstance(case.at, DescentState) and case.at.blind >= ENOUGH
    if not (ended and constant) or case.iteration > 0 or not case.last - case.at.value > abs(case.at.value):
        return None
    return Finding(
        Status.DIVERGED,
        f"No step brought the value below that of the start, {case.at.value:.6g}; it ended at {case.last:.6g}."
        f"{_stable(case.facts)}",
    )


def _stable(facts: CurvatureFacts) -> str:
    """The longest steps that lower f, 2 / L, where L is known and positive."""
    if facts.largest is None or not 0.0 < facts.largest < math.inf:
        return ""
    return f" At the start the curvature, {facts.largest:.3g}, allows steps up to {2.0 / facts.largest:.3g}."


def _indefinite(case: Case) -> Finding | None:
    stationary = case.at.gradient_norm == 0.0 or case.facts.over_roundoff <= 1.0
    ended = case.claims or (case.finding.status in UNDECIDED and stationary)
    if not ended or case.facts.verdict not in ("saddle", "maximum"):
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
    ended = case.claims or case.late or case.finding.status in UNDECIDED
    if not ended or bool(np.isfinite(case.at.theta).all()):
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
    undecided = case.finding.status in UNDECIDED
    if undecided and case.at.gradient_norm == 0.0 and case.facts.verdict == "unverified" and case.look.stationary:
        return Finding(Status.ROUNDOFF, "The gradient is exactly zero, and nothing shows that the point is no minimum.")
    if not (late or undecided) or case.facts.verdict not in ("minimum", "flat"):
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
    lost = decrement <= NOISE_MARGIN * noise(case.objective, case.at.theta, case.at.value)
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
    return receding(case) if case.late else None


CORRECTIONS: tuple[Callable[[Case], Finding | None], ...] = (
    _without_end,
    _rising,
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
    if not facts.finite:
        below = lower_around(case.objective, case.at, case.origin)
        return facts if below is None else replace(facts, verdict="saddle", below=below)
    indefinite = facts.verdict in ("saddle", "maximum") and facts.spectrum is not None
    little = indefinite and not late and promises_little(facts, case.at, case.origin)
    if little and not falls(case.objective, facts, case.at, case.origin):
        # Too little of it to be seen in values of f: such a direction is probed like one of no curvature.
        facts = replace(facts, verdict="flat")
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


BEYOND_A_MINIMUM = (Status.RECEDING, Status.UNBOUNDED, Status.DIVERGED)
"""The ends that say nothing of a point."""
NOT_STATIONARY = "The run did not end at a stationary point."


def stated(case: Case, finding: Finding) -> CurvatureFacts:
    """The facts with the verdict that the point deserves: no minimum where Newton's step shows that it is far away.

    A linear problem solved by its triangle is excepted, as in `_ended_too_early`.
    """
    facts = case.facts
    if finding.status in BEYOND_A_MINIMUM:
        return replace(facts, verdict="unverified", note=NOT_STATIONARY)
    solved = case.objective.capabilities.affine and case.at.triangle is not None and not case.trusting
    if case.look.stationary or case.look.near or (solved and case.claims):
        return facts
    if facts.verdict not in ("minimum", "flat") and (facts.below is None or not facts.finite):
        return facts
    return replace(facts, verdict="unverified", note=_far(case) if facts.below is None else NOT_STATIONARY, below=None)


def _far(case: Case) -> str:
    facts = case.facts
    if facts.decrement is None or not math.isfinite(facts.decrement):
        return "The value still falls along a direction without curvature: the point is not stationary."
    told = newtons_step(case.look.step, facts.decrement)
    return f"The point is not stationary: {told}. No curvature here is negative."
