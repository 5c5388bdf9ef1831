"""Records and blocks as rows: what is small of a record in `jobs`, each of its larger parts in `parts`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from nablad.server.states import FINAL
from nablad.server.store.interface import Block, Finished, JobRecord
from nablad.server.store.job import PAGE_BLOCKS
from nablad.v1 import event_pb2

COLUMNS = (
    "name",
    "state",
    "create_time",
    "start_time",
    "end_time",
    "title",
    "request_id",
    "fingerprint",
    "datasets",
    "epoch",
    "deaths",
    "cancel_requested",
    "last_seq",
    "last_iterate",
    "best_iterate",
    "checkpoint_seq",
)
PARTS = ("spec", "summary", "outline", "best_point", "checkpoint", "result")
LISTED_PARTS = ("summary", "outline", "result")
"""What is left of them in a record that is outlined."""


@dataclass(frozen=True)
class _Form:
    """How a field is written in its column, where that is not as it is."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


_FORMS = {
    # Many jobs may have none: NULL is never a duplicate.
    "request_id": _Form(lambda text: text or None, lambda text: text or ""),
    "datasets": _Form(lambda names: json.dumps(sorted(names)), lambda text: frozenset(json.loads(text))),
    "cancel_requested": _Form(int, bool),
}


def _written(record: JobRecord, column: str) -> Any:
    value = getattr(record, column)
    return _FORMS[column].write(value) if column in _FORMS else value


def _read(row: sqlite3.Row, column: str) -> Any:
    return _FORMS[column].read(row[column]) if column in _FORMS else row[column]


# Writing


def insert(connection: sqlite3.Connection, record: JobRecord, journal_bytes: int) -> int:
    """Keeps a new job, whose journal has so many bytes; its ordinal."""
    names = ", ".join(COLUMNS)
    marks = ", ".join("?" * len(COLUMNS))
    made = connection.execute(
        f"INSERT INTO jobs ({names}, journal_bytes, record_bytes) VALUES ({marks}, ?, ?)",
        (*(_written(record, column) for column in COLUMNS), journal_bytes, record.size_bytes),
    )
    ordinal = made.lastrowid
    assert ordinal is not None
    _put_parts(connection, ordinal, {part: getattr(record, part) for part in PARTS if getattr(record, part)})
    if record.state in FINAL:
        _note_the_end(connection, ordinal)
    return ordinal


def update(connection: sqlite3.Connection, before: JobRecord, after: JobRecord, new_bytes: int) -> None:
    """Writes what is different, and that the journal has grown by so many bytes."""
    changed = [column for column in COLUMNS if getattr(after, column) != getattr(before, column)]
    parts = {part: getattr(after, part) for part in PARTS if getattr(after, part) != getattr(before, part)}
    values = [_written(after, column) for column in changed]
    assignments = [f"{column} = ?" for column in changed]
    if new_bytes:
        assignments.append("journal_bytes = journal_bytes + ?")
        values.append(new_bytes)
    if parts:
        assignments.append("record_bytes = ?")
        values.append(after.size_bytes)
    if assignments:
        connection.execute(f"UPDATE jobs SET {', '.join(assignments)} WHERE ordinal = ?", (*values, after.ordinal))
    _put_parts(connection, after.ordinal, parts)
    if after.state in FINAL and before.state not in FINAL:
        _note_the_end(connection, after.ordinal)


def _put_parts(connection: sqlite3.Connection, ordinal: int, parts: dict[str, bytes]) -> None:
    for part, data in parts.items():
        connection.execute("INSERT OR REPLACE INTO parts (job, part, data) VALUES (?, ?, ?)", (ordinal, part, data))


def _note_the_end(connection: sqlite3.Connection, ordinal: int) -> None:
    connection.execute(
        "UPDATE jobs SET ended = (SELECT coalesce(max(ended), 0) + 1 FROM jobs WHERE ended IS NOT NULL)"
        " WHERE ordinal = ?",
        (ordinal,),
    )


def insert_block(connection: sqlite3.Connection, ordinal: int, block: Block) -> None:
    """Adds to a journal."""
    connection.execute(
        "INSERT INTO blocks (job, last_seq, first_seq, data) VALUES (?, ?, ?, ?)",
        (ordinal, block.last_seq, block.first_seq, block.data),
    )


def delete(connection: sqlite3.Connection, ordinal: int) -> None:
    """Forgets a job; parts and blocks stay until they are swept."""
    connection.execute("DELETE FROM jobs WHERE ordinal = ?", (ordinal,))
    connection.execute("INSERT INTO leftovers (job) VALUES (?)", (ordinal,))


def sweep(connection: sqlite3.Connection, blocks: int) -> bool:
    """Removes at most so many blocks of what is left of deleted jobs; False where there was nothing."""
    row = connection.execute("SELECT job FROM leftovers LIMIT 1").fetchone()
    if row is None:
        return False
    job = row["job"]
    connection.execute("DELETE FROM parts WHERE job = ?", (job,))
    swept = connection.execute(
        "DELETE FROM blocks WHERE rowid IN (SELECT rowid FROM blocks WHERE job = ? LIMIT ?)", (job, blocks)
    )
    if swept.rowcount < blocks:
        connection.execute("DELETE FROM leftovers WHERE job = ?", (job,))
    return True


# Reading. What takes more than one statement wants a transaction around it.


def _records(
    connection: sqlite3.Connection, rows: Iterable[sqlite3.Row], parts: Collection[str] = PARTS
) -> list[JobRecord]:
    wanted = f"SELECT part, data FROM parts WHERE job = ? AND part IN ({', '.join('?' * len(parts))})"
    found = []
    for row in rows:
        large = {part["part"]: part["data"] for part in connection.execute(wanted, (row["ordinal"], *parts))}
        fields = {column: _read(row, column) for column in COLUMNS} | {"spec": b"", "summary": b""} | large
        found.append(JobRecord(ordinal=row["ordinal"], **fields))
    return found


def find(connection: sqlite3.Connection, name: str) -> JobRecord | None:
    """The job of a name."""
    found = _records(connection, connection.execute("SELECT * FROM jobs WHERE name = ?", (name,)).fetchall())
    return found[0] if found else None


def find_request(connection: sqlite3.Connection, request_id: str) -> JobRecord | None:
    """The job that a request has made."""
    rows = connection.execute("SELECT * FROM jobs WHERE request_id = ?", (request_id,)).fetchall()
    found = _records(connection, rows)
    return found[0] if found else None


def unfinished(connection: sqlite3.Connection) -> list[JobRecord]:
    """Every job that has not ended, the oldest first."""
    rows = connection.execute("SELECT * FROM jobs WHERE ended IS NULL ORDER BY ordinal").fetchall()
    return _records(connection, rows)


def page(
    connection: sqlite3.Connection,
    before: int | None,
    limit: int,
    states: Collection[event_pb2.JobState.ValueType],
) -> list[JobRecord]:
    """See Store.page."""
    conditions, values = ["1"], list[Any]()
    if before is not None:
        conditions.append("ordinal < ?")
        values.append(before)
    if states:
        conditions.append(f"state IN ({', '.join('?' * len(states))})")
        values += states
    query = f"SELECT * FROM jobs WHERE {' AND '.join(conditions)} ORDER BY ordinal DESC LIMIT ?"
    return _records(connection, connection.execute(query, (*values, limit)).fetchall(), LISTED_PARTS)


def finished(connection: sqlite3.Connection, limit: int) -> Finished:
    """See Store.finished."""
    sums = connection.execute(
        "SELECT count(*), coalesce(sum(journal_bytes + record_bytes), 0) FROM jobs WHERE ended IS NOT NULL"
    ).fetchone()
    oldest = connection.execute("SELECT name FROM jobs WHERE ended IS NOT NULL ORDER BY ended LIMIT ?", (limit,))
    return Finished(sums[0], sums[1], tuple(row["name"] for row in oldest))


def ordinal_of(connection: sqlite3.Connection, name: str) -> int | None:
    """Of the job of a name."""
    row = connection.execute("SELECT ordinal FROM jobs WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row["ordinal"])


def blocks(connection: sqlite3.Connection, ordinal: int, after_seq: int, until_seq: int, max_bytes: int) -> list[Block]:
    """A page of a journal, up to the block that ends with `until_seq`."""
    rows = connection.execute(
        "SELECT first_seq, last_seq, data FROM blocks WHERE job = ? AND last_seq > ? AND last_seq <= ?"
        " ORDER BY last_seq LIMIT ?",
        (ordinal, after_seq, until_seq, PAGE_BLOCKS),
    )
    found: list[Block] = []
    size = 0
    for row in rows:
        size += len(row["data"])
        if found and size > max_bytes:
            break
        found.append(Block(row["first_seq"], row["last_seq"], row["data"]))
    rows.close()  # or the read would go on, and the log could not be cut back
    return found
