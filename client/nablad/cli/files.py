"""Files that a command writes: refused before the work if they cannot be written, and never left half written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from nablad.cli.errors import CommandError


def check_writable(path: Path, suffixes: Sequence[str]) -> None:
    """Raise CommandError unless the path has one of the suffixes and a file can be made there."""
    if path.suffix.lower() not in suffixes:
        raise CommandError(f"{path}: the name must end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise CommandError(f"{path} is a directory")
    if not path.parent.is_dir():
        raise CommandError(f"{path}: there is no directory {path.parent}")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write beside the path, then rename: a reader sees the old file or the whole new one."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            write(stream)
        # mkstemp makes files private; a file that somebody asked for has the usual permissions.
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise CommandError(f"{path} cannot be written: {error.strerror}") from None
        raise
