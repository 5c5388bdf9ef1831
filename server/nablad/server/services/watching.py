"""Streams of events: a job's journal from any seq, replayed and then live, at each watcher's own pace.

A watcher has no queue: it reads the store, page by page, as fast as its client reads, so that a slow one costs one
page, and a thousand slow ones PAGES_BYTES together (or a block each, where one is larger). One that takes nothing for
`stall_seconds` is told from which seq to come back. Without thinning blocks go out as the very bytes that the worker
wrote.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from nablad.server import logs
from nablad.server.columns import OpenBlocks
from nablad.server.errors import InvalidRequest, LimitReached, Unavailable
from nablad.server.scheduler import Scheduler
from nablad.server.settings import Settings
from nablad.server.states import FINAL
from nablad.server.store import Block, JobRecord, Store, UnknownJob
from nablad.server.thinning import Thinner, policy_of, violations
from nablad.v1 import event_pb2, solver_pb2

Write = Callable[[bytes], Awaitable[None]]

PAGE_BYTES = (64 << 10, 1 << 20)
"""Of the journal, read at once for one watcher: the more there are, the less each."""
PAGES_BYTES = 64 << 20


class Watchers:
    """All the streams of a server, counted, and told when the server ends."""

    def __init__(self, store: Store, scheduler: Scheduler, settings: Settings) -> None:
        self._store = store
        self._scheduler = scheduler
        self._settings = settings
        self._opened = OpenBlocks()
        self._count: Counter[str] = Counter()
        self._departures: set[asyncio.Task[None]] = set()
        self._closing = False
        self._none_left = asyncio.Event()
        self._none_left.set()

    @property
    def count(self) -> int:
        """How many streams there are."""
        return self._count.total()

    @property
    def page_bytes(self) -> int:
        """How much of a journal a watcher reads at once."""
        least, most = PAGE_BYTES
        return max(least, min(most, PAGES_BYTES // max(1, self.count)))

    async def wait_until_none(self) -> None:
        """Returns once no stream is left."""
        await self._none_left.wait()

    def close(self) -> None:
        """Every stream ends at its next event, with a hint from which seq to go on."""
        self._closing = True
        for task in self._departures:
            task.cancel()

    def check(self, thinning: solver_pb2.Thinning) -> None:
        """InvalidRequest for a thinning that cannot be, LimitReached where there are too many streams."""
        found = violations(thinning)
        if found:
            raise InvalidRequest(found)
        if self.count >= self._settings.limits.watchers:
            raise LimitReached(f"{self.count} streams are open already", "TOO_MANY_WATCHERS", "watchers")

    async def watch(
        self,
        record: JobRecord,
        after_seq: int,
        thinning: solver_pb2.Thinning,
        *,
        begin: Callable[[], Awaitable[None]],
        write: Write,
    ) -> None:
        """Calls `begin`, then writes blocks until the job's last event. A watcher whose stream cannot even be begun has
        gone away like any other.
        """
        if not 0 <= after_seq <= record.last_seq:
            raise InvalidRequest([("after_seq", f"is {after_seq}; the job's last event is {record.last_seq}")])
        name = record.name
        self._count[name] += 1
        self._none_left.clear()
        try:
            await begin()
            await _Stream(self, record, after_seq, thinning, write).run()
        finally:
            self._count[name] -= 1
            if not self._count[name]:
                del self._count[name]
                self._left(record)
            if not self._count:
                self._none_left.set()

    def expect(self, record: JobRecord) -> None:
        """Nobody watches this job, whoever did before the server was started: one that wants to be watched waits."""
        self._left(record)

    def _left(self, record: JobRecord) -> None:
        if self._closing or not solver_pb2.SolveSpec.FromString(record.spec).cancel_when_unwatched:
            return
        task = asyncio.create_task(self._cancel_if_nobody_returns(record.name))
        self._departures.add(task)
        task.add_done_callback(self._departures.discard)

    async def _cancel_if_nobody_returns(self, name: str) -> None:
        await asyncio.sleep(self._settings.unwatched_seconds)
        if name not in self._count:
            try:
                await self._scheduler.cancel(name, "Cancelled, as nobody watched it any more.")
            except UnknownJob:
                return


class _Stream:
    """One watcher's way through one journal."""

    def __init__(
        self, watchers: Watchers, record: JobRecord, after_seq: int, thinning: solver_pb2.Thinning, write: Write
    ) -> None:
        self._watchers = watchers
        self._store = watchers._store
        self._settings = watchers._settings
        self._name = record.name
        self._write = write
        self._seq = after_seq
        """Everything up to here has been read."""
        self._told = after_seq
        """What the watcher has heard of, as sent or as skipped: it may come back after this one."""
        self._put_time = time.monotonic()
        self._omits_theta = thinning.omit_theta
        self._thinner: Thinner | None = None
        if thinning.WhichOneof("policy") is not None or thinning.omit_theta:
            is_over = record.state in FINAL and record.last_iterate
            length = event_pb2.Iterate.FromString(record.last_iterate).iteration if is_over else None
            self._thinner = Thinner(policy_of(thinning, length), settled_seq=after_seq)

    async def run(self) -> None:
        while True:
            if self._watchers._closing:
                raise self._resumable("the server is shutting down", "SHUTTING_DOWN")
            blocks = await self._store.read(self._name, self._seq, max_bytes=self._watchers.page_bytes)
            if blocks:
                await self._send(blocks)
            if time.monotonic() - self._put_time >= self._settings.heartbeat_seconds:
                await self._heartbeat()
            if blocks:
                continue
            record = await self._store.get(self._name)
            if record.state in FINAL and record.last_seq <= self._seq:
                return
            try:
                await asyncio.wait_for(self._store.wait(self._name, self._seq), self._settings.heartbeat_seconds)
            except TimeoutError:
                continue

    async def _send(self, blocks: list[Block]) -> None:
        """Sends a page of the journal, in as few messages as it fits in: who is behind catches up."""
        out = event_pb2.SolveEventBlock()
        raw: list[bytes] = []
        for block in blocks:
            if self._thinner is None and block.first_seq > self._seq:
                raw.append(block.data)
            else:
                new = self._watchers._opened.open(block.data).after(self._seq)
                out.events.extend(new.events if self._thinner is None else self._thinner.take(new))
                await asyncio.sleep(0)  # others want the loop, too
            self._seq = block.last_seq
        if out.events:
            if self._omits_theta:
                for event in out.events:
                    if event.HasField("iterate"):
                        event.iterate.ClearField("theta")
            await self._put_counted(out, out.events[-1].seq)
        if raw:
            # Serialized messages one after the other are the message that holds the repeated fields of them all.
            await self._put(b"".join(raw))
            self._told = self._seq

    async def _heartbeat(self) -> None:
        position = self._watchers._scheduler.position(self._name)
        settled = self._seq if self._thinner is None else self._thinner.settled_seq
        await self._put_counted(event_pb2.SolveEventBlock(queue_position=position), settled)

    async def _put_counted(self, block: event_pb2.SolveEventBlock, last_seq: int) -> None:
        """Sends what the watcher is to know up to a seq: what of it is not in the block has been skipped."""
        block.last_seq = last_seq
        block.skipped = last_seq - self._told - len(block.events)
        await self._put(block.SerializeToString())
        self._told = last_seq

    async def _put(self, data: bytes) -> None:
        try:
            await asyncio.wait_for(self._write(data), self._settings.stall_seconds)
            self._put_time = time.monotonic()
        except TimeoutError:
            logs.warning("watcher stalled", job=self._name, after_seq=self._told)
            raise self._resumable("the stream was not read for too long", "WATCHER_STALLED") from None

    def _resumable(self, what: str, reason: str) -> Unavailable:
        return Unavailable(
            f"{what}; watch {self._name} again with after_seq={self._told}",
            reason,
            metadata={"job": self._name, "after_seq": str(self._told)},
        )
