"""What is refused before memory is taken, and what is not kept."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nablad.solvers import Derivatives, Expression, InvalidModel
from nablad.solvers.autodiff.derivatives import check as checks
from nablad.solvers.autodiff.derivatives import evaluation

MIB = 1 << 20


def wide(length: int) -> Expression:
    """One number, by way of an array of so many rows that must stand in memory: pieces are put side by side."""

    def function(p: Any) -> Any:
        half = np.broadcast_to(p["x"], (length // 2, 2))
        return np.sum(np.sin(np.concatenate([half, half]) ** 2))

    return Expression.trace(function, start={"x": np.array([0.5, 0.7])})


CALLS: dict[str, Callable[[Derivatives], Any]] = {
    "value": lambda d: d.value([0.5, 0.7]),
    "gradient": lambda d: d.gradient([0.5, 0.7]),
    "hessian": lambda d: d.hessian([0.5, 0.7]),
    "hvp": lambda d: d.hvp([0.5, 0.7], [1.0, 0.0]),
    "jvp": lambda d: d.jvp([0.5, 0.7], [1.0, 0.0]),
    "vjp": lambda d: d.vjp([0.5, 0.7], 1.0),
    "taylor": lambda d: d.taylor([0.5, 0.7], [1.0, 0.0], 20),
    "check": lambda d: d.check([0.5, 0.7]),
    "describe": lambda d: d.describe(theta=[0.5, 0.7]),
}


@pytest.mark.parametrize("call", CALLS)
def test_work_is_bounded_before_it_begins(call: str) -> None:
    model = wide(1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidModel, match=r"to compute this takes about .* bytes; at most 1,048,576") as raised:
            CALLS[call](Derivatives(model, work_bytes=MIB))
        assert raised.value.field == "of"
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


def test_large_buffers_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "KEPT_BYTES", MIB)
    derivatives = Derivatives(wide(500_000))
    expected = 500_000 * (math.sin(0.25) + math.sin(0.49))
    tracemalloc.start()
    try:
        for _ in range(2):
            assert derivatives.value([0.5, 0.7]) == pytest.approx(expected, rel=1e-13)
            assert tracemalloc.get_traced_memory()[0] < 2 * MIB
        assert tracemalloc.get_traced_memory()[1] > 7 * MIB
    finally:
        tracemalloc.stop()


def test_many_cotangents_of_many_parameters_are_refused() -> None:
    model = Expression.parse("sum(x**2)", start={"x": np.ones(1000)})
    derivatives = Derivatives(model, result_bytes=MIB)
    assert derivatives.vjp(np.ones(1000), np.ones(10)).shape == (10, 1000)
    with pytest.raises(InvalidModel, match=r"a result of shape \(1000, 1000\)"):
        derivatives.vjp(np.ones(1000), np.ones(1000))
    with pytest.raises(InvalidModel, match="has shape") as raised:
        derivatives.vjp(np.ones(1000), np.ones(0))
    assert raised.value.field == "u"


def test_a_check_of_many_parameters_takes_few_points_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty points for each entry, all at once, would be gigabytes for a million parameters."""
    monkeypatch.setattr(checks, "VALUES_AT_ONCE", 1000)
    sizes = []

    def evaluate(points: Any) -> Any:
        sizes.append(points.size)
        return np.sin(points).sum(axis=1, keepdims=True)

    theta = np.linspace(0.0, 1.0, 300)
    found = checks.check(evaluate, theta, np.cos(theta)[None], {"x": (0, (300,))}, 40)
    assert found.passed
    assert found.blocks[0].entries == 40
    assert max(sizes) <= 1000


def test_a_sparse_matrix_that_turns_out_dense_tells_why() -> None:
    model = Expression.parse("sum(x)**2", start={"x": np.ones(1000)})
    with pytest.raises(InvalidModel, match=r"at most 1,048,576 are allowed \(by .*forward_over_reverse"):
        Derivatives(model, result_bytes=MIB).hessian(np.ones(1000), sparse=True)
    arrow = Expression.parse("sum(x * x[0] * x)", start={"x": np.ones(20_000)})
    with pytest.raises(InvalidModel, match=r"forward_over_reverse_compressed .* coloring would take"):
        Derivatives(arrow, result_bytes=MIB).hessian(np.ones(20_000), sparse=True)
