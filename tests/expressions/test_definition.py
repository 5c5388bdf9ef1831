"""Definitions: which data are columns of rows, labels, and what is shared between definitions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from nablad.expressions import ROWS, ExpressionError, Labels, Shape, Traced, by_rows, constant, parse, trace
from nablad.expressions import symbols as s
from nablad.expressions.labels import LONGEST, recorder, recording, shorten
from nablad.solvers.autodiff.interpret import interpret

COLUMNS = {"x": (5,), "Z": (5, 2), "K": (3, 3)}


@pytest.mark.parametrize(
    ("text", "response", "shape"),
    [
        ("b*x", (5,), (ROWS,)),
        ("b*x", None, (ROWS,)),
        ("b*sum(x)", None, ()),
        ("b*Z[:, 0] + x", (5,), (ROWS,)),
        ("b*x[1:]", (4,), (4,)),
        ("b*x[::-1]", (5,), (5,)),
        ("b*Z[0]", None, (2,)),
        ("b*(K @ K)", None, (3, 3)),
        ("b*K[0, 0]*x", (5,), (ROWS,)),
        ("b*x", (3,), (5,)),
    ],
)
def test_columns_are_rows_wherever_that_fits(text: str, response: tuple[int, ...] | None, shape: Shape) -> None:
    """Columns are as long as the response; without one, as long as most of the data. Values do not depend on it."""
    asked: list[Mapping[str, Shape]] = []

    def build(columns: Mapping[str, Shape]) -> Traced:
        asked.append(columns)
        return parse(text, {"b": ()}, columns)

    definition = by_rows(build, COLUMNS, response)
    assert definition.output.shape == shape
    assert 1 <= len(asked) <= 2
    random = np.random.default_rng(3)
    arrays = {name: random.standard_normal(size) for name, size in COLUMNS.items()} | {"b": np.array(2.0)}
    fixed = parse(text, {"b": ()}, COLUMNS)
    np.testing.assert_array_equal(interpret(definition.graph, arrays)[0], interpret(fixed.graph, arrays)[0])


def test_data_without_rows_is_built_once() -> None:
    asked: list[Mapping[str, Shape]] = []

    def build(columns: Mapping[str, Shape]) -> Traced:
        asked.append(columns)
        return parse("b", {"b": ()}, columns)

    by_rows(build, {})
    by_rows(build, {"k": ()}, (5,))
    assert asked == [{}, {"k": ()}]


def test_an_error_is_told_in_the_shapes_that_were_given() -> None:
    with pytest.raises(ExpressionError, match=r"x is \(5,\)"):
        by_rows(lambda columns: parse("b*x + K", {"b": ()}, columns), COLUMNS)


def test_code_that_counts_rows_means_the_same() -> None:
    """len(x), loops over rows and branches on lengths are met with fixed shapes; x.shape[0] in arithmetic with rows."""
    x = np.array([1.0, 2.0, 6.0, 4.0, 5.0])
    codes = {
        lambda p, d: p["b"] * sum(d["x"]) / len(d["x"]): 5,
        lambda p, d: p["b"] * np.sum(d["x"]) / d["x"].shape[0]: ROWS,
        lambda p, d: p["b"] * (d["x"].sum() / 5 if d["x"].shape[0] == 5 else 0.0): 5,
        lambda p, d: p["b"] * np.sum(d["x"] @ np.ones(d["x"].shape[0])) / 5: 5,
        lambda p, d: p["b"] * np.mean(d["x"]): ROWS,
    }
    for code, rows in codes.items():
        definition = by_rows(lambda columns, code=code: trace(code, {"b": ()}, columns), {"x": (5,)})
        assert definition.graph.inputs[1].shape == (rows,)
        np.testing.assert_allclose(interpret(definition.graph, {"b": 2.0, "x": x})[0], 2.0 * x.mean(), rtol=1e-15)


def test_labels_belong_to_a_definition() -> None:
    """The same node has another text in each."""
    first, second = parse("a * b", {"a": (), "b": ()}), parse("(a) *  b + 0*a", {"a": (), "b": ()})
    node = first.output
    assert node in second.labels
    assert (first.labels[node], second.labels[node]) == ("a * b", "(a) * b")
    assert dict(Labels({node: "text"})) == {node: "text"}
    assert constant(1.0) not in first.labels
    assert len(second.labels.of([node])) == 1


def test_a_label_is_one_short_line() -> None:
    assert shorten("a\n  + b") == "a + b"
    label = parse("+".join(["a"] * 200), {"a": ()}).labels
    longest = max(label.values(), key=len)
    assert len(longest) == LONGEST
    assert longest.startswith("a+a")
    assert " ... " in longest


def test_recordings_nest_and_end() -> None:
    heard: list[str] = []
    with recording(lambda node: heard.append("outer")):
        outer = recorder.note
        with pytest.raises(IndexError), recording(lambda node: heard.append("inner")):
            trace(lambda p: p[0][0], ())
        assert recorder.note is outer
        s.exp(1.0)
    assert recorder.note is None
    s.exp(2.0)
    assert heard == ["outer"]
