"""What `nablad solve` prints of a result, and saves: why it ended, how well it fits, and the parameters."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nablad.cli.fitting import (
    LinearParameters,
    Problem,
    in_table_units,
    score_classes,
    score_regression,
    statistics_in_table_units,
)
from nablad.cli.methods import Settings, shown
from nablad.cli.saving import Fitted, save
from nablad.cli.tables import Column, count, fits, is_live, line, number, seconds, show
from nablad.client.words import counted

if TYPE_CHECKING:
    from rich.console import Console

    from nablad.client import Client, Expression, LeastSquares, Network, Result, Statistics

# Digits of the parameters: in a pipe all that there are; on a terminal as many as leave room for their errors.
_DIGITS, _DIGITS_LIVE = 15, 9


_ELEMENT = re.compile(r"\btheta\[(\d+)\]")


@dataclass(frozen=True)
class Report:
    """A result, with what is needed to tell it in the table's words."""

    console: Console
    problem: Problem
    model: LeastSquares | Network | Expression
    result: Result
    quiet: bool
    settings: Settings

    def show(self, client: Client, file: Path | None, metadata: dict[str, Any]) -> None:
        """Save the parameters, then print outcome, scores and parameters: a reader that goes away costs no file."""
        result, table = self.result, self.problem.table
        scores = self._scores(client)
        if file is not None:
            self._save(file, metadata, scores)
        if table.unnamed:
            self.say(
                f"Note: left out, having no name in the header: {', '.join(table.unnamed)}; --features takes them."
            )
        self.say()
        if result.method_reason:
            label, _ = shown(result.settings_used["method"])
            self.say(f"Chosen: {label}. {result.method_reason}")
        self.tell(f"{result.status}  {result.message}")
        for advice in _ADVICE:
            if advice.status == result.status and advice.fits(self):
                self.say(f"Here: {advice.text}")
        rows = [*self._facts(), *self._fit(scores)]
        width = max(len(name) for name, _ in rows)
        for name, text in rows:
            self.say(f"  {name:<{width}}  {text}")
        self.say()
        if not self.quiet:
            self._parameters(client)
        for warning in () if result.statistics is None else result.statistics.warnings:
            self.tell(f"Note: {warning}")
        if file is not None:
            self.say(f"Parameters written to {file}")

    @property
    def is_plain(self) -> bool:
        """Whether --ridge is for the model: it is no formula, which says everything itself."""
        from nablad.client import Expression

        return not isinstance(self.model, Expression)

    def say(self, text: str = "") -> None:
        """Print a line, unless --quiet."""
        if not self.quiet:
            line(self.console, text)

    def tell(self, text: str) -> None:
        """Print what the server says, with the columns' names for the elements of a linear model's theta."""
        self.say(self._named(text))

    def _named(self, text: str) -> str:
        from nablad.client import LeastSquares

        if not isinstance(self.model, LeastSquares):
            return text
        names = self.problem.table.feature_names
        return _ELEMENT.sub(lambda found: names[int(found[1])] if int(found[1]) < len(names) else found[0], text)

    def _facts(self) -> list[tuple[str, str]]:
        result, evidence = self.result, self.result.evidence
        point = [str(evidence.verdict).lower()]
        point += [] if evidence.condition is None else [f"condition {number(evidence.condition, 3)}"]
        point += [] if evidence.rank is None else [f"rank {evidence.rank} of {result.theta.size}"]
        rows = [
            ("iterations", count(result.iterations)),
            ("loss", number(result.loss, 15)),
            ("gradient norm", number(evidence.gradient_norm, 3)),
            ("point", ", ".join(point)),
            *((name, self._named(text)) for name, text in evidence.told(result.theta.size)),
            ("time", seconds(result.times.total)),
        ]
        if self.problem.table.dropped:
            rows.append(("rows left out", f"{count(self.problem.table.dropped)}, with missing values"))
        return rows

    def _fit(self, scores: dict[str, float | None]) -> list[tuple[str, str]]:
        rows = [(name, number(value, 15 if "residual" in name else 8)) for name, value in scores.items()]
        found = self.result.statistics
        if found is not None and found.residual_standard_deviation is not None:
            freedom = counted(found.degrees_of_freedom, "degree of freedom", "degrees of freedom")
            text = f"{number(found.residual_standard_deviation, 8)}, with {freedom}"
            rows.insert(1, ("residual standard deviation", text))
        return rows

    def _linear(self) -> LinearParameters | None:
        from nablad.client import LeastSquares

        if not isinstance(self.model, LeastSquares):
            return None
        parameters = self.result.parameters
        intercept = float(parameters["intercept"]) if "intercept" in parameters else None
        return in_table_units(parameters["theta"], intercept, self.problem.scaling)

    def _scores(self, client: Client) -> dict[str, float | None]:
        from nablad.client import Expression

        problem = self.problem
        scores: dict[str, float | None] = {}
        if self.result.status == "FAILED_NONFINITE_START":
            return scores  # the server has nothing to predict by
        for name, rows in (("", problem.train), (" (test)", problem.test)):
            if rows is None:
                continue
            formula = isinstance(self.model, Expression)
            outputs = client.predict(self.result, problem.columns(rows) if formula else rows.features)
            if problem.table.classes:
                scores[f"accuracy{name}"] = score_classes(rows.target, outputs)
            else:
                score = score_regression(rows.target, outputs.reshape(-1))
                scores |= {f"residual sum of squares{name}": score.rss, f"R^2{name}": score.r_squared}
        return scores

    def _parameters(self, client: Client) -> None:
        from nablad.client import Network

        found, linear = self.result.statistics, self._linear()
        if isinstance(self.model, Network):
            self._arrays()
        elif linear is None:
            names = list(self.result.parameters)
            self._coefficients(names, self.result.theta, found, [])
        else:
            names = [*self.problem.table.feature_names]
            values, standardized = [*linear.coefficients], [*self.result.parameters["theta"]]
            if linear.intercept is not None:
                names.append("intercept")
                values.append(linear.intercept)
                standardized.append(self.result.parameters["intercept"])
            if found is not None:

                def error_at(features: Any) -> float:
                    return prediction_error(client, self.result, features)

                found = statistics_in_table_units(found, np.array(values), self.problem.scaling, error_at)
            self._coefficients(names, np.array(values), found, standardized if self.problem.scaling else [])

    def _coefficients(self, names: list[str], values: Any, found: Statistics | None, standardized: list[Any]) -> None:
        """A row for each number: its value, and where the fit tells, how far it may be off."""
        digits = _DIGITS_LIVE if is_live(self.console) else _DIGITS
        columns = [Column("parameter"), Column("value", True)]
        rows = [[name, number(float(value), digits)] for name, value in zip(names, values, strict=True)]
        if found is not None and found.standard_errors is not None:
            columns += [Column("standard error", True), Column("t", True), Column("95% interval")]
            for row, cells in zip(rows, found.uncertainty_rows(), strict=True):
                row += cells
        if standardized:
            wide = [[*row, number(float(value))] for row, value in zip(rows, standardized, strict=True)]
            more = [*columns, Column("per standard deviation", True)]
            if fits(self.console, more, wide):
                columns, rows = more, wide
        if names[-1:] == ["intercept"]:
            rows.insert(0, rows.pop())
        show(self.console, columns, rows)

    def _arrays(self) -> None:
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

    def _save(self, file: Path, metadata: dict[str, Any], scores: dict[str, float | None]) -> None:
        from importlib.metadata import version

        result, table = self.result, self.problem.table
        whole = {
            "nablad": version("nablad"),
            "source": table.source,
            "target": table.target_name,
            "method": result.settings_used["method"],
            "status": result.status,
            "message": result.message,
            "iterations": result.iterations,
            "loss": result.loss,
            "scores": scores,
        }
        save(file, Fitted(result.theta, result.parameters, self.problem, self._linear(), whole | metadata))


def prediction_error(client: Client, result: Result, features: Any) -> float:
    """The standard error of a linear model's prediction for one row; inf where the data do not determine it."""
    from nablad.client.student import student_t

    level = 0.95
    found = client.predict(result, features[None, :], interval="confidence", level=level)
    freedom = result.statistics.degrees_of_freedom if result.statistics is not None else 0
    return float((found.upper - found.lower)[0]) / (2.0 * student_t(level, freedom))


@dataclass(frozen=True)
class Advice:
    """What may be done after a run that ended so, in the words of the command line."""

    status: str
    text: str
    fits: Callable[[Report], bool] = lambda report: True


def _too_large_to_square(report: Report) -> bool:
    """A formula's start may be infinite for other reasons, of which the message tells."""
    from nablad.client import Expression

    return report.result.loss == np.inf and not isinstance(report.model, Expression)


_ADVICE = (
    Advice("LIMIT_ITERATIONS", "--max-iterations allows more.", lambda report: report.settings.epochs is None),
    Advice("LIMIT_ITERATIONS", "--epochs allows more.", lambda report: report.settings.epochs is not None),
    Advice("LIMIT_TIME", "--max-seconds allows more."),
    Advice(
        "STALLED_RECEDING", "--ridge and --bounds keep parameters from running away.", lambda report: report.is_plain
    ),
    Advice("STALLED_RECEDING", "--bounds keep parameters from running away.", lambda report: not report.is_plain),
    Advice(
        "FAILED_NONFINITE_START",
        "the numbers are too large to be squared; write the columns in larger units.",
        _too_large_to_square,
    ),
    Advice(
        "FAILED_DIVERGED",
        "without --step-size, a line search finds the step.",
        lambda report: report.settings.step_size is not None,
    ),
)
