"""A job's record as the SolveJob that clients see."""

from __future__ import annotations

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from nablad.server.store import JobRecord
from nablad.v1 import event_pb2, solver_pb2
from nablad.wire.references import tensors_in

FULL_SPEC_BYTES = 1 << 20
"""A larger spec is shown without the elements of its tensors, so that a job fits into a message."""


def job_of(record: JobRecord, position: int | None, *, full: bool) -> solver_pb2.SolveJob:
    """The job; `full` shows result and tensors, too."""
    job = solver_pb2.SolveJob(
        name=record.name,
        state=record.state,
        queue_position=position,
        last_seq=record.last_seq,
        cancel_requested=record.cancel_requested,
    )
    job.spec.ParseFromString(record.spec if full and len(record.spec) <= FULL_SPEC_BYTES else record.outline)
    job.model_summary.ParseFromString(record.summary)
    for field, time in (
        (job.create_time, record.create_time),
        (job.start_time, record.start_time),
        (job.end_time, record.end_time),
    ):
        _set(field, time)
    if record.last_iterate:
        job.last_iterate.ParseFromString(record.last_iterate)
    if record.best_iterate:
        job.best_iterate.ParseFromString(record.best_iterate)
    if record.result:
        job.result.ParseFromString(record.result)
        if not full:
            strip(job.result)
    return job


def outline_of(spec: solver_pb2.SolveSpec) -> bytes:
    """A spec without the elements of its tensors, and without the nodes of its graph, serialized."""
    bare = solver_pb2.SolveSpec()
    bare.CopyFrom(spec)
    strip(bare)
    if bare.model.expression.HasField("graph"):
        bare.model.expression.graph.ClearField("nodes")
    return bare.SerializeToString()


def strip(message: Message) -> None:
    """Leaves out the elements of the tensors; dtypes, shapes and names of datasets stay."""
    for _, tensor in tensors_in(message):
        if tensor.WhichOneof("encoding") in ("raw", "values"):
            tensor.ClearField("encoding")


def _set(field: Timestamp, nanoseconds: int) -> None:
    if nanoseconds:
        field.FromNanoseconds(nanoseconds)


def outcome_of(record: JobRecord) -> event_pb2.SolveResult | None:
    """The result of a job that has ended."""
    return event_pb2.SolveResult.FromString(record.result) if record.result else None
