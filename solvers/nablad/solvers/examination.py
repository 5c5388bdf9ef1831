"""When a point is looked at, and what for: a claim of a minimum while the run goes on, and the point of its end.

A claim that the curvature disproves is none, and the run goes on; it is looked at again when the gradient has fallen by
what was missing (verification.py). What the run ends with is corrected by the evidence (conclusion.py). Nothing is
looked at twice.

Where a Hessian would cost more than the run did, all of this is done with a few products (sampled.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from nablad.solvers.conclusion import NOT_STATIONARY, UNDECIDED, Case, concluded, probed, receding, stated
from nablad.solvers.critical_cone import within_cone
from nablad.solvers.evidence import (
    GRADIENTS_PER_COLUMN,
    CurvatureFacts,
    affordable,
    curvature_at,
    exact_at_hand,
    unverified,
)
from nablad.solvers.linalg.symmetric import Curvature
from nablad.solvers.methods.base import State
from nablad.solvers.methods.first_order import FirstOrderState
from nablad.solvers.objective import Objective
from nablad.solvers.probes import falls, falls_on, recedes
from nablad.solvers.progress import Point, Progress
from nablad.solvers.sampled import approached, as_known, sampled
from nablad.solvers.status import Finding, Status
from nablad.solvers.unbounded import endless_fall
from nablad.solvers.verification import LEAST_SHRINK, Look, look, premature

PATIENCE = 3
"""So many looks in vain before a run of first order, which may crawl on for long, is asked whether a minimum is near at
all. Those of second order are asked at their end: they may be about to converge."""
MOST_POSTPONED = 10
"""So many looks are put off, since the method's own model says that they would be in vain. Where f goes to 0 at
infinity it always does, and somebody must look."""
ASKED_FIRST = 100
"""A run of second order is asked at this iteration, at twice, four and eight times as many whether a minimum is near at
all: towards one at infinity Newton's steps go on until f underflows."""
BEYOND = 1e6
"""In Newton's steps: how far f must not rise then. A thousand are too few for exp(-x) to be told from cosh x."""
UNBOUNDED_AGAIN = 1e10
"""By this factor f must fall before it is asked again whether it falls forever."""


@dataclass(frozen=True)
class Seen:
    """A look at the point of an iteration."""

    iteration: int
    facts: CurvatureFacts
    look: Look


class Examiner:
    """Of one run. `trusting`: the user gave a tolerance, and gets that rule; `patient`: the limit on iterations is the
    default one."""

    def __init__(self, objective: Objective, order: int, trusting: bool, patient: bool) -> None:
        self.objective = objective
        self.order = order
        self.trusting = trusting
        self.patient = patient
        self.seen: Seen | None = None

    def due(self, progress: Progress) -> bool:
        """Whether a claim is to be looked at now; if not, the run goes on."""
        state = progress.state
        if self._is_exact(state):
            return True
        if not state.gradient_norm < progress.look_below:
            return False
        shrink = premature(state, progress.origin) if isinstance(state, FirstOrderState) else None
        if shrink is not None and progress.postponed < MOST_POSTPONED:
            progress.postponed += 1
            progress.look_below = shrink * state.gradient_norm
            return False
        return True

    def _is_exact(self, state: State) -> bool:
        """Whether the method's own tests are of the exact step."""
        return self.objective.capabilities.affine and exact_at_hand(self.objective, state)

    def verified(self, progress: Progress, claim: Finding, gradients: int) -> Finding | None:
        """A claim that is due, or what the curvature at the point says instead; None if the run must go on."""
        state = progress.state
        if self._is_exact(state):
            return claim
        with np.errstate(all="ignore"):
            if not exact_at_hand(self.objective, state) and not affordable(self.objective, gradients):
                return self._unless_disproved(progress, claim, gradients)
            facts = within_cone(self.objective, state, curvature_at(self.objective, state, gradients))
            found = look(facts, self.objective, state, progress.origin)
            self.seen = Seen(progress.arrived, facts, found)
            saddle = facts.verdict in ("saddle", "maximum") and state.curvature is Curvature.NEGATIVE
            if found.stationary and saddle and falls(self.objective, facts, state, progress.origin):
                # The method sees the way down as well, and is about to take it.
                progress.look_below = LEAST_SHRINK * state.gradient_norm
                return None
            if found.stationary:
                return claim
            away = None
            if self.order == 1 and progress.looks >= PATIENCE:
                away = receding(self._case(progress, claim, state, facts, found))
        progress.looks += 1
        progress.look_below = found.shrink * state.gradient_norm
        return away

    def _unless_disproved(self, progress: Progress, claim: Finding, gradients: int) -> Finding | None:
        state = progress.state
        patient = self.order == 1 and progress.looks < PATIENCE
        approach = approached(self.objective, state, progress.origin, gradients, thorough=not patient)
        if self.order > 1 or approach is None or not approach.early:
            self.seen = Seen(progress.arrived, *sampled(self.objective, state, approach, gradients))
            return claim
        away = None if patient else receding(self._case(progress, claim, state, *as_known(approach)))
        progress.looks += 1
        # Where f itself goes to 0, no share of it is ever promised too little: the looks get rare, lest they cost more
        # than the run.
        progress.look_below = LEAST_SHRINK ** (1 + progress.looks // PATIENCE) * state.gradient_norm
        return away

    def recedes(self, progress: Progress, gradients: int) -> Finding | None:
        """A finding where a long run of second order is on its way to a minimum at infinity; None for now."""
        state = progress.state
        often, rest = divmod(progress.iteration, ASKED_FIRST)
        due = self.order > 1 and rest == 0 and often in (1, 2, 4, 8)
        if not (due and self.patient and not self.trusting and state.accepted):
            return None
        if not (exact_at_hand(self.objective, state) or affordable(self.objective, gradients)):
            return None
        with np.errstate(all="ignore"):
            facts = curvature_at(self.objective, state, gradients)
            found = look(facts, self.objective, state, progress.origin)
            if found.stationary or facts.verdict == "unverified":
                return None
            away = receding(self._case(progress, Finding(Status.MAX_ITERATIONS, ""), state, facts, found))
            if away is None or recedes(self.objective, facts, state, progress.origin, found.weak, BEYOND) is None:
                return None
        return away

    def falls_forever(self, progress: Progress) -> bool:
        """Whether f, far below anything it showed at the start, goes on falling along the run's way.

        A start in the flat of exp(-x^2) shows nothing of the well in the middle.
        """
        if progress.state.value == -math.inf:
            return True
        if not progress.state.value < progress.unbounded_below:
            return False
        with np.errstate(all="ignore"):
            found = falls_on(self.objective, progress.state, progress.origin) or (
                endless_fall(self.objective, progress.state, progress.origin, None) is not None
            )
        progress.unbounded_below = UNBOUNDED_AGAIN * progress.state.value
        return found

    def concluded(
        self, progress: Progress, point: Point, finding: Finding, gradients: int
    ) -> tuple[Finding, CurvatureFacts, Look]:
        """The last word on a run that ended with `finding`, and the evidence at its point. May evaluate."""
        at = _state_at(progress, point, self.objective.capabilities.affine)
        facts, found = self._examined(progress, at, point, finding, gradients)
        case = replace(self._case(progress, finding, at, facts, found), iteration=point.iteration)
        facts = probed(case)
        if found.idle and facts.verdict == "minimum":
            rank = None if facts.rank is None else facts.rank - len(found.idle)
            facts = replace(facts, verdict="flat", rank=rank, lost=found.idle)
        case = replace(case, facts=facts)
        finding = concluded(case)
        facts = stated(case, finding)
        if facts.spectrum is None:
            # A step of conjugate gradients that ended early says too little of Newton's to be reported.
            facts = replace(facts, decrement=None, step=None)
        return finding, facts, found

    def _examined(
        self, progress: Progress, at: State, point: Point, finding: Finding, gradients: int
    ) -> tuple[CurvatureFacts, Look]:
        """The curvature at the reported point, and how far it is from stationary.

        Evaluated anew only where it decides something: at a claim of a minimum, and where a run has stalled or used up
        its iterations, if it has cost so much that this does not matter.
        """
        seen, claimed = self.seen, finding.status.success or finding.status is Status.RECEDING
        if seen is not None and seen.iteration == point.iteration and claimed:
            return seen.facts, seen.look
        wanted = finding.status.success or finding.status in UNDECIDED
        late = finding.status is Status.MAX_ITERATIONS and gradients >= GRADIENTS_PER_COLUMN * self.objective.size
        if not (wanted or late or exact_at_hand(self.objective, at)):
            return unverified(NOT_STATIONARY), Look(False)
        if wanted and not exact_at_hand(self.objective, at) and not affordable(self.objective, gradients):
            approach = approached(self.objective, at, progress.origin, gradients, thorough=True)
            return sampled(self.objective, at, approach, gradients)
        facts = within_cone(self.objective, at, curvature_at(self.objective, at, gradients))
        found = look(facts, self.objective, at, progress.origin)
        if wanted or found.stationary or facts.verdict == "unverified":
            return facts, found
        return replace(facts, verdict="unverified", note=NOT_STATIONARY), found

    def _case(self, progress: Progress, finding: Finding, at: State, facts: CurvatureFacts, found: Look) -> Case:
        return Case(
            self.objective,
            finding,
            at,
            facts,
            found,
            progress.origin,
            self.trusting,
            self.patient,
            last=progress.state.value,
            iteration=progress.arrived,
        )


def _state_at(progress: Progress, point: Point, affine: bool) -> State:
    """The state, with what is known at the reported point only."""
    state = progress.state
    here = point.iteration == progress.arrived
    return replace(
        state,
        theta=point.theta,
        value=point.value,
        gradient=point.gradient,
        gradient_norm=point.gradient_norm,
        hessian=state.hessian if here else None,
        triangle=state.triangle if here or affine else None,
    )
