"""The client, blocking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self, overload

from numpy.typing import NDArray

from nablad.client import embedded
from nablad.client.arrays import Data, Dataset, NewData, upload_array
from nablad.client.bounds import Bounds
from nablad.client.core import operations
from nablad.client.core.requests import solve_spec
from nablad.client.core.session import Session
from nablad.client.core.views import JobView, RunView, job_name
from nablad.client.differentiation import Differentiation
from nablad.client.methods import Method
from nablad.client.models import Model
from nablad.client.points import Point
from nablad.client.policies import RecordTheta, Thinning
from nablad.client.results import ModelSummary, Result
from nablad.client.run import Job, Run
from nablad.client.statistics import Prediction
from nablad.client.stopping import Stopping
from nablad.client.transport import Transport

DEFAULT_TARGET = "localhost:50051"
DEFAULT_TIMEOUT = 10.0


class Client(Differentiation):
    """A connection to a nablad server. Make one by `connect` or `embedded`; it may be used from several threads.

    Arrays are anything that numpy reads, or a Dataset; those over 1 MiB travel in chunks, and are not sent again where
    the server has them. Errors are those of nablad.client.errors. What is asked of derivatives is explained in
    nablad.client.differentiation.
    """

    def __init__(self, target: str, token: str | None, timeout: float, server: embedded.EmbeddedServer | None) -> None:
        self._transport = Transport(target, token)
        self._session = Session(target, timeout)
        self._server = server

    @classmethod
    def connect(
        cls, target: str = DEFAULT_TARGET, *, token: str | None = None, timeout: float = DEFAULT_TIMEOUT
    ) -> Self:
        """A client of the server at `target`, HOST:PORT. Nothing is sent yet.

        `timeout`, in seconds, is for calls that a server answers at once; a solve takes as long as it takes.
        """
        return cls(target, token, timeout, None)

    @classmethod
    def embedded(cls, *, workers: int | None = None) -> Self:
        """A client with a server of its own, a child process that ends with it, and with this process in any case.

        NabladError if the server is not installed, or does not start.
        """
        server = embedded.start(workers)
        return cls(server.target, server.token, DEFAULT_TIMEOUT, server)

    @property
    def target(self) -> str:
        """The server's address."""
        return self._session.target

    def close(self) -> None:
        """Ends the connection, and an embedded server with it."""
        self._transport.close()
        if self._server is not None:
            self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def solve(
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
    ) -> Run:
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
        watch = self._transport.run(operations.solve(self._session, spec, encoder, thinning, request_id))
        return Run(self._session, self._transport, watch)

    def submit(
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
    ) -> Job:
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
        message = self._transport.run(operations.create_job(self._session, spec, encoder, request_id))
        return Job(self._session, self._transport, message)

    def validate(
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
        return self._transport.run(operations.validate(self._session, spec, encoder))

    def job(self, name: str) -> Job:
        """A job by its name, `solveJobs/{id}`. NotFound if there is none."""
        return Job(self._session, self._transport, self._transport.run(self._session.get_job(name)))

    def jobs(self, states: Sequence[str] = ()) -> Iterator[Job]:
        """The jobs, the newest first; only those in one of the states, such as "RUNNING", if any are given."""
        token: str | None = ""
        while token is not None:
            messages, token = self._transport.run(operations.list_jobs(self._session, states, token))
            for message in messages:
                yield Job(self._session, self._transport, message)

    @overload
    def predict(self, of: Result | RunView | JobView | str, X: NewData) -> NDArray[Any]: ...

    @overload
    def predict(
        self, of: Result | RunView | JobView | str, X: NewData, *, interval: str, level: float | None = None
    ) -> Prediction: ...

    def predict(
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
        return self._transport.run(operations.predict(self._session, job_name(of), X, interval, level))

    def upload(self, X: Data, *, labels: bool = False) -> Dataset:
        """Brings an array to the server, unless it is there, for use in several calls.

        Numbers become float64, or stay float32; with `labels`, integers become int64, as classification wants them.
        """
        array = upload_array(X, labels)
        return array if isinstance(array, Dataset) else self._transport.run(self._session.upload(array))

    def download(self, dataset: Dataset | str) -> NDArray[Any]:
        """A dataset's array, read-only."""
        return self._transport.run(self._session.download(dataset if isinstance(dataset, str) else dataset.name))

    def datasets(self) -> Iterator[Dataset]:
        """The datasets on the server, the newest first."""
        token: str | None = ""
        while token is not None:
            page, token = self._transport.run(operations.list_datasets(self._session, token))
            yield from page

    def delete_dataset(self, dataset: Dataset | str) -> None:
        """Removes a dataset. Conflict while an unfinished job uses it."""
        self._transport.run(
            operations.delete_dataset(self._session, dataset if isinstance(dataset, str) else dataset.name)
        )
