"""Machine code kept on disk, so that it is compiled once a machine.

A file a module, named by a digest of all that it was made from. It is trusted only if it lies in a directory of this
user that nobody else may write to, and its own digest is right; else it is made again. Nothing here may fail a run: a
full or read-only disk means that the next process compiles, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

VARIABLE = "NABLAD_CACHE_DIR"
"""Where to keep it instead of the user's cache directory; empty for nowhere."""


def directory() -> Path | None:
    """Where machine code is kept, None for nowhere."""
    chosen = os.environ.get(VARIABLE)
    if chosen is not None:
        return Path(chosen) if chosen else None
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "nablad" / "kernels"
    except RuntimeError:  # a user without a home
        return None


def kept(parts: Iterable[str], make: Callable[[], bytes]) -> bytes:
    """What `make` makes of these parts, from disk if it was made before."""
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    place = directory()
    if place is None:
        return make()
    with contextlib.suppress(OSError):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = _read(place / name) if _ours(place) else None
        if found is not None:
            return found
    made = make()
    with contextlib.suppress(OSError):
        if _ours(place):
            _write(place / name, made)
    return made


def _ours(place: Path) -> bool:
    """Whether nobody else can put code there."""
    status = place.stat()
    return status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o022


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, code = content[:32], content[32:]
    return code if hashlib.sha256(code).digest() == digest else None


def _write(path: Path, code: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(code).digest() + code)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
