"""Sparse ways: few directions, the same numbers; sparse results; choices; what has no sparse structure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solvers.autodiff.derivatives.functions import EXAMPLES, RNG, Example

from nablad.solvers import Csr, Derivatives, Expression, InvalidModel
from nablad.solvers.autodiff import sparsity
from nablad.solvers.autodiff.derivatives import choice

COMPRESSED = ("forward_compressed", "reverse_compressed")


def rosenbrock(size: int) -> Expression:
    return Expression.trace(
        lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), start=np.linspace(-1.0, 1.5, size)
    )


def test_rosenbrocks_chain_in_three_directions() -> None:
    size = 2_000
    model = rosenbrock(size)
    derivatives, x = Derivatives(model), model.start()
    found = derivatives.hessian(x)
    assert (found.way, found.passes) == ("forward_over_reverse_compressed", 3)
    assert "2000 pushed directions" in found.reason
    exact = np.diag(np.append(1200 * x[:-1] ** 2 - 400 * x[1:] + 2, 0.0) + np.append(0.0, np.full(size - 1, 200.0)))
    exact += np.diag(-400 * x[:-1], 1) + np.diag(-400 * x[:-1], -1)
    np.testing.assert_allclose(found.array, exact, rtol=1e-12)
    assert np.array_equal(found.array, found.array.T)
    dense = derivatives.hessian(x, way="forward_over_reverse")
    np.testing.assert_allclose(found.array, dense.array, rtol=1e-14)
    sparse = derivatives.hessian(x, sparse=True)
    assert isinstance(sparse.array, Csr)
    assert len(sparse.array.values) == 3 * size - 2
    assert np.array_equal(sparse.array.dense(), found.array)


def test_a_sparse_jacobian_far_too_large_to_be_dense() -> None:
    size = 50_000
    x = np.linspace(0.5, 1.0, size)
    model = Expression.trace(lambda x: np.sin(x[1:]) * x[:-1], start=x)
    found = Derivatives(model).jacobian(x, sparse=True)
    assert isinstance(found.array, Csr)
    assert found.array.shape == (size - 1, size)
    assert found.passes == 2
    np.testing.assert_allclose(found.array.values[::2], np.sin(x[1:]), rtol=1e-14)
    np.testing.assert_allclose(found.array.values[1::2], np.cos(x[1:]) * x[:-1], rtol=1e-14)
    with pytest.raises(InvalidModel, match="bytes"):
        Derivatives(model).jacobian(x)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_compressed_ways_give_the_same_numbers(example: Example) -> None:
    model = example.model()
    derivatives, theta = Derivatives(model), model.start()
    points = np.stack([theta, theta + 0.125])
    jacobian, several = derivatives.jacobian(theta).array, derivatives.jacobian(points).array
    for way in COMPRESSED:
        found = derivatives.jacobian(theta, way=way)
        assert found.way == way
        np.testing.assert_allclose(found.array, jacobian, rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(derivatives.jacobian(points, way=way).array, several, rtol=1e-13, atol=1e-14)
    for way in (None, *COMPRESSED, "forward", "reverse"):
        sparse = derivatives.jacobian(theta, way=way, sparse=True).array
        assert isinstance(sparse, Csr)
        np.testing.assert_allclose(sparse.dense(), jacobian.reshape(-1, model.size), rtol=1e-13, atol=1e-14)
        assert np.all(np.diff(sparse.row_starts) >= 0)
        assert (sparse.row_starts.dtype, sparse.column_indices.dtype) == (np.int64, np.int64)
    if not jacobian.shape[:-1]:
        hessian = derivatives.hessian(theta).array
        for way in (None, "forward_over_reverse_compressed", "forward_over_reverse"):
            np.testing.assert_allclose(derivatives.hessian(theta, way=way).array, hessian, rtol=1e-13, atol=1e-13)
            sparse = derivatives.hessian(theta, way=way, sparse=True).array
            assert isinstance(sparse, Csr)
            np.testing.assert_allclose(sparse.dense(), hessian, rtol=1e-13, atol=1e-13)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.data())
def test_random_sums_of_products(size: int, drawn: st.DataObject) -> None:
    """f = sum of sin(x_i x_j) over random pairs, against the Hessian written out."""
    pair = st.tuples(st.integers(0, size - 1), st.integers(0, size - 1))
    pairs = drawn.draw(st.lists(pair, min_size=1, max_size=8))
    x = np.linspace(0.25, 1.5, size)
    model = Expression.trace(lambda x: sum(np.sin(x[i] * x[j]) for i, j in pairs) + 0.0 * np.sum(x), start=x)
    exact = np.zeros((size, size))
    for i, j in pairs:
        product = x[i] * x[j]
        slope, bend = np.cos(product), -np.sin(product)
        exact[i, i] += bend * x[j] ** 2
        exact[j, j] += bend * x[i] ** 2
        exact[i, j] += bend * product + slope
        exact[j, i] += bend * product + slope
    found = Derivatives(model).hessian(x, way="forward_over_reverse_compressed").array
    np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-13)
    assert np.array_equal(found, found.T)


def test_elements_read_one_by_one() -> None:
    """Thousands of scalar nodes: linear in their number."""
    size = 1_500

    def separate(x: np.ndarray) -> np.ndarray:
        total = 0.0
        for k in range(size):
            total = total + x[k] ** 3
        return total

    x = np.linspace(0.5, 1.0, size)
    found = Derivatives(Expression.trace(separate, start=x)).hessian(x, sparse=True)
    assert found.passes == 1
    assert isinstance(found.array, Csr)
    assert np.array_equal(found.array.column_indices, np.arange(size))
    np.testing.assert_allclose(found.array.values, 6 * x, rtol=1e-14)


def test_groups_read_by_a_data_column() -> None:
    """y_n - theta[group_n]: one entry a row, one direction for all."""
    group = RNG.integers(0, 40, 300)
    model = Expression.trace(
        lambda p, d: p["level"][d["group"]],
        start={"level": np.zeros(40)},
        data={"group": group},
        response=RNG.normal(size=300),
    )
    derivatives, theta = Derivatives(model), np.zeros(40)
    found = derivatives.jacobian(theta, sparse=True)
    assert isinstance(found.array, Csr)
    assert found.passes == 1
    assert np.array_equal(found.array.dense(), np.eye(40)[group])
    hessian = derivatives.hessian(theta, way="forward_over_reverse_compressed")
    assert hessian.passes == 1
    np.testing.assert_allclose(hessian.array, 2 * np.diag(np.bincount(group, minlength=40)))


def test_dense_structure_is_told_and_computed_densely(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Expression.trace(lambda x: np.exp(np.sum(x**2)), start=np.linspace(0.0, 0.5, 6))
    found = Derivatives(model).hessian(model.start(), sparse=True)
    assert (found.way, found.passes) == ("forward_over_reverse_compressed", 6)
    monkeypatch.setattr(choice, "DEAR", 0.0)
    dense = Derivatives(model).hessian(model.start())
    assert dense.way == "forward_over_reverse"
    assert "forward_over_reverse_compressed about" in dense.reason
    monkeypatch.setattr(sparsity, "NODE", 1 << 40)
    told = Derivatives(model).hessian(model.start(), sparse=True)
    assert told.way == "forward_over_reverse"
    assert "no sparse structure that could be found: the graph has" in told.reason
    assert isinstance(told.array, Csr)
    assert np.array_equal(told.array.dense(), dense.array)


def test_sparse_requests_that_cannot_be() -> None:
    model = Expression.trace(lambda x: np.sin(x), start=np.zeros(3))
    derivatives = Derivatives(model)
    with pytest.raises(InvalidModel, match="one is needed here"):
        derivatives.jacobian(np.zeros((2, 3)), sparse=True)
    with pytest.raises(InvalidModel, match="scalar function") as refused:
        derivatives.hessian(np.zeros(3), "output", sparse=True)
    assert refused.value.field == "sparse"
    with pytest.raises(InvalidModel, match="no scalar") as refused:
        derivatives.hessian(np.zeros(3), "output", "forward_over_reverse_compressed")
    assert refused.value.field == "way"
