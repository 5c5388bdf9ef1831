"""Watching runs: curves that grow on a terminal, plain lines in a pipe, and a clean end on Ctrl-C.

Each run is read by a thread of its own, so that several race at once and the display keeps its pace; the main thread
draws, and is where Ctrl-C arrives.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nablad.cli.chart import Chart
from nablad.cli.curves import NARROW, draw
from nablad.cli.tables import ascii_only, count, is_live, line, number, seconds
from nablad.cli.trace import ChartOf, Trace

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

    from nablad.client import Run

_FRAMES_PER_SECOND = 12.0
_PLAIN_SECONDS = 1.0
# How long a cancelled run may take to hand over its best point.
_CANCEL_SECONDS = 15.0
_TALLEST = 26


def follow(
    console: Console, pairs: Sequence[tuple[Trace, Run]], chart_of: ChartOf, *, quiet: bool = False, cancel: bool = True
) -> bool:
    """Show runs until all have ended; False if Ctrl-C ended them early.

    Ctrl-C cancels the runs (with `cancel`; otherwise it only stops watching) and waits for their best points. What each
    run came to is in its trace; the first error of one, once the others have been cancelled, is raised.
    """
    traces = [trace for trace, _ in pairs]
    threads = [threading.Thread(target=_read, args=pair, daemon=True) for pair in pairs]
    completed = True
    with _display(console, traces, chart_of, quiet) as refresh:
        for thread in threads:
            thread.start()
        try:
            _wait(threads, traces, refresh)
        except KeyboardInterrupt:
            completed = False
        if not completed or any(trace.error for trace in traces):
            if cancel:
                _cancel(pairs, threads)
            refresh()
    for trace in traces:
        if trace.error is not None:
            raise trace.error
    return completed


def _read(trace: Trace, run: Run) -> None:
    try:
        for event in run.events():
            trace.take(event)
        trace.result = run.result()
    except Exception as error:
        trace.error = error


def _wait(threads: Sequence[threading.Thread], traces: Sequence[Trace], refresh: _Refresh) -> None:
    while any(thread.is_alive() for thread in threads) and not any(trace.error for trace in traces):
        refresh()
        time.sleep(1.0 / _FRAMES_PER_SECOND)
    refresh()


def _cancel(pairs: Sequence[tuple[Trace, Run]], threads: Sequence[threading.Thread]) -> None:
    for (_, run), thread in zip(pairs, threads, strict=True):
        if thread.is_alive():
            run.cancel()
    deadline = time.monotonic() + _CANCEL_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


class _Refresh:
    """Draws the present state; called at the display's pace and once at the end."""

    def __call__(self) -> None: ...


@contextmanager
def _display(console: Console, traces: Sequence[Trace], chart_of: ChartOf, quiet: bool) -> Iterator[_Refresh]:
    if quiet:
        yield _Refresh()
    elif not is_live(console):
        yield _PlainLines(console, traces, chart_of(traces))
    else:
        from rich.live import Live

        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
            yield _Frames(live, console, traces, chart_of)


class _Frames(_Refresh):
    def __init__(self, live: Live, console: Console, traces: Sequence[Trace], chart_of: ChartOf) -> None:
        self._live, self._console, self._traces, self._chart_of = live, console, traces, chart_of

    def __call__(self) -> None:
        self._live.update(frame(self._console, self._traces, self._chart_of(self._traces)), refresh=True)


class _PlainLines(_Refresh):
    """A title, then a line a second for each run that goes on, and one for its end."""

    def __init__(self, console: Console, traces: Sequence[Trace], chart: Chart) -> None:
        self._console, self._traces = console, traces
        self._next = time.monotonic() + _PLAIN_SECONDS
        self._ended: set[str] = set()
        line(console, chart.title)

    def __call__(self) -> None:
        due = time.monotonic() >= self._next
        for trace in self._traces:
            if trace.result is not None and trace.label not in self._ended:
                self._ended.add(trace.label)
                line(self._console, f"{_progress(trace)}  {trace.result.status}")
            elif due and trace.label not in self._ended and trace.last is not None:
                line(self._console, _progress(trace))
        if due:
            self._next = time.monotonic() + _PLAIN_SECONDS


def _progress(trace: Trace) -> str:
    last = trace.last
    if last is None:
        return f"{trace.label}: {trace.waiting}"
    return (
        f"{trace.label}: iteration {count(last.iteration)}  loss {number(last.loss, 10)}"
        f"  gradient norm {number(last.gradient_norm, 3)}  {seconds(last.seconds)}"
    )


def frame(console: Console, traces: Sequence[Trace], chart: Chart) -> RenderableType:
    """The chart above a line for each run, fitting the terminal as it is now."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    height = min(_TALLEST, console.height - len(traces) - 2)
    picture = draw(chart, console.width, height, ascii_only(console))
    if console.width < NARROW:
        return picture
    states = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "left", "left", "right", "left"):
        states.add_column(justify=justify, no_wrap=True)
    for trace in traces:
        states.add_row(*_state_cells(trace))
    return Group(picture, Text(), states)


def _state_cells(trace: Trace) -> list[str | Text]:
    from rich.text import Text

    name, last = Text(trace.label, style=f"bold {trace.look.terminal_color}"), trace.last
    if last is None:
        return [name, "", trace.waiting]
    if trace.result is not None:
        family = trace.result.family.lower()
        # Of the user's endings there is one.
        state = Text("cancelled" if family == "user" else family, style="bold" if trace.result.success else "")
    else:
        state = Text("running", style="dim")
    return [
        name,
        count(last.iteration),
        f"loss {number(last.loss, 6)}",
        f"gradient {number(last.gradient_norm, 2)}",
        seconds(last.seconds),
        state,
    ]
