"""Short requests, carried out in the reserved worker: what is a spec worth, what does a result predict, what are the
derivatives.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nablad import solvers
from nablad.server.frames import Frame, Kind
from nablad.server.worker.derive import derive
from nablad.server.worker.problem import WorkerContext, build
from nablad.server.worker.violations import Violations
from nablad.v1 import solver_pb2, tensor_pb2
from nablad.wire.errors import FieldViolation
from nablad.wire.tensors import AnyArray, TensorError, decode


def validate(frame: Frame, context: WorkerContext, control: solvers.Control) -> bytes:
    """The ModelSummary of a spec. Violations."""
    problem = build(solver_pb2.SolveSpec.FromString(frame.parts[0]), context)
    problem.model.objective()  # what cannot be compiled is found now
    cost = problem.model.cost()
    summary = solver_pb2.ModelSummary(
        parameters=problem.start.size,
        rows=problem.model.rows,
        estimated_bytes=cost.workspace_bytes + (cost.hessian_bytes if problem.method.order > 1 else 0),
    )
    for name, shape in problem.model.layout.shapes.items():
        summary.layout.add(name=name, shape=shape)
    return summary.SerializeToString()


def predict(frame: Frame, context: WorkerContext, control: solvers.Control) -> bytes:
    """The Tensor of a model's outputs at theta for new inputs. Violations."""
    message, theta, inputs = frame.parts
    spec = solver_pb2.SolveSpec.FromString(message)
    model = build(spec, context).model
    point = _decoded(theta, "theta", context)
    rows = _decoded(inputs, "inputs", context)
    width = spec.model.network.layers[-1].width if spec.model.HasField("network") else 1
    size, limit = len(np.atleast_1d(rows)) * width * point.itemsize, context.limits.prediction_bytes
    if size > limit:
        text = f"has so many rows that their outputs would take {size} bytes; at most {limit} are allowed"
        raise Violations([FieldViolation("inputs", text)])
    try:
        outputs = model.predict(point, rows)
    except solvers.InvalidModel as error:
        raise Violations([FieldViolation("inputs", error.message)]) from None
    return context.tensor(outputs).SerializeToString()


def _decoded(data: bytes, field: str, context: WorkerContext) -> AnyArray:
    try:
        return decode(
            tensor_pb2.Tensor.FromString(data),
            field=field,
            resolve=context.resolve,
            fill_limit=context.limits.fill_bytes,
        )
    except TensorError as error:
        raise Violations([FieldViolation(error.field or field, error.message)]) from None


Evaluation = Callable[[Frame, WorkerContext, solvers.Control], bytes]

EVALUATIONS: dict[Kind, Evaluation] = {Kind.VALIDATE: validate, Kind.PREDICT: predict, Kind.DERIVE: derive}
"""A Control is cancelled when nobody waits for the answer any more."""
