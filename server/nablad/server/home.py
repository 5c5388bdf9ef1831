"""The directory that one server works in: its own by a lock, and gone with it where it is a temporary one.

The lock is on the open file `lock` inside, so that the system lets go of it with the process, however that ends. A
server that was killed leaves its temporary directory behind; whoever starts next finds nobody holding its lock, and
removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "nablad-server-"
LEFT_SECONDS = 60.0
"""A younger directory may be one whose server has not locked it yet."""


class InUse(Exception):
    """Another server holds the directory's lock."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is in use")
        self.path = path


@contextmanager
def home(path: Path | None) -> Iterator[Path]:
    """The directory, made and locked; a temporary one where `path` is None. InUse; OSError."""
    if path is not None:
        path.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            yield path
        return
    _remove_what_was_left()
    made = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with _locked(made):
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(path) from None
        yield
    finally:
        os.close(descriptor)


def _remove_what_was_left() -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(InUse, OSError):
            found = path.stat()
            if found.st_uid == os.getuid() and time.time() - found.st_mtime > LEFT_SECONDS:
                with _locked(path):
                    shutil.rmtree(path, ignore_errors=True)
