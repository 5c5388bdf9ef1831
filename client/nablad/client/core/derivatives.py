"""What can be asked about a model's derivatives, as operations: Client and AsyncClient only perform them.

theta and directions go out flat, and results come back in the form in which theta was given (points.py). Parameter
shapes are taken from the model, or from the job, which is asked for them only where they are needed.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

from google.protobuf.message import Message

from nablad.client.arrays import Data, numbers
from nablad.client.core import decode, rpcs
from nablad.client.core.effects import Operation, Rpc
from nablad.client.core.encode import Encoder, assign
from nablad.client.core.requests import part
from nablad.client.core.session import Session
from nablad.client.core.subjects import At, Subject
from nablad.client.core.views import JobView, RunView, job_name
from nablad.client.derivations import BlockCheck, Derivation, DerivativeCheck, Detailed
from nablad.client.drawing import GraphDescription, GraphNode, Summary, WayChoice
from nablad.client.errors import FieldViolation, InvalidRequest, invalid
from nablad.client.named import Layout, number_or_array
from nablad.client.points import Form, Point, default_form, flatten, needs_layout, shaped
from nablad.client.results import Result
from nablad.client.sparse import CsrMatrix
from nablad.v1 import derivative_pb2 as pb
from nablad.v1 import tensor_pb2
from nablad.wire import csr
from nablad.wire.tensors import TensorError

_VECTOR = re.compile(r"^vector\b")

M = TypeVar("M", bound=Message)
_JOBS = (Result, RunView, JobView, str)


class _Asking:
    """One request on its way."""

    def __init__(self, session: Session, request: Any, at: At) -> None:
        self.session = session
        self.request = request
        self.at = at
        self.encoder = Encoder()
        self.form: Form | None = None
        self.arrays: decode.Arrays = {}
        self._layout: Layout | None = None

    def begin(self) -> Operation[None]:
        """Writes the subject."""
        at, subject = self.at, self.request.subject
        if isinstance(at.subject, _JOBS) and not _is_text(at.subject):
            subject.solve_job = job_name(at.subject)
        else:
            subject.model.CopyFrom(part(at.subject, "subject", self.encoder))
        if at.iteration is not None and at.theta is not None:
            raise invalid("iteration", "is given, and theta too; give one of them")
        if at.iteration is not None and not isinstance(at.subject, _JOBS):
            raise invalid("iteration", "belongs to a job; a model has no iterations: give theta")
        assign(subject, "", iteration=at.iteration, of=at.of)
        if at.theta is not None:
            subject.theta.CopyFrom((yield from self.flat(at.theta, "theta")))

    def flat(self, value: Point, argument: str) -> Operation[tensor_pb2.Tensor]:
        """A point or direction as a tensor; the first one's form is that of the result."""
        layout = yield from self._known_layout(needs_layout(value))
        flattened = flatten(value, argument, layout)
        self.form = self.form or flattened.form
        return self.encoder.tensor(flattened.array)

    def _known_layout(self, needed: bool) -> Operation[Layout | None]:
        subject = self.at.subject
        if self._layout is None:
            self._layout = _layout_of(subject)
        if self._layout is None and needed and isinstance(subject, _JOBS):
            job = yield from self.session.get_job(job_name(subject))
            self._layout = _layout(job.model_summary.layout)
        return self._layout

    def ask(self, rpc: Rpc, kind: type[M], vector: str = "") -> Operation[M]:
        """Uploads what is large, sends, and fetches what is large in the reply. `vector` is the caller's name of it."""
        yield from self.session.upload_all(self.encoder)
        try:
            reply = yield from self.session.call(rpc, self.request, kind)
        except InvalidRequest as error:
            renamed = [FieldViolation(_VECTOR.sub(vector, v.field), v.description) for v in error.violations]
            raise InvalidRequest(renamed, message=str(error)) from None
        self.arrays = yield from self.session.fetch_references(reply)
        return reply

    def array(self, tensor: tensor_pb2.Tensor) -> Any:
        """An array of the reply; a float where it has no axes."""
        return number_or_array(decode.array(tensor, self.arrays))

    def shaped(self, tensor: tensor_pb2.Tensor, layout: Any, axes: int = 1) -> Any:
        """An array of the reply whose last axes run over theta, as theta was given."""
        known = _layout(layout)
        return shaped(decode.array(tensor, self.arrays), known, self.form or default_form(known), axes)

    def sparse(self, matrix: tensor_pb2.CsrMatrix) -> CsrMatrix:
        """A sparse matrix of the reply."""
        try:
            read = csr.decode(matrix, resolve=self.arrays.__getitem__)
        except TensorError as error:
            raise decode.unreadable(error) from error
        return CsrMatrix(*read.shape, read.row_starts, read.column_indices, read.values)


def _is_text(subject: Subject) -> bool:
    """Whether it is a text that names no job, and was perhaps meant as a formula."""
    return isinstance(subject, str) and not subject.startswith("solveJobs/")


def _layout_of(subject: Subject) -> Layout | None:
    if isinstance(subject, Result):
        return {name: value.shape for name, value in subject.parameters.items()}
    if isinstance(subject, JobView):
        return dict(subject.model_summary.layout)
    layout: Layout | None = getattr(subject, "layout", None)
    return layout


def _layout(sent: Any) -> Layout:
    return {row.name: tuple(row.shape) for row in sent}


def _begin(session: Session, kind: type[Message], at: At) -> Operation[_Asking]:
    asking = _Asking(session, kind(), at)
    yield from asking.begin()
    return asking


def value(session: Session, at: At) -> Operation[Any]:
    """f(theta)."""
    asking = yield from _begin(session, pb.ValueRequest, at)
    reply = yield from asking.ask(rpcs.VALUE, pb.ValueResponse)
    return asking.array(reply.value)


def gradient(session: Session, at: At, details: bool) -> Operation[Any]:
    """df/dtheta of the objective."""
    asking = yield from _begin(session, pb.GradientRequest, at)
    reply = yield from asking.ask(rpcs.GRADIENT, pb.GradientResponse)
    return _detailed(asking.shaped(reply.gradient, reply.layout), reply.derivation, details)


def jacobian(session: Session, at: At, way: str | None, sparse: bool, details: bool) -> Operation[Any]:
    """The Jacobian."""
    asking = yield from _begin(session, pb.JacobianRequest, at)
    assign(asking.request, "", way=way, sparse=sparse)
    reply = yield from asking.ask(rpcs.JACOBIAN, pb.JacobianResponse)
    if reply.WhichOneof("matrix") == "sparse_jacobian":
        found: Any = asking.sparse(reply.sparse_jacobian)
    else:
        found = asking.shaped(reply.jacobian, reply.layout)
    return _detailed(found, reply.derivation, details)


def hessian(session: Session, at: At, way: str | None, sparse: bool, details: bool) -> Operation[Any]:
    """The Hessian."""
    asking = yield from _begin(session, pb.HessianRequest, at)
    assign(asking.request, "", way=way, sparse=sparse)
    reply = yield from asking.ask(rpcs.HESSIAN, pb.HessianResponse)
    if reply.WhichOneof("matrix") == "sparse_hessian":
        found: Any = asking.sparse(reply.sparse_hessian)
    else:
        found = asking.shaped(reply.hessian, reply.layout, axes=2)
    return _detailed(found, reply.derivation, details)


def hvp(session: Session, at: At, v: Point) -> Operation[Any]:
    """H v."""
    asking = yield from _begin(session, pb.HessianVectorProductRequest, at)
    asking.request.vector.CopyFrom((yield from asking.flat(v, "v")))
    reply = yield from asking.ask(rpcs.HVP, pb.HessianVectorProductResponse, "v")
    return asking.shaped(reply.product, reply.layout)


def jvp(session: Session, at: At, v: Point) -> Operation[Any]:
    """J v."""
    asking = yield from _begin(session, pb.JacobianVectorProductRequest, at)
    asking.request.vector.CopyFrom((yield from asking.flat(v, "v")))
    reply = yield from asking.ask(rpcs.JVP, pb.JacobianVectorProductResponse, "v")
    return asking.array(reply.product)


def vjp(session: Session, at: At, u: Data) -> Operation[Any]:
    """u J."""
    asking = yield from _begin(session, pb.VectorJacobianProductRequest, at)
    asking.request.vector.CopyFrom(asking.encoder.tensor(numbers(u, "u")))
    reply = yield from asking.ask(rpcs.VJP, pb.VectorJacobianProductResponse, "u")
    return asking.shaped(reply.product, reply.layout)


def taylor(session: Session, at: At, direction: Point, order: int) -> Operation[Any]:
    """Taylor coefficients along a line."""
    asking = yield from _begin(session, pb.TaylorRequest, at)
    asking.request.direction.CopyFrom((yield from asking.flat(direction, "direction")))
    assign(asking.request, "", order=order)
    reply = yield from asking.ask(rpcs.TAYLOR, pb.TaylorResponse)
    return asking.array(reply.coefficients)


def check(session: Session, at: At, max_entries: int | None) -> Operation[DerivativeCheck]:
    """Derivatives beside difference quotients."""
    asking = yield from _begin(session, pb.CheckDerivativesRequest, at)
    assign(asking.request, "", max_entries=max_entries)
    reply = yield from asking.ask(rpcs.CHECK, pb.CheckDerivativesResponse)
    blocks = tuple(
        BlockCheck(
            parameter=block.parameter,
            steps=tuple(block.steps),
            errors=tuple(block.errors),
            order=decode.optional(block, "order"),
            best_error=block.best_error,
            best_step=block.best_step,
            worst_entry=block.worst_entry,
            computed=block.computed,
            estimated=block.estimated,
            entries=block.entries,
            passed=block.passed,
            corner=block.corner,
        )
        for block in reply.blocks
    )
    return DerivativeCheck(blocks, reply.passed, reply.message, decode.array(reply.theta, asking.arrays))


def describe(session: Session, at: At, max_nodes: int | None) -> Operation[GraphDescription]:
    """The graph."""
    asking = yield from _begin(session, pb.DescribeGraphRequest, at)
    assign(asking.request, "", max_nodes=max_nodes)
    reply = yield from asking.ask(rpcs.DESCRIBE, pb.DescribeGraphResponse)
    return GraphDescription(
        nodes=tuple(_node(node) for node in reply.nodes),
        output=reply.output,
        linearity=reply.linearity,
        separable=reply.separable,
        choices=tuple(
            WayChoice(row.derivative, _derivation(row.chosen), tuple(_derivation(other) for other in row.others))
            for row in reply.choices
        ),
        value_operations=reply.value_operations,
        gradient_operations=reply.gradient_operations,
        live_bytes=reply.live_bytes,
        tape_bytes=reply.tape_bytes,
        total_nodes=reply.total_nodes,
        layout=_layout(reply.layout),
    )


def _node(sent: pb.GraphNode) -> GraphNode:
    return GraphNode(
        op=sent.op,
        operands=tuple(sent.operands),
        label=sent.label,
        attributes=sent.attributes,
        shape=tuple("N" if d < 0 else d for d in sent.shape),
        operations=sent.operations,
        adjoint_order=decode.optional(sent, "adjoint_order"),
        value=_summary(sent.value) if sent.HasField("value") else None,
        adjoint=_summary(sent.adjoint) if sent.HasField("adjoint") else None,
    )


def _summary(sent: pb.Summary) -> Summary:
    return Summary(tuple(sent.elements), sent.smallest, sent.largest, sent.norm, sent.finite)


def _derivation(sent: pb.Derivation) -> Derivation:
    return Derivation(sent.way, sent.reason, sent.passes, sent.operations)


def _detailed(found: Any, sent: pb.Derivation, details: bool) -> Any:
    return Detailed(found, _derivation(sent)) if details else found
