"""A store in one SQLite file. What was committed is there again after any end of the process, kill -9 included; of a
power cut's last moment only iterates may be missing, which are made again.

The jobs that have not ended are in memory, with the newest blocks of their journals: whoever follows a run reads no
file. So are the jobs that ended last, as far as they fit into `RECENT_BYTES`. Everything else is read by a few threads
with connections of their own. Memory is what was committed, never more: it changes when the writer tells of a commit.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

from nablad.server.states import FINAL
from nablad.server.store.interface import (
    Block,
    Finished,
    JobChange,
    JobRecord,
    Store,
    StoreUnavailable,
    UnknownJob,
)
from nablad.server.store.job import Job
from nablad.server.store.sqlite import rows
from nablad.server.store.sqlite.database import connect, connect_reader, transaction, unavailable
from nablad.server.store.sqlite.migrations import migrate
from nablad.server.store.sqlite.writer import (
    Append,
    Create,
    Delete,
    Outcome,
    Request,
    Update,
    Write,
    Writer,
    Written,
)
from nablad.v1 import event_pb2

TAIL_BYTES = 1 << 20
"""Of each live job's journal."""
RECENT_BYTES = 32 << 20
READERS = 2
LAST_SEQ = (1 << 63) - 1

T = TypeVar("T")


class SqliteStore(Store):
    """Made by `open`. One process at a time may have the file; not for several event loops."""

    durable = True

    def __init__(self, path: Path, connection: sqlite3.Connection, unfinished: Sequence[JobRecord]) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs = {record.name: Job(record, TAIL_BYTES) for record in unfinished}
        self._recent: OrderedDict[str, int] = OrderedDict()
        """Those of them that have ended -> bytes, the first to end first."""
        self._recent_bytes = 0
        self._closed = False
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store reader")
        self._writer = Writer(connection, unfinished, self._settle_soon)

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Opens the file, or makes it. StoreTooNew; StoreUnavailable."""
        connection, unfinished = await asyncio.to_thread(_opened, path)
        return cls(path, connection, unfinished)

    # Writing

    async def _commit(self, write: Write) -> Written:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        future: asyncio.Future[Written] = self._loop.create_future()
        self._writer.put(Request(write, future))
        return await future

    def _settle_soon(self, outcomes: Sequence[tuple[Request, Outcome]]) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
            self._loop.call_soon_threadsafe(self._settle, outcomes)

    def _settle(self, outcomes: Sequence[tuple[Request, Outcome]]) -> None:
        for request, outcome in outcomes:
            if isinstance(outcome, Written):
                self._take(outcome)
            if request.future.cancelled():
                continue
            if isinstance(outcome, Written):
                request.future.set_result(outcome)
            else:
                request.future.set_exception(outcome)

    def _take(self, written: Written) -> None:
        record = written.record
        if written.how == "deleted":
            self._forget(record.name)
            return
        job = self._jobs.get(record.name)
        if written.how == "created":
            job = self._jobs[record.name] = Job(record, TAIL_BYTES)
        if job is None or written.how == "found":
            return
        job.record = record
        if written.block is not None:
            job.add(written.block)
        if written.block is not None or record.state in FINAL:
            job.wake()
        if record.state in FINAL:
            self._keep_for_a_while(job)

    def _keep_for_a_while(self, job: Job) -> None:
        name = job.record.name
        self._recent_bytes -= self._recent.pop(name, 0)
        self._recent[name] = job.record.size_bytes + job.blocks_bytes
        self._recent_bytes += self._recent[name]
        while self._recent_bytes > RECENT_BYTES:
            self._forget(next(iter(self._recent)))

    def _forget(self, name: str) -> None:
        self._recent_bytes -= self._recent.pop(name, 0)
        job = self._jobs.pop(name, None)
        if job is not None:
            job.wake()

    async def create(self, record: JobRecord, block: Block) -> tuple[JobRecord, bool]:
        written = await self._commit(Create(record, block))
        return written.record, written.how == "created"

    async def append(self, name: str, epoch: int, block: Block, change: JobChange | None = None) -> JobRecord:
        return (await self._commit(Append(name, epoch, block, change or JobChange()))).record

    async def update(self, name: str, change: JobChange) -> JobRecord:
        return (await self._commit(Update(name, change))).record

    async def delete(self, name: str) -> None:
        await self._commit(Delete(name))

    # Reading

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        try:
            return await self._loop.run_in_executor(self._readers, self._queried, query)
        except sqlite3.Error as error:
            raise unavailable(error) from error

    def _queried(self, query: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect_reader(self._path)
            self._connections.append(connection)
        with transaction(connection, "DEFERRED"):
            return query(connection)

    async def get(self, name: str) -> JobRecord:
        job = self._jobs.get(name)
        if job is not None:
            return job.record
        record = await self._read(lambda connection: rows.find(connection, name))
        if record is None:
            raise UnknownJob(name)
        return record

    async def find_request(self, request_id: str) -> JobRecord | None:
        record = await self._read(lambda connection: rows.find_request(connection, request_id))
        return record and (self._jobs[record.name].record if record.name in self._jobs else record)

    async def page(
        self, *, before: int | None, limit: int, states: Collection[event_pb2.JobState.ValueType] = ()
    ) -> list[JobRecord]:
        return await self._read(lambda connection: rows.page(connection, before, limit, states))

    async def finished(self, limit: int) -> Finished:
        return await self._read(lambda connection: rows.finished(connection, limit))

    async def read(self, name: str, after_seq: int, *, max_bytes: int = 1 << 20) -> list[Block]:
        job = self._jobs.get(name)
        if job is not None:
            found = job.after(after_seq, max_bytes)
            if found is not None:
                return found
        until_seq = LAST_SEQ if job is None else job.record.last_seq
        return await self._read(lambda connection: _blocks(connection, name, after_seq, until_seq, max_bytes))

    async def wait(self, name: str, after_seq: int) -> None:
        job = self._jobs.get(name)
        if job is not None:
            await job.wait(after_seq)

    # The end

    def wake(self) -> None:
        for job in self._jobs.values():
            job.wake()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.wake()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._readers.shutdown()
        for connection in self._connections:
            connection.close()
        self._writer.close()  # the last connection leaves no log behind


def _opened(path: Path) -> tuple[sqlite3.Connection, list[JobRecord]]:
    try:
        connection = connect(path)
        try:
            migrate(connection)
            with transaction(connection, "DEFERRED"):
                return connection, rows.unfinished(connection)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise unavailable(error) from error


def _blocks(connection: sqlite3.Connection, name: str, after_seq: int, until_seq: int, max_bytes: int) -> list[Block]:
    ordinal = rows.ordinal_of(connection, name)
    if ordinal is None:  # even if some of its blocks have not been swept yet
        raise UnknownJob(name)
    return rows.blocks(connection, ordinal, after_seq, until_seq, max_bytes)
