"""What a store of jobs is.

A journal is a job's events, seq 1, 2, 3, ... without a gap, written in blocks: the serialized SolveEventBlock that
worker, journal and wire share. A store returns committed events only: what `append` has returned for is seen by every
reader from then on, and what it has not is seen by none. An append names its epoch; one older than the job's is
refused, so that a writer that was given up cannot write any more. A block and the change of the job that goes with it
commit together.

Specs, summaries, iterates and results are kept as the bytes of their messages: a store need not know them. Every
implementation passes tests/server/store_conformance.py.

A store that cannot be written now raises StoreUnavailable, and works again when it can be: what was refused has left
no trace, and may be tried again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import ClassVar

from nablad.v1 import event_pb2


class StoreError(Exception):
    """Root of a store's refusals."""


class UnknownJob(StoreError):
    """There is no such job, or no longer."""


class NotContiguous(StoreError):
    """The block does not begin where the journal ends."""


class StaleEpoch(StoreError):
    """The writer has been replaced by another."""


class StoreUnavailable(StoreError):
    """The store cannot be read or written now. It may be later."""


class StoreFull(StoreUnavailable):
    """There is no room."""


class StoreTooNew(StoreError):
    """What is kept there was written by a newer server."""


@dataclass(frozen=True)
class Block:
    """Consecutive events as bytes: the unit of append and read."""

    first_seq: int
    last_seq: int
    data: bytes


@dataclass(frozen=True)
class JobRecord:
    """What is known of a job beside its journal. Times are nanoseconds since 1970; 0 is never."""

    name: str
    spec: bytes
    summary: bytes
    state: event_pb2.JobState.ValueType
    create_time: int
    outline: bytes = b""
    """The spec without the elements of its tensors: what lists show."""
    title: str = ""
    request_id: str = ""
    fingerprint: bytes = b""
    """Of the request that made it: the same request_id must come with the same."""
    datasets: frozenset[str] = frozenset()
    """Names of the datasets that the spec refers to."""
    ordinal: int = 0
    """Given by the store: grows with every job."""
    start_time: int = 0
    end_time: int = 0
    epoch: int = 0
    deaths: int = 0
    cancel_requested: bool = False
    last_seq: int = 0
    last_iterate: bytes = b""
    best_iterate: bytes = b""
    best_point: bytes = b""
    """The best iterate with its theta, as far as it is known; what is left where a worker is lost."""
    checkpoint: bytes = b""
    checkpoint_seq: int = 0
    result: bytes = b""

    @property
    def size_bytes(self) -> int:
        """Of what may be large in it."""
        parts = (self.spec, self.summary, self.outline, self.best_point, self.checkpoint, self.result)
        return sum(len(part) for part in parts)

    def outlined(self) -> JobRecord:
        """The record without what no list shows, and may be large."""
        return replace(self, spec=b"", checkpoint=b"", best_point=b"")


@dataclass(frozen=True)
class JobChange:
    """New values for some of a record's fields; None leaves a field as it is."""

    state: event_pb2.JobState.ValueType | None = None
    start_time: int | None = None
    end_time: int | None = None
    epoch: int | None = None
    deaths: int | None = None
    cancel_requested: bool | None = None
    last_iterate: bytes | None = None
    best_iterate: bytes | None = None
    best_point: bytes | None = None
    checkpoint: bytes | None = None
    checkpoint_seq: int | None = None
    result: bytes | None = None

    def apply(self, record: JobRecord) -> JobRecord:
        """The record with the new values."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(record, **{name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True)
class Finished:
    """The jobs in a final state, and what they take: for retention."""

    count: int
    size_bytes: int
    """Of all their journals and records."""
    oldest: tuple[str, ...]
    """The names of the first to end, in order."""


def check_append(record: JobRecord, epoch: int, block: Block) -> None:
    """StaleEpoch or NotContiguous, where the block must not follow what the record knows of."""
    if epoch < record.epoch:
        raise StaleEpoch(f"{record.name} is in epoch {record.epoch}; the writer is of epoch {epoch}")
    expected = record.last_seq + 1
    if block.first_seq != expected or block.last_seq < block.first_seq:
        raise NotContiguous(f"a block of {block.first_seq} to {block.last_seq}; the next event is {expected}")


class Store(ABC):
    """Jobs and journals. Every method may be awaited by many tasks at once."""

    durable: ClassVar[bool]
    """Whether what is committed outlives the process."""

    @abstractmethod
    async def create(self, record: JobRecord, block: Block) -> tuple[JobRecord, bool]:
        """Keeps a new job with the first block of its journal.

        The record as kept (with its ordinal), and True; or, where its request_id has made a job already, that job's
        record and False, whatever its fingerprint.
        """

    @abstractmethod
    async def get(self, name: str) -> JobRecord:
        """The job's record. UnknownJob if there is none."""

    @abstractmethod
    async def find_request(self, request_id: str) -> JobRecord | None:
        """The job that this request_id has made."""

    @abstractmethod
    async def page(
        self, *, before: int | None, limit: int, states: Collection[event_pb2.JobState.ValueType] = ()
    ) -> list[JobRecord]:
        """At most `limit` jobs, the newest first, of ordinals below `before`, in one of `states` if any are given;
        each as `outlined`.
        """

    @abstractmethod
    async def finished(self, limit: int) -> Finished:
        """What the finished jobs take, and the `limit` oldest of them."""

    @abstractmethod
    async def append(self, name: str, epoch: int, block: Block, change: JobChange | None = None) -> JobRecord:
        """Commits a block, and a change of the job with it; the new record.

        UnknownJob; NotContiguous unless the block begins at the journal's last seq + 1; StaleEpoch if the job's epoch
        is newer than `epoch`.
        """

    @abstractmethod
    async def update(self, name: str, change: JobChange) -> JobRecord:
        """Commits a change of the job that has no event. UnknownJob."""

    @abstractmethod
    async def read(self, name: str, after_seq: int, *, max_bytes: int = 1 << 20) -> list[Block]:
        """Committed blocks with events after `after_seq`, in order: as many as fit in `max_bytes`, and at least one if
        there is one. The first may begin before: blocks are never cut. UnknownJob.
        """

    @abstractmethod
    async def wait(self, name: str, after_seq: int) -> None:
        """Returns once there are committed events after `after_seq`, or the job is gone or in a final state."""

    @abstractmethod
    async def delete(self, name: str) -> None:
        """Forgets the job and its journal, and wakes who waits for it. UnknownJob."""

    @abstractmethod
    def wake(self) -> None:
        """Ends every wait."""

    @abstractmethod
    async def close(self) -> None:
        """Ends the store; everything committed stays, where the store is durable."""
