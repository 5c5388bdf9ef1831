"""Paths over contour lines as files: drawn, the same bits twice, and refused where they cannot be written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nablad.cli.errors import CommandError
from nablad.cli.landscapes import Landscape, Track, write_landscapes

BOWL = Landscape("a bowl", lambda x, y: x**2 + y**2, (-1.0, 1.0), (-1.0, 1.0), (0.1, 0.5, 1.0), ((0.0, 0.0),))
WALK = Track("GradientDescent()", np.array([[0.8, 0.6], [0.1, 0.1], [0.0, 0.0]]), "2 iterations")


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_same_paths_give_the_same_file(tmp_path: Path, suffix: str) -> None:
    pictures = [tmp_path / f"{k}.{suffix}" for k in range(2)]
    for picture in pictures:
        write_landscapes(picture, [(BOWL, [WALK, WALK]), (BOWL, [WALK])], "walks")
    first, second = (picture.read_bytes() for picture in pictures)
    assert len(first) > 5000
    assert suffix == "svg" or first == second


def test_every_panel_is_labelled(tmp_path: Path) -> None:
    picture = tmp_path / "walks.svg"
    write_landscapes(picture, [(BOWL, [WALK])])
    drawn = picture.read_text()
    assert all(f"<!-- {text} -->" in drawn for text in ("GradientDescent()", "2 iterations", "a bowl", "x", "y"))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"\.png or \.svg"):
        write_landscapes(tmp_path / "walks.gif", [(BOWL, [WALK])])
