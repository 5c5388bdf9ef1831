"""Tables on a terminal and in a pipe, durations, and files that are whole or not there."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import pytest
from rich.console import Console

from nablad.cli.chart import FEW, MANY, Chart, Curve
from nablad.cli.errors import CommandError
from nablad.cli.files import check_writable, write_atomically
from nablad.cli.plotting import write_plot
from nablad.cli.tables import Column, seconds, show

COLUMNS = [Column("method"), Column("iterations", number=True), Column("verdict")]
ROWS = [("Newton", "2", "minimum"), ("gradient descent", "20,000", "LIMIT_TIME")]


def shown(width: int, terminal: bool) -> str:
    stream = io.StringIO()
    show(Console(file=stream, width=width, force_terminal=terminal, color_system=None), COLUMNS, ROWS, "Races")
    return stream.getvalue()


def test_a_table_in_a_pipe_is_plain_aligned_text() -> None:
    assert shown(20, terminal=False) == (
        "Races\n"
        "method            iterations  verdict\n"
        "Newton                     2  minimum\n"
        "gradient descent      20,000  LIMIT_TIME\n"
    )


@pytest.mark.parametrize("width", [30, 40, 80, 200])
def test_a_table_on_a_terminal_fits_and_loses_nothing(width: int) -> None:
    text = shown(width, terminal=True)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    for cell in (*ROWS[0], *ROWS[1], "method", "verdict"):
        assert cell in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.00123, "1.23 ms"), (3.456, "3.46 s"), (119.0, "119 s"), (600.0, "10 min"), (7200.0, "2 h")],
)
def test_durations(value: float | None, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.txt", "must end in .npz"),
        ("none/a.npz", "there is no directory"),
        ("folder.npz", "is a directory"),
        ("file/a.npz", "there is no directory"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=message):
        check_writable(tmp_path / name, (".npz",))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"

    def succeed(stream: BinaryIO) -> None:
        stream.write(b"old")

    def fail(stream: BinaryIO) -> None:
        stream.write(b"half")
        raise ValueError

    write_atomically(path, succeed)
    with pytest.raises(ValueError):  # noqa: PT011
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize(("suffix", "begin"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("PNG", b"\x89PNG")])
def test_pictures_are_what_their_name_says_and_reproducible(tmp_path: Path, suffix: str, begin: bytes) -> None:
    charts = [
        Chart("one", "loss", (Curve("Newton", FEW, [0, 1, 2], [1e5, 1.0, 1e-9]),), floor=1e-9),
        Chart("none", "loss", (Curve("gradient descent", MANY, [], []),)),
    ]
    pictures = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.{suffix}"
        write_plot(path, charts, "Races")
        pictures.append(path.read_bytes())
    assert pictures[0].startswith(begin)
    if suffix != "svg":  # the SVG backend names its clip paths at random
        assert pictures[0] == pictures[1]
