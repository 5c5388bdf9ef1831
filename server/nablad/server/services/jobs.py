"""Jobs as other requests refer to them: found by name, with a result or with the point of an iteration."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from nablad.server.datasets.catalog import Catalog
from nablad.server.errors import InvalidRequest, ResourceNotFound, WrongState
from nablad.server.services import views
from nablad.server.states import FINAL
from nablad.server.store import Block, JobRecord, Store
from nablad.v1 import event_pb2, tensor_pb2, termination_pb2
from nablad.wire import names, references

NOT_CONVERGED = "The run did not converge: the interval is of the point that it reached, not of a minimum."


async def find(store: Store, name: str, field: str = "name") -> JobRecord:
    """The job of a name. InvalidRequest where there is no name, ResourceNotFound or UnknownJob where no job."""
    if not name:
        raise InvalidRequest([(field, "is required: the job's name, solveJobs/{id}")])
    try:
        names.id_of(names.JOBS, name)
    except ValueError as error:
        raise ResourceNotFound(name, str(error)) from None
    return await store.get(name)


def point_of(record: JobRecord, hint: str = "watch it to its end") -> tensor_pb2.Tensor:
    """The theta of a job's result. WrongState where there is none; `hint` says what to do while the job goes on."""
    result = views.outcome_of(record)
    if result is None:
        raise WrongState(f"{record.name} has not ended yet: {hint}", "JOB_NOT_ENDED", record.name)
    if not result.HasField("theta"):
        raise WrongState(f"{record.name} ended without a point", "JOB_HAS_NO_POINT", record.name)
    return result.theta


def fitted_point(record: JobRecord) -> tensor_pb2.Tensor:
    """The same, of a run that has found one: WrongState where the start itself was not finite."""
    theta = point_of(record)
    result = views.outcome_of(record)
    if result is not None and result.termination.status == termination_pb2.STATUS_FAILED_NONFINITE_START:
        message = f"{record.name} ended at its start, where f is not finite: solve again from another start"
        raise WrongState(message, "JOB_HAS_NO_POINT", record.name)
    return theta


def warnings_of(record: JobRecord) -> list[str]:
    """Why intervals by linearization at the job's result may mean little."""
    result = views.outcome_of(record)
    if result is None or result.HasField("statistics"):
        return [] if result is None else list(result.statistics.warnings)
    return [] if result.termination.success else [NOT_CONVERGED]


def check_datasets(record: JobRecord, catalog: Catalog, *points: tensor_pb2.Tensor) -> None:
    """WrongState if a dataset that the job used, or that holds one of the points, has been deleted."""
    for used in (*record.datasets, *(name for point in points for name in references.datasets_in(point))):
        if catalog.find(used) is None:
            message = f"{used}, which {record.name} used, has been deleted: upload it again"
            raise WrongState(message, "DATASET_DELETED", used)


@dataclass
class Visited:
    """What the journal knows of an iteration."""

    theta: tensor_pb2.Tensor | None = None
    """Its point, where it was recorded."""
    state: bytes = b""
    """Of the nearest checkpoint before it."""
    seconds: float = 0.0
    """How long the run took from that checkpoint, or from the start, to the iteration."""


async def visit(store: Store, record: JobRecord, iteration: int, field: str) -> Visited:
    """What is known of an iteration. InvalidRequest where the run has no such iteration, WrongState where not yet."""
    last = event_pb2.Iterate.FromString(record.last_iterate).iteration if record.last_iterate else -1
    if iteration < 0:
        raise InvalidRequest([(field, f"is {iteration}; the first iteration is 0")])
    if iteration > last and record.state in FINAL:
        ended = f"the run ended after iteration {last}" if last >= 0 else "the run ended before its first iterate"
        raise InvalidRequest([(field, f"is {iteration}; {ended}")])
    if iteration > last:
        where = f"is at iteration {last}" if last >= 0 else "has not begun"
        raise WrongState(f"{record.name} {where}: {iteration} is yet to come", "ITERATION_NOT_REACHED", record.name)
    return await _Search(iteration).through(store, record)


class _Search:
    """Reads a journal from the start to an iteration. Making the iterations again would take far longer."""

    def __init__(self, iteration: int) -> None:
        self._iteration = iteration
        self._found = Visited()
        self._checkpoint_seconds = 0.0
        self._seconds = 0.0
        self._done = False

    async def through(self, store: Store, record: JobRecord) -> Visited:
        newest = event_pb2.Checkpoint.FromString(record.checkpoint)
        seq = 0
        while not self._done and (blocks := await store.read(record.name, seq)):
            await asyncio.to_thread(self._read, blocks, newest)
            seq = blocks[-1].last_seq
        return self._found

    def _read(self, blocks: list[Block], newest: event_pb2.Checkpoint) -> None:
        for block in blocks:
            for event in event_pb2.SolveEventBlock.FromString(block.data).events:
                kind = event.WhichOneof("event")
                if kind == "checkpoint":
                    # A large state is kept by the record alone, and only the newest.
                    is_newest = newest.state and event.checkpoint.iteration == newest.iteration
                    state = event.checkpoint.state or (newest.state if is_newest else b"")
                    if state and event.checkpoint.iteration < self._iteration:
                        self._found.state = state
                        self._checkpoint_seconds = self._seconds
                elif kind == "iterate":
                    self._seconds = event.iterate.seconds
                    if event.iterate.iteration == self._iteration:
                        if event.iterate.HasField("theta"):
                            self._found.theta = event.iterate.theta
                        self._found.seconds = max(0.0, self._seconds - self._checkpoint_seconds)
                        self._done = True
                        return
