"""A model as a formula over the table's columns: `--model "b1*(1-exp(-b2*x))" --start b1=500,b2=1e-4`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nablad.cli.errors import CommandError

if TYPE_CHECKING:
    from nablad.client import Expression

_NAME = re.compile(r"(?<![\w.])[^\W\d]\w*")


@dataclass(frozen=True)
class Formula:
    """The text, and where its parameters begin."""

    text: str
    start: Mapping[str, float]

    def columns_used(self, header: Sequence[str]) -> list[str]:
        """The columns that the text names, in the table's order. CommandError where there are none."""
        names = set(_NAME.findall(self.text))
        clash = next((name for name in header if name in self.start and name in names), None)
        if clash is not None:
            raise CommandError(f"--start {clash}: the table has a column of that name; call the parameter otherwise")
        used = [name for name in header if name in names]
        if not used:
            raise CommandError(f"--model {self.text!r} names none of the columns: {', '.join(header[:12])}")
        return used


def parse_start(text: str) -> dict[str, float]:
    """`b1=500,b2=1e-4` as numbers by name."""
    start: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        name = name.strip()
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not equals or not name.isidentifier() or not math.isfinite(number):
            raise CommandError(f"--start {part.strip()!r}: write NAME=NUMBER, such as b1=500,b2=1e-4")
        if name in start:
            raise CommandError(f"--start: {name!r} is given twice")
        start[name] = number
    return start


def formula_of(model: str | None, start: str | None) -> Formula | None:
    """The formula that the options give, if they do."""
    if model is None:
        if start is not None:
            raise CommandError("--start is for --model; other models have a start of their own")
        return None
    if start is None:
        raise CommandError("--model needs --start: where its parameters begin, such as b1=500,b2=1e-4")
    return Formula(model, parse_start(start))


def expression(formula: Formula, columns: Mapping[str, NDArray[np.float64]], target: NDArray[Any]) -> Expression:
    """The model whose residual is target - formula. CommandError, with a caret beneath the mistake, if it is none."""
    from nablad.client import Expression, InvalidRequest

    try:
        return Expression.parse(formula.text, data=dict(columns), response=target, start=dict(formula.start))
    except InvalidRequest as error:
        field, description = error.violations[0].field, error.violations[0].description
        line, _, picture = description.partition("\n")
        name = "--model" if field == "model.text" else f"--start {field.rpartition('.')[2]}"
        raise CommandError(f"{name}: {line}", picture) from error
