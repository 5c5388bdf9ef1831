"""The schema of a store's file, as the steps that made it.

The file's user_version says how many of them it has seen. A step that has been released is never changed: what is to be
different is a further step. Each is one transaction, so that a file is of one version or of the next.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from nablad.server.store.interface import StoreTooNew
from nablad.server.store.sqlite.database import transaction

FIRST = (
    # What every block changes, and nothing large: an update writes the page that the row is on. The ordinal is never
    # given twice, not even after a delete: blocks that wait for their removal must not become another job's.
    """
    CREATE TABLE jobs (
        ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        state INTEGER NOT NULL,
        create_time INTEGER NOT NULL,
        start_time INTEGER NOT NULL,
        end_time INTEGER NOT NULL,
        title TEXT NOT NULL,
        request_id TEXT UNIQUE,
        fingerprint BLOB NOT NULL,
        datasets TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        deaths INTEGER NOT NULL,
        cancel_requested INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        last_iterate BLOB NOT NULL,
        best_iterate BLOB NOT NULL,
        checkpoint_seq INTEGER NOT NULL,
        journal_bytes INTEGER NOT NULL,
        record_bytes INTEGER NOT NULL,
        ended INTEGER
    )
    """,
    # The order of their ends, and what they take: retention reads nothing else.
    "CREATE INDEX jobs_ended ON jobs (ended, journal_bytes, record_bytes, name) WHERE ended IS NOT NULL",
    # What may be large in a record, a row each, as each is replaced at a time of its own.
    """
    CREATE TABLE parts (
        job INTEGER NOT NULL,
        part TEXT NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (job, part)
    )
    """,
    """
    CREATE TABLE blocks (
        job INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        first_seq INTEGER NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (job, last_seq)
    )
    """,
    # Jobs that are gone, but for their parts and blocks, which go piece by piece.
    "CREATE TABLE leftovers (job INTEGER PRIMARY KEY)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (FIRST,)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Brings the file to the newest version. StoreTooNew, and nothing done, where it is of a newer one."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(migrations):
        raise StoreTooNew(
            f"was written by a newer nablad: its schema has version {version}, and this nablad knows {len(migrations)}"
        )
    for number, statements in enumerate(migrations[version:], version + 1):
        with transaction(connection):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
