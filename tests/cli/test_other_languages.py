"""What README.md says of other languages, said by buf to a running server."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"
BUF = Path(sys.executable).with_name("buf")
CALLS = re.findall(r"^\$ (buf curl .*?'.*?'.*?)\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
"""Commands, and what they print."""
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e-?\d+)?")


def test_the_readme_asks_for_a_gradient_and_for_a_solve() -> None:
    assert [re.findall(r"nablad\.v1\.(\w+/\w+)", command) for command, _ in CALLS] == [
        ["DerivativeService/Gradient"],
        ["SolverService/Solve"],
    ]


@pytest.mark.skipif(not BUF.exists(), reason="buf is of the dev extra")
@pytest.mark.parametrize(("command", "output"), CALLS, ids=["gradient", "solve"])
def test_buf_prints_what_the_readme_says(server: str, command: str, output: str) -> None:
    line = command.replace("buf", str(BUF), 1).replace("localhost:50051", server)
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert NUMBER.sub("#", done.stdout) == NUMBER.sub("#", output)
    printed, written = ([float(number) for number in NUMBER.findall(text)] for text in (done.stdout, output))
    # Rounding errors are as small on any machine, but not the same.
    assert printed == pytest.approx(written, rel=1e-12, abs=1e-12)
