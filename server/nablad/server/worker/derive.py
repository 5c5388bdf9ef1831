"""DerivativeService's calls, carried out in the reserved worker.

What they share: the model that the request brings, or a job's; the point; which function of theta; and a bound on what
comes out, told from shapes alone before anything is computed. A model that was asked about lately is kept, so that who
asks again and again at other points pays for it once.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nablad import solvers
from nablad.server.frames import Frame
from nablad.server.worker import descriptions
from nablad.server.worker.context import WorkerContext
from nablad.server.worker.models import Model, build_model
from nablad.server.worker.problem import build
from nablad.server.worker.replay import NotReached, theta_at
from nablad.server.worker.violations import Violations
from nablad.v1 import derivative_pb2 as pb
from nablad.v1 import solver_pb2, tensor_pb2
from nablad.wire import csr
from nablad.wire.errors import FieldViolation
from nablad.wire.tensors import AnyArray

KEPT_MODELS = 4
CHECKED_ENTRIES = 64
DESCRIBED_NODES = 1000

_OBJECTIVE, _OUTPUT = "objective", "output"
# The engine's words for what is given, in those of the requests.
_FIELDS = {"theta": "subject.theta", "of": "subject.of", "v": "vector", "u": "vector"}


@dataclass(frozen=True)
class Asked:
    """A request, with everything that it refers to at hand."""

    request: Any
    model: Model
    derivatives: solvers.Derivatives
    theta: AnyArray
    """(p,) or (B, p)."""
    of: str
    context: WorkerContext
    tensor: Callable[[AnyArray], tensor_pb2.Tensor]
    """Writes an array of the reply."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one value of the function."""
        problem = self.model.problem
        node = {"output": problem.output, "residual": problem.residual}.get(self.of) or problem.objective
        return tuple(d if isinstance(d, int) else self.model.rows for d in node.shape)

    def array(self, field: str) -> AnyArray:
        """A tensor of the request, decoded. Violations."""
        if not self.request.HasField(field):
            raise Violations([FieldViolation(field, "is required")])
        return self.context.array(getattr(self.request, field), field)

    def bound(self, *axes: int, others: AnyArray | None = None, rank: int = 1) -> None:
        """Violations if the function's value with these axes behind it is too large, for all points or directions.

        `others` are the directions, of which one has `rank` axes.
        """
        points = len(self.theta) if self.theta.ndim > 1 else 1
        if others is not None and others.ndim > rank:
            points = max(points, len(others))
        size = math.prod((points, *self.shape, *axes)) * self.model.dtype.itemsize
        limit = self.context.limits.derivative_bytes
        if size > limit:
            shape = (points, *self.shape, *axes) if points > 1 else (*self.shape, *axes)
            text = (
                f"would give {size} bytes, of shape {shape}; at most {limit} are allowed: ask for products, or by parts"
            )
            raise Violations([FieldViolation("subject", text)])


def derive(frame: Frame, context: WorkerContext, control: solvers.Control) -> bytes:
    """Answers a DERIVE frame. Violations; Interrupted if its client went away."""
    name, data, spec, point, state = frame.parts
    method = METHODS[name.decode()]
    request = method.request.FromString(data)
    subject = request.subject
    if spec:
        key = hashlib.sha256(b"job" + spec).digest()
        kept = _kept(key, lambda: _model_of_job(spec, context), context)
    else:
        message = subject.model
        key = hashlib.sha256(b"model" + message.SerializeToString(deterministic=True)).digest()
        kept = _kept(key, lambda: build_model(message, context, "subject.model"), context)
    model = kept.model
    kept.control = control
    theta = _theta(subject, model, spec, point, state, context, control)
    of = subject.of or method.of
    asked = Asked(request, model, kept.derivatives, theta, of, context, context.message_of_tensors())
    try:
        _check_function(asked)
        reply = method.answer(asked)
    except solvers.InvalidModel as error:
        raise Violations([FieldViolation(_field(error.field), error.message)]) from None
    if "layout" in reply.DESCRIPTOR.fields_by_name:
        for parameter, shape in model.layout.shapes.items():
            reply.layout.add(name=parameter, shape=shape)
    if "theta" in reply.DESCRIPTOR.fields_by_name:
        reply.theta.CopyFrom(asked.tensor(theta))
    return bytes(reply.SerializeToString())


# Models and points


class _Kept:
    """A model with its derivatives, which remember what they have found out of its structure."""

    def __init__(self, model: Model, context: WorkerContext) -> None:
        self.model = model
        self.derivatives = solvers.Derivatives(
            model,
            threads=context.threads,
            checkpoint=self._checkpoint,
            result_bytes=context.limits.derivative_bytes,
            work_bytes=context.limits.workspace_bytes,
        )
        self.control = solvers.Control()
        """Of the request at hand."""

    def _checkpoint(self) -> None:
        self.control.checkpoint()


_models: OrderedDict[bytes, _Kept] = OrderedDict()


def _kept(key: bytes, make: Callable[[], Model], context: WorkerContext) -> _Kept:
    kept = _models.pop(key, None) or _Kept(make(), context)
    _models[key] = kept
    while len(_models) > KEPT_MODELS:
        _models.popitem(last=False)
    return kept


def _model_of_job(spec: bytes, context: WorkerContext) -> Model:
    return build_model(solver_pb2.SolveSpec.FromString(spec).model, context, "subject.solve_job")


def _theta(
    subject: pb.Subject,
    model: Model,
    spec: bytes,
    point: bytes,
    state: bytes,
    context: WorkerContext,
    control: solvers.Control,
) -> AnyArray:
    given = subject.WhichOneof("point")
    if given == "theta":
        theta = context.array(subject.theta, "subject.theta").astype(model.dtype)
        _check_points(theta, model.size)
        return theta
    if point:
        return context.array(tensor_pb2.Tensor.FromString(point), "subject.solve_job")
    if given == "iteration":
        try:
            problem = build(solver_pb2.SolveSpec.FromString(spec), context)
            return theta_at(problem, subject.iteration, state, control, context.threads)
        except NotReached:
            text = f"is {subject.iteration}, which could not be computed again: give theta"
            raise Violations([FieldViolation("subject.iteration", text)]) from None
    return model.initial()


def _check_points(theta: AnyArray, size: int) -> None:
    if theta.ndim not in (1, 2) or theta.shape[-1] != size or not theta.size:
        text = f"has shape {theta.shape}; it must be ({size},), or (B, {size}) for B points"
        raise Violations([FieldViolation("subject.theta", text)])
    if not np.isfinite(theta).all():
        where = tuple(np.argwhere(~np.isfinite(theta))[0])
        place = ", ".join(str(i) for i in where)
        text = f"is {theta[where]}; a derivative is taken at a finite point"
        raise Violations([FieldViolation(f"subject.theta[{place}]", text)])


def _check_function(asked: Asked) -> None:
    if asked.of not in ("objective", "output", "residual"):
        text = f"is {asked.of!r:.60}; choose objective, output or residual"
        raise Violations([FieldViolation("subject.of", text)])
    if asked.of == "residual" and asked.model.problem.residual is None:
        raise Violations([FieldViolation("subject.of", "is residual, and the model's objective is no sum of squares")])


def _field(name: str) -> str:
    """`theta[3]` is `subject.theta[3]`."""
    head, bracket, rest = name.partition("[")
    return f"{_FIELDS.get(head, head)}{bracket}{rest}"


def _one_point(asked: Asked, field: str, what: str) -> None:
    if asked.theta.ndim != 1:
        raise Violations([FieldViolation(field, f"{what} is for one point; theta has shape {asked.theta.shape}")])


# The calls


def _value(asked: Asked) -> pb.ValueResponse:
    asked.bound()
    return pb.ValueResponse(value=asked.tensor(asked.derivatives.value(asked.theta, asked.of)))


def _gradient(asked: Asked) -> pb.GradientResponse:
    asked.bound(asked.model.size)
    found = asked.derivatives.gradient(asked.theta, asked.of)
    assert isinstance(found.array, np.ndarray)
    return pb.GradientResponse(
        value=asked.tensor(asked.derivatives.value(asked.theta, asked.of)),
        gradient=asked.tensor(found.array),
        derivation=descriptions.derivation(found),
    )


def _jacobian(asked: Asked) -> pb.JacobianResponse:
    request: pb.JacobianRequest = asked.request
    if not request.sparse:
        asked.bound(asked.model.size)
    _one_point_if_sparse(asked)
    found = asked.derivatives.jacobian(asked.theta, asked.of, request.way or None, request.sparse)
    how = descriptions.derivation(found)
    if isinstance(found.array, np.ndarray):
        return pb.JacobianResponse(jacobian=asked.tensor(found.array), derivation=how)
    return pb.JacobianResponse(sparse_jacobian=csr.encode(csr.Csr(*found.array), asked.tensor), derivation=how)


def _hessian(asked: Asked) -> pb.HessianResponse:
    request: pb.HessianRequest = asked.request
    if not request.sparse:
        asked.bound(asked.model.size, asked.model.size)
    _one_point_if_sparse(asked)
    found = asked.derivatives.hessian(asked.theta, asked.of, request.way or None, request.sparse)
    how = descriptions.derivation(found)
    if isinstance(found.array, np.ndarray):
        return pb.HessianResponse(hessian=asked.tensor(found.array), derivation=how)
    return pb.HessianResponse(sparse_hessian=csr.encode(csr.Csr(*found.array), asked.tensor), derivation=how)


def _one_point_if_sparse(asked: Asked) -> None:
    if asked.request.sparse:
        _one_point(asked, "sparse", "a sparse matrix")


def _hvp(asked: Asked) -> pb.HessianVectorProductResponse:
    v = asked.array("vector")
    asked.bound(asked.model.size, others=v)
    return pb.HessianVectorProductResponse(product=asked.tensor(asked.derivatives.hvp(asked.theta, v, asked.of)))


def _jvp(asked: Asked) -> pb.JacobianVectorProductResponse:
    v = asked.array("vector")
    asked.bound(others=v)
    return pb.JacobianVectorProductResponse(product=asked.tensor(asked.derivatives.jvp(asked.theta, v, asked.of)))


def _vjp(asked: Asked) -> pb.VectorJacobianProductResponse:
    u = asked.array("vector")
    product = asked.derivatives.vjp(asked.theta, u, asked.of)
    return pb.VectorJacobianProductResponse(product=asked.tensor(product))


def _taylor(asked: Asked) -> pb.TaylorResponse:
    request: pb.TaylorRequest = asked.request
    limit = asked.context.limits.taylor_order
    if not 0 <= request.order <= limit:
        raise Violations([FieldViolation("order", f"is {request.order}; 0 to {limit} are allowed")])
    direction = asked.array("direction")
    asked.bound(request.order + 1, others=direction)
    coefficients = asked.derivatives.taylor(asked.theta, direction, request.order, asked.of)
    return pb.TaylorResponse(coefficients=asked.tensor(coefficients))


def _check(asked: Asked) -> pb.CheckDerivativesResponse:
    request: pb.CheckDerivativesRequest = asked.request
    entries = request.max_entries if request.HasField("max_entries") else CHECKED_ENTRIES
    limit = asked.context.limits.check_entries
    if not 1 <= entries <= limit:
        raise Violations([FieldViolation("max_entries", f"is {entries}; 1 to {limit} are allowed")])
    _one_point(asked, "subject.theta", "a check")
    asked.bound(min(asked.model.size, entries))
    return descriptions.check(asked.derivatives.check(asked.theta, asked.of, max_entries=entries))


def _describe(asked: Asked) -> pb.DescribeGraphResponse:
    request: pb.DescribeGraphRequest = asked.request
    most = request.max_nodes if request.HasField("max_nodes") else DESCRIBED_NODES
    limit = asked.context.limits.described_nodes
    if not 1 <= most <= limit:
        raise Violations([FieldViolation("max_nodes", f"is {most}; 1 to {limit} are allowed")])
    _one_point(asked, "subject.theta", "a description")
    theta = asked.theta if request.subject.WhichOneof("point") else None
    return descriptions.description(asked.derivatives.describe(asked.of, theta, most))


@dataclass(frozen=True)
class Method:
    """A call: its request, the function of theta that it speaks of unless told otherwise, and its answer."""

    request: Any
    of: str
    answer: Callable[[Asked], Any]


METHODS = {
    "Value": Method(pb.ValueRequest, _OBJECTIVE, _value),
    "Gradient": Method(pb.GradientRequest, _OBJECTIVE, _gradient),
    "Jacobian": Method(pb.JacobianRequest, _OUTPUT, _jacobian),
    "Hessian": Method(pb.HessianRequest, _OBJECTIVE, _hessian),
    "HessianVectorProduct": Method(pb.HessianVectorProductRequest, _OBJECTIVE, _hvp),
    "JacobianVectorProduct": Method(pb.JacobianVectorProductRequest, _OUTPUT, _jvp),
    "VectorJacobianProduct": Method(pb.VectorJacobianProductRequest, _OUTPUT, _vjp),
    "Taylor": Method(pb.TaylorRequest, _OBJECTIVE, _taylor),
    "CheckDerivatives": Method(pb.CheckDerivativesRequest, _OBJECTIVE, _check),
    "DescribeGraph": Method(pb.DescribeGraphRequest, _OBJECTIVE, _describe),
}
