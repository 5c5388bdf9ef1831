"""docs/expressions.md says what the language is: its table of functions, its errors, its limits."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from nablad.expressions import ROWS, ExpressionError, definition, parse
from nablad.expressions.functions import FUNCTIONS
from nablad.expressions.parser import CONSTANTS, LENGTH, NESTING

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "expressions.py"
PAGE = SCRIPT.with_suffix(".md").read_text(encoding="utf-8")
MISTAKES = re.findall(r"^```text\n(.*?)\n```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_table_of_functions_is_current() -> None:
    script = runpy.run_path(str(SCRIPT))
    assert script["page"](PAGE) == PAGE, (
        "docs/expressions.md is out of date; write it again: python docs/expressions.py"
    )
    assert sum(len(rows) for rows in script["FAMILIES"].values()) == len(FUNCTIONS)


@pytest.mark.parametrize("shown", MISTAKES)
def test_the_mistakes_are_real(shown: str) -> None:
    text = shown.splitlines()[-2].removeprefix("  ")
    with pytest.raises(ExpressionError) as caught:
        parse(text, {"b1": (), "b2": (), "v": (3,), "A": (2, 3)}, {"x": (ROWS,)})
    assert str(caught.value) == shown


def test_limits_and_constants_are_the_languages() -> None:
    assert len(MISTAKES) > 5
    for number in (LENGTH, NESTING, definition.NODES):
        assert f"| {number:,} |" in PAGE
    for name in set(CONSTANTS) - {"newaxis", "True", "False", "None"}:
        assert f"`{name}`" in PAGE
