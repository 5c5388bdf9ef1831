"""Operations against one server: requests out, checked replies in, tries again where that is safe.

Every request of nablad.v1 may be sent twice: creates carry a request_id, reads change nothing, and a delete that finds
nothing the second time has done its work. So a call that was cut is repeated, but only after the server has been
reached once: an address where nobody listens is reported at once.
"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import Message

from nablad.client.arrays import Dataset
from nablad.client.core import decode, rpcs, uploads
from nablad.client.core.effects import Call, CallFailed, Cancel, Open, Operation, Receive, Rpc, Send, Sleep
from nablad.client.core.encode import Encoder, dataset_name
from nablad.client.core.requests import names_in
from nablad.client.core.retry import Backoff, worth_another_try
from nablad.client.errors import NabladError, NotFound, ServerError, ServerUnavailable, from_details
from nablad.v1 import dataset_pb2, solver_pb2
from nablad.wire import chunks, references, tensors
from nablad.wire.errors import ErrorDetails
from nablad.wire.tensors import AnyArray, TensorError

M = TypeVar("M", bound=Message)


class Session:
    """What is known of a server, and what can be asked of it."""

    def __init__(self, target: str, timeout: float, backoff: Backoff | None = None) -> None:
        self.target = target
        self.timeout = timeout
        self.backoff = backoff or Backoff()
        self.reached = False
        """Whether the server has ever answered."""

    def error(self, details: ErrorDetails, request: Message | None = None) -> NabladError:
        """The exception for an error of this server's, to this request."""
        if details.code == "UNAVAILABLE" and self.reached and not details.reason:
            return ServerUnavailable(f"the connection to {self.target} was lost, and could not be had again")
        return from_details(details, self.target, None if request is None else names_in(request))

    def wait_before(self, failures: int, details: ErrorDetails) -> float | None:
        """Seconds until the next try after that many failures in a row; None to give up."""
        if not (self.reached and worth_another_try(details)) or failures > self.backoff.tries:
            return None
        return self.backoff.delay(failures, details.retry_delay)

    def call(self, rpc: Rpc, request: Message, kind: type[M]) -> Operation[M]:
        """One request, one reply."""
        data = request.SerializeToString()
        failures = 0
        while True:
            try:
                reply = yield Call(rpc, data, self.timeout if rpc.quick else None)
            except CallFailed as failure:
                failures += 1
                if failure.details.code == "NOT_FOUND" and failures > 1 and rpc.deletes:
                    return kind()
                delay = self.wait_before(failures, failure.details)
                if delay is None:
                    raise self.error(failure.details, request) from None
                yield Sleep(delay)
            else:
                self.reached = True
                return decode.message(kind, reply)

    def upload_all(self, encoder: Encoder) -> Operation[None]:
        """Brings the arrays that a request refers to to the server."""
        for name, array in encoder.uploads.items():
            yield from self.upload(array, name)

    def upload(self, array: AnyArray, name: str | None = None) -> Operation[Dataset]:
        """Brings an array to the server, unless it is there. A large one whose name is not known is named meanwhile."""
        if name is None and array.nbytes < uploads.NAMED_MEANWHILE:
            name = dataset_name(array)
        if name is not None and (known := (yield from self._known(name))) is not None:
            return known
        parts = uploads.Parts(array, name)
        failures = 0
        while True:
            try:
                reply = yield Send(rpcs.UPLOAD, parts)
            except CallFailed as failure:
                if name is None and failure.details.code == "RESOURCE_EXHAUSTED":
                    # There may be no room for what is there already.
                    name = parts.name
                    if (known := (yield from self._known(name))) is not None:
                        return known
                failures += 1
                delay = self.wait_before(failures, failure.details)
                if delay is None:
                    raise self.error(failure.details) from None
                yield Sleep(delay)
            else:
                return decode.dataset(decode.message(dataset_pb2.Dataset, reply))

    def _known(self, name: str) -> Operation[Dataset | None]:
        try:
            known = yield from self.call(
                rpcs.GET_DATASET, dataset_pb2.GetDatasetRequest(name=name), dataset_pb2.Dataset
            )
        except NotFound:
            return None
        return decode.dataset(known)

    def download(self, name: str) -> Operation[AnyArray]:
        """A dataset's array; goes on where a broken stream ended."""
        assembler: chunks.Assembler | None = None
        failures = 0
        while True:
            request = dataset_pb2.DownloadDatasetRequest(name=name, offset=assembler.offset if assembler else 0)
            stream = yield Open(rpcs.DOWNLOAD, request.SerializeToString())
            try:
                while (data := (yield Receive(stream))) is not None:
                    self.reached = True
                    part = decode.message(dataset_pb2.DownloadDatasetResponse, data)
                    if part.HasField("header"):
                        assembler = assembler or chunks.Assembler(tensors.layout(part.header.dtype, part.header.shape))
                    elif assembler is not None:
                        assembler.add(part.chunk)
                        failures = 0
                if assembler is None:
                    raise ServerError(f"the server sent nothing of {name}")
                array = assembler.finish()
            except CallFailed as failure:
                failures += 1
                delay = self.wait_before(failures, failure.details)
                if delay is None:
                    raise self.error(failure.details) from None
                yield Sleep(delay)
            except TensorError as error:
                yield Cancel(stream)
                raise ServerError(f"{name} was damaged on the way: {error}") from error
            except BaseException:
                yield Cancel(stream)
                raise
            else:
                array.flags.writeable = False
                return array

    def fetch_references(self, message: Message) -> Operation[decode.Arrays]:
        """The arrays of all datasets that a message refers to."""
        arrays = {}
        for name in references.datasets_in(message):
            arrays[name] = yield from self.download(name)
        return arrays

    def get_job(self, name: str) -> Operation[solver_pb2.SolveJob]:
        """A job as it is now."""
        return (yield from self.call(rpcs.GET_JOB, solver_pb2.GetSolveJobRequest(name=name), solver_pb2.SolveJob))
