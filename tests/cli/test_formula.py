"""`nablad solve --model`: formulas over a table's columns, bounds, every method by name, and what it says of a fit."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli.processes import Piped, Terminal

from nablad.cli.boxes import linear_bounds, parse_bounds
from nablad.cli.errors import CommandError
from nablad.cli.fitting import Standardization
from nablad.cli.formula import formula_of, parse_start
from nablad.cli.methods import METHODS, shown

MISRA = """y,x
10.07,77.6
14.73,114.9
17.94,141.1
23.93,190.8
29.61,239.9
35.18,289.0
40.02,332.8
44.82,378.4
50.76,434.8
55.05,477.3
61.01,536.8
66.40,593.1
75.47,689.1
81.78,760.0
"""
MODEL = ("--target", "y", "--model", "b1*(1 - exp(-b2*x))", "--start", "b1=500,b2=1e-4")


@pytest.fixture
def misra(tmp_path: Path) -> Path:
    """NIST's Misra1a, with a column of words that the formula does not use."""
    path = tmp_path / "misra.csv"
    header, *rows = MISRA.splitlines()
    path.write_text("\n".join([f"{header},note", *(f"{row},fine" for row in rows)]) + "\n")
    return path


README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.mark.parametrize("data", ["misra1a.csv", "longley"])
def test_the_readme_shows_what_is_printed(nablad: Piped, server: str, tmp_path: Path, data: str) -> None:
    """Word for word; numbers, of which the last digits and the times differ from one machine to another, aside."""

    def words(text: str) -> list[str]:
        return re.sub(r"-?\b\d[\d.,]*(e[-+]?\d+)?( (ms|s)\b)?", " # ", text).split()

    (tmp_path / "misra1a.csv").write_text(MISRA)
    found = re.search(rf"^\$ nablad (solve {data} .*)\n([^`]*)^```", README.read_text("utf-8"), re.MULTILINE)
    assert found
    done = nablad(*shlex.split(found[1]), cwd=tmp_path, NABLAD_SERVER=server)
    assert done.returncode == 0, done.stderr
    assert words(done.stdout) == words(found[2])


def test_a_curve_with_its_certified_errors(nablad: Piped, server: str, misra: Path, tmp_path: Path) -> None:
    saved = tmp_path / "theta.npz"
    done = nablad("solve", str(misra), *MODEL, "--save", str(saved), NABLAD_SERVER=server)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if re.match(r"b\d ", line)}
    assert float(rows["b1"][0]) == pytest.approx(2.3894212918e02, rel=1e-8)
    assert float(rows["b1"][1]) == pytest.approx(2.7070075241, rel=1e-5)
    assert float(rows["b2"][1]) == pytest.approx(7.2668688436e-06, rel=1e-5)
    assert [float(side.strip("[],")) for side in rows["b1"][3:5]] == pytest.approx([233.044, 244.840], abs=1e-3)
    assert "residual standard deviation  0.10187876, with 12 degrees of freedom" in done.stdout
    assert "misra: y from 1 feature, 14 rows" in done.stdout
    assert re.search(r"^Chosen: \S+\. .+\.$", done.stdout, re.MULTILINE)
    assert re.search(r"^  point +minimum, condition ", done.stdout, re.MULTILINE)
    with np.load(saved) as arrays:
        assert float(arrays["b1"]) == pytest.approx(2.3894212918e02, rel=1e-8)
        metadata = json.loads(str(arrays["metadata"]))
    assert metadata["model"] == "b1*(1 - exp(-b2*x))"
    assert metadata["method"] in {name.replace("-", "_") for name in METHODS}


def test_a_held_out_part_is_predicted_by_the_formula(nablad: Piped, server: str, misra: Path) -> None:
    done = nablad("solve", str(misra), *MODEL, "--test-split", "0.2", NABLAD_SERVER=server)
    found = re.search(r"residual sum of squares \(test\) +(\S+)", done.stdout)
    assert found
    assert 0.0 < float(found[1]) < 0.5


def test_bounds_of_a_formula(nablad: Piped, server: str, misra: Path) -> None:
    done = nablad("solve", str(misra), *MODEL, "--bounds", "b1=:200,b2=0:", NABLAD_SERVER=server)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^b1 +200 ", done.stdout, re.MULTILINE)
    assert re.search(r"^  on a bound +1 of 2 parameters", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("options", [(), ("--standardize", "--no-intercept")], ids=["raw", "scaled"])
def test_nonnegative_least_squares(nablad: Piped, server: str, tmp_path: Path, options: tuple[str, ...]) -> None:
    from scipy.optimize import nnls

    rng = np.random.default_rng(3)
    X = rng.normal(size=(40, 3)) * [1.0, 10.0, 0.1]
    y = X @ [1.0, -0.2, 5.0] + 0.1 * rng.normal(size=40)
    rows = "\n".join(",".join(map(repr, row)) for row in np.column_stack([X, y]).tolist())
    (tmp_path / "data.csv").write_text(f"a,b,c,y\n{rows}\n")
    arguments = ("--target", "y", "--no-intercept", "--bounds", "a=0:,b=0:,c=0:")
    done = nablad("solve", "data.csv", *arguments, *options[:1], cwd=tmp_path, NABLAD_SERVER=server)
    assert done.returncode == 0, done.stderr
    for name, expected in zip("abc", nnls(X, y)[0], strict=True):
        found = re.search(rf"^{name} +(\S+)", done.stdout, re.MULTILINE)
        assert found
        assert float(found[1]) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_a_mistake_in_the_formula_is_pointed_at(nablad: Piped, misra: Path) -> None:
    done = nablad("solve", str(misra), "--target", "y", "--model", "b1*(1 - exp(-b3*x))", "--start", "b1=5,b2=1")
    assert done.returncode == 1
    first, text, caret = done.stderr.splitlines()
    assert first == "nablad: --model: unknown name 'b3': did you mean 'b2' or 'b1'?"
    assert text[caret.index("^") :].startswith("b3")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_by_its_name(nablad: Piped, server: str, misra: Path, name: str) -> None:
    own = {"sgd": ("--learning-rate", "1e-9", "--epochs", "3"), "adam": ("--epochs", "3", "--batch-size", "4")}
    done = nablad("solve", str(misra), *MODEL, "--method", name, *own.get(name, ()), NABLAD_SERVER=server)
    assert done.returncode in (0, 3), done.stderr
    assert f"{METHODS[name].label}: iteration " in done.stdout
    assert "Chosen:" not in done.stdout


def test_the_names_are_the_wires() -> None:
    from nablad.v1 import method_pb2

    for field in method_pb2.Method.DESCRIPTOR.fields:
        label, _ = shown(field.name)
        assert label in {row.label for row in METHODS.values()}
    assert shown("trust_me")[0] == "trust me"


def test_on_a_narrow_terminal_the_table_fits(terminal: Callable[..., Terminal], server: str, misra: Path) -> None:
    for columns in (80, 40):
        running = terminal("solve", str(misra), *MODEL, columns=columns, NABLAD_SERVER=server)
        assert running.wait() == 0
        assert "b2" in running.output
        assert "standard error" in running.output


def test_bounds_and_starts_are_read() -> None:
    assert parse_bounds("b1=0:, b2=:5,b3=-1e3:inf") == {"b1": (0, None), "b2": (None, 5), "b3": (-1e3, np.inf)}
    assert parse_bounds('"a, b=c=0:1"') == {"a, b=c": (0, 1)}
    assert parse_start(" b1 = 5e2,b2=-1") == {"b1": 500.0, "b2": -1.0}
    scaling = Standardization(np.zeros(2), np.array([10.0, 0.1]))
    found = linear_bounds({"b": (0, 3)}, ("a", "b"), True, scaling)
    np.testing.assert_array_equal(found["theta"], [[-np.inf, 0.0], [np.inf, 0.30000000000000004]])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: parse_bounds("b1"), "NAME=LOWER:UPPER"),
        (lambda: parse_bounds(""), "is empty"),
        (lambda: parse_bounds("b1=3"), "NAME=LOWER:UPPER"),
        (lambda: parse_bounds("b1=low:"), "'low' is not a number"),
        (lambda: parse_bounds("b1=nan:"), "'nan' is not a number"),
        (lambda: parse_bounds("b1=0:,b1=1:"), "bounded twice"),
        (lambda: parse_start("b1"), "NAME=NUMBER"),
        (lambda: parse_start("b1=inf"), "NAME=NUMBER"),
        (lambda: parse_start("1b=3"), "NAME=NUMBER"),
        (lambda: parse_start("b1=1,b1=2"), "given twice"),
        (lambda: formula_of("a*x", None), "--model needs --start"),
        (lambda: formula_of(None, "a=1"), "--start is for --model"),
        (lambda: formula_of("a*2", "a=1").columns_used(["x", "y"]), "names none of the columns: x, y"),  # type: ignore[union-attr]
        (lambda: formula_of("a*x", "a=1").columns_used(["x", "a"]), "has a column of that name"),  # type: ignore[union-attr]
        (lambda: linear_bounds({"c": (0, 1)}, ("a", "b"), True, None), "--bounds c: there is no such parameter"),
        (
            lambda: linear_bounds({"intercept": (0, 1)}, ("a",), False, None),
            "--bounds intercept: there is no such parameter",
        ),
        (
            lambda: linear_bounds({"intercept": (0, 1)}, ("a",), True, Standardization(np.ones(1), np.ones(1))),
            "--standardize",
        ),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(make: Callable[[], object], words: str) -> None:
    with pytest.raises(CommandError, match=re.escape(words)):
        make()
