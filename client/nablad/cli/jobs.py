"""`nablad jobs`: list, show, watch and cancel the jobs of a running server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nablad.cli.connect import connect
from nablad.cli.errors import CommandError, Exit, nearest
from nablad.cli.live import follow
from nablad.cli.methods import shown
from nablad.cli.tables import Column, count, fits, is_live, line, number, seconds, show
from nablad.cli.trace import Trace, loss_chart

if TYPE_CHECKING:
    from rich.console import Console

    from nablad.client import Client, Iterate, Job, Result, Thinning

STATES = ("queued", "running", "succeeded", "failed", "cancelled")
_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
_PREFIX = "solveJobs/"


def full_name(name: str) -> str:
    """A job's resource name, given with or without its prefix."""
    return name if name.startswith(_PREFIX) else _PREFIX + name


def list_jobs(console: Console, server: str, states: Sequence[str], limit: int) -> Exit:
    """The newest jobs, one a row."""
    states = [state.lower() for state in states]
    for state in states:
        if state not in STATES:
            raise CommandError(f"--state {state}{nearest(state, STATES) or ' is not one of ' + ', '.join(STATES)}")
    rows: list[list[str]] = []
    with connect(server, workers=1) as client:
        for job in client.jobs(states=[state.upper() for state in states]):
            if len(rows) == limit:
                break
            rows.append(_row(job))
    if not rows:
        line(console, "No jobs.")
        return Exit.CONVERGED
    columns = [
        Column("job"),
        Column("state"),
        Column("status"),
        Column("iteration", True),
        Column("best loss", True),
        Column("age", True),
        Column("title"),
    ]
    if fits(console, columns, rows):
        show(console, columns, rows)
    else:
        _show_narrow(console, rows)
    return Exit.CONVERGED


def _show_narrow(console: Console, rows: Sequence[Sequence[str]]) -> None:
    """Two lines a job, where a row of the table would not fit: name and status, or its state before; then the rest."""
    for name, state, status, iteration, loss, age, title in rows:
        progress = "" if iteration == "-" else f"iteration {iteration}  best loss {loss}  "
        line(console, f"{name}  {state if status == '-' else status}", "bold")
        line(console, f"  {progress}{age} old  {title}".rstrip())


def _row(job: Job) -> list[str]:
    last, best = job.last_iterate, job.best_iterate
    return [
        job.name.removeprefix(_PREFIX),
        _state(job),
        job.status or "-",
        count(last.iteration if last else None),
        number(best.loss if best else None),
        _age(job.create_time),
        job.title,
    ]


def _state(job: Job) -> str:
    state = job.state.lower()
    return f"{state}, {count(job.queue_position)} before it" if job.queue_position else state


def _age(moment: datetime | None) -> str:
    return "-" if moment is None else seconds((datetime.now(UTC) - moment).total_seconds())


def _find(client: Client, name: str) -> Job:
    from nablad.client import NotFound

    try:
        return client.job(full_name(name))
    except NotFound as error:
        raise CommandError(f"{error}; `nablad jobs list` shows those there are") from error


def show_job(console: Console, server: str, name: str) -> Exit:
    """Everything about one job."""
    from nablad.client import JobFailed

    with connect(server, workers=1) as client:
        job = _find(client, name)
        job.refresh()
        rows = [
            ("job", job.name),
            ("title", job.title or "-"),
            ("state", _state(job)),
            ("created", _time(job.create_time)),
        ]
        rows += [("started", _time(job.start_time)), ("ended", _time(job.end_time))]
        rows += _iterate_rows("last iterate", job.last_iterate) + _iterate_rows("best iterate", job.best_iterate)
        _facts(console, rows)
        if job.state in _ENDED:
            try:
                _show_result(console, job.result())
            except JobFailed as error:
                line(console)
                line(console, str(error))
    return Exit.CONVERGED


def _time(moment: datetime | None) -> str:
    return "-" if moment is None else moment.astimezone().isoformat(" ", "seconds")


def _iterate_rows(name: str, iterate: Iterate | None) -> list[tuple[str, str]]:
    if iterate is None:
        return []
    text = f"iteration {count(iterate.iteration)}  loss {number(iterate.loss, 15)}"
    return [(name, f"{text}  gradient norm {number(iterate.gradient_norm, 3)}  {seconds(iterate.seconds)}")]


def _facts(console: Console, rows: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        line(console, f"{name:<{width}}  {text}")


def _show_result(console: Console, result: Result) -> None:
    evidence, times = result.evidence, result.times
    rows = [
        ("status", result.status),
        ("message", result.message),
        ("method", _method(result)),
        ("loss", number(result.loss, 15)),
        ("iterations", f"{count(result.iterations)}, the best at {count(result.best_iteration)}"),
        (
            "gradient norm",
            f"{number(evidence.gradient_norm, 3)}, relative {number(evidence.relative_gradient_norm, 3)}",
        ),
        ("point", str(evidence.verdict).lower()),
        ("curvature", _range(evidence.smallest_curvature, evidence.largest_curvature)),
        ("condition", number(evidence.condition, 3)),
        ("rank", count(evidence.rank)),
        *evidence.told(result.theta.size),
        ("time", f"{seconds(times.total)}, of which evaluation {seconds(times.evaluation)}"),
    ]
    if result.statistics is not None:
        rows.append(("statistics", result.statistics.summary))
    line(console)
    _facts(console, rows)
    line(console)
    show(console, [Column("setting"), Column("in force")], sorted(result.settings_used.items()))
    line(console)
    show(
        console,
        [Column("parameter"), Column("shape"), Column("values")],
        [
            (name, " x ".join(map(str, array.shape)) or "()", _values(array.reshape(-1).tolist()))
            for name, array in result.parameters.items()
        ],
    )


def _method(result: Result) -> str:
    label, _ = shown(result.settings_used.get("method", ""))
    return f"{label}. {result.method_reason}" if result.method_reason else label


def _range(low: float | None, high: float | None) -> str:
    return "-" if low is None and high is None else f"{number(low)} to {number(high)}"


def _values(values: Sequence[float]) -> str:
    text = "  ".join(number(value) for value in values[:4])
    return text + (f"  ... ({count(len(values))})" if len(values) > 4 else "")


@dataclass(frozen=True)
class WatchOptions:
    """What a watcher wants to see; at most one of the thinning rules."""

    after_seq: int
    every: int | None
    interval: float | None
    per_decade: int | None
    budget: int | None


def watch_job(console: Console, server: str, name: str, options: WatchOptions) -> Exit:
    """Follow a job to its end: a curve on a terminal, a line an iterate in a pipe. Ctrl-C only stops watching."""
    thinning = _thinning(options, default_per_decade=40 if is_live(console) else None)
    with connect(server, workers=1) as client:
        job = _find(client, name)
        run = job.watch(after_seq=options.after_seq, thinning=thinning)
        if not is_live(console):
            for iterate in run:
                line(console, _iterate_line(iterate))
            result = run.result()
        else:
            job.refresh()
            _, look = shown(job.model_summary.method)
            trace = Trace(job.name.removeprefix(_PREFIX)[:8], look)
            if not follow(console, [(trace, run)], loss_chart(job.title or job.name), cancel=False):
                line(console, f"Stopped watching; the job goes on: nablad jobs watch {name}")
                return Exit.INTERRUPTED
            result = trace.result or run.result()
        line(console, f"{result.status}  {result.message}")
    return Exit.CONVERGED if result.success else Exit.NOT_CONVERGED


def _iterate_line(iterate: Iterate) -> str:
    return (
        f"seq {iterate.seq}  iteration {iterate.iteration}  loss {number(iterate.loss, 15)}"
        f"  gradient norm {number(iterate.gradient_norm, 6)}  step {number(iterate.step_size, 6)}"
        f"  {iterate.seconds:.6f} s"
    )


def _thinning(options: WatchOptions, default_per_decade: int | None) -> Thinning | None:
    from nablad.client import Thinning

    given = [
        rule
        for rule in (
            options.every is not None and Thinning.every(options.every, omit_theta=True),
            options.interval is not None and Thinning.interval(options.interval, omit_theta=True),
            options.per_decade is not None and Thinning.per_decade(options.per_decade, omit_theta=True),
            options.budget is not None and Thinning.budget(options.budget, omit_theta=True),
        )
        if rule
    ]
    if len(given) > 1:
        raise CommandError("give one of --every, --interval, --per-decade and --budget")
    if given:
        return given[0]
    return Thinning.per_decade(default_per_decade, omit_theta=True) if default_per_decade else None


def cancel_jobs(console: Console, server: str, names: Sequence[str]) -> Exit:
    """Ask jobs to end at their best points."""
    with connect(server, workers=1) as client:
        for name in names:
            job = _find(client, name)
            if job.refresh().state in _ENDED:
                line(console, f"{job.name}: had ended before, {job.state.lower()}")
                continue
            job.cancel()
            line(console, f"{job.name}: asked to end at its best point; nablad jobs show {name} tells it")
    return Exit.CONVERGED
