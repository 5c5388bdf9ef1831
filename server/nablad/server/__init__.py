"""The service: a gRPC front, a pool of supervised worker processes, a store of jobs and their journals.

    settings     what a server may be told            states      the life of a job, as a table
    frames       what front and worker say            store       jobs and journals, behind an interface
    supervisor   worker processes                     scheduler   which job runs where, and what becomes of it
    thinning     which iterates a watcher sees        datasets    arrays as content-addressed files
    services     the gRPC handlers                    worker      what runs inside a worker process
    serving      a server from start to end

The front is one process with one event loop: no solve, validation or large decode ever runs on it, and it imports
neither scipy nor a compiler.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nablad.server.serving import serve
    from nablad.server.settings import Limits, Settings

__all__ = ["Limits", "Settings", "serve"]

_HOMES = {"serve": "serving", "Settings": "settings", "Limits": "settings"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
