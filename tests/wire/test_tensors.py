"""Tensors: what goes in comes out, bit for bit, and every lie is an error that names its field."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nablad.v1 import tensor_pb2
from nablad.wire import tensors
from nablad.wire.tensors import ELEMENTS, TensorError

Tensor = tensor_pb2.Tensor
F64, F32, I64 = tensor_pb2.DATA_TYPE_FLOAT64, tensor_pb2.DATA_TYPE_FLOAT32, tensor_pb2.DATA_TYPE_INT64


def round_trip(array: Any) -> Any:
    return tensors.decode(Tensor.FromString(tensors.encode(array).SerializeToString()))


@pytest.mark.parametrize("element", ELEMENTS, ids=lambda e: e.name)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (5,), (3, 4), (0, 7), (7, 0, 2), (2, 3, 4, 1)])
def test_round_trip_of_every_type_order_and_shape(element: Any, order: str, shape: tuple[int, ...]) -> None:
    array = np.arange(math.prod(shape)).reshape(shape).astype(element.dtype.newbyteorder(order))
    back = round_trip(array)
    assert back.dtype == element.dtype
    assert back.shape == shape
    np.testing.assert_array_equal(back, array)
    assert not back.flags.writeable


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::2],
        lambda a: a[:, ::-1],
        lambda a: a.T,
        lambda a: np.asfortranarray(a),
        lambda a: np.broadcast_to(a[0], (3, 6)),
        lambda a: a[1:3, 2:4],
    ],
)
def test_round_trip_of_views(view: Any) -> None:
    array = view(np.arange(24.0).reshape(4, 6))
    np.testing.assert_array_equal(round_trip(array), array)


ARRAYS = st.sampled_from(["<f8", ">f8", "<f4", "<i8", ">i8"]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


@given(ARRAYS)
def test_bits_survive(array: Any) -> None:
    little = array.astype(array.dtype.newbyteorder("<"))
    assert round_trip(array).tobytes() == little.tobytes()  # NaN payloads and signed zeros included


@given(ARRAYS)
def test_the_forms_agree(array: Any) -> None:
    element = tensors.element_of(array.dtype)
    values = tensor_pb2.Values(**{element.name: array.ravel().tolist()})
    by_values = tensors.decode(Tensor(dtype=element.data_type, shape=array.shape, values=values))
    np.testing.assert_array_equal(by_values, round_trip(array))


def test_raw_is_a_view_of_the_message() -> None:
    assert not tensors.decode(tensors.encode(np.zeros(1000))).flags.owndata


@pytest.mark.parametrize("dtype", ["f2", "c16", "O", "i4", "u8", "?", "U3", "M8[s]"])
def test_other_types_are_refused(dtype: str) -> None:
    with pytest.raises(TypeError, match="float64, float32, int64"):
        tensors.encode(np.zeros(3, dtype=dtype))


def raw(dtype: Any, shape: Any, data: bytes = b"") -> Tensor:
    return Tensor(dtype=dtype, shape=shape, raw=data)


LIES = {
    "no dtype": (raw(0, [1], b"12345678"), "x.dtype"),
    "an unknown dtype": (Tensor.FromString(b"\x08\x63" + raw(0, [1], b"12345678").SerializeToString()), "x.dtype"),
    "a negative length": (raw(F64, [2, -3], b"12345678"), "x.shape[1]"),
    "two negative lengths": (raw(F64, [-1, -1], b"12345678"), "x.shape[0]"),
    "an overflow": (raw(F64, [1 << 62, 1 << 62]), "x.shape"),
    "a product that wraps to 0": (raw(F64, [1 << 32, 1 << 32, 1 << 32]), "x.shape"),
    "an overflow hidden by a 0": (raw(F64, [0, 1 << 62, 1 << 62]), "x.shape"),
    "too many axes": (raw(F64, [1] * 33, b"12345678"), "x.shape"),
    "too few bytes": (raw(F64, [2], b"12345678"), "x.raw"),
    "too many bytes": (raw(F64, [1], b"123456789"), "x.raw"),
    "bytes of another width": (raw(F32, [1], b"12345678"), "x.raw"),
    "bytes for an empty shape of one": (raw(F64, []), "x.raw"),
    "nothing": (Tensor(dtype=F64, shape=[1]), "x"),
    "values of another type": (
        Tensor(dtype=F64, shape=[1], values=tensor_pb2.Values(float32=[1])),
        "x.values.float32",
    ),
    "values of two types": (
        Tensor(dtype=F64, shape=[1], values=tensor_pb2.Values(float64=[1], int64=[1])),
        "x.values.int64",
    ),
    "too few values": (Tensor(dtype=I64, shape=[2], values=tensor_pb2.Values(int64=[1])), "x.values.int64"),
    "no values": (Tensor(dtype=F32, shape=[2], values=tensor_pb2.Values()), "x.values.float32"),
    "a huge fill": (Tensor(dtype=F64, shape=[1 << 40], fill=0), "x.fill"),
    "half an integer": (Tensor(dtype=I64, shape=[3], fill=0.5), "x.fill"),
    "an integer that is not a number": (Tensor(dtype=I64, shape=[3], fill=math.nan), "x.fill"),
    "an integer too large": (Tensor(dtype=I64, shape=[3], fill=2.0**63), "x.fill"),
    "a dataset where there are none": (Tensor(dtype=F64, shape=[3], dataset="datasets/a"), "x.dataset"),
}


@pytest.mark.parametrize(("tensor", "field"), LIES.values(), ids=LIES.keys())
def test_each_lie_names_its_field(tensor: Tensor, field: str) -> None:
    with pytest.raises(TensorError) as caught:
        tensors.decode(tensor, field="x")
    assert caught.value.field == field
    assert caught.value.message


@given(st.binary(max_size=60))
def test_no_bytes_do_more_than_lie(data: bytes) -> None:
    try:
        tensor = Tensor.FromString(data)
    except Exception:
        return
    try:
        array = tensors.decode(tensor, fill_limit=1 << 16)
    except TensorError:
        return
    assert list(array.shape) == list(tensor.shape)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=6), st.sampled_from([F64, F32, I64]))
def test_no_shape_takes_memory(shape: list[int], dtype: Any) -> None:
    for tensor in (raw(dtype, shape, b"1234"), Tensor(dtype=dtype, shape=shape, fill=1.0)):
        try:
            array = tensors.decode(tensor, fill_limit=1 << 16)
        except TensorError:
            continue
        assert array.nbytes <= 1 << 16


@pytest.mark.parametrize(
    ("dtype", "fill", "expected"),
    [(F64, -0.0, -0.0), (F32, 0.1, np.float32(0.1)), (F32, 1e300, np.inf), (I64, -3.0, -3), (F64, math.nan, math.nan)],
)
def test_fill(dtype: Any, fill: float, expected: Any) -> None:
    array = tensors.decode(Tensor(dtype=dtype, shape=[2, 2], fill=fill))
    np.testing.assert_array_equal(array, np.full((2, 2), expected, array.dtype))
    assert array.tobytes() == np.full((2, 2), expected, array.dtype).tobytes()


def test_large_arrays_become_datasets_and_come_back() -> None:
    kept: dict[str, Any] = {}

    def upload(array: Any) -> str:
        name = f"datasets/{tensors.hash_array(array)}"
        kept[name] = array
        return name

    small, large = np.arange(8.0), np.arange(1000.0).reshape(10, 100)
    assert tensors.encode(small, inline_limit=64, upload=upload).WhichOneof("encoding") == "raw"
    tensor = tensors.encode(large, inline_limit=64, upload=upload)
    assert tensor.WhichOneof("encoding") == "dataset"
    assert list(tensor.shape) == [10, 100]
    np.testing.assert_array_equal(tensors.decode(tensor, resolve=kept.__getitem__), large)
    assert large.flags.writeable  # decoding did not lock the array that it was given


@pytest.mark.parametrize(
    "stored", [np.zeros((2, 3), np.float32), np.zeros((3, 2)), np.zeros(6)], ids=["dtype", "shape", "rank"]
)
def test_a_dataset_must_be_what_the_tensor_says(stored: Any) -> None:
    with pytest.raises(TensorError) as caught:
        tensors.decode(Tensor(dtype=F64, shape=[2, 3], dataset="datasets/a"), field="x", resolve=lambda _: stored)
    assert caught.value.field == "x.dataset"


def test_the_content_hash_is_what_the_architecture_says() -> None:
    array = np.array([[1.0, 2.0, 3.0]])
    by_hand = hashlib.sha256(b"nablad.tensor.v1\0float64\x001,3\0" + array.astype("<f8").tobytes()).hexdigest()
    assert tensors.hash_array(array) == by_hand
    assert tensors.hash_array(array.astype(">f8")) == by_hand
    assert tensors.hash_array(np.asfortranarray(array)) == by_hand
    data = array.tobytes()
    assert tensors.content_hash(array.dtype, (1, 3), [data[:5], data[5:]]) == by_hand
    others = [array.T, array.ravel(), array.astype("f4"), array.astype("i8"), -array, np.array(1.0)]
    assert len({by_hand, *(tensors.hash_array(a) for a in others)}) == len(others) + 1


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_readable_tensors_have_the_same_bits(dtype: str) -> None:
    limits = np.iinfo(np.int64) if dtype == "int64" else np.finfo(dtype)
    numbers = [0, 1, -1, limits.max, limits.min] + ([] if dtype == "int64" else [-0.0, np.nan, -np.inf, 5e-324, 0.1])
    array = np.array(numbers, dtype)
    if dtype == "float32":
        array[6:7].view(np.uint32)[:] = 0x7F800001  # a signalling NaN
    for each in (array, array[:5], array[:0], array[0]):
        tensor = tensors.encode(each, readable=32)
        expected = "raw" if dtype == "float32" and np.isnan(each).any() else "values"
        assert tensor.WhichOneof("encoding") == expected
        assert tensors.decode(tensor).tobytes() == each.tobytes()
    assert tensors.encode(np.zeros(33), readable=32).WhichOneof("encoding") == "raw"
    assert tensors.encode(array).WhichOneof("encoding") == "raw"
