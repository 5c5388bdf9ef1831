"""What the front itself writes into a journal: state changes, and the result of a job that no worker could finish."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from nablad.server.store import Block, JobRecord
from nablad.v1 import event_pb2, solver_pb2, tensor_pb2, termination_pb2
from nablad.wire.statuses import STATUSES
from nablad.wire.tensors import INLINE_LIMIT, READABLE_ELEMENTS, AnyArray, decode, encode


def state_event(
    state: event_pb2.JobState.ValueType, *, message: str = "", queue_position: int | None = None
) -> event_pb2.SolveEvent:
    """A job is in a new state."""
    change = event_pb2.StateChange(state=state, message=message, queue_position=queue_position)
    return event_pb2.SolveEvent(state_change=change)


def block(first_seq: int, *events: event_pb2.SolveEvent) -> Block:
    """The events, numbered and timed, as a block."""
    now = time.time_ns()
    for seq, event in enumerate(events, first_seq):
        event.seq = seq
        event.time.FromNanoseconds(now)
    last_seq = first_seq + len(events) - 1
    message = event_pb2.SolveEventBlock(events=events, last_seq=last_seq)
    return Block(first_seq, last_seq, message.SerializeToString())


def joined(first: Block, second: Block) -> Block:
    """The events of both, as one block: what is appended together is committed together."""
    return Block(first.first_seq, second.last_seq, first.data + second.data)


def result_without_report(
    record: JobRecord, status: str, message: str, upload: Callable[[AnyArray], str]
) -> event_pb2.SolveResult:
    """The outcome of a job whose worker could not tell it: the best point that is known of. `upload` takes a large one,
    and may refuse it with an OSError: then the point is left out.
    """
    row = STATUSES[status]
    best = event_pb2.Iterate.FromString(record.best_point or record.best_iterate)
    last = event_pb2.Iterate.FromString(record.last_iterate)
    result = event_pb2.SolveResult(
        termination=termination_pb2.Termination(
            status=row.number,
            family=row.family_number,
            success=row.success,
            message=message,
            evidence=termination_pb2.Evidence(verdict=termination_pb2.VERDICT_UNVERIFIED),
        ),
        loss=best.loss if record.best_iterate else math.nan,
        iterations=last.iteration,
        best_iteration=best.iteration,
        counts=termination_pb2.Counts(
            values=last.values,
            gradients=last.gradients,
            hessians=last.hessians,
            hessian_vector_products=last.hessian_vector_products,
        ),
    )
    if best.HasField("theta"):
        theta = decode(best.theta)
        try:
            result.theta.CopyFrom(encode(theta, readable=READABLE_ELEMENTS, upload=upload))
        except OSError:
            return result
        if theta.nbytes <= INLINE_LIMIT:
            result.parameters.extend(_by_name(theta, solver_pb2.ModelSummary.FromString(record.summary)))
    return result


def _by_name(theta: AnyArray, summary: solver_pb2.ModelSummary) -> list[tensor_pb2.NamedTensor]:
    found = []
    start = 0
    for row in summary.layout:
        size = math.prod(row.shape)
        value = theta[start : start + size].reshape(tuple(row.shape))
        found.append(tensor_pb2.NamedTensor(name=row.name, value=encode(value, readable=READABLE_ELEMENTS)))
        start += size
    return found


def count_replayable(data: bytes, after_seq: int) -> int:
    """How many iterates and warnings of a block come after a seq: what a run from there makes again."""
    events = event_pb2.SolveEventBlock.FromString(data).events
    return sum(event.seq > after_seq and event.WhichOneof("event") in ("iterate", "warning") for event in events)
