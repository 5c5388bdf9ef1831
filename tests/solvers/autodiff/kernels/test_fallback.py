"""Processes without kernels: the same numbers to a few units in the last place, from numpy's calls alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = """
import sys
import numpy as np
from nablad.expressions import ROWS, Graph, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.kernels.native import available, fingerprint, warm_kernels
from nablad.solvers.autodiff.plan import FusedStep, Workspace, compile_plan
from nablad.solvers.autodiff.transform import gradient

warm_kernels()
x, w = data("x", (ROWS, 3)), parameter("w", (3,))
loss = s.sum(s.square(s.tanh(x * w) - s.erf(s.exp(w) - x)) + s.softplus(s.sin(x / (1.0 + w * w))))
(slope,) = gradient(loss.node, [w.node])
plan = compile_plan(Graph((x.node, w.node), (loss.node, slope.node)), np.dtype(float))
inputs = [np.linspace(-2.0, 2.0, 600).reshape(200, 3), np.array([0.3, -0.8, 1.2])]
assert any(isinstance(step, FusedStep) for step in plan.steps) == available() == (fingerprint() != "numpy")
value, gradient = Workspace(plan, 200).run(inputs, 200)
print(available(), float(value).hex(), *[float(x).hex() for x in gradient])
"""
BROKEN = "raise OSError('a library that llvmlite needs is missing')\n"


def _run(prefix: str = "", **environment: str) -> tuple[bool, list[float]]:
    done = subprocess.run(
        [sys.executable, "-c", prefix + PROGRAM],
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    available, *numbers = done.stdout.split()
    return available == "True", [float.fromhex(x) for x in numbers]


@pytest.fixture(scope="module")
def plain() -> list[float]:
    has, numbers = _run(NABLAD_KERNELS="numpy")
    assert not has
    return numbers


def test_kernels_give_the_plain_numbers(plain: list[float]) -> None:
    _, numbers = _run(NABLAD_KERNELS="")
    np.testing.assert_allclose(numbers, plain, rtol=1e-13)


def test_without_llvmlite_there_are_no_kernels(plain: list[float]) -> None:
    assert _run("import sys\nsys.modules['llvmlite'] = None\n", NABLAD_KERNELS="") == (False, plain)


def test_with_a_broken_llvmlite_there_are_no_kernels(plain: list[float], tmp_path: Path) -> None:
    (tmp_path / "llvmlite").mkdir()
    (tmp_path / "llvmlite" / "__init__.py").write_text("")
    (tmp_path / "llvmlite" / "binding.py").write_text(BROKEN)
    prefix = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
    assert _run(prefix, NABLAD_KERNELS="") == (False, plain)
