"""docs/solvers.md says what the tables of choices, methods and statuses say, and what was measured."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from nablad import client
from nablad.server.settings import Limits
from nablad.server.worker.border import to_dict
from nablad.server.worker.method_definitions import Method
from nablad.server.worker.methods import choose
from nablad.solvers import (
    METHODS,
    Armijo,
    Bounds,
    Expression,
    LeastSquares,
    UnsupportedObjective,
    check_supported,
)
from nablad.wire.statuses import STATUSES

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "solvers.py"
PAGE = SCRIPT.with_suffix(".md").read_text(encoding="utf-8")


def test_the_tables_are_current() -> None:
    script = runpy.run_path(str(SCRIPT))
    written = script["page"](PAGE, script["SECTIONS"])
    assert written == PAGE, f"docs/solvers.md is out of date; write it again with: {script['COMMAND']}"


def test_every_method_and_every_end_is_there() -> None:
    assert all(f"`{name}`" in PAGE for name in (*METHODS, *STATUSES))


SIGNATURES = re.findall(r"^- `(\w+\(.*\))`$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("signature", SIGNATURES)
def test_what_is_written_can_be_typed_and_is_the_default(signature: str) -> None:
    """Typed by a client it is what the solvers take where nothing is said."""
    typed = re.sub(r"([(,] ?)(step_size|learning_rate|decay|factor|epochs|every)(?=[,)])", r"\1\2=1", signature)
    written = eval(typed, dict(vars(client)))
    if not hasattr(written, "to_proto"):
        return
    asked = Method.model_validate(to_dict(written.to_proto()))
    plain = type(written)(learning_rate=1) if "learning_rate=1," in typed else type(written)()
    default = Method.model_validate(to_dict(plain.to_proto()))
    objective = LeastSquares(np.ones((99, 2)), np.arange(99.0)).objective()
    limits = Limits()
    assert choose(asked, objective, limits).method == choose(default, objective, limits).method


def test_every_method_has_its_settings_there() -> None:
    assert {cls.__name__ for cls in METHODS.values()} <= {signature.partition("(")[0] for signature in SIGNATURES}


@pytest.mark.parametrize("name", METHODS)
def test_what_keeps_bounds_is_true(name: str) -> None:
    script = runpy.run_path(str(SCRIPT))
    cls = METHODS[name]
    told = script["bounds"](cls)
    for words in re.findall(r"`(\w+)`", told):
        objective = Expression.parse("(a-1)**2", start={"a": 0.0}).objective()
        objective.bounds = Bounds(np.zeros(1), np.ones(1))
        refused = {
            "momentum": {"momentum": 0.5},
            "nesterov": {"nesterov": True},
            "line_search": {"globalization": Armijo()},
        }
        setting = refused.get(words) or {"step_length": script["PARTS"][getattr(client, words)]()}
        with pytest.raises(UnsupportedObjective):
            check_supported(cls(**setting), objective)
    assert told.startswith("yes") == cls.bounded


def test_what_was_measured_is_there() -> None:
    measured = PAGE.split("<!-- measured")[1]
    assert all(f"### {title}" in measured for title in ("Linear", "Nonlinear", "As a scalar function", "As a residual"))
