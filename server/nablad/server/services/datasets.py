"""DatasetService: arrays up, down, listed, deleted. Every file operation runs in a thread."""

# ruff: noqa: N802 - gRPC names its methods so

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc
from google.protobuf import empty_pb2

from nablad.server.datasets.catalog import Catalog, checked_name, disk_full
from nablad.server.datasets.files import FULL, DatasetWriter
from nablad.server.errors import InvalidRequest, Unavailable, WrongState
from nablad.server.scheduler import Scheduler
from nablad.server.services import pages
from nablad.server.settings import Settings
from nablad.v1 import dataset_pb2, dataset_pb2_grpc
from nablad.wire import chunks, names
from nablad.wire.chunks import ReceivedChunk
from nablad.wire.tensors import Layout, TensorError, layout

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Part: TypeAlias = dataset_pb2.UploadDatasetRequest | ReceivedChunk

READERS = {"/nablad.v1.DatasetService/UploadDataset": chunks.read_upload_request}
"""Methods whose requests are not read by protobuf."""

WRITE_BYTES = 2 << 20
"""An upload is written in batches of about so many bytes; two of them are in memory at once."""
CHUNK_COST = 512
"""Bytes that a chunk takes in memory beside its data."""
NO_HASH = "must be 64 lower-case hexadecimal digits"


class DatasetService(dataset_pb2_grpc.DatasetServiceServicer):
    """See dataset.proto."""

    def __init__(self, catalog: Catalog, scheduler: Scheduler, settings: Settings) -> None:
        self._catalog = catalog
        self._scheduler = scheduler
        self._settings = settings

    async def UploadDataset(self, request_iterator: AsyncIterator[Part], context: Context) -> dataset_pb2.Dataset:
        """Takes the header, then the chunks, as `READERS` gives them."""
        requests = aiter(request_iterator)
        first = await self._next(requests)
        if first is None or isinstance(first, ReceivedChunk) or first.WhichOneof("part") != "header":
            raise InvalidRequest([("header", "must be the first message of an upload")])
        plan, expected = _checked_header(first.header)
        if known := self._find(expected):
            return known
        writer = await self._catalog.begin(plan)
        # What runs in a thread ends before the writer does, though the client may be gone.
        work: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        work.set_result(None)
        try:
            offset, batch, waiting = 0, list[ReceivedChunk](), 0
            while (request := await self._next(requests)) is not None:
                if not isinstance(request, ReceivedChunk):
                    expected = _checked_hash(request, expected)
                    if known := self._find(expected):
                        return known
                    continue
                chunks.check_place(request.offset, len(request.data), offset, plan.size_bytes)
                offset += len(request.data)
                waiting += len(request.data) + CHUNK_COST
                batch.append(request)
                if waiting >= WRITE_BYTES:
                    # One batch is checked, hashed and written while the next one comes.
                    await asyncio.shield(work)
                    work = asyncio.ensure_future(asyncio.to_thread(_write, writer, batch))
                    batch, waiting = [], 0
            await asyncio.shield(work)
            work = asyncio.ensure_future(asyncio.to_thread(_write, writer, batch))
            await asyncio.shield(work)
            work = asyncio.ensure_future(self._catalog.commit(writer, expected))
            return await asyncio.shield(work)
        except TensorError as error:
            raise InvalidRequest([(error.field, error.message)], reason="UPLOAD_DAMAGED") from None
        except OSError as error:
            if error.errno in FULL:
                raise disk_full() from error
            raise
        finally:
            await asyncio.shield(self._end(writer, work))

    async def _end(self, writer: DatasetWriter, work: asyncio.Future[Any]) -> None:
        await asyncio.wait({work})
        await self._catalog.end(writer)

    def _find(self, expected: str) -> dataset_pb2.Dataset | None:
        """A dataset that is here already. Who uploads it wants to use it."""
        name = names.name_of(names.DATASETS, expected) if expected else ""
        return self._catalog.keep(name) if name and self._catalog.find(name) else None

    async def _next(self, requests: AsyncIterator[Part]) -> Part | None:
        try:
            return await asyncio.wait_for(anext(requests), self._settings.stall_seconds)
        except StopAsyncIteration:
            return None
        except TimeoutError:
            message = f"no chunk came for {self._settings.stall_seconds:g} s: upload again"
            raise Unavailable(message, "UPLOAD_STALLED") from None

    async def DownloadDataset(  # type: ignore[override]  # a coroutine that writes: grpc never closes a generator
        self, request: dataset_pb2.DownloadDatasetRequest, context: Context
    ) -> None:
        """Sends the header, then the chunks."""
        dataset = self._catalog.get(checked_name(request.name))
        if not 0 <= request.offset <= dataset.size_bytes:
            raise InvalidRequest([("offset", f"is {request.offset}; the dataset has {dataset.size_bytes} bytes")])
        file = await asyncio.to_thread(self._catalog.files.data_path(dataset.name).open, "rb")
        try:
            await self._write(context, dataset_pb2.DownloadDatasetResponse(header=dataset))
            offset = request.offset
            await asyncio.to_thread(file.seek, offset)
            while offset < dataset.size_bytes:
                chunk = await asyncio.to_thread(lambda at: chunks.make(at, file.read(chunks.CHUNK_BYTES)), offset)
                await self._write(context, dataset_pb2.DownloadDatasetResponse(chunk=chunk))
                offset += len(chunk.data)
        finally:
            file.close()

    async def _write(self, context: Context, response: dataset_pb2.DownloadDatasetResponse) -> None:
        try:
            await asyncio.wait_for(context.write(response), self._settings.stall_seconds)
        except TimeoutError:
            message = "the download was not read for too long: go on from the next offset"
            raise Unavailable(message, "DOWNLOAD_STALLED") from None

    async def GetDataset(self, request: dataset_pb2.GetDatasetRequest, context: Context) -> dataset_pb2.Dataset:
        """What is known of it. Who asks wants to use it."""
        return self._catalog.keep(checked_name(request.name))

    async def ListDatasets(
        self, request: dataset_pb2.ListDatasetsRequest, context: Context
    ) -> dataset_pb2.ListDatasetsResponse:
        """A page of datasets."""
        size = pages.size_of(request.page_size)
        rows = self._catalog.newest(pages.ordinal_of(request.page_token), size + 1)
        response = dataset_pb2.ListDatasetsResponse(datasets=[dataset for _, dataset in rows[:size]])
        if len(rows) > size:
            response.next_page_token = pages.token_of(rows[size - 1][0])
        return response

    async def DeleteDataset(self, request: dataset_pb2.DeleteDatasetRequest, context: Context) -> empty_pb2.Empty:
        """Removes one that no unfinished job uses."""
        name = checked_name(request.name)
        self._catalog.get(name)
        users = self._scheduler.users_of(name)
        if users:
            raise WrongState(f"{name} is used by {users[0]}, which has not ended", "DATASET_IN_USE", name)
        await self._catalog.remove(name)
        return empty_pb2.Empty()


def _write(writer: DatasetWriter, batch: list[ReceivedChunk]) -> None:
    for chunk in batch:
        chunks.check_bytes(chunk.offset, chunk.data, chunk.crc32c)
        writer.extend([chunk.data])


def _checked_header(header: dataset_pb2.DatasetHeader) -> tuple[Layout, str]:
    found: list[tuple[str, str]] = []
    plan: Layout | None = None
    try:
        plan = layout(header.dtype, header.shape, "header")
    except TensorError as error:
        found.append((error.field, error.message))
    if header.sha256 and not _is_hash(header.sha256):
        found.append(("header.sha256", NO_HASH))
    if plan is None or found:
        raise InvalidRequest(found)
    return plan, header.sha256


def _checked_hash(request: dataset_pb2.UploadDatasetRequest, expected: str) -> str:
    if request.WhichOneof("part") != "sha256":
        raise TensorError("chunk", "must follow the header, and nothing else but a sha256")
    if expected:
        raise TensorError("sha256", "was given already; it is needed once")
    if not _is_hash(request.sha256):
        raise TensorError("sha256", NO_HASH)
    return request.sha256


def _is_hash(text: str) -> bool:
    try:
        names.id_of(names.DATASETS, names.name_of(names.DATASETS, text))
    except ValueError:
        return False
    return True
