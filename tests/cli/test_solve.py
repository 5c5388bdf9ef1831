"""`nablad solve` end to end, against numpy's linear algebra; with a server of its own where none is given."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli.processes import COMMAND, Piped, Terminal, environment


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A CSV of 120 rows whose columns differ in scale by a million, and its numbers: two features and the target."""
    random = np.random.default_rng(7)
    X = random.normal(size=(120, 2)) * [1e3, 1e-3] + [5e3, 0.2]
    y = 3.0 + X @ [0.002, 400.0] + random.normal(size=120)
    path = tmp_path_factory.mktemp("data") / "two.csv"
    rows = np.column_stack([X, y]).tolist()
    path.write_text("size,share,price\n" + "".join(",".join(map(repr, row)) + "\n" for row in rows))
    return path, np.array(rows)


def value(text: str, name: str) -> float:
    """The number that the output gives a name."""
    found = re.search(rf"^\s*{re.escape(name)}\s+(\S+)", text, re.MULTILINE)
    assert found, f"{name} is not in:\n{text}"
    return float(found[1].replace(",", ""))


def least_squares(rows: np.ndarray) -> tuple[np.ndarray, float]:
    design = np.column_stack([np.ones(len(rows)), rows[:, :-1]])
    theta = np.linalg.lstsq(design, rows[:, -1], rcond=None)[0]
    return theta, float(np.sum((rows[:, -1] - design @ theta) ** 2))


@pytest.mark.parametrize("options", [(), ("--standardize",)], ids=["raw", "standardized"])
def test_a_linear_model_is_that_of_lstsq(
    nablad: Piped, server: str, regression: tuple[Path, np.ndarray], tmp_path: Path, options: tuple[str, ...]
) -> None:
    path, rows = regression
    theta, rss = least_squares(rows)
    saved = tmp_path / "theta.npz"
    done = nablad("solve", str(path), "--target", "price", "--save", str(saved), *options, NABLAD_SERVER=server)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert value(done.stdout, "residual sum of squares") == pytest.approx(rss, rel=1e-12)
    total = np.sum((rows[:, -1] - rows[:, -1].mean()) ** 2)
    assert value(done.stdout, "R^2") == pytest.approx(1 - rss / total, rel=1e-7)
    assert value(done.stdout, "iterations") <= 2
    for name, expected in zip(("intercept", "size", "share"), theta, strict=True):
        assert value(done.stdout, name) == pytest.approx(expected, rel=1e-9)
    with np.load(saved) as arrays:
        np.testing.assert_allclose(np.r_[arrays["intercept"], arrays["coefficients"]], theta, rtol=1e-9)
        assert arrays["feature_names"].tolist() == ["size", "share"]
        metadata = json.loads(str(arrays["metadata"]))
        assert ("feature_means" in arrays) == bool(options)
    assert metadata["target"] == "price"
    assert metadata["status"].startswith("CONVERGED")
    assert metadata["scores"]["residual sum of squares"] == pytest.approx(rss, rel=1e-12)


def test_a_test_split_is_seeded_and_held_out(nablad: Piped, server: str, regression: tuple[Path, np.ndarray]) -> None:
    path, rows = regression
    order = np.random.default_rng(3).permutation(120)
    train, test = rows[np.sort(order[24:])], rows[np.sort(order[:24])]
    theta, rss = least_squares(train)
    arguments = ("solve", str(path), "-t", "price", "--test-split", "0.2", "--seed", "3")
    first = nablad(*arguments, NABLAD_SERVER=server).stdout
    assert value(first, "residual sum of squares") == pytest.approx(rss, rel=1e-11)
    residual = test[:, -1] - np.column_stack([np.ones(24), test[:, :-1]]) @ theta
    assert value(first, "residual sum of squares (test)") == pytest.approx(residual @ residual, rel=1e-9)


def test_the_certified_longley_through_a_pipe_from_standard_input(nablad: Piped) -> None:
    from nablad.cli.bundled import BUNDLED

    text = BUNDLED["longley"].path.read_text()
    done = nablad("solve", "-", "--target", "TOTEMP", stdin=text)
    assert done.returncode == 0, done.stderr
    assert value(done.stdout, "residual sum of squares") == pytest.approx(836424.055505915, rel=1e-8)
    assert value(done.stdout, "intercept") == pytest.approx(-3482258.63459582, rel=1e-8)
    assert value(done.stdout, "R^2") == pytest.approx(0.995479004577296, rel=1e-7)


def test_no_intercept_and_chosen_features(nablad: Piped, server: str, regression: tuple[Path, np.ndarray]) -> None:
    path, rows = regression
    done = nablad(
        "solve", str(path), "--target", "price", "--features", "share", "--no-intercept", NABLAD_SERVER=server
    )
    x, y = rows[:, 1], rows[:, 2]
    assert value(done.stdout, "share") == pytest.approx(x @ y / (x @ x), rel=1e-10)
    assert "intercept" not in done.stdout


def test_standardized_without_intercept_the_coefficients_give_the_predictions(
    nablad: Piped, server: str, regression: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    """Subtracting the means would be an intercept through the back door, and nobody would be told it."""
    path, rows = regression
    saved = tmp_path / "theta.npz"
    done = nablad(
        *("solve", str(path), "-t", "price", "--no-intercept", "--standardize", "--save", str(saved)),
        NABLAD_SERVER=server,
    )
    theta = np.linalg.lstsq(rows[:, :-1], rows[:, -1], rcond=None)[0]
    with np.load(saved) as arrays:
        np.testing.assert_allclose(arrays["coefficients"], theta, rtol=1e-9)
        assert not arrays["feature_means"].any()
    residual = rows[:, -1] - rows[:, :-1] @ theta
    assert value(done.stdout, "residual sum of squares") == pytest.approx(residual @ residual, rel=1e-9)


def test_standard_errors_do_not_depend_on_standardization(nablad: Piped, server: str, tmp_path: Path) -> None:
    """Also where columns are constant or alike, which the data do not determine."""
    rng = np.random.default_rng(2)
    t = np.linspace(3.0, 9.0, 30)
    y = 1.0 + 0.4 * t + 0.1 * rng.normal(size=30)
    others = {"constant": np.full(30, 7.0), "double": 2.0 * t, "none": None}
    determined = {"constant": ("t",), "double": ("intercept",), "none": ("t", "intercept")}
    for name, other in others.items():
        columns = {"t": t} | ({} if other is None else {"other": other}) | {"y": y}
        table = "\n".join(",".join(map(repr, row)) for row in np.column_stack(list(columns.values())).tolist())
        (tmp_path / "data.csv").write_text(f"{','.join(columns)}\n{table}\n")
        arguments = ("solve", str(tmp_path / "data.csv"), "-t", "y")
        raw, scaled = (nablad(*arguments, *more, NABLAD_SERVER=server).stdout for more in ((), ("--standardize",)))
        for parameter in ("intercept", "t", *(["other"] if other is not None else [])):
            errors = [
                float(re.search(rf"^{parameter} +\S+ +(\S+)", text, re.MULTILINE)[1])  # type: ignore[index]
                for text in (raw, scaled)
            ]
            assert errors[0] == pytest.approx(errors[1], rel=1e-4), (name, parameter)
            assert np.isfinite(errors[0]) == (parameter in determined[name])


def test_columns_have_their_names_in_messages(nablad: Piped, server: str, tmp_path: Path) -> None:
    rows = "\n".join(f"{x},7,{2 * x + (x % 3)}" for x in range(12))
    (tmp_path / "data.csv").write_text(f"size,level,price\n{rows}\n")
    arguments = ("solve", str(tmp_path / "data.csv"), "-t", "price")
    done = nablad(*arguments, NABLAD_SERVER=server).stdout
    assert done.count("not determine level, intercept") == 2  # the message, and the statistics' note
    done = nablad(*arguments, "--bounds", "size=:1", NABLAD_SERVER=server).stdout
    assert "Bounds hold size:" in done
    assert "theta[" not in done


def test_advice_fits_the_options(nablad: Piped, server: str, tmp_path: Path) -> None:
    rows = "\n".join(f"{x},{x * x}" for x in range(20))
    (tmp_path / "data.csv").write_text(f"x,y\n{rows}\n")
    data = ("solve", str(tmp_path / "data.csv"), "-t", "y")
    done = nablad(*data, "--method", "adam", "--epochs", "2", NABLAD_SERVER=server).stdout
    assert "Here: --epochs allows more." in done
    assert "--max-iterations" not in done
    done = nablad(*data, "--model", "log(a)*x", "--start", "a=-1", NABLAD_SERVER=server).stdout
    assert "FAILED_NONFINITE_START" in done
    assert "log(a)" in done
    assert "larger units" not in done


def test_refused_methods_are_named_as_the_option_takes_them(nablad: Piped, server: str) -> None:
    done = nablad("solve", "norris", "--method", "bfgs", "--bounds", "x=0:", NABLAD_SERVER=server)
    assert done.returncode == 1
    assert "gauss-newton" in done.stderr
    assert "_" not in done.stderr


def test_columns_without_a_name_are_left_out_and_that_is_said(nablad: Piped, server: str, tmp_path: Path) -> None:
    (tmp_path / "indexed.csv").write_text(",x,y\n0,1,2\n1,2,3\n2,3,5\n")
    done = nablad("solve", "indexed.csv", "-t", "y", cwd=tmp_path, NABLAD_SERVER=server)
    assert done.returncode == 0, done.stderr
    assert "indexed: y from 1 feature, 3 rows" in done.stdout
    assert "Note: left out, having no name in the header: column 1;" in done.stdout


def test_names_with_commas_are_quoted(nablad: Piped, server: str, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text('"a, b",c,y\n1,1,2\n2,5,3\n3,2,5\n')
    done = nablad("solve", "data.csv", "-t", "y", "--features", 'c, "a, b"', cwd=tmp_path, NABLAD_SERVER=server)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^a, b +\S+$", done.stdout, re.MULTILINE)


def test_numbers_too_large_to_square_are_one_clear_message(nablad: Piped, server: str, tmp_path: Path) -> None:
    (tmp_path / "huge.csv").write_text("x,y\n1e200,2e200\n3e200,4e200\n5e200,7e200\n")
    done = nablad("solve", "huge.csv", "-t", "y", cwd=tmp_path, NABLAD_SERVER=server)
    assert done.returncode == 1
    assert "FAILED_NONFINITE_START" in done.stdout
    assert "too large to be squared" in done.stdout
    assert done.stderr == ""


def test_one_row_is_one_row(nablad: Piped, server: str, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("x,y\n1,2\n")
    done = nablad("solve", "one.csv", "-t", "y", cwd=tmp_path, NABLAD_SERVER=server)
    assert "one: y from 1 feature, 1 row\n" in done.stdout


def test_the_file_is_there_even_if_the_reader_goes_away(server: str, tmp_path: Path) -> None:
    saved = tmp_path / "theta.npz"
    process = subprocess.Popen(
        [*COMMAND, "solve", "norris", "--save", str(saved)],
        stdout=subprocess.PIPE,
        env=environment(NABLAD_SERVER=server),
    )
    assert process.stdout is not None
    while b"CONVERGED" not in process.stdout.readline():
        pass
    process.stdout.close()
    process.wait(30)
    assert saved.exists()


def test_classes_by_a_network(nablad: Piped, server: str, tmp_path: Path) -> None:
    saved, picture = tmp_path / "net.npz", tmp_path / "loss.svg"
    done = nablad(
        *("solve", "breast_cancer", "--standardize", "--ridge", "1", "--layers", "3:tanh,2", "--test-split", "0.25"),
        *("--features", "mean_radius,mean_texture,mean_concavity", "--save", str(saved), "--plot", str(picture)),
        NABLAD_SERVER=server,
    )
    assert done.returncode == 0, done.stderr
    assert value(done.stdout, "accuracy") > 0.9
    assert value(done.stdout, "accuracy (test)") > 0.85
    assert picture.read_text().lstrip().startswith("<?xml")
    with np.load(saved) as arrays:
        assert arrays["classes"].tolist() == ["benign", "malignant"]
        assert {name: arrays[name].shape for name in ("A_0", "b_0", "A_1", "b_1")} == {
            "A_0": (3, 3),
            "b_0": (3,),
            "A_1": (2, 3),
            "b_1": (2,),
        }
        assert arrays["theta"].shape == (20,)


def test_a_limit_is_exit_code_3_and_the_best_point_is_saved(nablad: Piped, server: str, tmp_path: Path) -> None:
    saved = tmp_path / "theta.npz"
    arguments = ("--standardize", "--method", "gradient-descent", "--max-iterations", "5", "--save", str(saved))
    done = nablad("solve", "longley", *arguments, NABLAD_SERVER=server)
    assert done.returncode == 3, done.stderr
    assert "LIMIT_ITERATIONS" in done.stdout
    assert "--max-iterations allows more" in done.stdout
    with np.load(saved) as arrays:
        assert np.isfinite(arrays["theta"]).all()


def test_quiet_prints_nothing(nablad: Piped, server: str, tmp_path: Path) -> None:
    saved = tmp_path / "theta.npz"
    done = nablad("solve", "norris", "--quiet", "--save", str(saved), NABLAD_SERVER=server)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with np.load(saved) as arrays:
        assert float(arrays["intercept"]) == pytest.approx(-0.262323073774029, rel=1e-9)
        assert json.loads(str(arrays["metadata"]))["source"] == "norris"  # and no path of this machine


def test_a_wrong_setting_is_named(nablad: Piped, server: str) -> None:
    done = nablad("solve", "norris", "--method", "gradient-descent", "--step-size", "-1", NABLAD_SERVER=server)
    assert done.returncode == 1
    assert "--step-size" in done.stderr
    assert done.stderr.count("\n") == 1


def test_ctrl_c_shows_the_best_point(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    picture = tmp_path / "loss.png"
    running = terminal(
        *("solve", "longley", "--standardize", "--method", "gradient-descent", "--step-size", "1e-9"),
        *("--max-iterations", "10000000", "--plot", str(picture)),
    )
    running.wait_for("running")
    running.interrupt()
    assert running.wait() == 130
    assert "USER_CANCELLED" in running.output
    assert "residual sum of squares" in running.output
    assert "Traceback" not in running.output
    assert picture.exists()


def test_a_reader_that_goes_away_is_not_an_error(server: str, regression: tuple[Path, np.ndarray]) -> None:
    process = subprocess.Popen(
        [*COMMAND, "solve", str(regression[0]), "--target", "price"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(NABLAD_SERVER=server),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == 141
