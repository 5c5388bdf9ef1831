"""What is peculiar to the store in a file: its schema, its size, a full disk, and the death of its process."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from dataclasses import fields
from pathlib import Path

import pytest
from server.running import wait_for
from server.store_conformance import bytes_of, first, record

from nablad.server import states
from nablad.server.store import (
    Block,
    JobChange,
    JobRecord,
    SqliteStore,
    StoreFull,
    StoreTooNew,
    StoreUnavailable,
    UnknownJob,
)
from nablad.server.store.sqlite import migrations, rows, writer
from nablad.server.store.sqlite.database import connect

FILE = "jobs.db"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / FILE)
    yield store
    await store.close()


def test_every_field_of_a_record_has_its_place() -> None:
    assert sorted((*rows.COLUMNS, *rows.PARTS, "ordinal")) == sorted(field.name for field in fields(JobRecord))


APPENDING = """
import asyncio, sys
from pathlib import Path
from nablad.server.store import JobChange, SqliteStore
from server.store_conformance import bytes_of, first, record

async def append(store, name, count):
    await store.create(record(name), first())
    for seq in range(2, 10**6, count):
        change = JobChange(checkpoint=b"c" * 3000, checkpoint_seq=seq + count - 1)
        await store.append(name, 0, bytes_of(seq, count), change)
        sys.stdout.write(f"{name} {seq + count - 1}\\n")
        sys.stdout.flush()

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    await asyncio.gather(*(append(store, name, count) for name, count in (("a", 1), ("b", 7), ("c", 300))))

asyncio.run(main())
"""


def told_before_it_was_killed(path: Path, after: int) -> dict[str, int]:
    """Job -> the last event whose append had returned, of a process that was killed after so many appends."""
    command = [sys.executable, "-c", APPENDING, str(path)]
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    told = dict.fromkeys("abc", 0)
    lines = 0
    while lines < after or not all(told.values()):
        name, seq = process.stdout.readline().split()
        told[name] = int(seq)
        lines += 1
    process.kill()
    for line in process.stdout.read().splitlines():
        with suppress(ValueError):  # the last one may be half a line, and half a number is a smaller one
            name, seq = line.split()
            told[name] = max(told[name], int(seq))
    process.wait()
    process.stdout.close()
    return told


@pytest.mark.parametrize("after", [1, 300, 3000])
async def test_a_killed_process_loses_nothing_that_it_was_told_is_kept(tmp_path: Path, after: int) -> None:
    told = await asyncio.to_thread(told_before_it_was_killed, tmp_path / FILE, after)
    store = await SqliteStore.open(tmp_path / FILE)
    for name, seq in told.items():
        kept = await store.get(name)
        assert kept.last_seq >= seq
        assert kept.checkpoint_seq == kept.last_seq
        at = 0
        while blocks := await store.read(name, at):
            for block in blocks:
                assert block.first_seq == at + 1
                at = block.last_seq
        assert at == kept.last_seq
    await store.close()


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    await (await SqliteStore.open(tmp_path / FILE)).close()
    newer = len(migrations.MIGRATIONS) + 1
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute(f"PRAGMA user_version = {newer}")
    with pytest.raises(StoreTooNew, match=f"version {newer}"):
        await SqliteStore.open(tmp_path / FILE)
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (newer,)


async def test_a_file_of_the_first_version_becomes_one_of_the_newest(tmp_path: Path) -> None:
    with closing(connect(tmp_path / FILE)) as connection:
        migrations.migrate(connection, migrations.MIGRATIONS[:1])
    store = await SqliteStore.open(tmp_path / FILE)
    await store.create(record(), first())
    await store.close()
    following = (*migrations.MIGRATIONS, ("ALTER TABLE jobs ADD COLUMN colour TEXT NOT NULL DEFAULT 'grey'",))
    with closing(connect(tmp_path / FILE)) as connection:
        migrations.migrate(connection, following)
        migrations.migrate(connection, following)
        assert [tuple(row) for row in connection.execute("SELECT name, colour FROM jobs")] == [("solveJobs/a", "grey")]


def test_a_step_that_fails_is_as_if_it_had_not_begun(tmp_path: Path) -> None:
    broken = (*migrations.MIGRATIONS, ("CREATE TABLE more (n INTEGER)", "CREATE TABLE jobs (n INTEGER)"))
    with closing(connect(tmp_path / FILE)) as connection:
        with pytest.raises(sqlite3.OperationalError):
            migrations.migrate(connection, broken)
        assert connection.execute("PRAGMA user_version").fetchone()[0] == len(migrations.MIGRATIONS)
        migrations.migrate(connection)
        assert not connection.execute("SELECT * FROM sqlite_schema WHERE name = 'more'").fetchall()


async def test_what_is_no_store_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database, but as long as the head of one" * 100)
    with pytest.raises(StoreUnavailable, match="NOTADB"):
        await SqliteStore.open(tmp_path / FILE)


async def test_only_progress_does_not_wait_for_the_disk(store: SqliteStore) -> None:
    statements: list[str] = []
    store._writer._connection.set_trace_callback(statements.append)

    async def levels(change: JobChange) -> list[str]:
        statements.clear()
        await store.update("solveJobs/a", JobChange(last_iterate=b"i"))
        await store.update("solveJobs/a", change)
        await store.update("solveJobs/a", JobChange(last_iterate=b"j"))
        return [text.rpartition(" ")[2] for text in statements if text.startswith("PRAGMA synchronous")]

    await store.create(record(), first())
    await levels(JobChange())
    for progress in (JobChange(best_point=b"p"), JobChange(checkpoint=b"c", checkpoint_seq=1)):
        assert await levels(progress) == []
    for more in (JobChange(state=states.RUNNING), JobChange(cancel_requested=True), JobChange(result=b"r")):
        assert await levels(more) == ["FULL", "NORMAL"]


async def test_a_full_disk_refuses_what_does_not_fit_and_nothing_afterwards(store: SqliteStore) -> None:
    connection = store._writer._connection
    await store.create(record(), first())
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 40}").fetchall()
    before = await store.get("solveJobs/a")
    large = Block(2, 2, b"x" * (1 << 20))
    outcomes = await asyncio.gather(
        store.append("solveJobs/a", 0, large),
        store.create(record("solveJobs/b"), first()),  # in one batch with what does not fit
        return_exceptions=True,
    )
    assert isinstance(outcomes[0], StoreFull)
    assert not isinstance(outcomes[1], BaseException)
    assert await store.get("solveJobs/a") == before
    assert len(await store.read("solveJobs/a", 0)) == 1
    connection.execute("PRAGMA max_page_count = 1000000").fetchall()
    await store.append("solveJobs/a", 0, large)
    assert (await store.read("solveJobs/a", 1)) == [large]


async def test_a_file_that_cannot_be_written_is_told_and_no_more_than_that(store: SqliteStore) -> None:
    await store.create(record(), first())
    large = Block(2, 2, b"x" * (4 << 20))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(StoreUnavailable):
            await store.append("solveJobs/a", 0, large)
        await store.append("solveJobs/a", 0, bytes_of(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await store.append("solveJobs/a", 0, Block(3, 3, large.data))
    assert [len(block.data) for block in await store.read("solveJobs/a", 1, max_bytes=1 << 30)] == [100, 4 << 20]


async def test_a_closed_store_is_unavailable(store: SqliteStore) -> None:
    await store.create(record(state=states.FAILED), first())
    await store.close()
    for call in (store.page(before=None, limit=1), store.append("solveJobs/a", 0, bytes_of(2)), store.delete("b")):
        with pytest.raises(StoreUnavailable, match="closed"):
            await call


async def test_deleted_jobs_give_their_space_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "FREE_BYTES", 1 << 20)
    store = await SqliteStore.open(tmp_path / FILE)
    for name in "ab":
        await store.create(record(name), first())
        for seq in range(2, 202):
            await store.append(name, 0, Block(seq, seq, bytes(60_000)), JobChange(checkpoint=bytes(10_000)))
    for name in "ab":
        await store.update(name, JobChange(state=states.SUCCEEDED))

    def size() -> int:
        return (tmp_path / FILE).stat().st_size

    full = size()
    assert full > 22_000_000
    await store.delete("a")
    with pytest.raises(UnknownJob):
        await store.read("a", 0)
    await asyncio.to_thread(wait_for, lambda: size() < full - 9_000_000, "the space of one job")
    assert len(await store.read("b", 0, max_bytes=1 << 30)) == 201
    await store.delete("b")
    await store.close()
    # What a process leaves behind when it ends, the next one sweeps.
    store = await SqliteStore.open(tmp_path / FILE)
    await asyncio.to_thread(wait_for, lambda: size() < 3_000_000, "the space of both")
    await store.close()


async def test_memory_holds_the_end_of_a_journal_only(store: SqliteStore) -> None:
    await store.create(record(), first())
    blocks = [Block(seq, seq, bytes([seq]) * 50_000) for seq in range(2, 102)]
    for block in blocks:
        await store.append("solveJobs/a", 0, block)
    assert store._jobs["solveJobs/a"].blocks_bytes <= 1 << 20
    seen: list[Block] = []
    while page := await store.read("solveJobs/a", seen[-1].last_seq if seen else 1):
        seen += page
    assert seen == blocks
