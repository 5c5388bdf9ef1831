"""Difference quotients beside derivatives: what agrees, what is planted, corners, noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from solvers.autodiff.derivatives.functions import EXAMPLES, RNG, Example

from nablad.solvers import Derivatives, Expression, InvalidModel, Layer, Network
from nablad.solvers.autodiff.derivatives.check import Check, check


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_right_derivatives_pass_with_order_two(example: Example) -> None:
    model = example.model()
    found = Derivatives(model).check(model.start(), "output")
    assert found.passed
    assert "agree" in found.message
    assert [block.parameter for block in found.blocks] == list(model.names)
    for block in found.blocks:
        assert block.best_error < 1e-8
        assert block.order is None or 1.7 < block.order < 2.3
        assert len(block.errors) == len(block.steps) == 10


def test_a_curved_function_shows_the_order() -> None:
    model = EXAMPLES[0].model()
    by_name = {block.parameter: block for block in Derivatives(model).check(model.start()).blocks}
    assert by_name["x"].order == pytest.approx(2.0, abs=0.01)
    assert by_name["y"].order is None  # quadratic in y: a central quotient is exact at every h


def planted(model: Expression, entry: int, relative: float) -> Check:
    """The check of the model's values against a gradient that is wrong in one entry."""
    derivatives, theta = Derivatives(model), model.start()
    gradient = derivatives.gradient(theta).array.copy()
    gradient[entry] *= 1.0 + relative
    parameters = {name: (model.layout.ranges[name][0], shape) for name, shape in model.layout.shapes.items()}

    def evaluate(points: Any) -> Any:
        return derivatives.value(points)[:, None]

    return check(evaluate, theta, gradient[None], parameters, 64)


@pytest.mark.parametrize("relative", [1.0, 1e-2, 1e-6])
def test_a_wrong_derivative_is_found_and_named(relative: float) -> None:
    A = RNG.normal(size=(2, 3))
    model = Expression.trace(lambda p: np.sum(np.exp(p["A"]) * p["A"]) + np.sin(p["b"]), start={"A": A, "b": 0.5})
    assert planted(model, 0, 0.0).passed
    largest = int(np.argmax(np.abs(Derivatives(model).gradient(model.start()).array[:6])))
    found = planted(model, largest, relative)
    wrong, right = found.blocks
    row, column = np.unravel_index(largest, (2, 3))
    assert (found.passed, wrong.passed, right.passed) == (False, False, True)
    assert wrong.worst_entry == f"A[{row}, {column}]"
    assert wrong.worst_entry in found.message
    assert wrong.computed == pytest.approx((1 + relative) * wrong.estimated, rel=1e-7)
    assert relative / 10 < wrong.best_error < 2 * relative


def test_corners_are_named() -> None:
    model = Expression.trace(lambda p: np.sum(np.abs(p["x"])) + p["y"] ** 2, start={"x": [1.0, 0.0, 2.0], "y": 0.0})
    found = Derivatives(model).check(model.start())
    corner, smooth = found.blocks
    assert not found.passed
    assert not corner.passed
    assert corner.corner
    assert corner.worst_entry == "x[1]"
    assert "x[1] is at a corner" in found.message
    assert smooth.passed
    assert Derivatives(model).check([1.0, 0.01, 2.0, 0.0]).passed


def test_where_nothing_is_finite_nothing_passes() -> None:
    model = Expression.trace(lambda p: np.sqrt(p["x"]), start={"x": 0.0})
    found = Derivatives(model).check([0.0])
    assert not found.passed
    assert found.blocks[0].worst_entry == "x"


def test_entries_are_chosen_evenly() -> None:
    seen: set[int] = set()
    theta = np.zeros(100)

    def evaluate(points: Any) -> Any:
        seen.update(np.flatnonzero(points.any(0)).tolist())
        return np.sum(np.sin(points), 1, keepdims=True)

    found = check(evaluate, theta, np.ones((1, 100)), {"x": (0, (10, 10))}, 4)
    assert seen == {0, 33, 66, 99}
    assert found.passed
    assert found.blocks[0].entries == 4


def test_a_network_with_many_rows_in_single_precision_too() -> None:
    features, targets = RNG.normal(size=(500, 3)), RNG.normal(size=(500, 2))
    for dtype in (np.float64, np.float32):
        model = Network(features.astype(dtype), targets.astype(dtype), [Layer(5, "tanh"), Layer(2)])
        found = Derivatives(model).check(model.start(), max_entries=5)
        assert found.passed, found.message
        assert [block.parameter for block in found.blocks] == ["A_0", "b_0", "A_1", "b_1"]


def test_requests_that_cannot_be() -> None:
    model = EXAMPLES[0].model()
    with pytest.raises(InvalidModel, match="one is needed here"):
        Derivatives(model).check(np.zeros((2, 2)))
    with pytest.raises(InvalidModel, match="whole number >= 1"):
        Derivatives(model).check(np.zeros(2), max_entries=0)
