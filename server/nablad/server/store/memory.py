"""A store in this process's own memory: everything is committed as soon as it is written, and gone with the process.

Cost: an append is O(1), a read is a binary search and the blocks that it returns (not copied), a page O(jobs).
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from itertools import islice

from nablad.server.states import FINAL
from nablad.server.store.interface import (
    Block,
    Finished,
    JobChange,
    JobRecord,
    NotContiguous,
    StaleEpoch,
    Store,
    UnknownJob,
)
from nablad.v1 import event_pb2


@dataclass
class _Job:
    record: JobRecord
    blocks: list[Block] = field(default_factory=list)
    journal_bytes: int = 0
    waiting: set[asyncio.Future[None]] = field(default_factory=set)

    def wake(self) -> None:
        for future in self.waiting:
            if not future.done():
                future.set_result(None)
        self.waiting.clear()


class MemoryStore(Store):
    """See the interface. Not for several event loops."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}
        self._requests: dict[str, str] = {}
        self._ordinal = 0
        # In the order of their ends, with what they take.
        self._finished: dict[str, int] = {}
        self._finished_bytes = 0

    def _job(self, name: str) -> _Job:
        try:
            return self._jobs[name]
        except KeyError:
            raise UnknownJob(name) from None

    async def create(self, record: JobRecord, block: Block) -> tuple[JobRecord, bool]:
        made = self._requests.get(record.request_id) if record.request_id else None
        if made is not None:
            return self._jobs[made].record, False
        self._ordinal += 1
        record = replace(record, ordinal=self._ordinal, last_seq=0)
        job = _Job(record)
        self._append(job, block)
        self._jobs[record.name] = job
        self._note_the_end(job)
        if record.request_id:
            self._requests[record.request_id] = record.name
        return job.record, True

    async def get(self, name: str) -> JobRecord:
        return self._job(name).record

    async def find_request(self, request_id: str) -> JobRecord | None:
        name = self._requests.get(request_id)
        return None if name is None else self._jobs[name].record

    async def page(
        self, *, before: int | None, limit: int, states: Collection[event_pb2.JobState.ValueType] = ()
    ) -> list[JobRecord]:
        found = []
        for job in reversed(self._jobs.values()):
            record = job.record
            if (before is None or record.ordinal < before) and (not states or record.state in states):
                found.append(record)
                if len(found) == limit:
                    break
        return found

    async def finished(self, limit: int) -> Finished:
        return Finished(len(self._finished), self._finished_bytes, tuple(islice(self._finished, limit)))

    def _note_the_end(self, job: _Job) -> None:
        if job.record.state in FINAL and job.record.name not in self._finished:
            size = job.journal_bytes + len(job.record.spec)
            self._finished[job.record.name] = size
            self._finished_bytes += size

    async def append(self, name: str, epoch: int, block: Block, change: JobChange | None = None) -> JobRecord:
        job = self._job(name)
        if epoch < job.record.epoch:
            raise StaleEpoch(f"{name} is in epoch {job.record.epoch}; the writer is of epoch {epoch}")
        self._append(job, block)
        if change is not None:
            job.record = change.apply(job.record)
            self._note_the_end(job)
        job.wake()
        return job.record

    @staticmethod
    def _append(job: _Job, block: Block) -> None:
        expected = job.record.last_seq + 1
        if block.first_seq != expected or block.last_seq < block.first_seq:
            raise NotContiguous(f"a block of {block.first_seq} to {block.last_seq}; the next event is {expected}")
        job.blocks.append(block)
        job.journal_bytes += len(block.data)
        job.record = replace(job.record, last_seq=block.last_seq)

    async def update(self, name: str, change: JobChange) -> JobRecord:
        job = self._job(name)
        job.record = change.apply(job.record)
        self._note_the_end(job)
        if job.record.state in FINAL:
            job.wake()
        return job.record

    async def read(self, name: str, after_seq: int, *, max_bytes: int = 1 << 20) -> list[Block]:
        blocks = self._job(name).blocks
        start = bisect_right(blocks, after_seq, key=lambda block: block.last_seq)
        found: list[Block] = []
        size = 0
        for block in blocks[start : start + 256]:
            size += len(block.data)
            if found and size > max_bytes:
                break
            found.append(block)
        return found

    async def wait(self, name: str, after_seq: int) -> None:
        job = self._jobs.get(name)
        if job is None or job.record.last_seq > after_seq or job.record.state in FINAL:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        job.waiting.add(future)
        try:
            await future
        finally:
            job.waiting.discard(future)

    async def delete(self, name: str) -> None:
        job = self._job(name)
        del self._jobs[name]
        self._finished_bytes -= self._finished.pop(name, 0)
        if job.record.request_id:
            del self._requests[job.record.request_id]
        job.wake()

    async def close(self) -> None:
        for job in self._jobs.values():
            job.wake()
