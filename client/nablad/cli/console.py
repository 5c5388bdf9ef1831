"""The console that commands print to."""

from __future__ import annotations

import sys

from rich.console import Console


class PipeConsole(Console):
    """A console that reports a reader that has gone, where rich would exit by itself."""

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError, which errors.py turns into its exit code."""
        raise BrokenPipeError


def make_console() -> Console:
    """Standard output, with '?' for characters that its encoding lacks."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    return PipeConsole(highlight=False)
