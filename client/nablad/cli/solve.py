"""`nablad solve`: fit a linear model, a network or a formula to a CSV file, and say how well."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nablad.cli import bundled
from nablad.cli.boxes import check_names, linear_bounds, parse_bounds
from nablad.cli.connect import connect
from nablad.cli.csv_data import Table, read_table
from nablad.cli.errors import CommandError, Exit
from nablad.cli.files import check_writable
from nablad.cli.fitting import SOFTMAX, SQUARED_ERROR, Problem, build_model, prepare, rows_of
from nablad.cli.formula import Formula, expression, formula_of
from nablad.cli.live import follow
from nablad.cli.methods import Settings, in_options, method_of, shown
from nablad.cli.plotting import check_plot, write_plot
from nablad.cli.report import Report
from nablad.cli.trace import Trace, loss_chart
from nablad.client.words import counted

if TYPE_CHECKING:
    from rich.console import Console

    from nablad.client import Client, Expression, LeastSquares, Method, Network, Run

# The arguments of the client library in the words of the command line.
_OPTIONS = {
    "method.step": "--step-size",
    "method.momentum": "--momentum",
    "method.learning_rate": "--learning-rate",
    "method.batch_size": "--batch-size",
    "method": "--method",
    "bounds": "--bounds",
    "start": "--start",
    "model.ridge": "--ridge",
    "model.layers": "--layers",
    "model.features": "the features",
    "model.inputs": "the features",
    "model.targets": "the target",
    "stopping.max_iterations": "--max-iterations",
    "stopping.max_time": "--max-seconds",
}


@dataclass(frozen=True)
class SolveOptions:
    """The options of `nablad solve`, as given."""

    data: str
    target: str | None
    features: str | None
    model: str | None
    start: str | None
    bounds: str | None
    layers: str | None
    loss: str | None
    method: str
    settings: Settings
    max_iterations: int | None
    max_seconds: float | None
    ridge: float | None
    intercept: bool
    standardize: bool
    test_split: float | None
    seed: int
    drop_missing: bool
    server: str | None
    save: Path | None
    plot: Path | None
    quiet: bool


def solve(console: Console, options: SolveOptions) -> Exit:
    """Read, fit, watch, report, save. Everything that can be refused is refused before the solve."""
    if options.save is not None:
        check_writable(options.save, (".npz",))
    if options.plot is not None:
        check_plot(options.plot)
    method = method_of(options.method, options.settings)
    formula = formula_of(options.model, options.start)
    _check_combination(options, formula)
    table, loss = _read(options, formula)
    problem = prepare(
        table,
        standardize=options.standardize,
        test_split=options.test_split,
        seed=options.seed,
        intercept=options.intercept,
    )
    model = _model(problem, formula, loss, options)
    bounds = _bounds(problem, formula, model, options)
    width = len(table.feature_names)
    title = f"{_short_name(table.source)}: {table.target_name} from {counted(width, 'feature')}"
    chart_of = loss_chart(f"{title}, {rows_of(len(problem.train.target))}")
    with connect(options.server, workers=1) as client:
        run = _start(client, model, method, bounds, options, title)
        trace = Trace(*shown(run.job.model_summary.method))
        completed = follow(console, [(trace, run)], chart_of, quiet=options.quiet)
        result = trace.result
        if result is None:
            raise CommandError("interrupted, and the server did not answer the cancel in time")
        report = Report(console, problem, model, result, options.quiet, options.settings)
        for warning in dict.fromkeys(trace.warnings):
            report.tell(f"Note: {warning}")
        report.show(client, options.save, _metadata(options))
    if options.plot is not None:
        write_plot(options.plot, [chart_of([trace])])
        report.say(f"Picture written to {options.plot}")
    if not completed:
        return Exit.INTERRUPTED
    if result.success:
        return Exit.CONVERGED
    return Exit.ERROR if result.family == "FAILED" else Exit.NOT_CONVERGED


def _check_combination(options: SolveOptions, formula: Formula | None) -> None:
    """What belongs to another kind of model."""
    if options.settings.epochs is not None and options.max_iterations is not None:
        raise CommandError("--epochs and --max-iterations are the same limit; give one of them")
    if formula is None:
        return
    others = {
        "--layers": options.layers is not None,
        "--loss": options.loss is not None,
        "--ridge": options.ridge is not None,
        "--features": options.features is not None,
        "--no-intercept": not options.intercept,
        "--standardize": options.standardize,
    }
    given = next((name for name, is_given in others.items() if is_given), None)
    if given is not None:
        raise CommandError(f"{given} is for linear models and networks; a --model says everything itself")


def _read(options: SolveOptions, formula: Formula | None) -> tuple[Table, str]:
    path, known = bundled.find(options.data)
    target = options.target or (known.target if known else None)
    loss = options.loss or (SOFTMAX if known and known.labels and target == known.target else SQUARED_ERROR)
    named = _names(options.features) if options.features is not None else None
    table = read_table(
        path,
        target,
        named if formula is None else formula.columns_used,
        labels=loss == SOFTMAX,
        drop_missing=options.drop_missing,
        name=known.name if known else None,
    )
    if loss == SOFTMAX and not 2 <= len(table.classes) <= table.rows // 2:
        raise CommandError(
            f"{table.source}: {target!r} has {len(table.classes)} different values in {rows_of(table.rows)}:"
            " no classes; --loss squared_error fits numbers"
        )
    return table, loss


def _names(text: str) -> list[str]:
    """The names of a list; as in a CSV file, quotes are for names with a comma."""
    names = [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
    if not names or not all(names):
        raise CommandError(f"--features {text!r}: a name is empty; write them as A,B,C")
    return names


def _model(
    problem: Problem, formula: Formula | None, loss: str, options: SolveOptions
) -> LeastSquares | Network | Expression:
    if formula is not None:
        return expression(formula, problem.columns(problem.train), problem.train.target)
    return build_model(
        problem, options.layers, loss, intercept=options.intercept, ridge=options.ridge, seed=options.seed
    )


def _bounds(
    problem: Problem, formula: Formula | None, model: LeastSquares | Network | Expression, options: SolveOptions
) -> dict[str, tuple[Any, Any]] | None:
    from nablad.client import LeastSquares

    if options.bounds is None:
        return None
    box = parse_bounds(options.bounds)
    if isinstance(model, LeastSquares):
        return linear_bounds(box, problem.table.feature_names, options.intercept, problem.scaling)
    if formula is not None:
        check_names(box, tuple(formula.start))
    return dict(box)


def _start(
    client: Client,
    model: LeastSquares | Network | Expression,
    method: Method | None,
    bounds: dict[str, tuple[Any, Any]] | None,
    options: SolveOptions,
    title: str,
) -> Run:
    from nablad.client import InvalidRequest, RecordTheta, Stopping, Thinning

    limit = options.max_iterations if options.settings.epochs is None else options.settings.epochs
    try:
        return client.solve(
            model,
            method,
            bounds=bounds,
            stopping=Stopping(max_iterations=limit, max_time=options.max_seconds),
            record_theta=RecordTheta.never(),
            thinning=Thinning.per_decade(40, omit_theta=True),
            title=title[:120],
            cancel_when_unwatched=True,
        )
    except InvalidRequest as error:
        if not error.violations:
            raise
        raise CommandError(_in_options(error.violations[0].field, error.violations[0].description)) from error


def _in_options(field: str, description: str) -> str:
    """What is wrong with an argument of the client library, in the words of the command line."""
    known = next((argument for argument in _OPTIONS if field.startswith(argument)), None)
    if known is None:
        return f"{field}: {description}"
    named = re.search(r"\['(.+?)'\]", field)  # bounds['k']
    option = f"{_OPTIONS[known]} {named[1]}" if named else _OPTIONS[known]
    return f"{option}: {in_options(description) if known.startswith('method') else description}"


def _short_name(source: str) -> str:
    return source if source == "standard input" else Path(source).stem


def _metadata(options: SolveOptions) -> dict[str, Any]:
    """What was asked for, as it is saved."""
    kept = ("model", "layers", "ridge", "seed", "test_split", "bounds")
    return {name: getattr(options, name) for name in kept}
