"""Messages into typed values. Arrays that travel as datasets are looked up in `arrays`, name -> ndarray."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from nablad.client.arrays import Dataset
from nablad.client.errors import JobFailed, ServerError
from nablad.client.events import Checkpoint, Done, Event, SolveWarning, StateChange
from nablad.client.iterates import Iterate
from nablad.client.results import Counts, Evidence, ModelSummary, Result, Times
from nablad.client.statistics import Statistics
from nablad.v1 import dataset_pb2, event_pb2, solver_pb2, tensor_pb2, termination_pb2
from nablad.wire import statuses, tensors
from nablad.wire.tensors import AnyArray, TensorError

Arrays = Mapping[str, AnyArray]
History = Callable[[], tuple[Iterate, ...]]
M = TypeVar("M", bound=Message)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def message(kind: type[M], data: bytes) -> M:
    """The message in a reply's bytes. ServerError if there is none."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise ServerError(
            f"the server's reply is not a {kind.__name__}: client and server may be of different versions"
        ) from error


def array(tensor: tensor_pb2.Tensor, arrays: Arrays) -> AnyArray:
    """A tensor's array. ServerError if it contradicts itself."""
    try:
        return tensors.decode(tensor, resolve=arrays.__getitem__)
    except KeyError as error:
        raise ServerError(f"the server sent an array as {error}, which is no dataset's name") from error
    except TensorError as error:
        raise unreadable(error) from error


def unreadable(error: TensorError) -> ServerError:
    """An array that contradicts itself."""
    return ServerError(f"the server sent an array that cannot be read ({error})")


def moment(stamp: Timestamp) -> datetime:
    """A timestamp as an aware datetime, to the microsecond."""
    return _EPOCH + timedelta(0, stamp.seconds, stamp.nanos // 1000)


def optional(owner: Message, name: str) -> Any:
    """A member that may be absent: None then."""
    return getattr(owner, name) if owner.HasField(name) else None


def dataset(source: dataset_pb2.Dataset) -> Dataset:
    """A nablad.v1.Dataset as a value."""
    try:
        layout = tensors.layout(source.dtype, source.shape)
    except TensorError as error:
        raise ServerError(f"the server described {source.name or 'a dataset'} wrongly ({error})") from error
    created = moment(source.create_time) if source.HasField("create_time") else None
    return Dataset(source.name, layout.element.dtype.newbyteorder("="), layout.shape, created)


def iterate(source: event_pb2.Iterate, arrays: Arrays, seq: int = 0, time: datetime | None = None) -> Iterate:
    """A nablad.v1.Iterate as a value."""
    # Made by its dict: a frozen dataclass sets its fields one by one, each by a call, and there may be a million.
    made = object.__new__(Iterate)
    made.__dict__.update(
        seq=seq,
        time=time,
        iteration=source.iteration,
        loss=source.loss,
        gradient_norm=source.gradient_norm,
        step_size=optional(source, "step_size"),
        seconds=source.seconds,
        values=source.values,
        gradients=source.gradients,
        hessians=source.hessians,
        hessian_vector_products=source.hessian_vector_products,
        theta=array(source.theta, arrays) if source.HasField("theta") else None,
    )
    return made


def _evidence(source: termination_pb2.Evidence) -> Evidence:
    return Evidence(
        gradient_norm=optional(source, "gradient_norm"),
        relative_gradient_norm=optional(source, "relative_gradient_norm"),
        smallest_curvature=optional(source, "smallest_curvature"),
        largest_curvature=optional(source, "largest_curvature"),
        verdict=statuses.verdict_name(source.verdict or termination_pb2.VERDICT_UNVERIFIED),
        condition=optional(source, "condition"),
        rank=optional(source, "rank"),
        decrement=optional(source, "decrement"),
        convergence_order=optional(source, "convergence_order"),
        worst_scaled_parameter=source.worst_scaled_parameter or None,
        worst_scale=optional(source, "worst_scale"),
        active_bounds=optional(source, "active_bounds"),
        note=source.note,
    )


def _statistics(
    source: event_pb2.Statistics, arrays: Arrays, theta: AnyArray, parameters: Mapping[str, AnyArray]
) -> Statistics:
    return Statistics(
        observations=source.observations,
        degrees_of_freedom=source.degrees_of_freedom,
        residual_sum_of_squares=source.residual_sum_of_squares,
        residual_standard_deviation=optional(source, "residual_standard_deviation"),
        standard_errors=array(source.standard_errors, arrays) if source.HasField("standard_errors") else None,
        covariance=array(source.covariance, arrays) if source.HasField("covariance") else None,
        warnings=tuple(source.warnings),
        theta=theta,
        layout={name: value.shape for name, value in parameters.items()},
    )


def result(source: event_pb2.SolveResult, arrays: Arrays, job: str, history: History) -> Result:
    """A nablad.v1.SolveResult as a value. JobFailed if the run ended before it had a point."""
    end, counts, times = source.termination, source.counts, source.times
    if not source.HasField("theta"):
        raise JobFailed(f"{job} ended without a result: {end.message}", job=job, state="FAILED")
    theta = array(source.theta, arrays)
    parameters = {p.name: array(p.value, arrays) for p in source.parameters}
    has_statistics = source.HasField("statistics")
    return Result(
        theta=theta,
        parameters=parameters,
        loss=source.loss,
        gradient=array(source.gradient, arrays) if source.HasField("gradient") else None,
        status=statuses.status_name(end.status),
        family=statuses.family_name(end.family),
        success=end.success,
        message=end.message,
        evidence=_evidence(end.evidence),
        iterations=source.iterations,
        best_iteration=source.best_iteration,
        counts=Counts(**{name: getattr(counts, name) for name in Counts.__dataclass_fields__}),
        times=Times(**{name: _seconds(getattr(times, name)) for name in Times.__dataclass_fields__}),
        settings_used=dict(source.settings_used),
        method_reason=source.method_reason,
        statistics=_statistics(source.statistics, arrays, theta, parameters) if has_statistics else None,
        job=job,
        last_theta=array(source.last_theta, arrays) if source.HasField("last_theta") else None,
        replay=history,
    )


def _seconds(span: Any) -> float:
    return float(span.seconds + span.nanos * 1e-9)


def event(source: event_pb2.SolveEvent, arrays: Arrays, job: str, history: History) -> Event | None:
    """A nablad.v1.SolveEvent as a value; None for a kind that only a newer server knows."""
    kind = source.WhichOneof("event")
    seq, time = source.seq, moment(source.time)
    if kind == "iterate":
        return iterate(source.iterate, arrays, seq, time)
    if kind == "state_change":
        change = source.state_change
        return StateChange(
            seq, time, statuses.state_name(change.state), optional(change, "queue_position"), change.message
        )
    if kind == "warning":
        return SolveWarning(seq, time, source.warning.code, source.warning.message, source.warning.iteration)
    if kind == "checkpoint":
        return Checkpoint(seq, time, source.checkpoint.iteration, source.checkpoint.state)
    if kind == "done":
        return Done(seq, time, result(source.done.result, arrays, job, history))
    return None


def model_summary(source: solver_pb2.ModelSummary) -> ModelSummary:
    """A nablad.v1.ModelSummary as a value."""
    layout = {p.name: tuple(p.shape) for p in source.layout}
    return ModelSummary(
        source.parameters, source.rows, layout, source.estimated_bytes, source.method, source.method_reason
    )
