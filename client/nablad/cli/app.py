"""The command line's surface: every command with its options and help. What a command does is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nablad.cli.connect import DEFAULT_SERVER, require_server_extra
from nablad.cli.errors import Exit, command

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    name="nablad",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with `nablad demo`, then `nablad solve longley`. `nablad COMMAND --help` has examples.",
)
jobs_app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
app.add_typer(jobs_app, name="jobs", help="List, show, watch and cancel the jobs of a running server.")

_Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="HOST:PORT",
        envvar="NABLAD_SERVER",
        help="Use this server. One is started for the purpose unless given.",
    ),
]
_RunningServer = Annotated[
    str, typer.Option("--server", metavar="HOST:PORT", envvar="NABLAD_SERVER", help="The server to speak to.")
]
_Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Write the loss curves as a picture, .png or .svg.")
]
_Name = Annotated[str, typer.Argument(metavar="JOB", help="The job's name, with or without `solveJobs/`.")]


def _flag(*names: str, help: str, **options: Any) -> Any:
    """An option that takes no value, and whose help therefore shows none (typer 0.29 would show `<bool>`)."""
    return typer.Option(*names, metavar="", help=help, **options)


def _console() -> Console:
    from nablad.cli.console import make_console

    return make_console()


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"nablad {version('nablad')}")
        raise typer.Exit


@app.callback()
def nablad(
    _version: Annotated[
        bool, _flag("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """An optimization solver service built on computed gradients.

    Send a model, watch the iterates, get a solution that you can trust.
    """


@app.command()
@command
def serve(
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            metavar="HOST:PORT",
            help="Where to listen; 127.0.0.1:50051 unless given. Port 0 is any free one.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            metavar="DIR",
            help="Where jobs and datasets outlive the server; started again, it goes on with them. None unless given.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="How many solves run at once. One per core unless given.")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option("--log-format", help="text, json, or auto: text on a terminal. auto unless given.")
    ] = None,
    allow_remote_plaintext: Annotated[
        bool,
        _flag("--allow-remote-plaintext", help="Listen beyond this machine, unencrypted and open to everyone."),
    ] = False,
) -> Exit:
    """Run the solver service until Ctrl-C or SIGTERM.

    **Examples**

    `nablad serve`

    `nablad serve --listen 127.0.0.1:6000 --workers 4 --data-dir /var/lib/nablad`
    """
    require_server_extra()
    from nablad.cli.serve import serve as run

    return run(listen, data_dir, workers, log_format, allow_remote_plaintext)


@app.command()
@command
def demo(
    server: _Server = None,
    plot: _Plot = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="The time limit of each race.")] = 8.0,
    iterations: Annotated[int, typer.Option("--iterations", min=1, help="The iteration limit of each run.")] = 100_000,
) -> Exit:
    """Watch gradient descent and Newton's method race on real data.

    First a linear least-squares problem, then a small network, each solved by a real server process and streamed over
    gRPC. Ctrl-C cancels the runs and shows their best points.

    **Examples**

    `nablad demo`

    `nablad demo --plot race.png`

    `nablad demo --server localhost:50051 --seconds 3`
    """
    from nablad.cli.demo import DemoOptions
    from nablad.cli.demo import demo as run

    return run(_console(), DemoOptions(server, plot, seconds, iterations))


@app.command()
@command
def solve(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="A CSV file with a header, '-' for standard input, or norris, longley, breast_cancer."
        ),
    ],
    target: Annotated[str | None, typer.Option("--target", "-t", metavar="COLUMN", help="The column to fit.")] = None,
    features: Annotated[
        str | None,
        typer.Option(
            "--features", metavar="A,B,C", help="The columns to fit it with; all others that have a name unless given."
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            "--layers", metavar="WIDTH:ACTIVATION,...", help="Fit a network, such as 16:tanh,1. Linear unless given."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="FORMULA", help='Fit a formula of columns and parameters, such as "b1*(1-exp(-b2*x))".'
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="NAME=NUMBER,...", help="Where a formula's parameters begin; names them, too."),
    ] = None,
    bounds: Annotated[
        str | None,
        typer.Option(
            "--bounds", metavar="NAME=LOW:HIGH,...", help="Confine parameters, such as b1=0:,b2=-1:1; or coefficients."
        ),
    ] = None,
    loss: Annotated[
        str | None, typer.Option("--loss", help="squared_error for numbers, softmax_cross_entropy for classes.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            "-m",
            help="auto: chosen by the model. Or newton; levenberg-marquardt, gauss-newton (squared errors);"
            " lbfgs, bfgs, nonlinear-conjugate-gradient, gradient-descent (gradients alone);"
            " adam, sgd (batches of rows).",
        ),
    ] = "auto",
    step_size: Annotated[
        float | None, typer.Option("--step-size", help="Gradient descent's constant step; a line search unless given.")
    ] = None,
    momentum: Annotated[
        float | None, typer.Option("--momentum", help="Of gradient descent and sgd, in [0, 1).")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Of adam (0.001 unless given) and sgd.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Rows in a batch of adam and sgd; 32 unless given.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=0, help="Stop adam or sgd after so many passes over the rows.")
    ] = None,
    max_iterations: Annotated[
        int | None,
        typer.Option("--max-iterations", min=0, help="Stop after so many; the method's default unless given."),
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option("--max-seconds", min=0.001, help="Stop after this time; no limit unless given.")
    ] = None,
    ridge: Annotated[
        float | None, typer.Option("--ridge", min=0.0, help="Add ridge * (sum of squared weights) to the loss.")
    ] = None,
    no_intercept: Annotated[bool, _flag("--no-intercept", help="Fit no constant term (linear models).")] = False,
    standardize: Annotated[
        bool,
        _flag(
            "--standardize",
            help="Scale features to mean 0 and standard deviation 1 first; with --no-intercept, only the latter.",
        ),
    ] = False,
    test_split: Annotated[
        float | None,
        typer.Option("--test-split", metavar="SHARE", help="Hold out this share of the rows, such as 0.2."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the test split and a network's first weights.")] = 0,
    drop_missing: Annotated[
        bool, _flag("--drop-missing", help="Leave out rows that lack a value in a column used.")
    ] = False,
    server: _Server = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE.npz", help="Save the parameters for numpy.load.")
    ] = None,
    plot: _Plot = None,
    quiet: Annotated[bool, _flag("--quiet", "-q", help="Print nothing; the exit code tells.")] = False,
) -> Exit:
    """Fit a linear model, a network, or a formula of your own, to the columns of a CSV file.

    Fits by squared errors come with standard errors and 95% intervals of their parameters.

    Exit code: 0 converged, 1 error, 3 ended without convergence (the best point is shown and saved all the same), 130
    interrupted.

    **Examples**

    `nablad solve longley`

    `nablad solve data.csv --target price --standardize --test-split 0.2 --save price.npz`

    `nablad solve data.csv --target y --model "b1*(1-exp(-b2*x))" --start b1=500,b2=1e-4 --bounds b2=0:`

    `nablad solve data.csv --target price --features size,rooms --layers 16:tanh,1 --ridge 0.1`

    `nablad solve breast_cancer --standardize --ridge 0.1 --layers 4:tanh,2 --plot loss.svg`
    """
    from nablad.cli.methods import Settings
    from nablad.cli.solve import SolveOptions
    from nablad.cli.solve import solve as run

    options = SolveOptions(
        data=data,
        target=target,
        features=features,
        model=model,
        start=start,
        bounds=bounds,
        layers=layers,
        loss=loss,
        method=method,
        settings=Settings(step_size, momentum, learning_rate, batch_size, epochs),
        max_iterations=max_iterations,
        max_seconds=max_seconds,
        ridge=ridge,
        intercept=not no_intercept,
        standardize=standardize,
        test_split=test_split,
        seed=seed,
        drop_missing=drop_missing,
        server=server,
        save=save,
        plot=plot,
        quiet=quiet,
    )
    return run(_console(), options)


@jobs_app.command("list")
@command
def list_jobs(
    server: _RunningServer = DEFAULT_SERVER,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="Only these: queued, running, succeeded, failed, cancelled.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the newest first.")] = 50,
) -> Exit:
    """List the server's jobs.

    **Examples**

    `nablad jobs list`

    `nablad jobs list --state running --state queued`
    """
    from nablad.cli.jobs import list_jobs as run

    return run(_console(), server, state or [], limit)


@jobs_app.command("show")
@command
def show_job(name: _Name, server: _RunningServer = DEFAULT_SERVER) -> Exit:
    """Show everything about one job.

    **Example**

    `nablad jobs show solveJobs/01J9ZK`
    """
    from nablad.cli.jobs import show_job as run

    return run(_console(), server, name)


@jobs_app.command("watch")
@command
def watch_job(
    name: _Name,
    server: _RunningServer = DEFAULT_SERVER,
    after_seq: Annotated[int, typer.Option("--after-seq", min=0, help="Only events after this one.")] = 0,
    every: Annotated[int | None, typer.Option("--every", min=1, help="Iterations 0, n, 2n, ...")] = None,
    interval: Annotated[
        float | None, typer.Option("--interval", help="At most one iterate in so many seconds.")
    ] = None,
    per_decade: Annotated[
        int | None, typer.Option("--per-decade", min=1, help="So many iterates per decade of iterations.")
    ] = None,
    budget: Annotated[int | None, typer.Option("--budget", min=1, help="About so many over the whole run.")] = None,
) -> Exit:
    """Follow a job from its first event, or from any, to its end.

    A curve on a terminal; one line an iterate in a pipe. Ctrl-C stops the watching, and not the job. The exit code is
    that of `nablad solve`.

    **Examples**

    `nablad jobs watch solveJobs/01J9ZK`

    `nablad jobs watch 01J9ZK --after-seq 1200 --per-decade 10 > iterates.txt`
    """
    from nablad.cli.jobs import WatchOptions
    from nablad.cli.jobs import watch_job as run

    return run(_console(), server, name, WatchOptions(after_seq, every, interval, per_decade, budget))


@jobs_app.command("cancel")
@command
def cancel_jobs(
    names: Annotated[list[str], typer.Argument(metavar="JOB...", help="Jobs, with or without `solveJobs/`.")],
    server: _RunningServer = DEFAULT_SERVER,
) -> Exit:
    """Ask jobs to end at their best points.

    **Example**

    `nablad jobs cancel 01J9ZK 01J9ZM`
    """
    from nablad.cli.jobs import cancel_jobs as run

    return run(_console(), server, names)
