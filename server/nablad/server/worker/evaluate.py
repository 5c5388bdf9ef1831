"""Short requests, carried out in the reserved worker: what is a spec worth, what does a result predict, what are the
derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from nablad import solvers
from nablad.server.frames import Frame, Kind
from nablad.server.worker.bounds import bounds_of_spec
from nablad.server.worker.context import WorkerContext
from nablad.server.worker.derive import derive
from nablad.server.worker.models import Model, build_model
from nablad.server.worker.problem import build
from nablad.server.worker.violations import Violations
from nablad.v1 import solver_pb2, tensor_pb2
from nablad.wire.errors import FieldViolation
from nablad.wire.tensors import AnyArray

LEVEL = 0.95
"""Of intervals, unless given."""


def validate(frame: Frame, context: WorkerContext, control: solvers.Control) -> bytes:
    """The ModelSummary of a spec. Violations."""
    problem = build(solver_pb2.SolveSpec.FromString(frame.parts[0]), context)
    cost = problem.model.cost()
    summary = solver_pb2.ModelSummary(
        parameters=problem.start.size,
        rows=problem.model.rows,
        method=problem.method.name,
        method_reason=problem.chosen.reason,
        estimated_bytes=cost.workspace_bytes + problem.matrix_bytes,
    )
    for name, shape in problem.model.layout.shapes.items():
        summary.layout.add(name=name, shape=shape)
    return summary.SerializeToString()


def predict(frame: Frame, context: WorkerContext, control: solvers.Control) -> bytes:
    """The PredictResponse of a model at theta for new data. Violations."""
    message, theta, data = frame.parts
    request = solver_pb2.PredictRequest.FromString(data)
    spec = solver_pb2.SolveSpec.FromString(message)
    model = build_model(spec.model, context, "solve_job")
    point = context.array(tensor_pb2.Tensor.FromString(theta), "theta")
    inputs = _new_data(request, model, context)
    arrays = list(inputs.values()) if isinstance(inputs, dict) else [inputs]
    rows = max((len(np.atleast_1d(array)) for array in arrays), default=1)
    node = model.problem.predicted or model.problem.output
    size = math.prod(d if isinstance(d, int) else rows for d in node.shape) * point.itemsize
    limit = context.limits.prediction_bytes
    if size > limit:
        text = f"has so many rows that their outputs would take {size} bytes; at most {limit} are allowed"
        raise Violations([FieldViolation("data" if request.data else "inputs", text)])
    tensor = context.message_of_tensors()
    try:
        if not request.HasField("interval"):
            return solver_pb2.PredictResponse(outputs=tensor(model.predict(point, inputs))).SerializeToString()
        bounds = bounds_of_spec(spec, model, context)
        found = _intervals(request.interval, model, point, inputs, bounds, context, control)
    except solvers.InvalidModel as error:
        raise Violations([_in_request(error, request)]) from None
    response = solver_pb2.PredictResponse(
        outputs=tensor(found.centre), lower=tensor(found.lower), upper=tensor(found.upper)
    )
    return response.SerializeToString()


def _intervals(
    asked: solver_pb2.Interval,
    model: Model,
    point: AnyArray,
    inputs: AnyArray | dict[str, AnyArray],
    bounds: solvers.Bounds | None,
    context: WorkerContext,
    control: solvers.Control,
) -> solvers.Intervals:
    try:
        return solvers.intervals(
            model,
            point,
            inputs,
            kind=asked.kind,
            level=asked.level if asked.HasField("level") else LEVEL,
            bounds=bounds,
            checkpoint=control.checkpoint,
            threads=context.threads,
        )
    except solvers.InvalidModel as error:
        if error.field == "model":
            raise Violations([FieldViolation("interval", f"cannot be told: the model {error.message}")]) from None
        if error.field in ("kind", "level"):
            raise Violations([FieldViolation(f"interval.{error.field}", error.message)]) from None
        raise


def _new_data(
    request: solver_pb2.PredictRequest, model: Model, context: WorkerContext
) -> AnyArray | dict[str, AnyArray]:
    if request.data and request.HasField("inputs"):
        raise Violations([FieldViolation("data", "is given, and inputs too; give one of them")])
    if request.HasField("inputs"):
        return context.array(request.inputs, "inputs")
    if not request.data and not isinstance(model, solvers.Expression):
        raise Violations([FieldViolation("inputs", "is required: a matrix, with a row for each prediction")])
    return {row.name: context.array(row.value, f"data[{i}].value") for i, row in enumerate(request.data)}


def _in_request(error: solvers.InvalidModel, request: solver_pb2.PredictRequest) -> FieldViolation:
    """`inputs.x[3]` is `data[0].value[3]`; an array that is not there is called by its name."""
    given = [row.name for row in request.data]
    name, bracket, index = error.field.removeprefix("inputs").removeprefix(".").partition("[")
    if name in given:
        return FieldViolation(f"data[{given.index(name)}].value{bracket}{index}", error.message)
    if name:
        return FieldViolation("data", f"{name!r} is {error.message}")
    return FieldViolation(f"{'data' if given else 'inputs'}{bracket}{index}", error.message)


Evaluation = Callable[[Frame, WorkerContext, solvers.Control], bytes]

EVALUATIONS: dict[Kind, Evaluation] = {Kind.VALIDATE: validate, Kind.PREDICT: predict, Kind.DERIVE: derive}
"""A Control is cancelled when nobody waits for the answer any more."""
