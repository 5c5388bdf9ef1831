"""What a call puts on the wire, and what it refuses before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nablad.client import (
    ArmijoSearch,
    ConstantStep,
    Dataset,
    GradientDescent,
    InvalidRequest,
    Layer,
    LeastSquares,
    Network,
    Newton,
    RecordTheta,
    Stopping,
    Thinning,
)
from nablad.client.arrays import labels, numbers, upload_array
from nablad.client.core.encode import Encoder, dataset_name
from nablad.client.core.requests import part, solve_spec
from nablad.client.errors import argument_name
from nablad.v1 import tensor_pb2
from nablad.wire import references, tensors

X = np.arange(12.0).reshape(4, 3)
Y = np.arange(4.0)


def spec_of(model: Any, method: Any = None, **arguments: Any) -> Any:
    return solve_spec(model, method, **arguments)[0]


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        ([[1, 2], [3, 4]], np.float64),
        (np.eye(2, dtype=np.float32), np.float32),
        (np.eye(2, dtype=">f4"), np.float32),
        (np.eye(2, dtype=">f8"), np.float64),
        (np.eye(2, dtype=np.float16), np.float64),
        (np.eye(2, dtype=np.longdouble), np.float64),
        (np.eye(2, dtype=np.uint8), np.float64),
        (np.eye(2, dtype=bool), np.float64),
        (range(3), np.float64),
        (1.5, np.float64),
        (((1, 2), (3, 4.5)), np.float64),
    ],
)
def test_numbers(given: Any, dtype: Any) -> None:
    array = numbers(given, "x")
    assert array.dtype == dtype
    np.testing.assert_array_equal(tensors.decode(Encoder().tensor(array)), np.asarray(given, dtype))


def test_the_other_arrays_follow_the_features() -> None:
    single = LeastSquares(X.astype("f4"), [1, 2, 3, 4], weights=Y)
    assert {a.dtype for a in (single.features, single.targets, single.weights)} == {np.dtype("f4")}  # type: ignore[union-attr]
    spec = spec_of(single, start=[0, 0, 0])
    assert spec.start.dtype == tensor_pb2.DATA_TYPE_FLOAT32
    assert spec_of(LeastSquares(X, Y.astype("f4"))).model.least_squares.targets.dtype == tensor_pb2.DATA_TYPE_FLOAT64


@pytest.mark.parametrize(
    ("targets", "loss", "dtype"),
    [
        ([0, 1, 2, 0], "softmax_cross_entropy", tensor_pb2.DATA_TYPE_INT64),
        (np.array([0, 1, 1, 0], np.uint8), "softmax_cross_entropy", tensor_pb2.DATA_TYPE_INT64),
        (np.array([True, False, True, True]), "softmax_cross_entropy", tensor_pb2.DATA_TYPE_INT64),
        (np.eye(4), "softmax_cross_entropy", tensor_pb2.DATA_TYPE_FLOAT64),
        ([0, 1, 2, 0], "squared_error", tensor_pb2.DATA_TYPE_FLOAT64),
    ],
)
def test_labels(targets: Any, loss: str, dtype: Any) -> None:
    spec = spec_of(Network(X, targets, [Layer(3)], loss=loss))
    assert spec.model.network.targets.dtype == dtype


class Unreadable:
    def __array__(self, *_: Any, **__: Any) -> Any:
        raise ValueError("no")


BAD_ARRAYS = {
    "text": np.array(["a", "b"]),
    "objects": np.array([{}, None]),
    "complex": [1j, 2.0],
    "ragged": [[1, 2], [3]],
    "dates": np.array(["2020-01-01"], "M8[D]"),
    "masked": np.ma.masked_array([1.0, 2.0], [True, False]),
    "nothing": None,
    "a mapping": {"a": 1},
    "a set": {1, 2},
    "a generator": (x for x in [1]),
    "unreadable": Unreadable(),
    "records": np.zeros(2, [("a", "f8")]),
}


@pytest.mark.parametrize("value", BAD_ARRAYS.values(), ids=BAD_ARRAYS.keys())
def test_what_is_no_array_of_numbers_is_refused_by_name(value: Any) -> None:
    makers = {
        "model.features": lambda: LeastSquares(value, Y),
        "model.targets": lambda: LeastSquares(X, value),
        "model.inputs": lambda: Network(value, Y, [Layer(1)]),
        "start": lambda: (
            numbers(value, "start")
            if value is None or isinstance(value, dict)  # nothing given, and arrays by name
            else solve_spec(LeastSquares(X, Y), None, start=value)
        ),
        "X": lambda: upload_array(value, True),
    }
    for name, make in makers.items():
        with pytest.raises(InvalidRequest) as caught:
            make()
        assert [v.field for v in caught.value.violations] == [name]
        assert str(caught.value).startswith(f"{name}: ")
        assert "\n" not in str(caught.value)


def test_a_sparse_matrix_says_what_to_do() -> None:
    import scipy.sparse

    with pytest.raises(InvalidRequest, match="toarray"):
        LeastSquares(scipy.sparse.eye(3).tocsr(), Y)


def test_a_label_too_large() -> None:
    with pytest.raises(InvalidRequest, match="beyond"):
        labels(np.array([2**63], np.uint64), "y", like=np.dtype("f8"))


BAD_ARGUMENTS = {
    "model.reduction": lambda: LeastSquares(X, Y, reduction="median"),
    "model.layers": lambda: Network(X, Y, [16, 1]),  # type: ignore[list-item]
    "model.layers[0].width": lambda: spec_of(Network(X, Y, [Layer(2.5)])),  # type: ignore[arg-type]
    "model.layers[0].activation": lambda: spec_of(Network(X, Y, [Layer(2, 3)])),  # type: ignore[arg-type]
    "model.ridge": lambda: spec_of(LeastSquares(X, Y, ridge="a")),  # type: ignore[arg-type]
    "model.seed": lambda: spec_of(Network(X, Y, [Layer(1)], seed=-1)),
    "method.step": lambda: spec_of(LeastSquares(X, Y), GradientDescent(step="fast")),  # type: ignore[arg-type]
    "method.step.max_trials": lambda: spec_of(LeastSquares(X, Y), GradientDescent(ArmijoSearch(max_trials=1 << 40))),
    "method.line_search": lambda: spec_of(LeastSquares(X, Y), Newton(0.5)),  # type: ignore[arg-type]
    "stopping.max_time": lambda: spec_of(LeastSquares(X, Y), stopping=Stopping(max_time=float("nan"))),
    "stopping.max_iterations": lambda: spec_of(LeastSquares(X, Y), stopping=Stopping(max_iterations=1 << 70)),
    "record_theta.every": lambda: spec_of(LeastSquares(X, Y), record_theta=RecordTheta.every(0.5)),  # type: ignore[arg-type]
    "thinning.interval": lambda: part(Thinning.interval(float("inf")), "thinning"),
    "title": lambda: spec_of(LeastSquares(X, Y), title=3),
    "model": lambda: spec_of(X),
    "method": lambda: spec_of(LeastSquares(X, Y), Newton),
    "stopping": lambda: spec_of(LeastSquares(X, Y), stopping={"max_iterations": 3}),
    "record_theta": lambda: spec_of(LeastSquares(X, Y), record_theta=Newton()),
}


@pytest.mark.parametrize(("name", "make"), BAD_ARGUMENTS.items(), ids=BAD_ARGUMENTS.keys())
def test_what_no_message_can_hold_is_refused_by_name(name: str, make: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        make()
    assert caught.value.violations[0].field == name


def test_values_that_numpy_made_are_fine() -> None:
    stopping = Stopping(max_iterations=np.int32(7), gradient_tolerance=np.float32(0.5), max_time=np.float64(1.5))  # type: ignore[arg-type]
    method = GradientDescent(step=np.float64(0.25), momentum=np.float32(0.5))
    spec = spec_of(LeastSquares(X, Y, ridge=np.int64(2), intercept=np.bool_(True)), method, stopping=stopping)  # type: ignore[arg-type]
    assert spec.stopping.max_iterations == 7
    assert spec.stopping.max_time.ToNanoseconds() == 1_500_000_000
    assert spec.method.gradient_descent.constant.step_size == 0.25
    assert spec.method.gradient_descent.momentum == 0.5
    assert spec.model.least_squares.intercept
    assert spec.model.least_squares.ridge == 2.0


def test_a_solve_begins_at_an_array_or_at_arrays_by_name() -> None:
    model = LeastSquares(X, Y, intercept=True)
    for start in ([1, 2, 3, 9], {"intercept": 9, "theta": [1, 2, 3]}):
        np.testing.assert_array_equal(tensors.decode(spec_of(model, start=start).start), [1.0, 2.0, 3.0, 9.0])
    for wrong, words in [
        ({"theta": [1, 2, 3], "b": 9}, r"start\['b'\]: there is no such parameter; there are theta, intercept"),
        ({"theta": [1, 2, 3]}, r"start\['intercept'\]: is missing"),
        ({"theta": [1, 2], "intercept": 9}, r"start\['theta'\]: has shape \(2,\); an array of shape \(3,\) is needed"),
        (
            {"theta": np.ones((2, 3)), "intercept": [1, 2]},
            r"start\['theta'\]: has shape \(2, 3\); an array of shape \(3,\) is needed",
        ),
        (
            {"theta": np.ones(3), "intercept": [1, 2]},
            r"start\['intercept'\]: has shape \(2,\); a single number is needed",
        ),
    ]:
        with pytest.raises(InvalidRequest, match=words):
            spec_of(model, start=wrong)


def test_texts_and_functions_are_no_models_but_can_become_one() -> None:
    for value, words in [("x**2", r"Expression\.parse"), (lambda x: x**2, r"Expression\.trace")]:
        with pytest.raises(InvalidRequest, match=words):
            spec_of(value)


def test_what_is_not_given_is_absent() -> None:
    spec = spec_of(LeastSquares(X, Y))
    for name in ("method", "stopping", "start", "record_theta"):
        assert not spec.HasField(name)
    assert not spec.model.least_squares.HasField("ridge")
    assert not spec.model.least_squares.HasField("weights")
    assert spec_of(LeastSquares(X, Y), Newton()).method.WhichOneof("method") == "newton"
    descent = spec_of(LeastSquares(X, Y), GradientDescent()).method
    assert descent.WhichOneof("method") == "gradient_descent"
    assert descent.gradient_descent.WhichOneof("step") is None
    assert spec_of(LeastSquares(X, Y), GradientDescent(ArmijoSearch())).method.gradient_descent.HasField("armijo")
    assert spec_of(LeastSquares(X, Y), GradientDescent(ConstantStep(0.0))).method.gradient_descent.HasField("constant")
    assert spec_of(LeastSquares(X, Y), stopping=Stopping(max_iterations=0)).stopping.HasField("max_iterations")


@pytest.mark.parametrize(
    ("policy", "member", "value"),
    [
        (RecordTheta.never(), "never", True),
        (RecordTheta.every(5), "every", 5),
        (RecordTheta.best_and_final(), "best_and_final", True),
        (Thinning.every(3), "every", 3),
        (Thinning.per_decade(4), "per_decade", 4),
        (Thinning.budget(100), "budget", 100),
    ],
)
def test_policies(policy: Any, member: str, value: Any) -> None:
    message = policy.to_proto()
    assert message.WhichOneof("policy") == member
    assert getattr(message, member) == value


def test_omitting_theta_needs_no_policy() -> None:
    message = Thinning(omit_theta=True).to_proto()
    assert message.omit_theta
    assert message.WhichOneof("policy") is None
    assert Thinning.interval(0.25).to_proto().interval.ToMilliseconds() == 250


def test_large_arrays_are_left_to_be_uploaded() -> None:
    large = np.zeros((1000, 200))
    spec, encoder = solve_spec(LeastSquares(large, np.ones(1000)), None)
    assert references.datasets_in(spec) == list(encoder.uploads) == [dataset_name(large)]
    assert encoder.uploads[dataset_name(large)] is large
    assert list(spec.model.least_squares.features.shape) == [1000, 200]
    assert spec.model.least_squares.targets.WhichOneof("encoding") == "raw"
    assert spec.ByteSize() < 10_000


def test_a_dataset_stands_for_its_array() -> None:
    dataset = Dataset(dataset_name(X), np.dtype("f4"), (4, 3))
    spec, encoder = solve_spec(LeastSquares(dataset, Y), None)
    assert encoder.uploads == {}
    features = spec.model.least_squares.features
    assert (features.dataset, features.dtype, list(features.shape)) == (
        dataset.name,
        tensor_pb2.DATA_TYPE_FLOAT32,
        [4, 3],
    )
    assert spec.model.least_squares.targets.dtype == tensor_pb2.DATA_TYPE_FLOAT32
    assert dataset.size_bytes == 48


@pytest.mark.parametrize(
    ("path", "argument"),
    [
        ("spec.model.least_squares.features.raw", "model.features.raw"),
        ("spec.model.network.layers[1].activation", "model.layers[1].activation"),
        ("spec.model", "model"),
        ("spec.method.gradient_descent.constant.step_size", "method.step"),
        ("spec.method.gradient_descent.armijo.shrink", "method.step.shrink"),
        ("spec.method.newton.line_search.shrink", "method.line_search.shrink"),
        ("spec.method", "method"),
        ("spec.stopping.max_time", "stopping.max_time"),
        ("spec.start.shape", "start.shape"),
        ("request_id", "request_id"),
        ("inputs.shape", "X.shape"),
    ],
)
def test_the_wires_paths_become_the_callers_names(path: str, argument: str) -> None:
    assert argument_name(path) == argument
