"""What every store must do: subclass it with a `store` fixture; a durable one with `reopen`, too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from nablad.server import states
from nablad.server.journal import block, state_event
from nablad.server.store import Block, JobChange, JobRecord, NotContiguous, StaleEpoch, Store, UnknownJob


def record(name: str = "solveJobs/a", **fields: object) -> JobRecord:
    made = JobRecord(name=name, spec=b"spec", summary=b"", state=states.QUEUED, create_time=1)
    return replace(made, **fields)  # type: ignore[arg-type]


def first() -> Block:
    return block(1, state_event(states.QUEUED))


def bytes_of(seq: int, count: int = 1) -> Block:
    return Block(seq, seq + count - 1, b"x" * 100 * count)


class StoreConformance:
    async def test_a_new_job_has_its_first_block(self, store: Store) -> None:
        made, is_new = await store.create(record(), first())
        assert is_new
        assert made.last_seq == 1
        assert await store.get("solveJobs/a") == made
        assert await store.read("solveJobs/a", 0) == [first_of(made, await store.read("solveJobs/a", 0))]

    async def test_a_request_id_makes_one_job(self, store: Store) -> None:
        one, _ = await store.create(record("solveJobs/a", request_id="r", fingerprint=b"1"), first())
        two, is_new = await store.create(record("solveJobs/b", request_id="r", fingerprint=b"2"), first())
        assert (two, is_new) == (one, False)
        assert await store.find_request("r") == one
        with pytest.raises(UnknownJob):
            await store.get("solveJobs/b")
        await store.delete("solveJobs/a")
        assert await store.find_request("r") is None

    async def test_what_was_appended_is_read_in_order_and_whole(self, store: Store) -> None:
        await store.create(record(), first())
        blocks = [bytes_of(2, 3), bytes_of(5), bytes_of(6, 10)]
        for one in blocks:
            await store.append("solveJobs/a", 0, one)
        assert (await store.read("solveJobs/a", 1)) == blocks
        assert (await store.read("solveJobs/a", 3)) == blocks  # blocks are not cut
        assert (await store.read("solveJobs/a", 4)) == blocks[1:]
        assert (await store.read("solveJobs/a", 15)) == []
        assert (await store.get("solveJobs/a")).last_seq == 15

    async def test_a_read_is_a_page_and_makes_progress(self, store: Store) -> None:
        await store.create(record(), first())
        for seq in range(2, 12):
            await store.append("solveJobs/a", 0, bytes_of(seq))
        seen, seq = [], 1
        while page := await store.read("solveJobs/a", seq, max_bytes=250):
            assert len(page) <= 2
            seen += [one.first_seq for one in page]
            seq = page[-1].last_seq
        assert seen == list(range(2, 12))
        assert len(await store.read("solveJobs/a", 1, max_bytes=1)) == 1

    @pytest.mark.parametrize("seq", [1, 3])
    async def test_a_gap_or_a_duplicate_is_refused(self, store: Store, seq: int) -> None:
        before, _ = await store.create(record(), first())
        with pytest.raises(NotContiguous):
            await store.append("solveJobs/a", 0, bytes_of(seq), JobChange(state=states.RUNNING))
        assert await store.get("solveJobs/a") == before

    async def test_an_older_epoch_is_refused(self, store: Store) -> None:
        await store.create(record(), first())
        await store.append("solveJobs/a", 2, bytes_of(2), JobChange(epoch=2))
        with pytest.raises(StaleEpoch):
            await store.append("solveJobs/a", 1, bytes_of(3))
        await store.append("solveJobs/a", 2, bytes_of(3))

    async def test_block_and_change_are_seen_together(self, store: Store) -> None:
        await store.create(record(), first())
        after = await store.append("solveJobs/a", 0, bytes_of(2), JobChange(state=states.RUNNING, last_iterate=b"i"))
        assert (after.state, after.last_iterate, after.last_seq) == (states.RUNNING, b"i", 2)
        assert await store.get("solveJobs/a") == after
        assert (await store.update("solveJobs/a", JobChange(cancel_requested=True))).cancel_requested
        assert (await store.get("solveJobs/a")).last_seq == 2

    async def test_waiting_ends_with_an_append(self, store: Store) -> None:
        await store.create(record(), first())
        await asyncio.wait_for(store.wait("solveJobs/a", 0), 1)
        waiting = [asyncio.create_task(store.wait("solveJobs/a", 1)) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in waiting)
        await store.append("solveJobs/a", 0, bytes_of(2))
        await asyncio.wait_for(asyncio.gather(*waiting), 1)

    async def test_waiting_ends_with_the_job(self, store: Store) -> None:
        await store.create(record(), first())
        waiting = asyncio.create_task(store.wait("solveJobs/a", 1))
        await asyncio.sleep(0.01)
        await store.delete("solveJobs/a")
        await asyncio.wait_for(waiting, 1)
        await asyncio.wait_for(store.wait("solveJobs/a", 1), 1)
        await store.create(record("solveJobs/b", state=states.SUCCEEDED), first())
        await asyncio.wait_for(store.wait("solveJobs/b", 1), 1)

    async def test_pages_are_newest_first_and_stable_under_new_jobs(self, store: Store) -> None:
        for index in range(5):
            await store.create(
                record(f"solveJobs/{index}", state=states.RUNNING if index % 2 else states.QUEUED), first()
            )
        page = await store.page(before=None, limit=2)
        assert [one.name for one in page] == ["solveJobs/4", "solveJobs/3"]
        await store.create(record("solveJobs/5"), first())
        page = await store.page(before=page[-1].ordinal, limit=2)
        assert [one.name for one in page] == ["solveJobs/2", "solveJobs/1"]
        running = await store.page(before=None, limit=9, states={states.RUNNING})
        assert [one.name for one in running] == ["solveJobs/3", "solveJobs/1"]

    async def test_finished_jobs_come_in_the_order_of_their_ends(self, store: Store) -> None:
        for name in "abcd":
            await store.create(record(name), first())
        assert (await store.finished(9)).count == 0
        await store.append("b", 0, bytes_of(2, 50), JobChange(state=states.FAILED, end_time=1))
        one = await store.finished(9)
        assert (one.count, one.oldest) == (1, ("b",))
        assert one.size_bytes >= 5000
        await store.update("d", JobChange(state=states.SUCCEEDED, end_time=2))
        await store.update("a", JobChange(state=states.CANCELLED, end_time=3))
        three = await store.finished(2)
        assert (three.count, three.oldest) == (3, ("b", "d"))
        await store.delete("b")
        two = await store.finished(9)
        assert (two.count, two.oldest) == (2, ("d", "a"))
        assert two.size_bytes == three.size_bytes - one.size_bytes

    async def test_an_unknown_job_is_named(self, store: Store) -> None:
        for call in (
            store.get("solveJobs/x"),
            store.read("solveJobs/x", 0),
            store.delete("solveJobs/x"),
            store.append("solveJobs/x", 0, bytes_of(1)),
            store.update("solveJobs/x", JobChange(deaths=1)),
        ):
            with pytest.raises(UnknownJob, match="solveJobs/x"):
                await call

    async def test_what_a_list_does_not_show_is_left_out_of_it(self, store: Store) -> None:
        large = {"checkpoint": b"c", "best_point": b"p", "summary": b"s", "outline": b"o", "result": b"r"}
        made, _ = await store.create(record(datasets=frozenset({"datasets/1"}), **large), first())
        assert await store.get("solveJobs/a") == made
        assert await store.page(before=None, limit=1) == [replace(made, spec=b"", checkpoint=b"", best_point=b"")]

    async def test_a_job_begins_with_its_first_event(self, store: Store) -> None:
        with pytest.raises(NotContiguous):
            await store.create(record(), bytes_of(2))
        with pytest.raises(UnknownJob):
            await store.get("solveJobs/a")
        assert (await store.create(record(), first()))[1]

    async def test_many_append_at_once(self, store: Store) -> None:
        jobs = [f"solveJobs/{index}" for index in range(8)]

        async def run(name: str) -> None:
            await store.create(record(name), first())
            for seq in range(2, 32):
                after = await store.append(name, 1, bytes_of(seq), JobChange(epoch=1, last_iterate=b"%d" % seq))
                assert (after.last_seq, after.last_iterate) == (seq, b"%d" % seq)

        await asyncio.gather(*(run(name) for name in jobs))
        for name in jobs:
            blocks = await store.read(name, 0)
            assert [one.first_seq for one in blocks] == list(range(1, 32))

    async def test_of_two_writers_of_one_event_one_is_refused(self, store: Store) -> None:
        await store.create(record(), first())
        for seq in range(2, 22):
            outcomes = await asyncio.gather(
                *(store.append("solveJobs/a", 0, Block(seq, seq, letter)) for letter in (b"x", b"y", b"z")),
                return_exceptions=True,
            )
            assert sum(isinstance(outcome, NotContiguous) for outcome in outcomes) == 2
        assert (await store.get("solveJobs/a")).last_seq == 21
        assert len(await store.read("solveJobs/a", 0)) == 21

    async def test_a_request_that_comes_twice_at_once_makes_one_job(self, store: Store) -> None:
        made = await asyncio.gather(
            *(store.create(record(f"solveJobs/{index}", request_id="r"), first()) for index in range(5))
        )
        assert sorted(is_new for _, is_new in made) == [False] * 4 + [True]
        assert len({one.name for one, _ in made}) == 1
        assert len(await store.page(before=None, limit=9)) == 1

    async def test_readers_see_whole_commits_only(self, store: Store) -> None:
        await store.create(record(), first())
        returned = 1

        async def write() -> None:
            nonlocal returned
            for seq in range(2, 300, 3):
                await store.append("solveJobs/a", 0, bytes_of(seq, 3), JobChange(checkpoint_seq=seq + 2))
                returned = seq + 2

        async def follow() -> None:
            seen = 1
            while True:
                acknowledged = returned
                blocks = await store.read("solveJobs/a", seen)
                now = await store.get("solveJobs/a")
                assert now.last_seq == max(now.checkpoint_seq, 1), "a block without its change"
                assert not blocks or blocks[0].first_seq == seen + 1
                seen = blocks[-1].last_seq if blocks else seen
                assert acknowledged <= seen <= now.last_seq
                if seen == 301:
                    return
                await store.wait("solveJobs/a", seen)

        await asyncio.wait_for(asyncio.gather(write(), *(follow() for _ in range(5))), 20)

    async def test_every_wait_can_be_ended(self, store: Store) -> None:
        await store.create(record(), first())
        waiting = asyncio.create_task(store.wait("solveJobs/a", 1))
        await asyncio.sleep(0.01)
        store.wake()
        await asyncio.wait_for(waiting, 1)

    async def test_whoever_gives_up_an_append_may_have_made_it(self, store: Store) -> None:
        await store.create(record(), first())
        task = asyncio.create_task(store.append("solveJobs/a", 0, bytes_of(2)))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        now = await store.update("solveJobs/a", JobChange(deaths=1))  # comes after it
        await store.append("solveJobs/a", 0, bytes_of(now.last_seq + 1))
        blocks = await store.read("solveJobs/a", 0)
        assert [one.first_seq for one in blocks] == list(range(1, len(blocks) + 1))


class DurableConformance(StoreConformance):
    """`reopen` closes the store that is open and opens it again."""

    async def test_everything_is_there_again(self, store: Store, reopen: Callable[[], Awaitable[Store]]) -> None:
        for name in "abcd":
            await store.create(record(name, request_id=name, datasets=frozenset({"datasets/1", name})), first())
        await store.append("a", 1, bytes_of(2, 50), JobChange(state=states.RUNNING, epoch=1, checkpoint=b"c"))
        await store.append("b", 0, bytes_of(2), JobChange(state=states.FAILED, end_time=7, result=b"r"))
        await store.append("c", 0, bytes_of(2), JobChange(state=states.SUCCEEDED, end_time=6, best_point=b"p"))
        await store.update("d", JobChange(cancel_requested=True))

        async def everything(store: Store) -> list[object]:
            found: list[object] = [await store.page(before=None, limit=9), await store.finished(9)]
            for name in "abcd":
                found += (await store.get(name), await store.read(name, 0), await store.find_request(name))
            return found

        before = await everything(store)
        assert await everything(await reopen()) == before

    async def test_work_goes_on_where_it_was(self, store: Store, reopen: Callable[[], Awaitable[Store]]) -> None:
        await store.create(record(), first())
        await store.append("solveJobs/a", 3, bytes_of(2), JobChange(epoch=3))
        store = await reopen()
        with pytest.raises(StaleEpoch):
            await store.append("solveJobs/a", 2, bytes_of(3))
        with pytest.raises(NotContiguous):
            await store.append("solveJobs/a", 3, bytes_of(4))
        waiting = asyncio.create_task(store.wait("solveJobs/a", 2))
        await store.append("solveJobs/a", 3, bytes_of(3))
        await asyncio.wait_for(waiting, 1)
        assert [one.first_seq for one in await store.read("solveJobs/a", 0)] == [1, 2, 3]
        assert [one.first_seq for one in await store.read("solveJobs/a", 2)] == [3]

    async def test_ordinals_grow_and_ends_keep_their_order(
        self, store: Store, reopen: Callable[[], Awaitable[Store]]
    ) -> None:
        await store.create(record("a"), first())
        newest, _ = await store.create(record("b", state=states.FAILED), first())
        await store.update("a", JobChange(state=states.FAILED))
        await store.delete("b")
        store = await reopen()
        later, _ = await store.create(record("c", state=states.FAILED), first())
        assert later.ordinal > newest.ordinal
        assert (await store.finished(9)).oldest == ("a", "c")
        assert [one.first_seq for one in await store.read("c", 0)] == [1]


def first_of(made: JobRecord, blocks: list[Block]) -> Block:
    (only,) = blocks
    assert (only.first_seq, only.last_seq) == (1, made.last_seq)
    return only
