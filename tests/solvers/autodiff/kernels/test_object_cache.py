"""Machine code kept on disk: made again whenever it cannot be trusted, and never a reason to fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nablad.solvers.autodiff.kernels import object_cache
from nablad.solvers.autodiff.kernels.object_cache import VARIABLE, directory, kept

PARTS = ("text", "processor")


class Maker:
    def __init__(self, code: bytes = b"code") -> None:
        self.code = code
        self.calls = 0

    def __call__(self) -> bytes:
        self.calls += 1
        return self.code


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "a" / "kernels"
    monkeypatch.setenv(VARIABLE, str(place))
    return place


def _only_file(place: Path) -> Path:
    (path,) = place.iterdir()
    return path


def test_what_was_made_is_read_again(place: Path) -> None:
    make = Maker()
    assert kept(PARTS, make) == kept(iter(PARTS), make) == b"code"
    assert make.calls == 1
    assert kept(("text", "other"), Maker(b"other")) == b"other"
    assert place.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in place.iterdir())


@pytest.mark.parametrize("spoil", [lambda x: x[:-1], lambda x: x[:20], lambda x: b"", lambda x: x[:-1] + b"?"])
def test_a_spoilt_file_is_made_again(spoil: object, place: Path) -> None:
    assert callable(spoil)
    kept(PARTS, Maker())
    path = _only_file(place)
    path.write_bytes(spoil(path.read_bytes()))
    make = Maker(b"new")
    assert kept(PARTS, make) == kept(PARTS, make) == b"new"
    assert make.calls == 1


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_directory_that_others_may_write_to_is_not_read_and_not_written(mode: int, place: Path) -> None:
    kept(PARTS, Maker(b"theirs"))
    before = _only_file(place).read_bytes()
    place.chmod(mode)
    make = Maker(b"ours")
    assert kept(PARTS, make) == kept(PARTS, make) == b"ours"
    assert make.calls == 2
    assert _only_file(place).read_bytes() == before


def test_a_directory_of_another_user_is_not_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(PARTS, Maker(b"theirs"))
    another = os.geteuid() + 1
    monkeypatch.setattr(object_cache.os, "geteuid", lambda: another)
    assert kept(PARTS, Maker(b"ours")) == b"ours"


def test_a_link_to_what_others_may_write_is_not_read(place: Path) -> None:
    kept(PARTS, Maker(b"theirs"))
    target = place.rename(place.parent / "elsewhere")
    target.chmod(0o777)
    place.symlink_to(target)
    assert kept(PARTS, Maker(b"ours")) == b"ours"


def test_where_nothing_can_be_kept_it_is_made(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.parent.mkdir()
    place.write_text("a file where a directory should be")
    assert kept(PARTS, Maker()) == b"code"
    monkeypatch.setenv(VARIABLE, "/proc/nowhere/at/all")
    assert kept(PARTS, Maker()) == b"code"
    monkeypatch.setenv(VARIABLE, "")
    make = Maker()
    assert kept(PARTS, make) == kept(PARTS, make) == b"code"
    assert make.calls == 2


def test_a_full_disk_leaves_nothing_behind(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(object_cache.os, "replace", full)
    assert kept(PARTS, Maker()) == b"code"
    assert not list(place.iterdir())


def test_a_directory_in_the_files_place_does_not_fail(place: Path) -> None:
    kept(PARTS, Maker())
    path = _only_file(place)
    path.unlink()
    path.mkdir()
    assert kept(PARTS, Maker()) == b"code"
    assert _only_file(place) == path


def test_the_default_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert directory() == tmp_path / "nablad" / "kernels"
    monkeypatch.delenv("XDG_CACHE_HOME")

    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    assert directory() is None
    assert kept(PARTS, Maker()) == b"code"


WRITER = """
from nablad.solvers.autodiff.kernels.object_cache import kept
code = bytes(range(256)) * 4000
for k in range(30):
    assert kept(("both", str(k)), lambda: code) == code
"""


def test_two_processes_may_write_at_once(place: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", WRITER]) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert len(list(place.iterdir())) == 30
    make = Maker()
    assert len(kept(("both", "7"), make)) == 1_024_000
    assert make.calls == 0
