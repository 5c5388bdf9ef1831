"""Which job runs where, and what becomes of it.

Jobs wait in one queue, first come first served. Each of the `workers` slots is a task that owns one worker process: it
takes a job, hands it over, and commits what comes back, block by block, until the result. A worker that dies takes
only its own job with it, which goes on from its last checkpoint, at the head of the queue, with the next epoch; and is
given up once `max_deaths` workers have died on it. Whatever way a job ends, `_end` ends it.

The jobs that an earlier server left in a durable store go on in the same way (`resume`); that it ended is no death of
theirs. While the store cannot be written, the jobs that have something to write wait, and their workers with them.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from nablad.server import journal, logs, states
from nablad.server.datasets.catalog import Catalog
from nablad.server.frames import Frame, Kind
from nablad.server.settings import Settings
from nablad.server.states import FINAL, STATE_OF_FAMILY, UNFINISHED
from nablad.server.store import Block, JobChange, JobRecord, Store, StoreUnavailable, UnknownJob
from nablad.server.supervisor import Template, Worker, WorkerLost
from nablad.v1 import dataset_pb2, event_pb2
from nablad.wire.statuses import status_name
from nablad.wire.tensors import AnyArray

RESTART_SECONDS = 1.0
STORE_SECONDS = 1.0
"""So long until a store that could not be written is tried again."""

T = TypeVar("T")


class Scheduler:
    """The queue and the slots. Call `resume` and `start` once, `stop` at the end."""

    def __init__(self, store: Store, template: Template, catalog: Catalog, settings: Settings) -> None:
        self._store = store
        self._template = template
        self._catalog = catalog
        self._settings = settings
        self._queue: deque[str] = deque()
        self._running: dict[str, Worker] = {}
        self._wanting: deque[asyncio.Future[None]] = deque()
        self._slots: list[asyncio.Task[None]] = []
        self._ready: list[asyncio.Event] = []
        self._reasons: dict[str, str] = {}
        """Of the cancels under way."""
        self._in_use: dict[str, frozenset[str]] = {}
        self.unfinished_bytes = 0
        """Of the specs of all jobs that have not ended."""
        self._idle = asyncio.Event()
        self._idle.set()

    async def resume(self) -> list[JobRecord]:
        """Takes up the jobs that an earlier server has left: those that ran, then those that waited, in their order.
        StoreUnavailable.
        """
        left: list[JobRecord] = []
        before = None
        while page := await self._store.page(before=before, limit=100, states=UNFINISHED):
            left += [await self._store.get(record.name) for record in page]
            before = page[-1].ordinal
        left.sort(key=lambda record: (record.state != states.RUNNING, record.ordinal))
        for position, record in enumerate(left):
            self._hold(record)
            self._queue.append(record.name)
            if record.state == states.RUNNING:
                event = journal.state_event(
                    states.QUEUED,
                    queue_position=position,
                    message=f"The server was restarted; the job goes on {_where(record)}.",
                )
                block = journal.block(record.last_seq + 1, event)
                await self._store.append(record.name, record.epoch, block, JobChange(state=states.QUEUED))
        if left:
            logs.info("jobs resumed", count=len(left))
        return left

    def start(self) -> None:
        """Starts the workers; jobs that come before they are there wait for them."""
        self._ready = [asyncio.Event() for _ in range(self._settings.workers)]
        self._slots = [asyncio.create_task(self._slot(ready), name="slot") for ready in self._ready]

    async def wait_until_ready(self) -> None:
        """Returns once the workers are there, or a first attempt to start them has failed."""
        for ready in self._ready:
            await ready.wait()

    async def stop(self) -> None:
        """Ends the workers at once, whatever they do. Their jobs stay as they are, for a later server if the store is
        durable.
        """
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)

    async def drain(self, message: str) -> None:
        """Cancels every job, and returns once all have ended."""
        for name in dict.fromkeys([*self._queue, *self._in_use]):
            with suppress(UnknownJob):
                await self.cancel(name, message)
            await asyncio.sleep(0)
        await self._idle.wait()

    def positions(self) -> dict[str, int]:
        """Of each queued job, how many are before it."""
        return {name: position for position, name in enumerate(self._queue)}

    def position(self, name: str) -> int | None:
        """How many jobs are before this one; None where it does not wait."""
        if name in self._running or name not in self._in_use:
            return None
        with suppress(ValueError):
            return self._queue.index(name)
        return None

    @property
    def queued(self) -> int:
        """How many jobs wait."""
        return len(self._queue)

    @property
    def unfinished(self) -> int:
        """How many jobs have not ended."""
        return len(self._in_use)

    def users_of(self, dataset: str) -> list[str]:
        """The unfinished jobs that use a dataset."""
        return [name for name, used in self._in_use.items() if dataset in used]

    async def submit(self, record: JobRecord) -> tuple[JobRecord, bool]:
        """Keeps a new job and queues it; or finds the job that its request_id has made: then False."""
        # Whoever asks may go away in the middle of it: what has been kept must be queued, too.
        return await asyncio.shield(self._submit(record))

    async def _submit(self, draft: JobRecord) -> tuple[JobRecord, bool]:
        self._hold(draft)
        try:
            event = journal.state_event(states.QUEUED, queue_position=len(self._queue))
            record, is_new = await self._store.create(draft, journal.block(1, event))
        except BaseException:
            self._let_go(draft)
            raise
        if is_new:
            logs.info("job created", job=record.name, title=record.title)
            self._queue.append(record.name)
            self._wake()
        else:
            self._let_go(draft)
        return record, is_new

    def _hold(self, record: JobRecord) -> None:
        self._in_use[record.name] = record.datasets
        self.unfinished_bytes += len(record.spec)
        self._idle.clear()

    def _let_go(self, record: JobRecord) -> None:
        del self._in_use[record.name]
        self.unfinished_bytes -= len(record.spec)
        if not self._in_use:
            self._idle.set()

    async def cancel(self, name: str, message: str = "") -> JobRecord:
        """Asks a job to end. One that still waits ends at once; one that has ended stays as it is."""
        return await asyncio.shield(self._cancel(name, message))

    async def _cancel(self, name: str, message: str) -> JobRecord:
        record = await self._store.get(name)
        if record.state in FINAL or record.cancel_requested:
            return record
        record = await self._store.update(name, JobChange(cancel_requested=True))
        if record.state in FINAL:
            return record
        self._reasons[name] = message
        if name in self._queue:
            self._queue.remove(name)
            return await self._finish_without_report(name, "USER_CANCELLED", "Cancelled before it was run.")
        if name in self._running:
            with suppress(WorkerLost):
                await self._running[name].send(Frame(Kind.CANCEL))
        return record

    # One slot

    async def _slot(self, ready: asyncio.Event) -> None:
        worker: Worker | None = None
        try:
            while True:
                try:
                    worker = await self._template.start_worker()
                except WorkerLost as error:
                    logs.warning("worker not started", reason=str(error))
                    await asyncio.sleep(RESTART_SECONDS)
                    continue
                finally:
                    ready.set()
                try:
                    while (name := await self._next(worker)) is not None:
                        if not await self._carry_out(worker, name):
                            break
                except Exception:
                    logs.error("slot failed inside the server", worker=worker.pid)
                logs.warning("worker ended", worker=worker.pid)
                worker.kill()
        finally:
            if worker is not None:
                worker.kill()

    async def _next(self, worker: Worker) -> str | None:
        """The job that is next, or None where the worker dies while it waits."""
        while not self._queue and not worker.is_gone:
            wanting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._wanting.append(wanting)
            try:
                await worker.idle_until(wanting)
            finally:
                with suppress(ValueError):
                    self._wanting.remove(wanting)
        if worker.is_gone:
            self._wake()  # what has woken this slot is for another
            return None
        return self._queue.popleft()

    def _wake(self) -> None:
        while self._wanting:
            wanting = self._wanting.popleft()
            if not wanting.done():
                wanting.set_result(None)
                return

    async def _carry_out(self, worker: Worker, name: str) -> bool:
        """Runs a job to its end on a worker; False where the worker is of no more use."""
        try:
            record = await self._begin(name)
            try:
                await self._hand_over(worker, record)
                return await self._collect(worker, record)
            finally:
                self._running.pop(name, None)
        except WorkerLost:
            await self._lost(worker, name)
            return False
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logs.error("job failed inside the server", job=name)
            message = (
                f"The server failed with {type(error).__name__}: {error}. This is a fault of nablad: please report it."
            )
            await self._finish_without_report(name, "FAILED_INTERNAL", message)
            return False

    async def _begin(self, name: str) -> JobRecord:
        record = await self._store.get(name)
        states.check(record.state, states.RUNNING)
        epoch = record.epoch + 1
        change = JobChange(state=states.RUNNING, epoch=epoch, start_time=record.start_time or time.time_ns())
        block = journal.block(record.last_seq + 1, journal.state_event(states.RUNNING))
        return await self._append(name, epoch, block, change)

    async def _append(self, name: str, epoch: int, block: Block, change: JobChange) -> JobRecord:
        return await self._patiently(partial(self._store.append, name, epoch, block, change))

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await call()
            except StoreUnavailable as error:
                logs.warning("store unavailable", reason=str(error))
                await asyncio.sleep(STORE_SECONDS)

    async def _hand_over(self, worker: Worker, record: JobRecord) -> None:
        state = b""
        if record.checkpoint:
            state = event_pb2.Checkpoint.FromString(record.checkpoint).state
        best = event_pb2.Iterate.FromString(record.best_iterate).loss if record.best_iterate else math.inf
        facts = {"replayed": await self._replayed(record), "best": best if math.isfinite(best) else None}
        parts = (record.spec, state, json.dumps(facts).encode())
        await worker.send(Frame(Kind.SOLVE, parts, record.epoch, record.last_seq + 1))
        logs.info("job started", job=record.name, worker=worker.pid, epoch=record.epoch)
        self._running[record.name] = worker
        if (await self._store.get(record.name)).cancel_requested:
            await worker.send(Frame(Kind.CANCEL))

    async def _replayed(self, record: JobRecord) -> int:
        if record.epoch == 1:
            return 0
        count, seq = 0, record.checkpoint_seq
        while blocks := await self._patiently(partial(self._store.read, record.name, seq)):
            for block in blocks:
                count += journal.count_replayable(block.data, seq)
                seq = block.last_seq
                await asyncio.sleep(0)
        return count

    async def _collect(self, worker: Worker, record: JobRecord) -> bool:
        while True:
            frame = await worker.receive()
            if frame.kind is Kind.DATASET:
                self._catalog.add(dataset_pb2.Dataset.FromString(frame.parts[0]))
            elif frame.kind is Kind.FAILED:
                status, message, trace = (part.decode() for part in frame.parts)
                logs.error("job failed inside its worker", trace=trace, job=record.name, worker=worker.pid)
                await self._finish_without_report(record.name, status, message)
                return status != "FAILED_OUT_OF_MEMORY"
            elif frame.kind is Kind.EVENTS and frame.epoch == record.epoch:
                ended = await self._commit(record, frame)
                if ended is not None:
                    return ended != "FAILED_OUT_OF_MEMORY"

    async def _commit(self, record: JobRecord, frame: Frame) -> str | None:
        """Keeps what a worker has sent; the status, if that was the end."""
        data, last, best, point, checkpoint, result = frame.parts
        block = Block(frame.first_seq, frame.last_seq, data)
        change = JobChange(
            last_iterate=last or None,
            best_iterate=best or None,
            best_point=point or None,
            checkpoint=checkpoint or None,
            checkpoint_seq=frame.last_seq if checkpoint else None,
        )
        if result:
            return await self._end(record, block, event_pb2.SolveResult.FromString(result), change)
        await self._append(record.name, frame.epoch, block, change)
        return None

    async def _lost(self, worker: Worker, name: str) -> None:
        record = await self._store.get(name)
        deaths = record.deaths + 1
        logs.warning("worker died", worker=worker.pid, job=name, deaths=deaths)
        if record.cancel_requested:
            await self._finish_without_report(
                name, "USER_CANCELLED", "Cancelled; its worker died before it could report."
            )
        elif deaths >= self._settings.max_deaths:
            message = (
                f"{deaths} worker processes died on this job, the last time after iteration "
                f"{event_pb2.Iterate.FromString(record.last_iterate).iteration}; the best point known is kept. "
                "It may need more memory than the machine has: try fewer parameters or gradient_descent."
            )
            await self._finish_without_report(name, "FAILED_WORKER_LOST", message)
        else:
            event = journal.state_event(
                states.QUEUED, queue_position=0, message=f"The worker process died; the job goes on {_where(record)}."
            )
            states.check(record.state, states.QUEUED)
            change = JobChange(state=states.QUEUED, deaths=deaths)
            await self._append(name, record.epoch, journal.block(record.last_seq + 1, event), change)
            self._queue.appendleft(name)
            self._wake()

    # The end of a job

    async def _finish_without_report(self, name: str, status: str, message: str) -> JobRecord:
        record = await self._store.get(name)
        kept: list[dataset_pb2.Dataset] = []

        def upload(array: AnyArray) -> str:
            kept.append(self._catalog.files.put(array))
            return kept[-1].name

        result = await asyncio.to_thread(journal.result_without_report, record, status, message, upload)
        for dataset in kept:
            self._catalog.add(dataset)
        done = event_pb2.SolveEvent(done=event_pb2.Done(result=result))
        await self._end(record, journal.block(record.last_seq + 1, done), result, JobChange())
        return await self._store.get(name)

    async def _end(self, record: JobRecord, done: Block, result: event_pb2.SolveResult, change: JobChange) -> str:
        """Commits a job's last events and its end at once: no job has told its result and runs on. The status."""
        name = record.name
        state = STATE_OF_FAMILY[result.termination.family]
        states.check(record.state, state)
        reason = self._reasons.get(name, "") if state == states.CANCELLED else ""
        block = journal.joined(done, journal.block(done.last_seq + 1, journal.state_event(state, message=reason)))
        change = replace(
            change,
            state=state,
            end_time=time.time_ns(),
            result=result.SerializeToString(),
            best_point=b"",  # the result has it
        )
        await self._append(name, record.epoch, block, change)
        status = status_name(result.termination.status)
        logs.info("job ended", job=name, status=status, iterations=result.iterations)
        self._let_go(record)
        self._reasons.pop(name, None)
        await self.forget_the_oldest()
        return status

    async def forget_the_oldest(self) -> None:
        """Removes the finished jobs that are too many, or take too much."""
        limits = self._settings.limits
        with suppress(StoreUnavailable):  # the next job to end tries again
            while (kept := await self._store.finished(1)).count > 1:  # the newest one always stays
                if kept.count <= limits.finished_jobs and kept.size_bytes <= limits.finished_bytes:
                    return
                with suppress(UnknownJob):  # somebody else was quicker
                    await self._store.delete(kept.oldest[0])
                    logs.info("job forgotten", job=kept.oldest[0])


def _where(record: JobRecord) -> str:
    """From where a job goes on."""
    if not record.checkpoint:
        return "from its start"
    return f"from iteration {event_pb2.Checkpoint.FromString(record.checkpoint).iteration}"
