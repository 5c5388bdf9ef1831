"""docs/vector-calculus.md: every block runs and prints what the page says, and can be pasted into a shell."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


def load() -> Any:
    """docs/run.py as a module."""
    spec = importlib.util.spec_from_file_location("run_page", DOCS / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


page = load()
TEXT = page.PAGE.read_text(encoding="utf-8")
BLOCKS = page.blocks(TEXT)
STALE = f"the page is out of date; write its outputs again with: {page.COMMAND}"
PASTED = [BLOCKS[0], next(block for block in BLOCKS if "print(graph)" in block.code), BLOCKS[-1]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the blocks run, all with one server; nothing that they write reaches the page's own folder."""
    path, before = tmp_path_factory.mktemp("page"), Path.cwd()
    os.chdir(path)
    try:
        with page.one_server():
            yield path
    finally:
        os.chdir(before)


def test_every_command_of_the_page_is_a_block_with_its_output() -> None:
    assert len(BLOCKS) == TEXT.count("```sh") > 20
    for block in BLOCKS:
        assert block.output.strip()
        assert "'" not in block.code, "a single quote ends the shell's argument"
        assert max(map(len, block.code.splitlines())) <= 120


@pytest.mark.parametrize("block", BLOCKS, ids=[f"{number} {block.title}" for number, block in enumerate(BLOCKS)])
def test_a_block_prints_what_the_page_says(block: Any, folder: Path) -> None:
    assert not page.difference(page.run(block.code), block.output), STALE


def test_the_drawing_is_the_one_that_its_block_writes(folder: Path) -> None:
    (block,) = [block for block in BLOCKS if ".svg" in block.code]
    page.run(block.code)
    (drawn,) = folder.glob("*.svg")
    kept = (DOCS / drawn.name).read_text(encoding="utf-8")
    assert not page.difference(drawn.read_text(encoding="utf-8"), kept), STALE


@pytest.mark.parametrize("block", PASTED, ids=lambda block: block.title)
def test_a_block_can_be_pasted_into_a_shell(block: Any, tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["sh"],
        input=block.command,
        env={**os.environ, "PATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not page.difference(done.stdout, block.output)


@pytest.mark.parametrize(
    ("printed", "written"),
    [
        ("J [ 1.5 2. ] True", "J [1.5 2.] True"),
        ("1.3440133727605537", "1.3440133727605539"),
        ("[0.42321595]", "[0.42321596]"),
        ("error 3e-10", "error 8e-11"),
        ("87,161 operations", "87,161 operations"),
    ],
)
def test_rounding_is_no_difference(printed: str, written: str) -> None:
    assert not page.difference(printed, written)


@pytest.mark.parametrize(
    ("printed", "written"),
    [
        ("equal: True", "equal: False"),
        ("34.0 816.0", "34.0 816.1"),
        ("(2, 3)", "(3, 2)"),
        ("1.34401338", "1.34401337276"),
        ("error 3e-05", "error 8e-11"),
        ("error -3e-11", "error 3e-11"),
        ("86,161 operations", "87,161 operations"),
        ("1 2", "1 2 3"),
        ("d_1", "d_2"),
    ],
)
def test_a_difference_is_told(printed: str, written: str) -> None:
    assert page.difference(printed, written)
