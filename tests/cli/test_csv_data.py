"""Tables from CSV text: what is read, and what each fault is called."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nablad.cli.bundled import BUNDLED
from nablad.cli.csv_data import read_table
from nablad.cli.errors import CommandError


def write(folder: Path, text: str | bytes, name: str = "data.csv") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_separators_marks_and_line_ends(tmp_path: Path, separator: str, bom: str, newline: str) -> None:
    lines = ["a,b,y", "1,2,3", "4,-5e-1,6.25", ""]
    table = read_table(write(tmp_path, bom + newline.join(lines).replace(",", separator)), "y")
    assert table.feature_names == ("a", "b")
    np.testing.assert_array_equal(table.features, [[1.0, 2.0], [4.0, -0.5]])
    np.testing.assert_array_equal(table.target, [3.0, 6.25])


@given(
    st.lists(
        st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3),
        min_size=1,
        max_size=20,
    )
)
def test_doubles_come_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, ...]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "data.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["a", "b", "y"])
        writer.writerows(rows)
    table = read_table(str(path), "y")
    read = np.column_stack([table.features, table.target])
    np.testing.assert_array_equal(read.view(np.int64), np.array(rows).view(np.int64))


def test_features_are_taken_in_the_order_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, 'a,b,c,y\n1,x,3,4\n5,"t,u",7,8\n')
    table = read_table(path, "y", ["c", "a"])
    assert table.feature_names == ("c", "a")
    np.testing.assert_array_equal(table.features, [[3.0, 1.0], [7.0, 5.0]])


@pytest.mark.parametrize(
    ("labels", "classes"),
    [(["b", "a", "b"], ("a", "b")), (["10", "9", "10"], ("9", "10")), (["no", "2", "10"], ("2", "10", "no"))],
)
def test_labels_are_indices_into_sorted_classes(tmp_path: Path, labels: list[str], classes: tuple[str, ...]) -> None:
    text = "x,y\n" + "".join(f"{i},{label}\n" for i, label in enumerate(labels))
    table = read_table(write(tmp_path, text), "y", labels=True)
    assert table.classes == classes
    assert table.target.dtype == np.int64
    assert [table.classes[i] for i in table.target] == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("a,y\n", "has no rows below its header"),
        ("1,2\n3,4\n", "has no header"),
        ("y\n1\n", "no column beside the target"),
        ("a,y\n1,2\n3,abc\n", "line 3, column 'y': 'abc' is not a number; --loss softmax_cross_entropy"),
        ("a,y\n1,2\nabc,3\n", "line 3, column 'a': 'abc' is not a number; --features"),
        ("a;y\n1,5;2\n", "line 2, column 'a': '1,5' is not a number; write a decimal point"),
        ('a,y\n"1,200",2\n', "'1,200' is not a number; write a decimal point and no commas"),
        ("a,y\n1,2\n1,2,3\n", "line 3: 3 fields, where the header has 2 (separated by commas"),
        ("a,y\n1,2\n\n1\n", "line 4: 1 field, where the header has 2"),
        ("a,y\n1,\n", "line 2, column 'y': the value is missing"),
        ("a,y\nNaN,2\n", "line 2, column 'a': the value is missing"),
        ("a,y\n1,inf\n", "line 2, column 'y': 'inf' is not finite"),
        ("a,y\n1_000,2\n", "line 2, column 'a': '1_000' is not a number"),
        ('a,y\n"1\n",2\nx,1\n', "line 4, column 'a': 'x' is not a number"),
        ("\n\na,y\nx,1\n", "line 4, column 'a': 'x' is not a number"),
        ("a,Y\n1,2\n", "has no column 'y'; did you mean 'Y'?"),
        ("temperature,yield\n1,2\n", "has no column 'y'; it has temperature, yield"),
        ('"a, b",c\n1,2\n', "has no column 'y'; it has \"a, b\", c"),
        ("y,y\n1,2\n", "has 2 columns named 'y': give each a name of its own"),
        (",y\n0,2\n", "no column beside the target"),
        (b"a,y\n\xff\xfe,1\n", "is not UTF-8 text"),
        ("a,y\n1,2\n".encode("utf-16"), "is not UTF-8 text"),
        ("a,y\n" + "1" * 200_000 + ",2\n", "is not CSV: field larger than field limit"),
    ],
)
def test_faults_are_named_with_their_place(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(CommandError) as caught:
        read_table(write(tmp_path, text), "y")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("features", "message"), [(["y"], "is the target"), (["a", "a"], "named twice"), (["aa"], "did you mean 'a'")]
)
def test_wrong_features_are_refused(tmp_path: Path, features: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        read_table(write(tmp_path, "a,y\n1,2\n"), "y", features)


def test_columns_without_a_name_are_used_only_when_asked_for(tmp_path: Path) -> None:
    """An index that was written along is no feature, and a separator at each line's end is no missing value."""
    path = write(tmp_path, ",a,y,\n0,1,2,\n1,5,3,\n")
    table = read_table(path, "y")
    assert (table.feature_names, table.unnamed) == (("a",), ("column 1", "column 4"))
    np.testing.assert_array_equal(table.features, [[1.0], [5.0]])
    asked = read_table(path, "y", ["column 1", "a"])
    assert (asked.feature_names, asked.unnamed) == (("column 1", "a"), ())


def test_without_a_target_the_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"--target COLUMN is required: .* has a, y$"):
        read_table(write(tmp_path, "a,y\n1,2\n"), None)


def test_rows_that_lack_a_value_can_be_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b,y\n1,,2\n,5,3\n4,5,6\n7,8,NA\n")
    table = read_table(path, "y", ["a"], drop_missing=True)
    assert table.dropped == 2
    np.testing.assert_array_equal(table.target, [2.0, 6.0])
    with pytest.raises(CommandError, match="has no rows: all 1 lack a value"):
        read_table(write(tmp_path, "a,y\n,1\n"), "y", drop_missing=True)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot read"):
        read_table(str(tmp_path / "none.csv"), "y")
    with pytest.raises(CommandError, match="cannot read"):
        read_table(str(tmp_path), "y")


def test_memory_is_that_of_the_numbers(tmp_path: Path) -> None:
    """8 MB of doubles from 20 MB of text: the process stays far below what strings or lists of floats would take."""
    row = ",".join(["0.12345678901234567"] * 10)
    path = write(tmp_path, ",".join("abcdefghiy") + "\n" + (row + "\n") * 100_000)
    program = (
        "import resource, sys; from nablad.cli.csv_data import read_table; import numpy;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "table = read_table(sys.argv[1], 'y'); assert table.rows == 100_000;"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    output = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True).stdout
    kib = int(output) if sys.platform != "darwin" else int(output) // 1024
    assert kib < 30_000


CERTIFIED = {
    "norris": ([-0.262323073774029, 1.00211681802045], 26.6173985294224),
    "longley": (
        [
            -3482258.63459582,
            15.0618722713733,
            -0.0358191792925910,
            -2.02022980381683,
            -1.03322686717359,
            -0.0511041056535807,
            1829.15146461355,
        ],
        836424.055505915,
    ),
}


@pytest.mark.parametrize("name", CERTIFIED)
def test_the_bundled_nist_sets_give_nists_certified_results(name: str) -> None:
    table = read_table(str(BUNDLED[name].path), BUNDLED[name].target)
    design = np.column_stack([np.ones(table.rows), table.features])
    theta = np.linalg.lstsq(design, table.target, rcond=None)[0]
    certified, rss = CERTIFIED[name]
    np.testing.assert_allclose(theta, certified, rtol=1e-8)
    np.testing.assert_allclose(np.sum((table.target - design @ theta) ** 2), rss, rtol=1e-10)


def test_the_bundled_tumours_are_the_wisconsin_set() -> None:
    table = read_table(str(BUNDLED["breast_cancer"].path), "diagnosis", labels=True)
    assert table.features.shape == (569, 30)
    assert dict(zip(table.classes, np.bincount(table.target), strict=True)) == {"benign": 357, "malignant": 212}
