"""A solve, as the caller describes it, into a SolveSpec."""

from __future__ import annotations

import inspect
from typing import Any

from google.protobuf.message import Message

from nablad.client.bounds import Bounds, bounds_message
from nablad.client.core.encode import Encoder, assign
from nablad.client.errors import Names, invalid
from nablad.client.methods import Method
from nablad.client.models import Model
from nablad.client.points import Point, start_array
from nablad.client.policies import RecordTheta
from nablad.client.stopping import Stopping
from nablad.v1 import method_pb2, model_pb2, solver_pb2


def solve_spec(
    model: Model,
    method: Method | None,
    *,
    start: Point | None = None,
    stopping: Stopping | None = None,
    bounds: Bounds | None = None,
    record_theta: RecordTheta | None = None,
    title: str = "",
    cancel_when_unwatched: bool = False,
) -> tuple[solver_pb2.SolveSpec, Encoder]:
    """The spec, and the encoder that holds the arrays to be uploaded before it is sent."""
    encoder = Encoder()
    spec = solver_pb2.SolveSpec(model=part(model, "model", encoder))
    if method is not None:
        spec.method.CopyFrom(part(method, "method"))
    if stopping is not None:
        spec.stopping.CopyFrom(part(stopping, "stopping"))
    if record_theta is not None:
        spec.record_theta.CopyFrom(part(record_theta, "record_theta"))
    layout = getattr(model, "layout", None)
    dtype = getattr(getattr(model, "features", getattr(model, "inputs", None)), "dtype", None)
    if start is not None:
        spec.start.CopyFrom(encoder.tensor(start_array(start, layout, dtype)))
    if bounds is not None:
        spec.bounds.CopyFrom(bounds_message(bounds, layout, dtype, encoder))
    assign(spec, "", title=title, cancel_when_unwatched=cancel_when_unwatched)
    return spec, encoder


def names_in(request: Message) -> Names:
    """What the caller calls the arrays that a request lists: those of an expression, or new data for one."""
    if isinstance(request, solver_pb2.PredictRequest):
        return {"X": [f"X[{row.name!r}]" for row in request.data]}
    for holder in ("spec", "subject"):
        if holder in request.DESCRIPTOR.fields_by_name:
            expression = getattr(request, holder).model.expression
            return {
                "model.parameters": [f"model.start.{row.name}" for row in expression.parameters],
                "model.data": [f"model.data.{row.name}" for row in expression.data],
            }
    return {}


_EXPECTED: dict[str, tuple[type[Message], str]] = {
    "model": (model_pb2.Model, "a LeastSquares(...), a Network(...) or an Expression"),
    "subject": (model_pb2.Model, "a model, or a job (a Job, a Run, a Result or a name)"),
    "method": (method_pb2.Method, "a method, such as Newton() or LBFGS()"),
    "stopping": (method_pb2.Stopping, "a Stopping(...)"),
    "record_theta": (solver_pb2.RecordTheta, "a RecordTheta"),
    "thinning": (solver_pb2.Thinning, "a Thinning"),
}


def part(value: Any, argument: str, *context: Any) -> Any:
    """The message of one argument. InvalidRequest if it is something else altogether, such as the class itself."""
    kind, example = _EXPECTED[argument]
    message = None
    describes = hasattr(value, "to_proto") and len(inspect.signature(value.to_proto).parameters) == len(context)
    if describes and not isinstance(value, type):
        message = value.to_proto(*context)
    if not isinstance(message, kind):
        name = "model" if argument == "subject" else argument
        raise invalid(name, f"is {value!r:.80}; {example} is needed{_remedy(value) if name == 'model' else ''}")
    return message


def _remedy(value: Any) -> str:
    if isinstance(value, str):
        return ": Expression.parse(text, start=...) makes a model of a text"
    if callable(value) and not isinstance(value, type):
        return ": Expression.trace(function, start=...) makes a model of a function"
    return ""
