"""Validations, predictions and derivatives: one worker of their own, so that nobody waits behind a long solve.

Requests wait in a bounded line and are answered one by one. One whose client goes away is given up. One that takes too
long, or kills the worker, is refused, and a new worker takes the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nablad.server import errors, logs
from nablad.server.datasets.catalog import Catalog
from nablad.server.frames import Frame, Kind
from nablad.server.scheduler import RESTART_SECONDS
from nablad.server.settings import Settings
from nablad.server.supervisor import Template, Worker, WorkerLost
from nablad.v1 import dataset_pb2

MAX_DEATHS = 2
"""So many workers may die on one request."""
GIVE_UP_SECONDS = 1.0
"""A worker may take for giving up; a new one is there in less."""


@dataclass
class _Request:
    frame: Frame
    answer: asyncio.Future[bytes]
    deaths: int = 0

    @property
    def size(self) -> int:
        return sum(len(part) for part in self.frame.parts)

    def fail(self, error: errors.ServiceError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class ShortRequests:
    """The reserved worker and its line. Call `start` once, `stop` at the end."""

    def __init__(self, template: Template, catalog: Catalog, settings: Settings) -> None:
        self._template = template
        self._catalog = catalog
        self._settings = settings
        self._line: deque[_Request] = deque()
        self._wanted: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    def start(self) -> None:
        """Starts the worker; who asks before it is there waits for it."""
        self._task = asyncio.create_task(self._serve(), name="short requests")

    async def wait_until_ready(self) -> None:
        """Returns once the worker is there, or a first attempt to start it has failed."""
        await self._ready.wait()

    async def stop(self) -> None:
        """Ends the worker; who still waits is told."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        for request in self._line:
            request.fail(errors.Unavailable("the server is shutting down", "SHUTTING_DOWN"))
        self._line.clear()

    async def ask(self, frame: Frame) -> bytes:
        """The worker's answer.

        Refused as the worker refuses; LimitReached where the line is full; Unavailable where the worker died of it.
        """
        limits = self._settings.limits
        waiting = sum(request.size for request in self._line)
        if len(self._line) >= limits.short_requests or (self._line and waiting > limits.short_request_bytes):
            raise errors.LimitReached(
                "too many requests wait to be checked", "TOO_MANY_REQUESTS", "short_requests", 1.0
            )
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._line.append(_Request(frame, answer))
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)
        return await answer

    async def _serve(self) -> None:
        worker: Worker | None = None
        try:
            while True:
                try:
                    worker = await self._template.start_worker()
                except WorkerLost as error:
                    logs.warning("reserved worker not started", reason=str(error))
                    await asyncio.sleep(RESTART_SECONDS)
                    continue
                finally:
                    self._ready.set()
                await self._serve_with(worker)
                logs.warning("reserved worker ended", worker=worker.pid)
                worker.kill()
        finally:
            if worker is not None:
                worker.kill()

    async def _serve_with(self, worker: Worker) -> None:
        """Returns once the worker is of no more use."""
        while True:
            if not self._line and not await self._wait(worker):
                return
            request = self._line.popleft()
            if request.answer.done():
                continue  # its client is gone
            limit = self._settings.short_request_seconds
            try:
                reply = await asyncio.wait_for(self._exchange(worker, request), limit)
            except WorkerLost:
                request.deaths += 1
                if request.deaths < MAX_DEATHS:  # the worker may have been dead before
                    self._line.appendleft(request)
                else:
                    request.fail(errors.Unavailable("the worker process died of this request", "WORKER_LOST", 5.0))
                return
            except TimeoutError:
                message = f"the request took longer than {limit:g} s"
                request.fail(errors.LimitReached(message, "REQUEST_TOO_SLOW", "short_request_seconds", None))
                return
            if reply.kind is Kind.REFUSED:
                request.fail(errors.from_bytes(reply.parts[0]))
            elif not request.answer.done():
                request.answer.set_result(reply.parts[0])

    async def _wait(self, worker: Worker) -> bool:
        """Until somebody asks; False where the worker dies meanwhile."""
        self._wanted = asyncio.get_running_loop().create_future()
        return await worker.idle_until(self._wanted)

    async def _exchange(self, worker: Worker, request: _Request) -> Frame:
        """The reply. Where the client goes away meanwhile, the worker is told to give up; if it has not by then,
        TimeoutError: another one will be of more use.
        """
        await worker.send(request.frame)
        reply = asyncio.ensure_future(self._reply(worker))
        either: set[asyncio.Future[Any]] = {reply, request.answer}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not reply.done():
                await worker.send(Frame(Kind.CANCEL))
                return await asyncio.wait_for(reply, GIVE_UP_SECONDS)
            return await reply
        finally:
            reply.cancel()

    async def _reply(self, worker: Worker) -> Frame:
        answers: set[str] = set()
        while True:
            reply = await worker.receive()
            if reply.kind is not Kind.DATASET:
                await self._catalog.forget_answers(answers)
                return reply
            dataset = dataset_pb2.Dataset.FromString(reply.parts[0])
            self._catalog.add_answer(dataset)
            answers.add(dataset.name)
