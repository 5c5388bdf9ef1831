"""The point of an iteration that the job did not record: the run made again, to the same bits, up to there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nablad import solvers
from nablad.server.worker.problem import Problem
from nablad.wire.tensors import AnyArray


class NotReached(Exception):
    """The run ended before the iteration."""


def theta_at(problem: Problem, iteration: int, state: bytes, control: solvers.Control, threads: int) -> AnyArray:
    """theta (p,) of an iteration, from the state of a checkpoint before it, or from the start where `state` is empty.

    NotReached if the run ends before; Interrupted is a run that ends before, too.
    """
    events = solvers.run(
        problem.model.objective(checkpoint=control.checkpoint, threads=threads),
        problem.method,
        problem.start,
        replace(problem.stopping, max_seconds=None),  # the run had its time; how long this one takes is another matter
        control=control,
        record_theta=_Only("never", iteration=iteration),
        resume=state or None,
        bounds=problem.bounds,
    )
    for event in events:
        if isinstance(event, solvers.Iterate) and event.theta is not None:
            return event.theta
    raise NotReached


@dataclass(frozen=True)
class _Only(solvers.RecordTheta):
    """One iteration brings its theta."""

    iteration: int = 0

    def wants(self, iteration: int, final: bool) -> bool:
        return iteration == self.iteration
