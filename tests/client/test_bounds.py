"""Bounds in the words of the caller, and what of them goes on the wire."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nablad.client import Dataset, Expression, InvalidRequest, Layer, LeastSquares, Network
from nablad.client.core.encode import dataset_name
from nablad.client.core.requests import solve_spec
from nablad.wire import tensors

INF = np.inf
CURVE = Expression.parse("b1*exp(-b2*x)", data={"x": [1.0, 2.0]}, response=[1.0, 2.0], start={"b1": 1.0, "b2": 2.0})
LINE = LeastSquares(np.ones((4, 3)), np.ones(4), intercept=True)
SINGLE = LeastSquares(np.ones((4, 3), "f4"), np.ones(4), intercept=True)
NET = Network(np.ones((4, 2)), np.ones(4), [Layer(1)])


def sides(model: Any, bounds: Any) -> list[Any]:
    message = solve_spec(model, None, bounds=bounds)[0].bounds
    given = ((name, getattr(message, name)) for name in ("lower", "upper"))
    return [tensors.decode(tensor).tolist() if message.HasField(name) else None for name, tensor in given]


@pytest.mark.parametrize(
    ("model", "bounds", "expected"),
    [
        (CURVE, {"b1": (0, None), "b2": (None, 5)}, [[0, -INF], [INF, 5]]),
        (CURVE, {"b2": (-1, 1)}, [[-INF, -1], [INF, 1]]),
        (CURVE, {}, [[-INF, -INF], [INF, INF]]),
        (CURVE, {"b1": (np.array(2), np.float32(2))}, [[2, -INF], [2, INF]]),
        (CURVE, (0, None), [0, None]),
        (CURVE, (None, [1, 2]), [None, [1, 2]]),
        (CURVE, ({"b2": 0}, None), [[-INF, 0], None]),
        (CURVE, ({"b2": 0}, 3), [[-INF, 0], 3]),
        (CURVE, ({"b2": None}, {"b1": 7}), [[-INF, -INF], [7, INF]]),
        (LINE, {"theta": ([0, 1, 2], None)}, [[0, 1, 2, -INF], [INF] * 4]),
        (LINE, {"theta": (0, [1, 2, INF]), "intercept": (3, 4)}, [[0, 0, 0, 3], [1, 2, INF, 4]]),
        (NET, {"A_0": (-1, [[2, 3]])}, [[-1, -1, -INF], [2, 3, INF]]),
    ],
)
def test_bounds_arrive_flat(model: Any, bounds: Any, expected: list[Any]) -> None:
    assert sides(model, bounds) == expected


def test_bounds_follow_the_precision_of_the_model() -> None:
    spec, _ = solve_spec(SINGLE, None, bounds={"theta": (0.1, None)})
    assert tensors.decode(spec.bounds.lower).dtype == np.float32


def test_a_dataset_may_be_a_side() -> None:
    dataset = Dataset(dataset_name(np.zeros(2)), np.dtype("f8"), (2,))
    assert solve_spec(CURVE, None, bounds=(dataset, None))[0].bounds.lower.dataset == dataset.name


@pytest.mark.parametrize(
    ("model", "bounds", "field", "words"),
    [
        (CURVE, {"b3": (0, 1)}, "bounds['b3']", "there are b1, b2"),
        (CURVE, {"b1": 0}, "bounds['b1']", r"a tuple \(lower, upper\)"),
        (CURVE, {"b1": (0, 1, 2)}, "bounds['b1']", "tuple"),
        (CURVE, {"b1": [0, 1]}, "bounds['b1']", "tuple"),
        (CURVE, {"b1": (1, 0)}, "bounds['b1']", "above its upper one"),
        (CURVE, {"b1": (0, float("nan"))}, "bounds['b1']", "NaN"),
        (CURVE, {"b1": ("low", 0)}, "bounds['b1']", "numbers are needed"),
        (CURVE, {"b1": ([0, 1], None)}, "bounds['b1']", r"a number or shape \(\)"),
        (CURVE, ({"b2": 0}, -1), "bounds['b2']", "above its upper one"),
        (LINE, {"theta": (0, [1, -1, 1])}, "bounds['theta']", "above its upper one"),
        # scipy's list of pairs, which with two parameters could be read the other way
        (CURVE, [(0, None), (None, 5)], "bounds", "dict of such tuples by parameter name"),
        (CURVE, 3, "bounds", "tuple"),
        (CURVE, (0, "high"), "bounds.upper", "numbers are needed"),
        (object, {"b1": (0, 1)}, "model", "is needed"),
    ],
)
def test_what_is_no_box_is_refused_by_name(model: Any, bounds: Any, field: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        solve_spec(model, None, bounds=bounds)
    assert [v.field for v in caught.value.violations] == [field]


def test_names_need_parameters_that_are_known() -> None:
    unknown = LeastSquares(Dataset(dataset_name(np.zeros(2)), np.dtype("f8"), (2,)), np.ones(2))
    with pytest.raises(InvalidRequest, match="not known here"):
        solve_spec(unknown, None, bounds={"theta": (0, None)})
