"""Runs and jobs of an AsyncClient: run.py with await."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Self

from nablad.client.aio_transport import AioTransport
from nablad.client.core import operations
from nablad.client.core.session import Session
from nablad.client.core.views import CANCEL_SECONDS, JobView, RunView
from nablad.client.core.watch import Watch
from nablad.client.events import Event
from nablad.client.iterates import Iterate
from nablad.client.policies import Thinning
from nablad.client.results import Result
from nablad.v1 import solver_pb2


class AsyncRun(RunView):
    """The iterates of a job as they come, by `async for`.

    Leaving the loop, `close` and the end of `async with` only detach. In `async with run:` a Ctrl-C, or a cancel of the
    task, cancels the job and waits a few seconds for its best point. A broken connection is taken up again.
    """

    def __init__(self, session: Session, transport: AioTransport, watch: Watch) -> None:
        super().__init__(watch)
        self._session = session
        self._transport = transport

    async def __aiter__(self) -> AsyncIterator[Iterate]:
        async for event in self.events():
            if isinstance(event, Iterate):
                yield event

    async def events(self) -> AsyncGenerator[Event]:
        """Every event, typed, in order. Raises ServerUnavailable if the connection is lost for good."""
        try:
            while await self._transport.run(self._watch.fill()):
                while self._watch.buffer:
                    yield self._watch.take()
        finally:
            await self.close()

    async def result(self) -> Result:
        """Waits for the end, and gives the outcome, whatever its status. JobFailed if there is none."""
        return await self._transport.run(self._watch.outcome())

    async def job(self) -> AsyncJob:
        """The job, as it is now."""
        return AsyncJob(self._session, self._transport, await self._transport.run(self._session.get_job(self.name)))

    async def cancel(self) -> None:
        """Asks the job to end at its best point, and returns at once; go on reading to see the end."""
        await self._transport.run(operations.cancel_job(self._session, self.name))

    async def close(self) -> None:
        """Detaches; the job goes on."""
        await self._transport.run(self._watch.detach())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if isinstance(error, KeyboardInterrupt | asyncio.CancelledError) and not self._watch.finished:
                await self.cancel()
                await self._transport.run(self._watch.drain(CANCEL_SECONDS))
        except Exception as problem:
            assert error is not None
            error.add_note(f"{self.name} could not be cancelled: {problem}")
        finally:
            await self.close()


class AsyncJob(JobView):
    """A solve on the server. Its properties are those of the last `refresh`."""

    def __init__(self, session: Session, transport: AioTransport, message: solver_pb2.SolveJob) -> None:
        super().__init__(message)
        self._session = session
        self._transport = transport

    async def refresh(self) -> Self:
        """Asks the server again; returns itself."""
        self._message = await self._transport.run(self._session.get_job(self.name))
        return self

    def watch(self, after_seq: int = 0, thinning: Thinning | None = None) -> AsyncRun:
        """The job's events after this seq, replayed and then live."""
        return AsyncRun(self._session, self._transport, operations.watch(self._session, self.name, after_seq, thinning))

    async def cancel(self) -> None:
        """Asks the job to end at its best point, and returns at once."""
        self._message = await self._transport.run(operations.cancel_job(self._session, self.name))

    async def delete(self) -> None:
        """Removes the job and its journal. Conflict while it has not ended."""
        await self._transport.run(operations.delete_job(self._session, self.name))

    async def result(self) -> Result:
        """Waits for the end, and gives the outcome, its history fetched with it."""
        return await self.watch().result()
