"""SolverService: jobs made, seen, watched, cancelled, deleted, and their results used."""

# ruff: noqa: N802 - gRPC names its methods so

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from typing import Any, TypeAlias

import grpc
from google.protobuf import empty_pb2

from nablad.server.datasets.catalog import Catalog
from nablad.server.errors import (
    InvalidRequest,
    LimitReached,
    RequestIdTaken,
    Unavailable,
    WrongState,
)
from nablad.server.frames import Frame, Kind
from nablad.server.scheduler import Scheduler
from nablad.server.services import jobs, pages, views
from nablad.server.services.watching import Watchers
from nablad.server.settings import Settings
from nablad.server.short_requests import ShortRequests
from nablad.server.states import FINAL, QUEUED
from nablad.server.store import JobRecord, Store
from nablad.v1 import solver_pb2, solver_pb2_grpc
from nablad.wire import names, references, rpc

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class SolverService(solver_pb2_grpc.SolverServiceServicer):
    """See solver.proto. `draining` refuses new jobs."""

    def __init__(
        self,
        store: Store,
        scheduler: Scheduler,
        short_requests: ShortRequests,
        watchers: Watchers,
        catalog: Catalog,
        settings: Settings,
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._short = short_requests
        self._watchers = watchers
        self._catalog = catalog
        self._settings = settings
        self.draining = False

    async def Solve(  # type: ignore[override]  # a coroutine that writes: grpc never closes a generator
        self, request: solver_pb2.SolveRequest, context: Context
    ) -> None:
        """Creates and watches."""
        self._watchers.check(request.thinning)
        record = await self._create(request.spec, request.request_id)
        await self._watch(record, 0, request.thinning, context)

    async def CreateSolveJob(self, request: solver_pb2.CreateSolveJobRequest, context: Context) -> solver_pb2.SolveJob:
        """Creates, or only checks."""
        if request.validate_only:
            record = await self._draft(request.spec, request.request_id)
            draft = views.job_of(record, None, full=False)
            draft.ClearField("name")
            return draft
        return self._view(await self._create(request.spec, request.request_id))

    async def GetSolveJob(self, request: solver_pb2.GetSolveJobRequest, context: Context) -> solver_pb2.SolveJob:
        """The job as it is now."""
        return self._view(await jobs.find(self._store, request.name))

    async def ListSolveJobs(
        self, request: solver_pb2.ListSolveJobsRequest, context: Context
    ) -> solver_pb2.ListSolveJobsResponse:
        """A page of jobs."""
        size = pages.size_of(request.page_size)
        pages.check_states(request.states)
        before = pages.ordinal_of(request.page_token, request.states)
        records = await self._store.page(before=before, limit=size + 1, states=frozenset(request.states))
        positions = self._scheduler.positions()
        response = solver_pb2.ListSolveJobsResponse()
        size_bytes = 0
        for record in records[:size]:
            job = views.job_of(record, positions.get(record.name), full=False)
            size_bytes += job.ByteSize()
            if response.solve_jobs and size_bytes > pages.MAX_BYTES:
                break
            response.solve_jobs.append(job)
            await asyncio.sleep(0)  # others want the loop, too
        shown = len(response.solve_jobs)
        if len(records) > shown:
            response.next_page_token = pages.token_of(records[shown - 1].ordinal, request.states)
        return response

    async def CancelSolveJob(self, request: solver_pb2.CancelSolveJobRequest, context: Context) -> solver_pb2.SolveJob:
        """Asks for the end."""
        await jobs.find(self._store, request.name)
        return self._view(await self._scheduler.cancel(request.name))

    async def DeleteSolveJob(self, request: solver_pb2.DeleteSolveJobRequest, context: Context) -> empty_pb2.Empty:
        """Forgets a job that has ended."""
        record = await jobs.find(self._store, request.name)
        if record.state not in FINAL:
            raise WrongState(f"{record.name} has not ended: cancel it first", "JOB_NOT_ENDED", record.name)
        await self._store.delete(record.name)
        return empty_pb2.Empty()

    async def WatchSolveJob(  # type: ignore[override]
        self, request: solver_pb2.WatchSolveJobRequest, context: Context
    ) -> None:
        """Streams the journal."""
        record = await jobs.find(self._store, request.name)
        self._watchers.check(request.thinning)
        await self._watch(record, request.after_seq, request.thinning, context)

    async def Predict(self, request: solver_pb2.PredictRequest, context: Context) -> solver_pb2.PredictResponse:
        """The model's output at the job's result."""
        record = await jobs.find(self._store, request.solve_job, "solve_job")
        theta = jobs.fitted_point(record)
        jobs.check_datasets(record, self._catalog, theta)
        parts = (record.spec, theta.SerializeToString(), request.SerializeToString())
        response = solver_pb2.PredictResponse.FromString(await self._short.ask(Frame(Kind.PREDICT, parts)))
        if request.HasField("interval"):
            response.warnings.extend(jobs.warnings_of(record))
        return response

    # Behind them

    async def _watch(self, record: JobRecord, after_seq: int, thinning: solver_pb2.Thinning, context: Context) -> None:
        metadata = ((rpc.JOB_METADATA, record.name),)
        await self._watchers.watch(
            record,
            after_seq,
            thinning,
            begin=lambda: context.send_initial_metadata(metadata),
            write=context.write,
        )

    def _view(self, record: JobRecord) -> solver_pb2.SolveJob:
        return views.job_of(record, self._scheduler.position(record.name), full=True)

    async def _create(self, spec: solver_pb2.SolveSpec, request_id: str) -> JobRecord:
        fingerprint = hashlib.sha256(spec.SerializeToString(deterministic=True)).digest()
        made = await self._store.find_request(request_id) if request_id else None
        if made is None:
            if self.draining:
                raise Unavailable("the server is shutting down", "SHUTTING_DOWN")
            limits = self._settings.limits
            if self._scheduler.queued >= limits.queue:
                raise LimitReached(f"{limits.queue} jobs wait already", "QUEUE_FULL", "queue")
            if self._scheduler.unfinished_bytes + spec.ByteSize() > limits.unfinished_bytes:
                message = "the jobs that have not ended hold too much inline data: upload it as datasets, or wait"
                raise LimitReached(message, "QUEUE_FULL", "unfinished_bytes")
            made, _ = await self._scheduler.submit(await self._draft(spec, request_id))
        if made.fingerprint != fingerprint:
            raise RequestIdTaken(request_id, made.name)
        return made

    async def _draft(self, spec: solver_pb2.SolveSpec, request_id: str) -> JobRecord:
        """The job that would be created. InvalidRequest, or what the worker finds wrong."""
        if request_id:
            try:
                uuid.UUID(request_id)
            except ValueError:
                message = f"is {request_id[:60]!r}, not a UUID such as {uuid.uuid4()}"
                raise InvalidRequest([("request_id", message)]) from None
        data = spec.SerializeToString()
        summary = await self._short.ask(Frame(Kind.VALIDATE, (data,)))
        if self.draining:
            raise Unavailable("the server is shutting down", "SHUTTING_DOWN")
        datasets = frozenset(references.datasets_in(spec))
        for name in datasets:
            self._catalog.keep(name)
        return JobRecord(
            name=names.name_of(names.JOBS, uuid.uuid4().hex),
            spec=data,
            outline=views.outline_of(spec),
            summary=summary,
            state=QUEUED,
            create_time=time.time_ns(),
            title=spec.title,
            request_id=request_id,
            fingerprint=hashlib.sha256(spec.SerializeToString(deterministic=True)).digest(),
            datasets=datasets,
        )
