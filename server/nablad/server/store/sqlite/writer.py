"""The one thread that writes a store's file: what waits is committed together.

While one transaction is on its way to the disk others come and wait; the next one takes them all. A write that the
interface refuses (an old epoch, a gap) fails alone; one that the database refuses fails alone, too: a batch that could
not be committed is tried again, write by write. Between batches the thread removes what deleted jobs have left, a piece
at a time.

Whatever only a run's progress is (iterates, checkpoints) would be made again after a power cut, and need not wait for
the disk; everything else does.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Literal

from nablad.server.states import FINAL
from nablad.server.store.interface import (
    Block,
    JobChange,
    JobRecord,
    StoreError,
    UnknownJob,
    check_append,
)
from nablad.server.store.sqlite import rows
from nablad.server.store.sqlite.database import set_durable, transaction, unavailable

BATCH = 256
SWEPT_BLOCKS = 64
FREE_BYTES = 16 << 20
"""So much of the file may be free, for what comes next; more is given back."""
VACUUMED_PAGES = 256

PROGRESS = frozenset({"last_iterate", "best_iterate", "best_point", "checkpoint", "checkpoint_seq"})


@dataclass(frozen=True)
class Written:
    """What a write has made of a job."""

    record: JobRecord
    how: Literal["created", "found", "changed", "deleted"]
    """Found: it was there, and nothing was written."""
    block: Block | None = None
    """The new one of its journal."""


class Transaction:
    """The records as they are within a transaction. Live jobs, those that have not ended, are known without reading."""

    def __init__(self, connection: sqlite3.Connection, live: dict[str, JobRecord]) -> None:
        self.connection = connection
        self._live = live
        self._changed: dict[str, JobRecord | None] = {}

    def record(self, name: str) -> JobRecord:
        """UnknownJob."""
        found = self._changed[name] if name in self._changed else self._live.get(name)
        if found is None and name not in self._changed:
            found = rows.find(self.connection, name)
        if found is None:
            raise UnknownJob(name)
        return found

    def note(self, name: str, record: JobRecord | None) -> None:
        """The job is now so; None: it is gone."""
        self._changed[name] = record

    def committed(self) -> None:
        """Whatever was noted is so."""
        for name, record in self._changed.items():
            if record is None or record.state in FINAL:
                self._live.pop(name, None)
            else:
                self._live[name] = record


class Write(ABC):
    """Something to be written."""

    @property
    @abstractmethod
    def durable(self) -> bool:
        """Whether it must survive a power cut."""

    @abstractmethod
    def carry_out(self, within: Transaction) -> Written:
        """Writes. StoreError, before anything is written, where the interface says so."""


@dataclass(frozen=True)
class Create(Write):
    """See Store.create."""

    record: JobRecord
    block: Block
    durable = True

    def carry_out(self, within: Transaction) -> Written:
        if self.record.request_id:
            made = rows.find_request(within.connection, self.record.request_id)
            if made is not None:
                return Written(within.record(made.name), "found")
        check_append(replace(self.record, last_seq=0), self.record.epoch, self.block)
        record = replace(self.record, last_seq=self.block.last_seq)
        record = replace(record, ordinal=rows.insert(within.connection, record, len(self.block.data)))
        rows.insert_block(within.connection, record.ordinal, self.block)
        within.note(record.name, record)
        return Written(record, "created", self.block)


@dataclass(frozen=True)
class Append(Write):
    """See Store.append."""

    name: str
    epoch: int
    block: Block
    change: JobChange

    @property
    def durable(self) -> bool:
        return _is_more_than_progress(self.change)

    def carry_out(self, within: Transaction) -> Written:
        before = within.record(self.name)
        check_append(before, self.epoch, self.block)
        after = replace(self.change.apply(before), last_seq=self.block.last_seq)
        rows.insert_block(within.connection, before.ordinal, self.block)
        rows.update(within.connection, before, after, len(self.block.data))
        within.note(self.name, after)
        return Written(after, "changed", self.block)


@dataclass(frozen=True)
class Update(Write):
    """See Store.update."""

    name: str
    change: JobChange

    @property
    def durable(self) -> bool:
        return _is_more_than_progress(self.change)

    def carry_out(self, within: Transaction) -> Written:
        before = within.record(self.name)
        after = self.change.apply(before)
        rows.update(within.connection, before, after, 0)
        within.note(self.name, after)
        return Written(after, "changed")


@dataclass(frozen=True)
class Delete(Write):
    """See Store.delete."""

    name: str
    durable = True

    def carry_out(self, within: Transaction) -> Written:
        record = within.record(self.name)
        rows.delete(within.connection, record.ordinal)
        within.note(self.name, None)
        return Written(record, "deleted")


def _is_more_than_progress(change: JobChange) -> bool:
    return any(getattr(change, field.name) is not None for field in fields(change) if field.name not in PROGRESS)


Outcome = Written | Exception


@dataclass(frozen=True)
class Request:
    """A write, and who waits for it."""

    write: Write
    future: asyncio.Future[Written]


class Writer:
    """The thread. `settle` is called in it, with what was committed or refused, in order."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        unfinished: Iterable[JobRecord],
        settle: Callable[[Sequence[tuple[Request, Outcome]]], None],
    ) -> None:
        self._connection = connection
        self._live = {record.name: record for record in unfinished}
        self._settle = settle
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._durable: bool | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="store writer", daemon=True)
        self._thread.start()

    def put(self, request: Request) -> None:
        """Takes a request."""
        self._requests.put(request)

    def close(self) -> None:
        """Returns once everything that was put is settled, and the connection closed."""
        self._requests.put(None)
        self._thread.join()

    def _run(self) -> None:
        untidy = True  # an earlier process may have left something
        while not self._ended:
            batch = self._take(wait=not untidy)
            if batch:
                self._commit(batch)
                untidy = untidy or any(isinstance(request.write, Delete) for request in batch)
            if untidy:
                untidy = self._tidy()
        self._connection.close()

    def _take(self, *, wait: bool) -> list[Request]:
        batch: list[Request] = []
        with suppress(queue.Empty):
            while len(batch) < BATCH:
                request = self._requests.get(block=wait and not batch)
                if request is None:
                    self._ended = True
                    break
                batch.append(request)
        return batch

    def _commit(self, batch: list[Request]) -> None:
        try:
            outcomes = self._carried_out(batch)
        except Exception as error:
            if len(batch) > 1:
                for request in batch:
                    self._commit([request])
                return
            outcomes = [unavailable(error) if isinstance(error, sqlite3.Error) else error]
        self._settle(list(zip(batch, outcomes, strict=True)))

    def _carried_out(self, batch: list[Request]) -> list[Outcome]:
        self._set_durable(any(request.write.durable for request in batch))
        within = Transaction(self._connection, self._live)
        outcomes: list[Outcome] = []
        with transaction(self._connection):
            for request in batch:
                try:
                    outcomes.append(request.write.carry_out(within))
                except StoreError as error:
                    outcomes.append(error)
        within.committed()
        return outcomes

    def _set_durable(self, durable: bool) -> None:
        if durable is not self._durable:
            set_durable(self._connection, durable)
            self._durable = durable

    def _tidy(self) -> bool:
        """Removes a piece of what is left; False where that was all, or nothing can be done now."""
        try:
            return self._tidied()
        except sqlite3.Error:
            return False  # the next delete tries again

    def _tidied(self) -> bool:
        self._set_durable(False)
        with transaction(self._connection):
            if rows.sweep(self._connection, SWEPT_BLOCKS):
                return True
        (page_bytes,) = self._connection.execute("PRAGMA page_size").fetchone()
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        if free * page_bytes <= FREE_BYTES:
            return False
        # It moves a page a step, and Python makes one step of a statement without columns, unless it is a script.
        self._connection.executescript(f"PRAGMA incremental_vacuum({VACUUMED_PAGES})")
        (left,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        if left * page_bytes <= FREE_BYTES:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()  # which makes the file shorter
        return bool(left < free)
