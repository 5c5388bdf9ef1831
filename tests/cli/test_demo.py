"""`nablad demo` on terminals of several sizes, in a pipe, and interrupted."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from cli.processes import Piped, Terminal, environment

from nablad.cli.demo import comparison
from nablad.client import Result

QUICK = ("--seconds", "30", "--iterations", "300")
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def test_in_a_pipe_it_is_plain_lines_and_a_table(nablad: Piped, tmp_path: Path) -> None:
    picture = tmp_path / "race.png"
    done = nablad("demo", *QUICK, "--plot", str(picture))
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    table = done.stdout[done.stdout.index("method  ") :]
    for row in (
        r"gradient descent +300 .*LIMIT_ITERATIONS",
        r"Newton +[12] +836424\.05\d* .*minimum, CONVERGED_\w+",
        r"gradient descent +300 +\S+ +\S+ +\S+ \w+ +\w+",
        r"Newton +\d\d +18\.6015\d* .*flat, CONVERGED_\w+",
    ):
        assert re.search(row, table), f"{row} is not in:\n{table}"
    assert "Next: nablad solve" in table
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("columns", "lines"), [(40, 20), (80, 24), (200, 50)])
def test_on_a_terminal_it_is_a_live_picture_that_fits(
    terminal: Callable[..., Terminal], server: str, columns: int, lines: int
) -> None:
    arguments = ("demo", "--server", server, "--seconds", "1", "--iterations", "200")
    running = terminal(*arguments, columns=columns, lines=lines)
    assert running.wait() == 0, running.output
    assert "\x1b[" in running.output
    text = ANSI.sub("", running.output)
    assert all(
        len(line.strip("\r")) <= columns
        for line in re.split("[\r\n]+", text)
        if "▁" in line or "⠒" in line or "┤" in line
    )
    assert ("iteration (log scale)" in text) == (columns >= 60)
    assert "Next:" in text
    assert "?25h" in running.output  # the cursor is shown again


@pytest.mark.parametrize("extra", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_terminals_without_colour(terminal: Callable[..., Terminal], server: str, extra: dict[str, str]) -> None:
    running = terminal("demo", "--server", server, "--seconds", "1", "--iterations", "50", **extra)
    assert running.wait() == 0, running.output
    assert not re.search(r"\x1b\[[0-9;]*(3[0-9]|38;|9[0-7])[0-9;]*m", running.output)
    if "TERM" in extra:
        assert "\x1b" not in running.output


def ended(status: str, loss: float, iterations: int) -> Result:
    """An outcome, as far as the comparison looks at it."""
    success = status.startswith("CONVERGED")
    return cast("Result", SimpleNamespace(status=status, success=success, loss=loss, iterations=iterations))


def test_the_comparison_claims_no_more_than_the_runs_show() -> None:
    fast, slow = ended("CONVERGED_GRADIENT", 1.0, 5), ended("LIMIT_TIME", 1.5, 1000)
    assert "after 1,000, was still 0.5 above it" in comparison(slow, fast)
    assert "another valley" in comparison(ended("LIMIT_TIME", 0.5, 1000), fast)
    assert comparison(ended("CONVERGED_GRADIENT", 1.0, 9), fast).endswith("gradient descent 9.")
    for loss in (0.5, 1.5):
        cut_short = comparison(ended("LIMIT_TIME", loss, 1000), ended("LIMIT_TIME", 1.0, 2))
        assert "valley" not in cut_short
        assert "above" not in cut_short
        assert "had not converged (LIMIT_TIME)" in cut_short
        assert "--seconds" in cut_short


def test_what_to_type_next_can_be_typed(nablad: Piped, server: str, tmp_path: Path) -> None:
    """From `make demo`, `nablad` is not on the path."""
    arguments = ("demo", "--server", server, "--iterations", "1")
    assert "Next: nablad solve" in nablad(*arguments, PATH=str(tmp_path)).stdout
    script = tmp_path / "bin" / "nablad"
    script.parent.mkdir()
    script.write_text("import sys; from nablad.cli import main; main()")
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        env=environment(PATH=str(tmp_path)),
        check=True,
    )
    assert f"Next: {script} solve longley" in done.stdout


def test_ctrl_c_cancels_and_shows_the_best_points(terminal: Callable[..., Terminal]) -> None:
    running = terminal("demo", "--seconds", "60", "--iterations", "10000000")
    running.wait_for("gradient descent")
    running.wait_for("running")
    running.interrupt()
    assert running.wait(30) == 130
    text = ANSI.sub("", running.output)
    assert "USER_CANCELLED" in text
    assert re.search(r"gradient descent .* cancelled", text)
    assert "Traceback" not in text
    assert "Next:" not in text
