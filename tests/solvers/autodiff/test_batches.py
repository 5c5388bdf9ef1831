"""Batches: unbiased for sums and means, with weights and penalties; the engine's numbers against sums written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nablad.expressions import ROWS, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers import Interrupted, Layer, LeastSquares, Network, UnsupportedObjective
from nablad.solvers.autodiff.batches import LENGTHS_KEPT
from nablad.solvers.autodiff.objective import GraphObjective
from nablad.solvers.autodiff.problem import Compiled, Problem
from nablad.solvers.models import Expression

RNG = np.random.default_rng(5)
N, D = 23, 3
X = RNG.standard_normal((N, D))
Y = RNG.standard_normal(N)
W = RNG.random(N)
CLASSES = RNG.integers(0, 3, N)


def expression(reduction: str) -> Expression:
    text = f"{reduction}((y - b1 * (1 - exp(-b2 * x)))**2) + 0.3 * b1**2"
    return Expression.parse(text, data={"x": np.abs(X[:, 0]), "y": Y}, start={"b1": 1.0, "b2": 0.5})


MODELS: dict[str, Callable[[str], Any]] = {
    "least squares": lambda r: LeastSquares(X, Y, reduction=r),
    "all of least squares": lambda r: LeastSquares(X, Y, weights=W, intercept=True, ridge=0.7, reduction=r),
    "single precision": lambda r: LeastSquares(X.astype(np.float32), Y.astype(np.float32), ridge=0.7, reduction=r),
    "network": lambda r: Network(X, Y, (Layer(4, "tanh"), Layer(1)), reduction=r, ridge=0.2),
    "classifier": lambda r: Network(
        X, CLASSES, (Layer(5, "relu"), Layer(3)), loss="softmax_cross_entropy", reduction=r, ridge=0.2
    ),
    "expression": expression,
}
CASES = [(name, reduction) for name in MODELS for reduction in ("sum", "mean")]


def objective_and_point(name: str, reduction: str) -> tuple[GraphObjective, np.ndarray, float]:
    model = MODELS[name](reduction)
    theta = model.initial() + RNG.standard_normal(model.size).astype(model.dtype)
    return model.objective(), theta, 1e-4 if model.dtype == np.float32 else 1e-10


@pytest.mark.parametrize(("name", "reduction"), CASES)
def test_batches_of_a_partition_average_to_the_whole(name: str, reduction: str) -> None:
    objective, theta, tolerance = objective_and_point(name, reduction)
    value, gradient = objective.value_and_gradient(theta)
    order = RNG.permutation(N)
    for size in (1, 4, 10, N):
        parts = [order[k : k + size] for k in range(0, N, size)]
        answers = [(len(part), *objective.batch(part).value_and_gradient(theta)) for part in parts]
        assert np.isclose(sum(b * v for b, v, _ in answers) / N, value, rtol=tolerance)
        mean = sum(b * g for b, _, g in answers) / N
        assert np.allclose(mean, gradient, rtol=tolerance, atol=tolerance * np.abs(gradient).max())


@pytest.mark.parametrize(("name", "reduction"), CASES)
def test_all_rows_in_order_are_the_objective_to_the_bit(name: str, reduction: str) -> None:
    objective, theta, _ = objective_and_point(name, reduction)
    value, gradient = objective.value_and_gradient(theta)
    same, slope = objective.batch(range(N)).value_and_gradient(theta)
    assert (same, slope.tobytes(), slope.dtype) == (value, gradient.tobytes(), gradient.dtype)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_one_batch_is_what_it_should_be(reduction: str) -> None:
    """Rows twice count twice; the penalty counts once, and the mean's N stays N."""
    chosen, theta = np.array([5, 3, 3, 20]), RNG.standard_normal(D)
    objective = LeastSquares(X, Y, weights=W, ridge=0.7, reduction=reduction).objective()
    value, gradient = objective.batch(chosen).value_and_gradient(theta)
    r, w, scale = Y[chosen] - X[chosen] @ theta, W[chosen], (N if reduction == "sum" else 1.0) / 4.0
    assert np.isclose(value, scale * (w @ r**2) + 0.7 * theta @ theta, rtol=1e-13)
    assert np.allclose(gradient, -2.0 * scale * X[chosen].T @ (w * r) + 1.4 * theta, rtol=1e-12)


def test_batches_share_buffers_and_not_numbers() -> None:
    """Two of one length alive at once, asked in turn, and the list that one was made of changed."""
    objective, theta = LeastSquares(X, Y).objective(), RNG.standard_normal(D)
    rows = np.array([0, 1])
    first, second = objective.batch(rows), objective.batch([2, 3])
    rows[:] = 4
    expected = {k: N / 2 * float(np.sum((Y[k : k + 2] - X[k : k + 2] @ theta) ** 2)) for k in (0, 2)}
    for _ in range(2):
        assert first.value_and_gradient(theta)[0] == pytest.approx(expected[0], rel=1e-13)
        assert second.value_and_gradient(theta)[0] == pytest.approx(expected[2], rel=1e-13)
    for length in range(1, LENGTHS_KEPT + 4):
        assert objective.batch(range(length)).rows == length
    assert first.value_and_gradient(theta)[0] == pytest.approx(expected[0], rel=1e-13)


def test_what_is_no_batch_is_refused() -> None:
    objective = LeastSquares(X, Y).objective()
    with pytest.raises(ValueError, match="at least one"):
        objective.batch([])
    for rows in ([0, N], [-1]):
        with pytest.raises(IndexError, match=r"0 \.\.\. 22"):
            objective.batch(rows)


@pytest.mark.parametrize("outer", [s.sqrt, s.square, s.log])
def test_a_function_of_a_sum_has_no_batches(outer: Any) -> None:
    """Its value can be streamed over row blocks, but the root of an estimate does not estimate the root."""
    theta, x = parameter("theta", (D,)), data("x", (ROWS, D))
    output = x @ theta
    problem = Problem(theta.node, (x.node,), outer(s.sum(s.square(output))).node, output.node)
    objective = GraphObjective(Compiled(problem, np.dtype(np.float64)), {"x": X})
    assert not objective.capabilities.separable
    with pytest.raises(UnsupportedObjective, match="sum over data rows"):
        objective.batch([0])


def test_a_batch_is_interrupted_between_its_blocks_and_usable_again() -> None:
    calls, stop = [], [True]

    def checkpoint() -> None:
        calls.append(None)
        if stop[0]:
            raise Interrupted("cancelled")

    objective = LeastSquares(X, Y).objective(checkpoint)
    batch = objective.batch([1, 2, 3])
    with pytest.raises(Interrupted):
        batch.value_and_gradient(np.zeros(D))
    stop[0] = False
    assert batch.value_and_gradient(np.zeros(D))[0] == pytest.approx(N / 3 * float(Y[1:4] @ Y[1:4]))
    assert len(calls) == 2
