"""Jobs and their journals, behind one interface: interface (what a store is), memory (in this process)."""

from nablad.server.store.interface import (
    Block,
    Finished,
    JobChange,
    JobRecord,
    NotContiguous,
    StaleEpoch,
    Store,
    StoreError,
    UnknownJob,
)
from nablad.server.store.memory import MemoryStore

__all__ = [
    "Block",
    "Finished",
    "JobChange",
    "JobRecord",
    "MemoryStore",
    "NotContiguous",
    "StaleEpoch",
    "Store",
    "StoreError",
    "UnknownJob",
]
