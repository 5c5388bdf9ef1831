"""Jobs and their journals, behind one interface: interface (what a store is), memory (in this process), sqlite (in a
file).
"""

from nablad.server.store.interface import (
    Block,
    Finished,
    JobChange,
    JobRecord,
    NotContiguous,
    StaleEpoch,
    Store,
    StoreError,
    StoreFull,
    StoreTooNew,
    StoreUnavailable,
    UnknownJob,
)
from nablad.server.store.memory import MemoryStore
from nablad.server.store.sqlite import SqliteStore

__all__ = [
    "Block",
    "Finished",
    "JobChange",
    "JobRecord",
    "MemoryStore",
    "NotContiguous",
    "SqliteStore",
    "StaleEpoch",
    "Store",
    "StoreError",
    "StoreFull",
    "StoreTooNew",
    "StoreUnavailable",
    "UnknownJob",
]
