"""x[key] is what numpy reads with that key."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from expressions.evaluate import traced
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from nablad.expressions import ROWS, ShapeError, trace
from nablad.solvers.autodiff.interpret import interpret

X = np.arange(1.0, 61.0).reshape(3, 4, 5)

KEYS: list[Any] = [
    1,
    -1,
    np.int64(2),
    (1, 2, 3),
    slice(None),
    slice(1, None),
    slice(None, None, -1),
    slice(-2, -10, -1),
    slice(10, 20),
    slice(3, 1),
    (slice(0, 3, 2), slice(None), slice(4, 0, -2)),
    ...,
    (..., 0),
    (0, ..., 0),
    (1, 2, 3, ...),
    None,
    (None, 0, None, slice(1, 3), None),
    (..., None),
    [0, 2],
    [],
    [[0, -1], [1, 1]],
    np.array([2, 0, 0, -3]),
    (slice(None), [3, 1]),
    ([0, 1], [2, 3]),
    ([[0], [1]], [2, 3]),
    ([0, 1], slice(None), [2, 3]),
    (0, slice(None), [2, 3]),
    (slice(None), 0, [2, 3]),
    (0, [2, 3]),
    ([0, 1], ..., 2),
    ([0, 1], None, [2, 3]),
    (slice(1, 3), [2, 3], [4, 4]),
    (None, [0, 1], [2, 3]),
    ([0], [1], [2]),
    (np.array(1), np.array([0, 3])),
    np.array([True, False, True]),
    (slice(None), np.array([True, False, True, True])),
    X[:, :, 0] % 2 == 0,
    X % 7 == 0,
    (np.array([True, False, True]), slice(None), [0, 1]),
    (0, np.eye(4, 5, dtype=bool)),
    np.zeros(3, dtype=bool),
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: repr(key)[:40])
def test_a_key_reads_what_numpy_reads(key: Any) -> None:
    wanted = X[key]
    got = traced(lambda p: p["x"][key], {"x": X})
    np.testing.assert_array_equal(got, wanted)
    assert got.shape == wanted.shape


@given(npst.basic_indices((3, 4, 5), allow_newaxis=True, allow_ellipsis=True))
@settings(max_examples=150, deadline=None)
def test_any_basic_key(key: Any) -> None:
    got = traced(lambda p: p["x"][key], {"x": X})
    np.testing.assert_array_equal(got, X[key])


parts = st.one_of(
    st.integers(0, 2),
    st.just(slice(None)),
    st.just(slice(None, None, -1)),
    st.just(None),
    st.lists(st.integers(-3, 2), min_size=2, max_size=2),
    st.lists(st.lists(st.integers(-3, 2), min_size=2, max_size=2), min_size=1, max_size=2),
)


@given(st.lists(parts, max_size=4).filter(lambda key: sum(part is not None for part in key) <= 3).map(tuple))
@settings(max_examples=300, deadline=None)
def test_any_mixed_key(key: Any) -> None:
    got = traced(lambda p: p["x"][key], {"x": X})
    np.testing.assert_array_equal(got, X[key])


@pytest.mark.parametrize(
    ("key", "kind", "words"),
    [
        (3, IndexError, "index 3 is out of bounds for axis 0 with length 3"),
        (-4, IndexError, "out of bounds"),
        ([0, 5], IndexError, "index 5 is out of bounds"),
        ((0, 0, 0, 0), IndexError, "too many indices: 4 for 3 axes"),
        ((..., 0, ...), IndexError, "at most one"),
        (np.array([True, False]), IndexError, "the mask is 2 long, axis 0 is 3"),
        ([0.5], IndexError, "must be whole numbers"),
        (0.5, IndexError, "not 0.5"),
        (True, IndexError, "not True"),
        ("a", IndexError, "not 'a'"),
        (([0, 1], [0, 1, 2]), ShapeError, "cannot broadcast"),
    ],
)
def test_a_key_that_cannot_be(key: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        trace(lambda p: p["x"][key], {"x": X.shape})


def test_symbols_of_whole_numbers_index() -> None:
    group = np.array([2.0, 0.0, 0.0, 1.0, -1.0])
    other = np.array([0.0, 3.0, -1.0, 1.0, 2.0])
    whole, second = group.astype(int), other.astype(int)
    cases: list[tuple[Any, Any]] = [
        (lambda x, g, o: x[g], lambda x, g, o: X[whole]),
        (lambda x, g, o: x[:, o], lambda x, g, o: X[:, second]),
        (lambda x, g, o: x[g, o], lambda x, g, o: X[whole, second]),
        (lambda x, g, o: x[g, 1, ::-1], lambda x, g, o: X[whole, 1, ::-1]),
        (lambda x, g, o: x[g, :, 2], lambda x, g, o: X[whole, :, 2]),
        (lambda x, g, o: x[g, [0, 1, 2, 3, 0]], lambda x, g, o: X[whole, [0, 1, 2, 3, 0]]),
        (lambda x, g, o: x[g[0]], lambda x, g, o: X[whole[0]]),
        (lambda x, g, o: np.take(x, g, axis=0), lambda x, g, o: np.take(X, whole, axis=0)),
    ]
    for code, wanted in cases:
        got = traced(lambda p, code=code: code(p["x"], p["g"], p["o"]), {"x": X, "g": group, "o": other})
        np.testing.assert_array_equal(got, wanted(X, group, other))


def test_an_index_out_of_range_is_nan_never_another_element() -> None:
    def code(p: Any) -> Any:
        return p["x"][p["g"], p["o"], 0]

    got = traced(code, {"x": X, "g": [0.0, 3.0, 0.0, -4.0, 1.0], "o": [0.0, 0.0, 4.0, 0.0, -5.0]})
    np.testing.assert_array_equal(np.isnan(got), [False, True, True, True, True])


def test_groups_of_rows() -> None:
    """theta[group]: one parameter for each group of data rows."""
    definition = trace(lambda p, d: p["theta"][d["group"]] * d["x"], {"theta": (3,)}, {"group": (ROWS,), "x": (ROWS,)})
    assert definition.output.shape == (ROWS,)
    inputs = {"theta": [10.0, 20.0, 30.0], "group": [0.0, 2.0, 2.0, 1.0], "x": [1.0, 1.0, 2.0, 1.0]}
    np.testing.assert_array_equal(interpret(definition.graph, inputs)[0], [10.0, 30.0, 60.0, 20.0])


def test_whole_axes_of_rows_can_be_read_but_rows_cannot_be_told_apart() -> None:
    for key in ((slice(None), 0), (slice(0, None), [1, 0]), (..., None, 1), (slice(None), None)):
        traced_key = trace(lambda p, d, key=key: p["b"] * d["X"][key], {"b": ()}, {"X": (ROWS, 2)})
        data = np.arange(6.0).reshape(3, 2)
        np.testing.assert_array_equal(interpret(traced_key.graph, {"b": 1.0, "X": data})[0], data[key])
    for key in (0, slice(1, None), slice(None, None, -1), [0], np.array([True, False, True])):
        with pytest.raises(ShapeError, match="data rows, which cannot be told apart"):
            trace(lambda p, d, key=key: p["b"] * d["X"][key], {"b": ()}, {"X": (ROWS, 2)})
