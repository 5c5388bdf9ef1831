"""docs/ops.md says what the tables of ops say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "ops.py"


def test_the_page_of_ops_is_current() -> None:
    spec = importlib.util.spec_from_file_location("ops_page", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = (SCRIPT.parent / "ops.md").read_text(encoding="utf-8")
    assert written == module.page(), f"docs/ops.md is out of date; write it again with: {module.COMMAND}"
