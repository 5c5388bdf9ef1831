"""A store in one SQLite file: store (what the server calls), writer (the one thread that writes), rows (records and
blocks as rows), database (connections and their errors), migrations (the schema, step by step).
"""

from nablad.server.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
