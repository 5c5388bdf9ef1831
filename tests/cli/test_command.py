"""The command as a whole: quick, self-explaining, and with one line for each error."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from cli.processes import COMMAND, Piped, closed_port, environment

from nablad.cli.app import app

COMMANDS = [
    ("serve",),
    ("demo",),
    ("solve",),
    ("jobs",),
    ("jobs", "list"),
    ("jobs", "show"),
    ("jobs", "watch"),
    ("jobs", "cancel"),
]


def exit_code(*arguments: str) -> int:
    """Run the command in this process."""
    with pytest.raises(SystemExit) as ended:
        app(list(arguments), prog_name="nablad")
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_help_is_quick(nablad: Piped) -> None:
    nablad("--help")
    durations = []
    for _ in range(3):
        start = time.perf_counter()
        assert nablad("--help").returncode == 0
        durations.append(time.perf_counter() - start)
    # The aim is 0.5 s on an idle machine; two cores shared with other tests take longer.
    assert min(durations) < 1.5


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from nablad.cli.app import app\n"
        "try: app(['--help'], prog_name='nablad')\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'grpc', 'scipy', 'matplotlib', 'pydantic', 'nablad.client', 'nablad.server'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "HEAVY []" in output


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    assert exit_code(*command, "--help") == 0
    text = capsys.readouterr().out
    assert command == ("jobs",) or "nablad " + " ".join(command) in text.split("Example")[1]
    assert "\x1b" not in text


def test_version(nablad: Piped) -> None:
    assert nablad("--version").stdout == f"nablad {version('nablad')}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("solve", "none.csv", "--target", "y"), "there is no file none.csv"),
        (("solve", "longly"), "did you mean 'longley'?"),
        (("solve", "xyz"), "no bundled data set: norris, longley, breast_cancer"),
        (("solve", "data.csv"), "--target COLUMN is required: the column to fit; data.csv has x, y"),
        (
            ("solve", "longley", "--target", "TOTEMPS"),
            "nablad: longley has no column 'TOTEMPS'; did you mean 'TOTEMP'?",
        ),
        (("solve", "data.csv", "--target", "y", "--features", "x,,x"), "--features 'x,,x': a name is empty"),
        (("solve", "data.csv", "--target", "y", "--features", ""), "--features '': a name is empty"),
        (("solve", "data.csv", "--target", "y", "--test-split", "nan"), "--test-split nan: a share between 0 and 1"),
        (("solve", "data.csv", "--target", "y", "--test-split", "1.5"), "--test-split 1.5: a share between 0 and 1"),
        (("solve", "data.csv", "--target", "y", "--server", "nowhere"), "--server 'nowhere': HOST:PORT is needed"),
        (("jobs", "list", "--server", "localhost:99999"), "--server 'localhost:99999': HOST:PORT is needed"),
        (("solve", "data.csv", "--target", "z"), "has no column 'z'"),
        (("solve", "data.csv", "--target", "y", "--method", "newtn"), "did you mean 'newton'?"),
        (("solve", "data.csv", "--target", "y", "--loss", "cosine"), "--loss cosine"),
        (("solve", "data.csv", "--target", "y", "--layers", "3:tanh"), "the target is one number: use 1"),
        (("solve", "data.csv", "--target", "y", "--layers", "3tanh,1"), "is not WIDTH"),
        (("solve", "data.csv", "--target", "y", "--layers", "3,1", "--no-intercept"), "--no-intercept is for linear"),
        (("solve", "data.csv", "--target", "y", "--step-size", "0.1"), "--step-size is for --method gradient-descent"),
        (("solve", "data.csv", "--target", "y", "--epochs", "3"), "--epochs is for --method adam and sgd"),
        (("solve", "data.csv", "--target", "y", "--method", "sgd"), "--method sgd needs --learning-rate"),
        (
            ("solve", "data.csv", "--target", "y", "--method", "adam", "--epochs", "3", "--max-iterations", "4"),
            "--epochs and --max-iterations are the same limit",
        ),
        (("solve", "data.csv", "--target", "y", "--model", "a*x"), "--model needs --start"),
        (("solve", "data.csv", "--target", "y", "--start", "a=1"), "--start is for --model"),
        (
            ("solve", "data.csv", "--target", "y", "--model", "a*x", "--start", "a=1", "--layers", "1"),
            "--layers is for linear models and networks",
        ),
        (("solve", "data.csv", "--target", "y", "--model", "a*z", "--start", "a=1"), "names none of the columns: x"),
        (("solve", "data.csv", "--target", "y", "--bounds", "z=0:"), "--bounds z: there is no such parameter"),
        (
            ("solve", "data.csv", "--target", "y", "--model", "k*x", "--start", "k=1", "--bounds", "q=0:1"),
            "--bounds q: there is no such parameter; there are k",
        ),
        (
            ("solve", "data.csv", "--target", "y", "--model", "k*x", "--start", "k=1", "--bounds", "k=2:1"),
            "--bounds k: the lower bound 2 is above the upper one 1",
        ),
        (("solve", "data.csv", "--target", "y", "--bounds", "x=low:"), "'low' is not a number"),
        (("solve", "data.csv", "--target", "y", "--test-split", "0.01"), "leaves 3 to fit and 0 to test"),
        (("solve", "data.csv", "--target", "y", "--save", "no/theta.npz"), "there is no directory no"),
        (("solve", "data.csv", "--target", "y", "--save", "theta.txt"), "must end in .npz"),
        (("solve", "data.csv", "--target", "y", "--plot", "curve.gif"), "must end in .png or .svg"),
        (("solve", "data.csv", "--target", "y", "--loss", "softmax_cross_entropy"), "no classes"),
        (("solve", "broken.csv", "--target", "y"), "broken.csv, line 3, column 'x': 'oops' is not a number"),
        (("demo", "--plot", "no/race.png"), "there is no directory no"),
        (("demo", "--plot", "race.jpeg"), "must end in .png or .svg"),
        (("jobs", "list", "--state", "runing"), "did you mean 'running'?"),
        (("jobs", "watch", "1", "--every", "2", "--budget", "3"), "give one of --every"),
        (("serve", "--listen", "nowhere"), "--listen"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_refused_in_one_line_before_any_work(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NABLAD_SERVER", raising=False)
    (tmp_path / "data.csv").write_text("x,y\n1,2\n2,3\n3,5\n")
    (tmp_path / "broken.csv").write_text("x,y\n1,2\noops,3\n")
    assert exit_code(*arguments) == 1
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.startswith("nablad: ")
    assert shown.err.count("\n") == 1
    assert not shown.out


@pytest.mark.parametrize("arguments", [("solve",), ("jump",), ("solve", "longley", "--max-iterations", "-1")])
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    assert exit_code(*arguments) == 2


def test_help_shows_no_value_for_options_that_take_none(nablad: Piped) -> None:
    shown = nablad("solve", "--help", COLUMNS="200", TERM="dumb").stdout
    for option in ("--no-intercept", "--standardize", "--quiet", "--debug"):
        assert re.search(rf"{option}\s+(-q\s+)?[A-Z]?[a-z]+ ", shown), shown


def test_debug_shows_the_traceback(nablad: Piped) -> None:
    done = nablad("solve", "xyz", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    "command", [("demo",), ("solve", "norris"), ("jobs", "list"), ("jobs", "show", "1")], ids=" ".join
)
def test_an_unreachable_server_is_one_clear_line(nablad: Piped, command: tuple[str, ...]) -> None:
    address = f"127.0.0.1:{closed_port()}"
    done = nablad(*command, "--server", address)
    assert done.returncode == 1
    assert done.stderr.startswith("nablad: ")
    assert address in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["scipy", "matplotlib"])
def test_a_missing_extra_is_named(tmp_path: Path, name: str) -> None:
    """An import hook stands in for an installation without the extra."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] == {name!r}: raise ModuleNotFoundError(name)\n"
        "import importlib.util as u\n"
        "original = u.find_spec\n"
        f"u.find_spec = lambda n, p=None: None if n == {name!r} else original(n, p)\n"
        "sys.meta_path.insert(0, Without())\n"
    )
    extra, arguments = ("server", ["serve"]) if name == "scipy" else ("plot", ["demo", "--plot", "race.png"])
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(tmp_path)),
        check=False,
    )
    assert done.returncode == 1
    assert f"pip install 'nablad[{extra}]'" in done.stderr
    assert done.stderr.count("\n") == 1
