"""One solve inside a worker: the driver's events become the wire's.

A run that goes on from a checkpoint makes some iterations again, to the same bits; as many of its iterates and
warnings as the journal already holds beyond that checkpoint are passed over.
"""

from __future__ import annotations

import json
import math
import time
import traceback
from typing import Any

from nablad import solvers
from nablad.server.frames import Frame
from nablad.server.worker import outcome
from nablad.server.worker.context import WorkerContext
from nablad.server.worker.emitter import Emitter
from nablad.server.worker.problem import Problem, build
from nablad.v1 import event_pb2, solver_pb2
from nablad.wire.errors import cut

CHECKPOINT_ITERATIONS = {1: 100, 2: 10}
"""By the order of the method."""
CHECKPOINT_SECONDS = 1.0
CHECKPOINT_SHARE = 0.05
"""At least so long between two, in seconds and as a share of the time so far: what a lost worker may cost."""
JOURNALED_CHECKPOINT_BYTES = 64 << 10
"""A larger one is kept for a restart only."""
MAX_CHECKPOINT_BYTES = 64 << 20
IN_A_HURRY = (solvers.Status.CANCELLED, solvers.Status.MAX_TIME)
"""Who ends a run so does not wait for another pass over the data."""


class _EveryTheta(solvers.RecordTheta):
    """Lets each iterate bring its theta, of which the best is kept, and remembers whether the client wants it."""

    wanted = False

    def wants(self, iteration: int, final: bool) -> bool:
        self.__dict__["wanted"] = super().wants(iteration, final)  # the class is frozen
        return True


class _Run:
    def __init__(self, problem: Problem, emitter: Emitter, context: WorkerContext, facts: dict[str, Any]) -> None:
        self.problem = problem
        self.emitter = emitter
        self.context = context
        self.replayed: int = facts["replayed"]
        self.record = _EveryTheta(problem.record.policy, problem.record.every)
        self.best = math.inf if facts["best"] is None else float(facts["best"])
        self.start_time = self.checkpoint_time = time.monotonic()

    def _is_replayed(self) -> bool:
        if self.replayed == 0:
            return False
        self.replayed -= 1
        return True

    def iterate(self, event: solvers.Iterate) -> None:
        is_best = event.value < self.best
        if is_best:
            self.best = event.value
        if self._is_replayed():
            return
        recorded = None
        if self.record.wanted and event.theta is not None:
            recorded = self.context.tensor(event.theta)
        self.emitter.iterate(event, recorded=recorded, is_best=is_best)

    def warning(self, event: solvers.Warning) -> None:
        if not self._is_replayed():
            warning = event_pb2.Warning(code=event.code, message=event.message, iteration=event.iteration)
            self.emitter.add(event_pb2.SolveEvent(warning=warning))

    def checkpoint(self, event: solvers.Checkpoint) -> None:
        now = time.monotonic()
        pause = max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * (now - self.start_time))
        if self.replayed or now - self.checkpoint_time < pause or len(event.state) > MAX_CHECKPOINT_BYTES:
            return
        self.checkpoint_time = now
        kept = event_pb2.Checkpoint(iteration=event.iteration, state=event.state)
        journaled = (
            kept if len(event.state) <= JOURNALED_CHECKPOINT_BYTES else event_pb2.Checkpoint(iteration=event.iteration)
        )
        self.emitter.checkpoint(kept, journaled)

    def done(self, event: solvers.Done) -> None:
        try:
            report = with_statistics(event.report, self.problem, self.context.threads)
        except Exception as error:  # of ours: the point is the answer, and stands without them
            traceback.print_exc()
            report = event.report
            words = cut(f"The statistics of the fit failed with {type(error).__name__}: {error}")
            words = f"{words}. {solvers.Status.INTERNAL.advice}"
            self.warning(solvers.Warning("no_statistics", words, report.iteration))
        self.emitter.done(outcome.result(report, self.problem, self.context.message_of_tensors()))

    def take(self, event: solvers.Event) -> None:
        match event:
            case solvers.Iterate():
                self.iterate(event)
            case solvers.Warning():
                self.warning(event)
            case solvers.Checkpoint():
                self.checkpoint(event)
            case solvers.Done():
                self.done(event)
            case solvers.Started():
                pass  # it has nothing that the job's own record lacks


def solve(frame: Frame, control: solvers.Control, emitter: Emitter, context: WorkerContext) -> None:
    """Carries out a SOLVE frame. Raises what the model and the driver raise: the spec has been validated before."""
    spec_bytes, state, facts = frame.parts
    problem = build(solver_pb2.SolveSpec.FromString(spec_bytes), context)
    run = _Run(problem, emitter, context, json.loads(facts))
    events = solvers.run(
        problem.model.objective(checkpoint=control.checkpoint, threads=context.threads),
        problem.method,
        problem.start,
        problem.stopping,
        control=control,
        record_theta=run.record,
        checkpoint_every=_checkpoint_iterations(problem.method),
        resume=state or None,
        bounds=problem.bounds,
    )
    if problem.moved and not state:  # of a run that goes on, the journal has it
        run.warning(solvers.Warning("start_moved", problem.moved, 0))
    for event in events:
        run.take(event)


def with_statistics(report: solvers.Report, problem: Problem, threads: int) -> solvers.Report:
    """The report with what the fit says of its parameters; not where the run was to end at once, or failed."""
    if report.status in IN_A_HURRY or report.status.family is solvers.Family.FAILED:
        return report
    try:
        return solvers.with_statistics(report, problem.model, problem.bounds, threads=threads)
    except (solvers.InvalidModel, MemoryError):
        return report  # its derivatives could not be had


def _checkpoint_iterations(method: solvers.Method[Any]) -> int:
    """So many iterations from one to the next, at least; an epoch, which is many steps, is worth one."""
    return 1 if "separable" in method.needs else CHECKPOINT_ITERATIONS[method.order]
