"""docs/solvers.md says what the tables of choices, methods and statuses say, and what was measured."""

from __future__ import annotations

import runpy
from pathlib import Path

from nablad.solvers import METHODS
from nablad.wire.statuses import STATUSES

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "solvers.py"
PAGE = SCRIPT.with_suffix(".md").read_text(encoding="utf-8")


def test_the_tables_are_current() -> None:
    script = runpy.run_path(str(SCRIPT))
    written = script["page"](PAGE, script["SECTIONS"])
    assert written == PAGE, f"docs/solvers.md is out of date; write it again with: {script['COMMAND']}"


def test_every_method_and_every_end_is_there() -> None:
    assert all(f"`{name}`" in PAGE for name in (*METHODS, *STATUSES))


def test_what_was_measured_is_there() -> None:
    measured = PAGE.split("<!-- measured")[1]
    assert all(f"### {title}" in measured for title in ("Linear", "Nonlinear", "As a scalar function", "As a residual"))
