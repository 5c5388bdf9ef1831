"""The loop that all methods share: limits, counters, best point, tests, events, and the end.

`run` is a generator: whoever iterates it sets the pace, and leaving it early loses nothing but the report. Each step
of the algorithm is one short function (after Ceres' trust-region minimizer). The tests look at the start too, before
step 1.

A run's whole state is a `Progress`; written to bytes at a checkpoint and given back as `resume`, the run goes on to
the same bits as if it had never stopped, ends by the clock or by cancel excepted. An iteration that a limit interrupts
is made again, whole, on resumption.

Methods of first order see an affine residual expanded about a point (expansion.py). An end is then decided, and the end
and the best point are told, by a true pass over the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from nablad.solvers.advice import warnings
from nablad.solvers.assembly import assemble, reported
from nablad.solvers.blas import one_blas_thread
from nablad.solvers.bounds import Bounds
from nablad.solvers.conclusion import NOT_STATIONARY, STATIONARY
from nablad.solvers.control import CANCELLED, EVALUATION_LIMIT, TIME_LIMIT, Control, Limits
from nablad.solvers.events import Checkpoint, Done, Event, Iterate, RecordTheta, Started
from nablad.solvers.evidence import unverified
from nablad.solvers.examination import Examiner
from nablad.solvers.expansion import Expanded, Expansion, pays, renumbered
from nablad.solvers.metered import Metered
from nablad.solvers.methods.base import Method, State, check_supported
from nablad.solvers.objective import Counters, FloatArray, Interrupted, Objective
from nablad.solvers.progress import Point, Progress, is_finite_start, restore, save
from nablad.solvers.quiet import quiet
from nablad.solvers.report import Report, Seconds
from nablad.solvers.settings import settings_of
from nablad.solvers.status import Family, Finding, Status
from nablad.solvers.stopping import Stopping, View, converged, iterations, no_progress, unbounded
from nablad.solvers.trouble import ARITHMETIC, Trouble, raised
from nablad.solvers.trouble import explained as explained_trouble
from nablad.solvers.verification import Look
from nablad.solvers.words import counted, nonfinite_entries

INTERRUPTIONS: dict[str, Callable[[Stopping], Finding]] = {
    CANCELLED: lambda rules: Finding(Status.CANCELLED, "The run was cancelled."),
    TIME_LIMIT: lambda rules: Finding(Status.MAX_TIME, f"The time limit of {rules.max_seconds:g} s was reached."),
    EVALUATION_LIMIT: lambda rules: Finding(
        Status.MAX_EVALUATIONS, f"The limit of {counted(rules.max_evaluations or 0, 'evaluation')} was reached."
    ),
}

TOLERANCES = ("gradient_tolerance", "relative_gradient_tolerance", "step_tolerance", "decrement_tolerance")
"""Whoever gives one of them gets exactly that rule; by default a claim is verified before it is made."""


def run(
    objective: Objective,
    method: Method[Any],
    start: FloatArray,
    stopping: Stopping | None = None,
    *,
    control: Control | None = None,
    record_theta: RecordTheta | None = None,
    checkpoint_every: int | None = None,
    resume: bytes | None = None,
    bounds: Bounds | None = None,
) -> Iterator[Event]:
    """Minimize `objective` from `start`, shape (p,), and tell of it as it goes.

    Started, Iterate 0, Iterate 1, ..., Done; a Checkpoint after every `checkpoint_every` iterations, and before Done
    if a limit or a cancel ended the run. `resume` takes such a state in place of `start`. Within `bounds` every
    evaluation lies in their box. BLAS runs in one thread until the iterator ends or is closed.

    Raises UnsupportedObjective if the objective lacks what the method needs or the method cannot keep bounds, and
    ValueError for a start of another shape or out of bounds, or for a state of another method, size or precision; all
    before the first iterate.
    """
    with one_blas_thread():
        yield from _Run(
            objective,
            method,
            start,
            stopping or Stopping(),
            control or Control(),
            record_theta or RecordTheta(),
            checkpoint_every,
            resume,
            bounds,
        ).events()


def solve(
    objective: Objective,
    method: Method[Any],
    start: FloatArray,
    stopping: Stopping | None = None,
    *,
    control: Control | None = None,
    resume: bytes | None = None,
    bounds: Bounds | None = None,
) -> Report:
    """Run to the end, and return the report. Arguments and errors as `run`."""
    never = RecordTheta.never()
    events = run(objective, method, start, stopping, control=control, record_theta=never, resume=resume, bounds=bounds)
    for event in events:
        if isinstance(event, Done):
            return event.report
    raise AssertionError("a run ends with Done")


class _Run:
    """One run: its limits, its clock, and its progress."""

    def __init__(
        self,
        objective: Objective,
        method: Method[Any],
        start: FloatArray,
        stopping: Stopping,
        control: Control,
        record_theta: RecordTheta,
        checkpoint_every: int | None,
        resume: bytes | None,
        bounds: Bounds | None,
    ) -> None:
        self.method = method
        self.given = stopping
        self.eps = float(np.finfo(objective.dtype).eps)
        self.rules = stopping.used(method.order, self.eps, epochs="separable" in method.needs)
        self.record_theta = record_theta
        self.checkpoint_every = checkpoint_every
        self.start = _checked_start(objective, start, bounds)
        self.progress = None if resume is None else restore(resume, method, objective)
        self.resumed_at = None if self.progress is None else self.progress.iteration
        self.before = Seconds(0.0, 0.0, 0.0) if self.progress is None else self.progress.seconds
        self.expanded = None
        if pays(objective, method):
            # What it restores of a resumed run is counted there already.
            self.expanded = Expanded(objective, None if self.progress is None else self.progress.expansion)
        counts = Counters() if self.progress is None else self.progress.counts
        # The objective's counters may have been used before: the run's own are theirs plus this offset.
        now = vars(objective.counters)
        self.offset = Counters(**{name: count - now[name] for name, count in vars(counts).items()})
        most = self.rules.max_evaluations
        self.limits = Limits(control, objective.counters, None if most is None else most - self.offset.value)
        self.objective = Metered(self.expanded or objective, self.limits, bounds)
        self.objective.evaluations_before = self.offset.value
        check_supported(method, self.objective)
        self.trusting = not stopping.given().keys().isdisjoint(TOLERANCES)
        self.examiner = Examiner(self.objective, method.order, self.trusting, stopping.max_iterations is None)
        self.finished, self.finished_expansion = objective.counters.snapshot(), self._expansion()
        """The objective's counters and expansion when the last whole iteration ended: one cut short will be made
        again."""
        self.quietly = quiet()
        self.begin = perf_counter()
        control.arm(None if self.rules.max_seconds is None else self.rules.max_seconds - self.before.total)

    def events(self) -> Iterator[Event]:
        yield self._started()
        finding: Finding | None = None
        try:
            if self.progress is None:
                self.progress = self._look_at_start()
                finding = self._judge(self.progress)
                yield self._iterate(self.progress, final=finding is not None)
            else:
                finding = self._judge(self.progress)
            while finding is None:
                self._advance(self.progress)
                finding = self._judge(self.progress)
                yield self._iterate(self.progress, final=finding is not None)
                if self.checkpoint_every and finding is None and self.progress.iteration % self.checkpoint_every == 0:
                    yield self._checkpoint(self.progress)
        except Interrupted as interruption:
            finding = INTERRUPTIONS[interruption.reason](self.rules)
        except MemoryError:
            finding = Finding(Status.OUT_OF_MEMORY, "An evaluation or a factorization ran out of memory.")
        except ARITHMETIC as error:
            finding = Finding(Status.INTERNAL, f"{raised(error)} in iteration {self.objective.iteration}.")
        resumable = finding.status.family in (Family.LIMIT, Family.USER)
        if self.progress is not None and self.checkpoint_every and resumable:
            yield self._checkpoint(self.progress)
        report = self._report(finding)
        yield from warnings(report)
        yield Done(report)

    def _look_at_start(self) -> Progress:
        with np.errstate(all="ignore"):
            state = self.method.init(self.objective, self.start, self.limits)
        self._finish()
        return Progress.begin(state, self.objective.bounds)

    def _advance(self, progress: Progress) -> None:
        self.objective.iteration = progress.iteration + 1
        state = self.quietly(self.method.step, self.objective, progress.state, self.limits)
        if self.checkpoint_every:
            self._finish()
        progress.advance(state, self.eps)

    def _judge(self, progress: Progress) -> Finding | None:
        """Why to end here, or None."""
        if progress.iteration == 0 and not is_finite_start(progress):
            return _nonfinite_start(progress, self._explained(progress.state.theta))
        if progress.state.proposal is not None and progress.state.proposal.status.family is Family.FAILED:
            return progress.state.proposal
        view = View(
            progress.state,
            self.rules,
            self.method.order,
            self.eps,
            progress.first_gradient_norm,
            progress.first_scaled_gradient,
            progress.first_value,
            progress.first_drop,
            progress.lengths[-2] if len(progress.lengths) > 1 else math.inf,
            progress.stalled,
            self.objective.bounds,
            self.trusting,
        )
        claim = converged(view)
        looked_at = claim is not None and claim.status in STATIONARY and not self.trusting
        if looked_at and not self.examiner.due(progress):
            claim = None
        if claim is not None and self._settled(progress):
            return self._judge(progress)
        if claim is not None and looked_at:
            claim = self.examiner.verified(progress, claim, self._gradients())
            if self.checkpoint_every:
                self._finish()
        finding = (
            claim
            or progress.state.proposal
            or self._unbounded(progress, view)
            or no_progress(view)
            or self.examiner.recedes(progress, self._gradients())
            or iterations(progress.iteration, self.rules)
        )
        ends = finding is not None and finding.status.family is not Family.LIMIT
        return self._judge(progress) if ends and self._settled(progress) else finding

    def _settled(self, progress: Progress) -> bool:
        """Whether value and gradient at the state's point had to be made true before anything is decided by them."""
        state = progress.state
        if self.expanded is None or not self.expanded.approximate(state.theta):
            return False
        numbers = self.objective.timed(self.expanded.settle, state.theta)
        progress.settle(renumbered(state, *numbers, self.objective.bounds))
        if self.checkpoint_every:
            self._finish()
        return True

    def _true(self, state: State) -> State:
        """The state with true numbers."""
        if self.expanded is None or self.expanded.known.theta is None:
            return state
        return renumbered(state, *self.objective.timed(self.expanded.truth, state.theta), self.objective.bounds)

    def _expansion(self) -> Expansion | None:
        return None if self.expanded is None else self.expanded.known

    def _finish(self) -> None:
        self.finished, self.finished_expansion = self.objective.counters.snapshot(), self._expansion()

    def _unbounded(self, progress: Progress, view: View) -> Finding | None:
        found = unbounded(view)
        return found if found is not None and self.examiner.falls_forever(progress) else None

    def _explained(self, theta: FloatArray) -> str | None:
        try:
            return self.objective.explain(theta)
        except MemoryError:
            return None

    def _counts(self, at: Counters) -> Counters:
        """The run's own counts, when the objective's were `at`."""
        return Counters(**{name: count + getattr(self.offset, name) for name, count in vars(at).items()})

    def _gradients(self) -> int:
        size = self.objective.size
        return self.objective.counters.in_gradients(size) + self.offset.in_gradients(size)

    def _seconds(self) -> Seconds:
        return Seconds(
            total=self.before.total + perf_counter() - self.begin,
            evaluation=self.before.evaluation + self.objective.seconds,
            linear_algebra=self.before.linear_algebra + self.limits.algebra_seconds,
        )

    def _started(self) -> Started:
        return Started(
            method=self.method.name,
            parameters=self.objective.size,
            rows=self.objective.rows,
            dtype=self.objective.dtype.name,
            method_settings=settings_of(self.method),
            stopping_given=self.given.given(),
            stopping_used=self.rules.given(),
            resumed_at=self.resumed_at,
        )

    def _iterate(self, progress: Progress, final: bool) -> Iterate:
        state = self._true(progress.state) if final else progress.state
        counters, offset = self.objective.counters, self.offset
        return Iterate(
            progress.iteration,
            state.value,
            state.gradient_norm,
            state.step_size,
            self.before.total + perf_counter() - self.begin,
            counters.value + offset.value,
            counters.gradient + offset.gradient,
            counters.hessian + offset.hessian,
            counters.hvp + offset.hvp,
            state.theta.copy() if self.record_theta.wants(progress.iteration, final) else None,
            state.accepted,
        )

    def _checkpoint(self, progress: Progress) -> Checkpoint:
        whole = replace(
            progress,
            counts=self._counts(self.finished),
            seconds=self._seconds(),
            first_trouble=self._first_trouble(progress),
            last_trouble=self._last_trouble(progress),
            expansion=self.finished_expansion,
        )
        return Checkpoint(progress.iteration, save(whole, self.method, self.objective.size))

    def _first_trouble(self, progress: Progress) -> Trouble | None:
        return progress.first_trouble or self.objective.first_trouble

    def _last_trouble(self, progress: Progress) -> Trouble | None:
        return self.objective.last_trouble or progress.last_trouble

    def _true_report(self, progress: Progress, finding: Finding) -> tuple[Progress, Point]:
        """The run and the point to report with true numbers at both."""
        if self.expanded is None or self.progress is None:
            return progress, reported(progress, finding)
        if finding.status is Status.MAX_TIME:
            self.limits.control.arm(None)  # a pass or two are left
        progress.settle(self._true(progress.state))
        point = reported(progress, finding)
        if point.iteration != progress.arrived:
            there = replace(progress.state, theta=point.theta)
            progress.best = point = Point.of(self._true(there), point.iteration)
        return progress, point

    def _report(self, finding: Finding) -> Report:
        progress = self.progress or Progress.begin(_unseen(self.start))
        first, last = self._first_trouble(progress), self._last_trouble(progress)
        point = reported(progress, finding)
        facts, look = unverified(NOT_STATIONARY), Look(False)
        try:
            with np.errstate(all="ignore"):
                progress, point = self._true_report(progress, finding)
                finding, facts, look = self.examiner.concluded(progress, point, finding, self._gradients())
                if last is not None and finding.status in TROUBLED:
                    told = explained_trouble(last, self.objective, self.objective.inner)
                    finding = replace(finding, message=f"{finding.message} {told}")
        except Interrupted:
            facts = replace(facts, note="The run was stopped before its curvature could be looked at.")
        except MemoryError:
            facts = replace(facts, note="There was no memory to look at the curvature.")
        except ARITHMETIC as error:
            told = f"{raised(error)} when the point of iteration {point.iteration} was looked at."
            finding = Finding(Status.INTERNAL, f"{finding.message} {told}")
        return assemble(
            finding,
            progress,
            point,
            facts,
            look,
            objective=self.objective,
            counts=self._counts(self.objective.counters),
            seconds=self._seconds(),
            method=self.method,
            given=self.given.given(),
            used=self.rules.given(),
            nonfinite=None if first is None else str(first),
        )


TROUBLED = (Status.NONFINITE, Status.DIVERGED, Status.LINE_SEARCH_STALLED)
"""The ends that values which are not finite may have brought about."""


def _checked_start(objective: Objective, start: FloatArray, bounds: Bounds | None) -> FloatArray:
    theta = np.array(start, dtype=objective.dtype)
    if theta.shape != (objective.size,):
        raise ValueError(f"start: expected shape ({objective.size},), got {theta.shape}")
    if bounds is None:
        return theta
    if bounds.lower.shape != theta.shape:
        raise ValueError(f"bounds: expected shape {theta.shape}, got {bounds.lower.shape}")
    if not bounds.contains(theta):
        i = int(np.flatnonzero((theta < bounds.lower) | (theta > bounds.upper))[0])
        raise ValueError(f"start: element {i} is {theta[i]:g}, outside [{bounds.lower[i]:g}, {bounds.upper[i]:g}]")
    return theta


def _nonfinite_start(progress: Progress, explained: str | None) -> Finding:
    state = progress.state
    bad = int(state.gradient.size - np.count_nonzero(np.isfinite(state.gradient)))
    what = f"The value is {state.value} at the start"
    if bad:
        what += f", and {nonfinite_entries(bad, state.gradient.size)}"
    return Finding(Status.NONFINITE_START, f"{what}." if explained is None else f"{what}. {explained}")


def _unseen(start: FloatArray) -> State:
    """The state of a run that ended before its first evaluation did."""
    nan = math.nan
    return State(theta=start, value=nan, gradient=np.full_like(start, nan), gradient_norm=nan)
