"""Jobs and their journals, behind one interface: interface (what a store is), memory (in this process)."""

from nablad.server.store.interface import (
    Block,
    JobChange,
    JobRecord,
    NotContiguous,
    StaleEpoch,
    Store,
    StoreError,
    UnknownJob,
    Usage,
)
from nablad.server.store.memory import MemoryStore

__all__ = [
    "Block",
    "JobChange",
    "JobRecord",
    "MemoryStore",
    "NotContiguous",
    "StaleEpoch",
    "Store",
    "StoreError",
    "UnknownJob",
    "Usage",
]
