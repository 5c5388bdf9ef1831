"""Connections to a store's file, and what their errors mean.

Write-ahead logging: readers see the last commit and wait for nobody, and an interrupted write is as if it had not
begun. Who writes chooses with each transaction whether it must survive a power cut (`durable`: FULL, one flush of the
disk) or only the end of the process (NORMAL: none).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nablad.server.store.interface import StoreFull, StoreUnavailable

LOG_BYTES = 16 << 20
"""The log is cut back to so many once it has been copied into the file."""


def connect(path: Path) -> sqlite3.Connection:
    """The connection that writes; it makes the file. sqlite3.Error."""
    connection = _connect(path)
    try:
        # Only a file without tables takes it: pages that are free can then be given back bit by bit.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise sqlite3.OperationalError(f"this file system has no shared memory for the log, only mode {mode}")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads a file that is there."""
    connection = _connect(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    # Transactions are ours to begin and end; one thread at a time has a connection, not always the one that made it.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


def set_durable(connection: sqlite3.Connection, durable: bool) -> None:
    """Whether the commits from here on wait for the disk. Not within a transaction, where it would do nothing."""
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """Everything within, or nothing; with DEFERRED, reads of one moment."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors have ended it already
            connection.execute("ROLLBACK")
        raise


def unavailable(error: sqlite3.Error) -> StoreUnavailable:
    """What a store tells of an error: the code decides."""
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL:
        return StoreFull("the store's disk is full")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreUnavailable(f"the store cannot be used: {error} ({name})")
