"""What goes wrong, in one line on stderr, and as which exit code."""

from __future__ import annotations

import difflib
import functools
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Annotated, Any

import typer


class Exit(IntEnum):
    """The exit codes of `nablad`. Wrong usage is 2, as everywhere."""

    CONVERGED = 0
    ERROR = 1
    NOT_CONVERGED = 3
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class CommandError(Exception):
    """Something that the user can put right: one plain line, and if it helps a picture of the place below it."""

    def __init__(self, line: str, picture: str = "") -> None:
        super().__init__(line)
        self.picture = picture


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known name that is closest, or nothing."""
    by_folded = {each.casefold(): each for each in known}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return f"; did you mean {by_folded[matches[0]]!r}?" if matches else ""


_Debug = Annotated[bool, typer.Option("--debug", metavar="", help="Show the traceback of an error.")]


def command(function: Callable[..., Exit]) -> Callable[..., None]:
    """Make a function a command: its return value is the exit code, errors are one line, and it takes `--debug`."""
    signature = inspect.signature(function, eval_str=True)
    option = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Debug)

    @functools.wraps(function)
    def run(*, debug: bool, **arguments: Any) -> None:
        raise typer.Exit(int(_exit_code(function, arguments, debug)))

    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), option], return_annotation=None
    )
    del run.__dict__["__wrapped__"]
    run.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()} | {"debug": _Debug}
    return run


def _exit_code(function: Callable[..., Exit], arguments: dict[str, Any], debug: bool) -> Exit:
    try:
        code = function(**arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader has gone; the interpreter's own flush at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.BROKEN_PIPE
    except Exception as error:
        if debug:
            traceback.print_exc()
        elif not _is_foreseen(error):
            print(
                f"nablad: unexpected {type(error).__name__}: {_one_line(error)} (--debug shows where)", file=sys.stderr
            )
            return Exit.ERROR
        print(f"nablad: {_one_line(error)}", file=sys.stderr)
        if isinstance(error, CommandError) and error.picture:
            print(error.picture, file=sys.stderr)
        return Exit.ERROR
    return code


def _is_foreseen(error: Exception) -> bool:
    if isinstance(error, CommandError | OSError):
        return True
    # A NabladError can only come from a client library that is already imported; importing it to ask would be slow.
    client = sys.modules.get("nablad.client")
    return client is not None and isinstance(error, client.NabladError)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
