"""Points and results in the caller's own form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse

from nablad.client import CsrMatrix, InvalidRequest, Named
from nablad.client.points import default_form, flatten, shaped

LAYOUT = {"A": (2, 3), "b": (2,), "c": ()}
P = 9
THETA = np.arange(9.0)
BY_NAME = {"A": THETA[:6].reshape(2, 3), "b": THETA[6:8], "c": 8.0}


def flat(value: Any, layout: Any = LAYOUT) -> tuple[Any, str]:
    found = flatten(value, "theta", layout)
    return found.array, found.form


@pytest.mark.parametrize(
    ("value", "layout", "form", "shape"),
    [
        (THETA, LAYOUT, "flat", (9,)),
        (list(range(9)), LAYOUT, "flat", (9,)),
        (np.ones((4, 9)), LAYOUT, "flat", (4, 9)),
        (BY_NAME, LAYOUT, "named", (9,)),
        ({name: np.stack([np.asarray(v)] * 5) for name, v in BY_NAME.items()}, LAYOUT, "named", (5, 9)),
        (2.0, {"x": ()}, "own", (1,)),
        ([2.0], {"x": ()}, "flat", (1,)),
        (np.ones(4), {"x": ()}, "own", (4, 1)),
        (np.ones((4, 1)), {"x": ()}, "flat", (4, 1)),
        (np.ones((2, 3)), {"A": (2, 3)}, "own", (6,)),
        (np.ones(6), {"A": (2, 3)}, "flat", (6,)),
        (np.ones((5, 6)), {"A": (2, 3)}, "flat", (5, 6)),
        (np.ones((5, 2, 3)), {"A": (2, 3)}, "own", (5, 6)),
        (np.ones((1, 3)), {"A": (1, 3)}, "own", (3,)),
        (np.ones((4, 3)), {"x": (3,)}, "flat", (4, 3)),
        (np.ones((4, 7)), None, "flat", (4, 7)),
    ],
)
def test_forms(value: Any, layout: Any, form: str, shape: tuple[int, ...]) -> None:
    array, found = flat(value, layout)
    assert (found, array.shape) == (form, shape)


def test_names_are_put_in_the_order_of_theta() -> None:
    np.testing.assert_array_equal(flat(dict(reversed(BY_NAME.items())))[0], THETA)


@pytest.mark.parametrize(
    ("value", "layout", "field"),
    [
        (np.ones(8), LAYOUT, "theta"),
        (np.ones((9, 2)), LAYOUT, "theta"),
        (1.0, LAYOUT, "theta"),
        (np.ones((2, 2, 9)), LAYOUT, "theta"),
        (np.ones((3, 2)), {"A": (2, 3)}, "theta"),
        ({**BY_NAME, "d": 1.0}, LAYOUT, "theta['d']"),
        ({"A": BY_NAME["A"], "b": BY_NAME["b"]}, LAYOUT, "theta['c']"),
        ({**BY_NAME, "b": np.ones(3)}, LAYOUT, "theta['b']"),
        ({**BY_NAME, "b": 1j * np.ones(2)}, LAYOUT, "theta['b']"),
        ({**BY_NAME, "b": np.ones((4, 2))}, LAYOUT, "theta"),
        ({"A": 1.0}, None, "theta"),
        ("wibble", LAYOUT, "theta"),
        (1j, {"x": ()}, "theta"),
    ],
)
def test_what_cannot_be_a_point_is_named(value: Any, layout: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        flat(value, layout)
    assert caught.value.violations[0].field == field


def test_named_gradients() -> None:
    gradient = shaped(THETA, LAYOUT, "named")
    assert isinstance(gradient, Named)
    assert list(gradient) == ["A", "b", "c"]
    np.testing.assert_array_equal(gradient["A"], BY_NAME["A"])
    assert gradient["c"] == 8.0
    assert isinstance(gradient["c"], float)
    np.testing.assert_array_equal(np.asarray(gradient), THETA)
    np.testing.assert_array_equal(2 * gradient.flat, 2 * THETA)
    assert dict(gradient).keys() == LAYOUT.keys()
    with pytest.raises(KeyError, match="A, b, c"):
        gradient["d"]
    assert "'b': array" in repr(gradient)


def test_named_hessians_with_output_and_batch_in_front() -> None:
    H = np.random.default_rng(0).normal(size=(4, 5, P, P))
    named = shaped(H, LAYOUT, "named", axes=2)
    assert named["A"]["b"].shape == (4, 5, 2, 3, 2)
    np.testing.assert_array_equal(named["A"]["b"], H[:, :, :6, 6:8].reshape(4, 5, 2, 3, 2))
    np.testing.assert_array_equal(named["c"]["A"], H[:, :, 8, :6].reshape(4, 5, 2, 3))
    assert named["c"]["c"].shape == (4, 5)
    np.testing.assert_array_equal(np.asarray(named["b"]), H[:, :, 6:8, :])
    assert isinstance(shaped(H[0, 0], LAYOUT, "named", axes=2)["c"]["c"], float)


def test_own_shapes_and_floats() -> None:
    assert shaped(np.ones((7, 6, 6)), {"A": (2, 3)}, "own", axes=2).shape == (7, 2, 3, 2, 3)
    assert shaped(np.array([2.5]), {"x": ()}, "own") == 2.5
    assert isinstance(shaped(np.array([[2.5]], np.float32), {"x": ()}, "own", axes=2), float)
    assert shaped(np.array([2.5]), {"x": ()}, "flat").shape == (1,)
    assert default_form({"theta": (3,)}) == "own"
    assert default_form({"theta": (3,), "intercept": ()}) == "named"
    assert default_form({"x": ()}) == "named"


def test_numpy_may_ask_for_a_dtype_or_a_copy() -> None:
    named = Named(THETA, LAYOUT)
    assert np.array(named, dtype=np.float32).dtype == np.float32
    copy = np.array(named)
    copy[0] = 99.0
    assert THETA[0] == 0.0
    assert named.__array__(copy=False) is THETA
    with pytest.raises(ValueError, match="copy"):
        named.__array__(np.float32, copy=False)


def test_sparse_matrices() -> None:
    dense = np.random.default_rng(1).integers(-1, 2, (5, 7)).astype(float)
    source = scipy.sparse.csr_array(dense)
    matrix = CsrMatrix(5, 7, source.indptr.astype(np.int64), source.indices.astype(np.int64), source.data)
    np.testing.assert_array_equal(matrix.toarray(), dense)
    np.testing.assert_array_equal(matrix.to_scipy().toarray(), dense)
    assert (matrix.shape, matrix.nnz) == ((5, 7), np.count_nonzero(dense))
    assert "5 x 7" in repr(matrix)
