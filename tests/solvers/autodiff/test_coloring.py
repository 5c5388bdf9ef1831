"""Colorings on random patterns: valid, and every entry recovered exactly."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nablad.solvers.autodiff import coloring
from nablad.solvers.autodiff.coloring import Coloring, color_columns, color_symmetric
from nablad.solvers.autodiff.sparsity import Unknown

sizes = st.integers(1, 9)
patterns = st.tuples(sizes, sizes).flatmap(lambda shape: hnp.arrays(np.bool_, shape))
squares = sizes.flatmap(lambda n: hnp.arrays(np.bool_, (n, n)))


def recovered(found: Coloring, matrix: np.ndarray) -> np.ndarray:
    compressed = matrix @ found.seeds.T
    sparse = found.sparse(compressed)
    assert np.array_equal(sparse.dense(), found.dense(compressed))
    assert all(np.all(np.diff(sparse.column_indices[a:b]) > 0) for a, b in pairwise(sparse.row_starts))
    return found.dense(compressed)


@settings(max_examples=150, deadline=None)
@given(patterns)
def test_columns_of_one_color_never_meet(mask: np.ndarray) -> None:
    found = color_columns(scipy.sparse.csr_array(mask))
    for color in range(found.count):
        assert np.all(mask[:, found.colors == color].sum(axis=1) <= 1)
    matrix = np.where(mask, np.arange(1.0, mask.size + 1).reshape(mask.shape), 0.0)
    assert np.array_equal(recovered(found, matrix), matrix)


@settings(max_examples=150, deadline=None)
@given(squares)
def test_no_path_of_four_vertices_has_two_colors(half: np.ndarray) -> None:
    mask = half | half.T
    found = color_symmetric(scipy.sparse.csr_array(mask))
    size, colors = len(mask), found.colors
    edge = mask & ~np.eye(size, dtype=bool)
    for i, j in np.argwhere(edge):
        assert colors[i] != colors[j]
    for b, c in np.argwhere(edge):
        for a, d in product(np.flatnonzero(edge[b]), np.flatnonzero(edge[c])):
            if len({a, b, c, d}) == 4:
                assert len({colors[a], colors[b], colors[c], colors[d]}) > 2
    values = np.arange(1.0, mask.size + 1).reshape(mask.shape)
    matrix = np.where(mask, values + values.T, 0.0)
    assert np.array_equal(recovered(found, matrix), matrix)
    # Two entries that rounding tells apart are read in one place.
    rounded = recovered(found, np.where(mask, values, 0.0))
    assert np.array_equal(rounded, rounded.T)


def test_an_arrow_needs_two_colors_and_a_band_as_many_as_it_is_wide() -> None:
    size = 500
    arrow = np.eye(size, dtype=bool)
    arrow[0] = arrow[:, 0] = True
    assert color_symmetric(scipy.sparse.csr_array(arrow)).count == 2
    assert color_columns(scipy.sparse.csr_array(arrow)).count == size
    band = scipy.sparse.csr_array(np.abs(np.subtract.outer(np.arange(size), np.arange(size))) <= 1)
    assert color_columns(band).count == 3
    assert color_symmetric(band).count == 3
    assert color_columns(scipy.sparse.csr_array((5, 4), dtype=bool)).count == 1


def test_what_would_take_too_long_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coloring, "STEPS_LIMIT", 100)
    with pytest.raises(Unknown, match="steps"):
        color_columns(scipy.sparse.csr_array(np.ones((20, 20), bool)))
