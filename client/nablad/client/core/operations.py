"""What can be asked of a server, as operations: Client and AsyncClient only perform them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from google.protobuf.empty_pb2 import Empty

from nablad.client.arrays import Dataset, NewData, numbers
from nablad.client.core import decode, rpcs
from nablad.client.core.effects import Operation
from nablad.client.core.encode import Encoder, assign, assign_as
from nablad.client.core.requests import part
from nablad.client.core.session import Session
from nablad.client.core.watch import Watch
from nablad.client.errors import JobFailed, invalid
from nablad.client.policies import Thinning
from nablad.client.results import ModelSummary, Result
from nablad.client.statistics import Prediction
from nablad.v1 import dataset_pb2, solver_pb2
from nablad.wire import statuses
from nablad.wire.tensors import AnyArray


def solve(
    session: Session,
    spec: solver_pb2.SolveSpec,
    encoder: Encoder,
    thinning: Thinning | None,
    request_id: str | None,
) -> Operation[Watch]:
    """Uploads, creates the job, and begins to watch it."""
    yield from session.upload_all(encoder)
    request = solver_pb2.SolveRequest(spec=spec, request_id=_identity(request_id), thinning=_thinning(thinning))
    begun = Watch(session, solve=request, thinning=request.thinning if thinning else None)
    yield from begun.start()
    return begun


def watch(session: Session, job: str, after_seq: int, thinning: Thinning | None) -> Watch:
    """A watch of a job that is there already; it attaches when it is first read."""
    return Watch(session, job=job, after_seq=after_seq, thinning=_thinning(thinning))


def create_job(
    session: Session, spec: solver_pb2.SolveSpec, encoder: Encoder, request_id: str | None
) -> Operation[solver_pb2.SolveJob]:
    """Uploads, and creates the job."""
    yield from session.upload_all(encoder)
    request = solver_pb2.CreateSolveJobRequest(spec=spec, request_id=_identity(request_id))
    return (yield from session.call(rpcs.CREATE_JOB, request, solver_pb2.SolveJob))


def validate(session: Session, spec: solver_pb2.SolveSpec, encoder: Encoder) -> Operation[ModelSummary]:
    """Uploads, and checks what would be created."""
    yield from session.upload_all(encoder)
    request = solver_pb2.CreateSolveJobRequest(spec=spec, validate_only=True)
    reply = yield from session.call(rpcs.CREATE_JOB, request, solver_pb2.SolveJob)
    return decode.model_summary(reply.model_summary)


def cancel_job(session: Session, name: str) -> Operation[solver_pb2.SolveJob]:
    """Asks a job to end at its best point."""
    request = solver_pb2.CancelSolveJobRequest(name=name)
    return (yield from session.call(rpcs.CANCEL_JOB, request, solver_pb2.SolveJob))


def delete_job(session: Session, name: str) -> Operation[None]:
    """Removes a job that has ended."""
    yield from session.call(rpcs.DELETE_JOB, solver_pb2.DeleteSolveJobRequest(name=name), Empty)


def list_jobs(
    session: Session, states: Sequence[str], token: str
) -> Operation[tuple[Sequence[solver_pb2.SolveJob], str | None]]:
    """A page of jobs, and the token of the next one; None after the last."""
    try:
        numbers = [statuses.state_number(state) for state in states]
    except ValueError:
        raise invalid("states", f"is {list(states)!r}; choose among {', '.join(statuses.STATES)}") from None
    request = solver_pb2.ListSolveJobsRequest(page_token=token, states=numbers)
    reply = yield from session.call(rpcs.LIST_JOBS, request, solver_pb2.ListSolveJobsResponse)
    return reply.solve_jobs, reply.next_page_token or None


def result_of(session: Session, job: solver_pb2.SolveJob, history: decode.History) -> Operation[Result]:
    """The result of a job that has ended. JobFailed if it has none."""
    if not job.HasField("result"):
        state = statuses.state_name(job.state)
        raise JobFailed(f"{job.name} ended {state} without a result", job=job.name, state=state)
    arrays = yield from session.fetch_references(job.result)
    return decode.result(job.result, arrays, job.name, history)


LEVEL = 0.95
"""Of intervals, unless given."""


def predict(
    session: Session, job: str, inputs: NewData, interval: str | None, level: float | None
) -> Operation[AnyArray | Prediction]:
    """The model's output for new data, at the result of a job."""
    encoder = Encoder()
    request = solver_pb2.PredictRequest(solve_job=job)
    if interval is not None:
        assign_as(request.interval, "interval", kind=interval)
        level = LEVEL if level is None else level
        assign(request.interval, "", level=level)
    elif level is not None:
        raise invalid("level", f'is {level!r}, and interval is not given: "confidence" or "prediction" is needed')
    if isinstance(inputs, Mapping):
        for name, value in inputs.items():
            request.data.add(name=name, value=encoder.tensor(numbers(value, f"X[{name!r}]")))
    else:
        request.inputs.CopyFrom(encoder.tensor(numbers(inputs, "X")))
    yield from session.upload_all(encoder)
    reply = yield from session.call(rpcs.PREDICT, request, solver_pb2.PredictResponse)
    arrays = yield from session.fetch_references(reply)
    outputs = decode.array(reply.outputs, arrays)
    if interval is None or level is None:
        return outputs
    lower, upper = (decode.array(side, arrays) for side in (reply.lower, reply.upper))
    return Prediction(outputs, lower, upper, interval, level, tuple(reply.warnings))


def list_datasets(session: Session, token: str) -> Operation[tuple[Sequence[Dataset], str | None]]:
    """A page of datasets, and the token of the next one; None after the last."""
    request = dataset_pb2.ListDatasetsRequest(page_token=token)
    reply = yield from session.call(rpcs.LIST_DATASETS, request, dataset_pb2.ListDatasetsResponse)
    return [decode.dataset(d) for d in reply.datasets], reply.next_page_token or None


def delete_dataset(session: Session, name: str) -> Operation[None]:
    """Removes a dataset that no unfinished job uses."""
    yield from session.call(rpcs.DELETE_DATASET, dataset_pb2.DeleteDatasetRequest(name=name), Empty)


def _identity(request_id: str | None) -> str:
    return str(uuid.uuid4()) if request_id is None else request_id


def _thinning(thinning: Thinning | None) -> solver_pb2.Thinning | None:
    if thinning is None:
        return None
    message: solver_pb2.Thinning = part(thinning, "thinning")
    return message
