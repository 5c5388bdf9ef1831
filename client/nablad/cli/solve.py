"""`nablad solve`: fit a linear model or a network to a CSV file, and say how well."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nablad.cli import bundled
from nablad.cli.connect import connect
from nablad.cli.csv_data import Table, read_table
from nablad.cli.errors import CommandError, Exit, nearest
from nablad.cli.files import check_writable
from nablad.cli.fitting import (
    SOFTMAX,
    SQUARED_ERROR,
    LinearParameters,
    Problem,
    build_model,
    in_table_units,
    prepare,
    rows_of,
    score_classes,
    score_regression,
)
from nablad.cli.live import follow
from nablad.cli.plotting import check_plot, write_plot
from nablad.cli.saving import Fitted, save
from nablad.cli.tables import Column, count, line, number, seconds, show
from nablad.cli.trace import Trace, look_of, loss_chart

if TYPE_CHECKING:
    from rich.console import Console

    from nablad.client import Client, LeastSquares, Method, Network, Result, Run

NEWTON, GRADIENT_DESCENT = "newton", "gradient-descent"
# The arguments of the client library in the words of the command line.
_OPTIONS = {
    "method.step": "--step-size",
    "method.momentum": "--momentum",
    "model.ridge": "--ridge",
    "model.layers": "--layers",
    "model.features": "the features",
    "model.inputs": "the features",
    "model.targets": "the target",
    "stopping.max_iterations": "--max-iterations",
    "stopping.max_time": "--max-seconds",
}
# What the server's messages advise, in the words of the command line.
_ADVICE = {
    "LIMIT_ITERATIONS": "Here: --max-iterations allows more.",
    "LIMIT_TIME": "Here: --max-seconds allows more.",
    "FAILED_NONFINITE_START": "Here: the numbers are too large to be squared; write the columns in larger units.",
    "FAILED_DIVERGED": "Here: without --step-size, a line search finds the step.",
}
METHODS = {NEWTON: "Newton", GRADIENT_DESCENT: "gradient descent"}


@dataclass(frozen=True)
class SolveOptions:
    """The options of `nablad solve`, as given."""

    data: str
    target: str | None
    features: str | None
    layers: str | None
    loss: str | None
    method: str
    step_size: float | None
    momentum: float | None
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
    label = METHODS.get(options.method)
    if label is None:
        raise CommandError(
            f"--method {options.method}{nearest(options.method, METHODS) or ' is not one of ' + ', '.join(METHODS)}"
        )
    table, loss = _read(options)
    problem = prepare(
        table,
        standardize=options.standardize,
        test_split=options.test_split,
        seed=options.seed,
        intercept=options.intercept,
    )
    model = build_model(
        problem, options.layers, loss, intercept=options.intercept, ridge=options.ridge, seed=options.seed
    )
    method = _method(options)
    width = len(table.feature_names)
    title = f"{_short_name(table.source)}: {table.target_name} from {width} feature{'s' if width != 1 else ''}"
    trace = Trace(label, look_of(label))
    chart_of = loss_chart(f"{title}, {rows_of(len(problem.train.target))}")
    with connect(options.server, workers=1) as client:
        run = _start(client, model, method, options, title)
        completed = follow(console, [(trace, run)], chart_of, quiet=options.quiet)
        result = trace.result
        if result is None:
            raise CommandError("interrupted, and the server did not answer the cancel in time")
        report = _Report(console, options, problem, model, result)
        for warning in dict.fromkeys(trace.warnings):
            report.say(f"Note: {warning}")
        report.show(client)
    if options.plot is not None:
        write_plot(options.plot, [chart_of([trace])])
        report.say(f"Picture written to {options.plot}")
    if not completed:
        return Exit.INTERRUPTED
    if result.success:
        return Exit.CONVERGED
    return Exit.ERROR if result.family == "FAILED" else Exit.NOT_CONVERGED


def _read(options: SolveOptions) -> tuple[Table, str]:
    path, known = bundled.find(options.data)
    target = options.target or (known.target if known else None)
    loss = options.loss or (SOFTMAX if known and known.labels and target == known.target else SQUARED_ERROR)
    features = _names(options.features) if options.features is not None else None
    table = read_table(
        path,
        target,
        features,
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


def _start(client: Client, model: LeastSquares | Network, method: Method, options: SolveOptions, title: str) -> Run:
    from nablad.client import InvalidRequest, RecordTheta, Stopping, Thinning

    try:
        return client.solve(
            model,
            method,
            stopping=Stopping(max_iterations=options.max_iterations, max_time=options.max_seconds),
            record_theta=RecordTheta.never(),
            thinning=Thinning.per_decade(40, omit_theta=True),
            title=title[:120],
            cancel_when_unwatched=True,
        )
    except InvalidRequest as error:
        if not error.violations:
            raise
        field, description = error.violations[0].field, error.violations[0].description
        name = next((option for start, option in _OPTIONS.items() if field.startswith(start)), field)
        raise CommandError(f"{name}: {description}") from error


def _method(options: SolveOptions) -> Method:
    from nablad.client import GradientDescent, Newton

    if options.method == GRADIENT_DESCENT:
        return GradientDescent(step=options.step_size, momentum=options.momentum)
    for name, value in (("--step-size", options.step_size), ("--momentum", options.momentum)):
        if value is not None:
            raise CommandError(f"{name} is for --method gradient-descent")
    return Newton()


def _short_name(source: str) -> str:
    return source if source == "standard input" else Path(source).stem


@dataclass(frozen=True)
class _Report:
    """What is printed and saved of a result."""

    console: Console
    options: SolveOptions
    problem: Problem
    model: LeastSquares | Network
    result: Result

    def show(self, client: Client) -> None:
        """Save the parameters, then print outcome, scores and parameters: a reader that goes away costs no file."""
        result, table = self.result, self.problem.table
        scores = self._scores(client)
        if self.options.save is not None:
            self._save(scores)
        if table.unnamed:
            self.say(
                f"Note: left out, having no name in the header: {', '.join(table.unnamed)}; --features takes them."
            )
        self.say()
        self.say(f"{result.status}  {result.message}")
        if result.status in _ADVICE and (result.status != "FAILED_DIVERGED" or self.options.step_size is not None):
            self.say(_ADVICE[result.status])
        rows: list[tuple[str, str]] = [
            ("iterations", count(result.iterations)),
            ("loss", number(result.loss, 15)),
            ("gradient norm", number(result.evidence.gradient_norm, 3)),
            ("point", str(result.evidence.verdict).lower()),
            ("time", seconds(result.times.total)),
        ]
        if table.dropped:
            rows.append(("rows left out", f"{count(table.dropped)}, with missing values"))
        rows += [(name, number(value, 15 if "residual" in name else 8)) for name, value in scores.items()]
        width = max(len(name) for name, _ in rows)
        for name, text in rows:
            self.say(f"  {name:<{width}}  {text}")
        self.say()
        self._parameters()
        if self.options.save is not None:
            self.say(f"Parameters written to {self.options.save}")

    def say(self, text: str = "") -> None:
        """Print a line, unless --quiet."""
        if not self.options.quiet:
            line(self.console, text)

    def _linear(self) -> LinearParameters | None:
        from nablad.client import LeastSquares

        if not isinstance(self.model, LeastSquares):
            return None
        parameters = self.result.parameters
        intercept = float(parameters["intercept"]) if "intercept" in parameters else None
        return in_table_units(parameters["theta"], intercept, self.problem.scaling)

    def _scores(self, client: Client) -> dict[str, float | None]:
        problem = self.problem
        scores: dict[str, float | None] = {}
        for name, rows in (("", problem.train), (" (test)", problem.test)):
            if rows is None:
                continue
            outputs = client.predict(self.result, rows.features)
            if problem.table.classes:
                scores[f"accuracy{name}"] = score_classes(rows.target, outputs)
            else:
                score = score_regression(rows.target, outputs.reshape(-1))
                scores |= {f"residual sum of squares{name}": score.rss, f"R^2{name}": score.r_squared}
        return scores

    def _parameters(self) -> None:
        if self.options.quiet:
            return
        linear, scaling = self._linear(), self.problem.scaling
        if linear is None:
            import numpy as np

            show(
                self.console,
                [Column("parameter"), Column("shape"), Column("norm", True), Column("largest", True)],
                [
                    (
                        name,
                        " x ".join(map(str, a.shape)) or "()",
                        number(float(np.linalg.norm(a))),
                        number(float(np.abs(a).max())),
                    )
                    for name, a in self.result.parameters.items()
                ],
            )
            return
        columns = [Column("parameter"), Column("value", True)]
        rows = [
            [n, number(float(v), 15)]
            for n, v in zip(self.problem.table.feature_names, linear.coefficients, strict=True)
        ]
        if linear.intercept is not None:
            rows.insert(0, ["intercept", number(linear.intercept, 15)])
        if scaling is not None:
            columns.append(Column("per standard deviation", True))
            standardized = [number(float(v)) for v in self.result.parameters["theta"]]
            if linear.intercept is not None:
                standardized.insert(0, number(float(self.result.parameters["intercept"])))
            rows = [[*row, value] for row, value in zip(rows, standardized, strict=True)]
        show(self.console, columns, rows)

    def _save(self, scores: dict[str, float | None]) -> None:
        from importlib.metadata import version

        path, result, table = self.options.save, self.result, self.problem.table
        assert path is not None
        metadata: dict[str, Any] = {
            "nablad": version("nablad"),
            "source": table.source,
            "target": table.target_name,
            "method": self.options.method,
            "layers": self.options.layers,
            "ridge": self.options.ridge,
            "seed": self.options.seed,
            "test_split": self.options.test_split,
            "status": result.status,
            "message": result.message,
            "iterations": result.iterations,
            "loss": result.loss,
            "scores": scores,
        }
        save(path, Fitted(result.theta, result.parameters, self.problem, self._linear(), metadata))
