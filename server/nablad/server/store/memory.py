"""A store in this process's own memory: everything is committed as soon as it is written, and gone with the process.

Cost: an append is O(1), a read is a binary search and the blocks that it returns (not copied), a page O(jobs).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from itertools import islice

from nablad.server.states import FINAL
from nablad.server.store.interface import (
    Block,
    Finished,
    JobChange,
    JobRecord,
    Store,
    UnknownJob,
    check_append,
)
from nablad.server.store.job import Job
from nablad.v1 import event_pb2


class MemoryStore(Store):
    """See the interface. Not for several event loops."""

    durable = False

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._requests: dict[str, str] = {}
        self._ordinal = 0
        # In the order of their ends, with what they take.
        self._finished: dict[str, int] = {}
        self._finished_bytes = 0

    def _job(self, name: str) -> Job:
        try:
            return self._jobs[name]
        except KeyError:
            raise UnknownJob(name) from None

    async def create(self, record: JobRecord, block: Block) -> tuple[JobRecord, bool]:
        made = self._requests.get(record.request_id) if record.request_id else None
        if made is not None:
            return self._jobs[made].record, False
        self._ordinal += 1
        job = Job(replace(record, ordinal=self._ordinal, last_seq=0))
        check_append(job.record, record.epoch, block)
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
                found.append(record.outlined())
                if len(found) == limit:
                    break
        return found

    async def finished(self, limit: int) -> Finished:
        return Finished(len(self._finished), self._finished_bytes, tuple(islice(self._finished, limit)))

    def _note_the_end(self, job: Job) -> None:
        if job.record.state in FINAL and job.record.name not in self._finished:
            size = job.blocks_bytes + job.record.size_bytes
            self._finished[job.record.name] = size
            self._finished_bytes += size

    async def append(self, name: str, epoch: int, block: Block, change: JobChange | None = None) -> JobRecord:
        job = self._job(name)
        check_append(job.record, epoch, block)
        self._append(job, block)
        if change is not None:
            job.record = change.apply(job.record)
            self._note_the_end(job)
        job.wake()
        return job.record

    @staticmethod
    def _append(job: Job, block: Block) -> None:
        job.add(block)
        job.record = replace(job.record, last_seq=block.last_seq)

    async def update(self, name: str, change: JobChange) -> JobRecord:
        job = self._job(name)
        job.record = change.apply(job.record)
        self._note_the_end(job)
        if job.record.state in FINAL:
            job.wake()
        return job.record

    async def read(self, name: str, after_seq: int, *, max_bytes: int = 1 << 20) -> list[Block]:
        return self._job(name).after(after_seq, max_bytes) or []

    async def wait(self, name: str, after_seq: int) -> None:
        job = self._jobs.get(name)
        if job is not None:
            await job.wait(after_seq)

    async def delete(self, name: str) -> None:
        job = self._job(name)
        del self._jobs[name]
        self._finished_bytes -= self._finished.pop(name, 0)
        if job.record.request_id:
            del self._requests[job.record.request_id]
        job.wake()

    def wake(self) -> None:
        for job in self._jobs.values():
            job.wake()

    async def close(self) -> None:
        self.wake()
