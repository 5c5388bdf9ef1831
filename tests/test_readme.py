"""What README.md says can be pasted, and its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
SNIPPETS = [
    pytest.param(code, id=f"{page.name}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
]


@cache
def run(code: str) -> subprocess.CompletedProcess[str]:
    """Runs a snippet as a reader would who pastes it; once, whoever asks."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_the_readme_has_code_to_run() -> None:
    assert SNIPPETS


@pytest.mark.parametrize("code", SNIPPETS)
def test_python_snippets_run(code: str) -> None:
    done = run(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("word", [r"client\.describe", r"result\.statistics\)"])
def test_derivatives_and_fits_in_the_readme_are_printed_as_it_says(word: str) -> None:
    page = (ROOT / "README.md").read_text()
    code, output = re.findall(rf"^```python\n([^`]*{word}[^`]*)```\n.*?^```\n(.*?)^```", page, re.M | re.S)[0]
    done = run(code)
    assert done.returncode == 0, done.stderr
    number = re.compile(r"-?\d+\.\d+")
    printed = "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())
    assert number.sub("#", printed) == number.sub("#", output)
    numbers = ([float(found) for found in number.findall(text)] for text in (printed, output))
    assert next(numbers) == pytest.approx(next(numbers), rel=1e-7)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_every_make_target_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"\bmake ([a-z]+)", (ROOT / "README.md").read_text()))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named
    assert named <= targets
