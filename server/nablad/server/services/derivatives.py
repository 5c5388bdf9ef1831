"""DerivativeService: every call is one short request, carried out in the reserved worker.

Here a request's subject is found: the model that it brings, or a job's, and the job's point. What is wrong with the
rest of a request, the worker says.
"""

# ruff: noqa: N802 - gRPC names its methods so

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import grpc
from google.protobuf.message import Message

from nablad.server.datasets.catalog import Catalog
from nablad.server.errors import InvalidRequest, LimitReached, Unavailable
from nablad.server.frames import Frame, Kind
from nablad.server.services import jobs
from nablad.server.settings import Settings
from nablad.server.short_requests import ShortRequests
from nablad.server.store import Store
from nablad.v1 import derivative_pb2 as pb
from nablad.v1 import derivative_pb2_grpc

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
R = TypeVar("R", bound=Message)


class DerivativeService(derivative_pb2_grpc.DerivativeServiceServicer):
    """See derivative.proto. `draining` refuses every call."""

    def __init__(self, store: Store, short_requests: ShortRequests, catalog: Catalog, settings: Settings) -> None:
        self._store = store
        self._short = short_requests
        self._catalog = catalog
        self._settings = settings
        self.draining = False

    async def Value(self, request: pb.ValueRequest, context: Context) -> pb.ValueResponse:
        """f(theta)."""
        return await self._ask("Value", request, pb.ValueResponse)

    async def Gradient(self, request: pb.GradientRequest, context: Context) -> pb.GradientResponse:
        """f and its gradient."""
        return await self._ask("Gradient", request, pb.GradientResponse)

    async def Jacobian(self, request: pb.JacobianRequest, context: Context) -> pb.JacobianResponse:
        """The Jacobian."""
        return await self._ask("Jacobian", request, pb.JacobianResponse)

    async def Hessian(self, request: pb.HessianRequest, context: Context) -> pb.HessianResponse:
        """The Hessian."""
        return await self._ask("Hessian", request, pb.HessianResponse)

    async def HessianVectorProduct(
        self, request: pb.HessianVectorProductRequest, context: Context
    ) -> pb.HessianVectorProductResponse:
        """H v."""
        return await self._ask("HessianVectorProduct", request, pb.HessianVectorProductResponse)

    async def JacobianVectorProduct(
        self, request: pb.JacobianVectorProductRequest, context: Context
    ) -> pb.JacobianVectorProductResponse:
        """J v."""
        return await self._ask("JacobianVectorProduct", request, pb.JacobianVectorProductResponse)

    async def VectorJacobianProduct(
        self, request: pb.VectorJacobianProductRequest, context: Context
    ) -> pb.VectorJacobianProductResponse:
        """u J."""
        return await self._ask("VectorJacobianProduct", request, pb.VectorJacobianProductResponse)

    async def Taylor(self, request: pb.TaylorRequest, context: Context) -> pb.TaylorResponse:
        """Taylor coefficients along a line."""
        return await self._ask("Taylor", request, pb.TaylorResponse)

    async def CheckDerivatives(
        self, request: pb.CheckDerivativesRequest, context: Context
    ) -> pb.CheckDerivativesResponse:
        """Derivatives beside difference quotients."""
        return await self._ask("CheckDerivatives", request, pb.CheckDerivativesResponse)

    async def DescribeGraph(self, request: pb.DescribeGraphRequest, context: Context) -> pb.DescribeGraphResponse:
        """The graph."""
        return await self._ask("DescribeGraph", request, pb.DescribeGraphResponse)

    # Behind them

    async def _ask(self, method: str, request: Any, response: type[R]) -> R:
        if self.draining:
            raise Unavailable("the server is shutting down", "SHUTTING_DOWN")
        spec, theta, state = await self._job(request.subject, needs_point=method != "DescribeGraph")
        parts = (method.encode(), request.SerializeToString(), spec, theta, state)
        return response.FromString(await self._short.ask(Frame(Kind.DERIVE, parts)))

    async def _job(self, subject: pb.Subject, *, needs_point: bool) -> tuple[bytes, bytes, bytes]:
        """Spec, theta and checkpoint state of the subject's job; empty what it has not, or needs not."""
        source = subject.WhichOneof("source")
        if source is None:
            raise InvalidRequest([("subject", "is required: give model or solve_job")])
        if source == "model":
            if subject.WhichOneof("point") == "iteration":
                message = "belongs to a job: give solve_job in place of model, or theta"
                raise InvalidRequest([("subject.iteration", message)])
            return b"", b"", b""
        record = await jobs.find(self._store, subject.solve_job, "subject.solve_job")
        point = subject.WhichOneof("point")
        if point == "theta" or (point is None and not needs_point):
            jobs.check_datasets(record, self._catalog)
            return record.spec, b"", b""
        if point is None:
            theta = jobs.point_of(record, "give theta, or the iteration, or watch it to its end")
            jobs.check_datasets(record, self._catalog, theta)
            return record.spec, theta.SerializeToString(), b""
        visited = await jobs.visit(self._store, record, subject.iteration, "subject.iteration")
        if visited.theta is None:
            jobs.check_datasets(record, self._catalog)
            self._check_replay(subject.iteration, visited.seconds)
            return record.spec, b"", visited.state
        jobs.check_datasets(record, self._catalog, visited.theta)
        return record.spec, visited.theta.SerializeToString(), b""

    def _check_replay(self, iteration: int, seconds: float) -> None:
        limit = self._settings.short_request_seconds
        if seconds > limit:
            message = (
                f"theta of iteration {iteration} was not recorded, and to compute it again would take about "
                f"{seconds:.0f} s; at most {limit:g} are allowed: record theta with the job's record_theta"
            )
            raise LimitReached(message, "REPLAY_TOO_SLOW", "short_request_seconds", None)
