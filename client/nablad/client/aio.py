"""The client for asyncio: client.py with await."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from numpy.typing import NDArray

from nablad.client import embedded
from nablad.client.aio_differentiation import AsyncDifferentiation
from nablad.client.aio_run import AsyncJob, AsyncRun
from nablad.client.aio_transport import AioTransport
from nablad.client.arrays import Data, Dataset, NewData, upload_array
from nablad.client.bounds import Bounds
from nablad.client.client import DEFAULT_TARGET, DEFAULT_TIMEOUT
from nablad.client.core import operations
from nablad.client.core.effects import Operation
from nablad.client.core.requests import solve_spec
from nablad.client.core.session import Session
from nablad.client.core.views import JobView, RunView, job_name
from nablad.client.errors import NabladError
from nablad.client.methods import Method
from nablad.client.models import Model
from nablad.client.points import Point
from nablad.client.policies import RecordTheta, Thinning
from nablad.client.results import ModelSummary, Result
from nablad.client.statistics import Prediction
from nablad.client.stopping import Stopping
from nablad.client.transport import check_target

T = TypeVar("T")


class AsyncClient(AsyncDifferentiation):
    """A connection to a nablad server, for one event loop. As Client, which says more, with await.

    Both `async with AsyncClient.embedded() as client` and `client = AsyncClient.connect(...)` work: the connection is
    made, and the embedded server started, at the first call, or on entering. Close it in the end.
    """

    def __init__(self, target: str, token: str | None, timeout: float, *, workers: int | None, own: bool) -> None:
        self._session = Session(target, timeout)
        self._token = token
        self._workers = workers
        self._own = own
        self._server: embedded.EmbeddedServer | None = None
        self._made: AioTransport | None = None
        self._closed = False
        self._lock = asyncio.Lock()

    @classmethod
    def connect(
        cls, target: str = DEFAULT_TARGET, *, token: str | None = None, timeout: float = DEFAULT_TIMEOUT
    ) -> Self:
        """A client of the server at `target`, HOST:PORT; `timeout` in seconds, for quick calls."""
        return cls(check_target(target), token, timeout, workers=None, own=False)

    @classmethod
    def embedded(cls, *, workers: int | None = None) -> Self:
        """A client with a server of its own, a child process that ends with it."""
        return cls("", None, DEFAULT_TIMEOUT, workers=workers, own=True)

    @property
    def target(self) -> str:
        """The server's address; empty before an embedded server has started."""
        return self._session.target

    async def close(self) -> None:
        """Ends the connection, and an embedded server with it."""
        self._closed = True
        if self._made is not None:
            await self._made.close()
        if self._server is not None:
            await asyncio.to_thread(self._server.stop)

    async def __aenter__(self) -> Self:
        await self._transport()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _transport(self) -> AioTransport:
        async with self._lock:
            if self._made is None:
                if self._closed:
                    raise NabladError("the client is closed")
                if self._own:
                    self._server = await _start(self._workers)
                    self._session.target, self._token = self._server.target, self._server.token
                self._made = AioTransport(self._session.target, self._token)
            return self._made

    async def _run(self, operation: Operation[T]) -> T:
        return await (await self._transport()).run(operation)

    async def solve(
        self,
        model: Model,
        method: Method | None = None,
        *,
        start: Point | None = None,
        stopping: Stopping | None = None,
        bounds: Bounds | None = None,
        record_theta: RecordTheta | None = None,
        thinning: Thinning | None = None,
        title: str = "",
        cancel_when_unwatched: bool = False,
        request_id: str | None = None,
    ) -> AsyncRun:
        """Creates a job and watches it. Returns once the server has accepted it; InvalidRequest if it does not.

        `method` is chosen by the model unless given, and the result's `method_reason` tells why; `start` is an array
        (p,) or a dict of arrays by parameter, and unless given an Expression's own, zeros, or a Network's seeded random
        weights; `bounds` confines the parameters, by name as {"b1": (0, None), "b2": (None, 5)}, or all of them as
        (lower, upper) (see nablad.client.bounds): every evaluation lies within, and a start must, but the model's own
        is moved there; `record_theta` says which iterates carry theta, `thinning` which of them come; `title` is for
        lists; `cancel_when_unwatched` ends the job when nobody watches it any more; the same `request_id` again is the
        same job.
        """
        spec, encoder = solve_spec(
            model,
            method,
            start=start,
            stopping=stopping,
            bounds=bounds,
            record_theta=record_theta,
            title=title,
            cancel_when_unwatched=cancel_when_unwatched,
        )
        watch = await self._run(operations.solve(self._session, spec, encoder, thinning, request_id))
        return AsyncRun(self._session, await self._transport(), watch)

    async def submit(
        self,
        model: Model,
        method: Method | None = None,
        *,
        start: Point | None = None,
        stopping: Stopping | None = None,
        bounds: Bounds | None = None,
        record_theta: RecordTheta | None = None,
        title: str = "",
        cancel_when_unwatched: bool = False,
        request_id: str | None = None,
    ) -> AsyncJob:
        """Creates a job and returns at once. Arguments as for `solve`."""
        spec, encoder = solve_spec(
            model,
            method,
            start=start,
            stopping=stopping,
            bounds=bounds,
            record_theta=record_theta,
            title=title,
            cancel_when_unwatched=cancel_when_unwatched,
        )
        message = await self._run(operations.create_job(self._session, spec, encoder, request_id))
        return AsyncJob(self._session, await self._transport(), message)

    async def validate(
        self,
        model: Model,
        method: Method | None = None,
        *,
        start: Point | None = None,
        stopping: Stopping | None = None,
        bounds: Bounds | None = None,
    ) -> ModelSummary:
        """Checks a solve without doing it, and tells what the model came to, and which method it would be."""
        spec, encoder = solve_spec(model, method, start=start, stopping=stopping, bounds=bounds)
        return await self._run(operations.validate(self._session, spec, encoder))

    async def job(self, name: str) -> AsyncJob:
        """A job by its name, `solveJobs/{id}`. NotFound if there is none."""
        message = await self._run(self._session.get_job(name))
        return AsyncJob(self._session, await self._transport(), message)

    async def jobs(self, states: Sequence[str] = ()) -> AsyncIterator[AsyncJob]:
        """The jobs, the newest first; only those in one of the states, such as "RUNNING", if any are given."""
        token: str | None = ""
        while token is not None:
            messages, token = await self._run(operations.list_jobs(self._session, states, token))
            for message in messages:
                yield AsyncJob(self._session, await self._transport(), message)

    @overload
    async def predict(self, of: Result | RunView | JobView | str, X: NewData) -> NDArray[Any]: ...

    @overload
    async def predict(
        self, of: Result | RunView | JobView | str, X: NewData, *, interval: str, level: float | None = None
    ) -> Prediction: ...

    async def predict(
        self,
        of: Result | RunView | JobView | str,
        X: NewData,
        *,
        interval: str | None = None,
        level: float | None = None,
    ) -> NDArray[Any] | Prediction:
        """The model's output for new data, at the result of a job.

        X has shape (M, D); the output (M,) or (M, outputs): for softmax cross-entropy, the probabilities. For an
        expression, X is a mapping with new arrays for its data, or one array where it has one.

        With an `interval`, a Prediction: of a fit by squares, how uncertain the outputs are, by linearization.
        "confidence" is for the expected response, "prediction" for a new observation of it, which scatters besides.
        `level` is its probability, 0.95 unless given.
        """
        return await self._run(operations.predict(self._session, job_name(of), X, interval, level))

    async def upload(self, X: Data, *, labels: bool = False) -> Dataset:
        """Brings an array to the server, unless it is there, for use in several calls.

        Numbers become float64, or stay float32; with `labels`, integers become int64, as classification wants them.
        """
        array = upload_array(X, labels)
        return array if isinstance(array, Dataset) else await self._run(self._session.upload(array))

    async def download(self, dataset: Dataset | str) -> NDArray[Any]:
        """A dataset's array, read-only."""
        return await self._run(self._session.download(dataset if isinstance(dataset, str) else dataset.name))

    async def datasets(self) -> AsyncIterator[Dataset]:
        """The datasets on the server, the newest first."""
        token: str | None = ""
        while token is not None:
            page, token = await self._run(operations.list_datasets(self._session, token))
            for dataset in page:
                yield dataset

    async def delete_dataset(self, dataset: Dataset | str) -> None:
        """Removes a dataset. Conflict while an unfinished job uses it."""
        await self._run(operations.delete_dataset(self._session, dataset if isinstance(dataset, str) else dataset.name))


async def _start(workers: int | None) -> embedded.EmbeddedServer:
    """Starts a server in a thread; one that comes up after this task was cancelled is stopped again."""
    starting = asyncio.ensure_future(asyncio.to_thread(embedded.start, workers))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        starting.add_done_callback(_stop)
        raise


def _stop(started: asyncio.Future[embedded.EmbeddedServer]) -> None:
    if not started.cancelled() and started.exception() is None:
        asyncio.get_running_loop().run_in_executor(None, started.result().stop)
