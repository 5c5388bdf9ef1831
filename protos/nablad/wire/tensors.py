"""Dense arrays on the wire: ndarray <-> nablad.v1.Tensor.

Elements are little-endian and in C order. `encode` writes raw bytes; typed values, which people can read in JSON, where
the array is small and it is asked to; or a dataset reference where the array is larger than `inline_limit` and there is
somebody to upload it. The bits are the same whichever way. `decode` believes nothing that a tensor says of itself:
every contradiction is a `TensorError` that names the field, before any memory is taken. Raw bytes are viewed, not
copied.

An array's content hash is the SHA-256 of

    b"nablad.tensor.v1\\0"  dtype name  b"\\0"  lengths in decimal, joined by ","  b"\\0"  little-endian bytes

so that equal bytes of another shape or type are another dataset. Cost: one pass over the bytes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nablad.v1 import tensor_pb2

AnyArray = NDArray[Any]
Upload = Callable[[AnyArray], str]
Resolve = Callable[[str], AnyArray]

INLINE_LIMIT = 1 << 20
FILL_LIMIT = 1 << 28
READABLE_ELEMENTS = 32
"""Arrays of a reply that are no longer than this travel as typed values."""
MAX_RANK = 32  # numpy 1.26's own
MAX_BYTES = (1 << 63) - 1


class Element(NamedTuple):
    """One element type: its number on the wire, its name, its little-endian numpy dtype."""

    data_type: tensor_pb2.DataType.ValueType
    name: str
    dtype: np.dtype[Any]


ELEMENTS = (
    Element(tensor_pb2.DATA_TYPE_FLOAT64, "float64", np.dtype("<f8")),
    Element(tensor_pb2.DATA_TYPE_FLOAT32, "float32", np.dtype("<f4")),
    Element(tensor_pb2.DATA_TYPE_INT64, "int64", np.dtype("<i8")),
)
_BY_DATA_TYPE: dict[int, Element] = {e.data_type: e for e in ELEMENTS}
_BY_DTYPE = {e.dtype: e for e in ELEMENTS}
_NAMES = ", ".join(e.name for e in ELEMENTS)


class TensorError(ValueError):
    """A tensor that contradicts itself. `field` is the path of the member at fault, `message` says what is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


class Layout(NamedTuple):
    """What a dtype and a shape come to: element type, shape, number of elements, number of bytes."""

    element: Element
    shape: tuple[int, ...]
    length: int
    size_bytes: int


def join(field: str, member: str) -> str:
    """The path of a member: `join("model", "raw")` is "model.raw"."""
    return f"{field}.{member}" if field else member


def element_of(dtype: np.dtype[Any]) -> Element:
    """The element type of a numpy dtype of either byte order. TypeError unless float64, float32 or int64."""
    element = _BY_DTYPE.get(np.dtype(dtype).newbyteorder("<"))
    if element is None:
        raise TypeError(f"no tensor can hold {np.dtype(dtype)}: use one of {_NAMES}")
    return element


def layout(data_type: int, shape: Iterable[int], field: str = "") -> Layout:
    """Checks a dtype and a shape that came over the wire. TensorError on a lie."""
    element = _BY_DATA_TYPE.get(data_type)
    if element is None:
        raise TensorError(join(field, "dtype"), f"must be one of {_NAMES}")
    lengths = tuple(shape)
    if len(lengths) > MAX_RANK:
        raise TensorError(join(field, "shape"), f"has {len(lengths)} axes; at most {MAX_RANK} are possible")
    for axis, length in enumerate(lengths):
        if length < 0:
            raise TensorError(join(field, f"shape[{axis}]"), f"is {length}; a length cannot be negative")
    # numpy multiplies the nonzero lengths even of an empty array.
    if math.prod(max(length, 1) for length in lengths) * element.dtype.itemsize > MAX_BYTES:
        raise TensorError(join(field, "shape"), f"{list(lengths)} is more than 2^63 bytes")
    length = math.prod(lengths)
    return Layout(element, lengths, length, length * element.dtype.itemsize)


def little_endian(array: AnyArray) -> AnyArray:
    """The array in C order and little-endian; itself where it is so already. 0-d stays 0-d."""
    return np.asarray(array, dtype=element_of(array.dtype).dtype, order="C")


def buffer(array: AnyArray) -> memoryview:
    """The little-endian C-order bytes of an array; a view where it can be."""
    return little_endian(array).reshape(-1).view(np.uint8).data


def content_digest(dtype: np.dtype[Any], shape: Sequence[int]) -> hashlib._Hash:
    """The content hash begun: feed it the little-endian bytes in order, as they come."""
    digest = hashlib.sha256(b"nablad.tensor.v1\0")
    digest.update(element_of(dtype).name.encode() + b"\0" + ",".join(str(int(n)) for n in shape).encode() + b"\0")
    return digest


def content_hash(dtype: np.dtype[Any], shape: Sequence[int], chunks: Iterable[bytes | memoryview]) -> str:
    """The identity of an array, 64 hexadecimal digits. `chunks` are its little-endian bytes in order."""
    digest = content_digest(dtype, shape)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def hash_array(array: AnyArray) -> str:
    """The content hash of an array in memory."""
    return content_hash(array.dtype, array.shape, (buffer(array),))


def encode(
    array: AnyArray, *, readable: int = 0, inline_limit: int = INLINE_LIMIT, upload: Upload | None = None
) -> tensor_pb2.Tensor:
    """An array of float64, float32 or int64, any shape, order and byte order, as a Tensor.

    At most `readable` elements become typed values (but not a float32 NaN, whose bits Python would change). `upload`
    takes an array of more than `inline_limit` bytes and returns its dataset's name; without it, everything goes inline.
    TypeError for other dtypes.
    """
    element = element_of(array.dtype)
    tensor = tensor_pb2.Tensor(dtype=element.data_type, shape=array.shape)
    if upload is not None and array.nbytes > inline_limit:
        tensor.dataset = upload(array)
    elif array.size <= readable and not (element.name == "float32" and np.isnan(array).any()):
        tensor.values.SetInParent()
        getattr(tensor.values, element.name).extend(array.ravel().tolist())
    else:
        tensor.raw = bytes(buffer(array))
    return tensor


def decode(
    tensor: tensor_pb2.Tensor, *, field: str = "", resolve: Resolve | None = None, fill_limit: int = FILL_LIMIT
) -> AnyArray:
    """The array that a Tensor describes, read-only; a view of the message's bytes where it can be.

    `field` is the tensor's own path, for messages. `resolve` gives the array of a dataset's name. A `fill` of more
    than `fill_limit` bytes is refused. TensorError on a lie.
    """
    plan = layout(tensor.dtype, tensor.shape, field)
    encoding = tensor.WhichOneof("encoding")
    if encoding is None:
        raise TensorError(field, "has no elements: give raw, values, fill or dataset")
    array = _DECODERS[encoding](tensor, plan, join(field, encoding), resolve, fill_limit)
    array.flags.writeable = False
    return array


def _raw(tensor: tensor_pb2.Tensor, plan: Layout, field: str, _resolve: Resolve | None, _limit: int) -> AnyArray:
    if len(tensor.raw) != plan.size_bytes:
        raise TensorError(
            field,
            f"has {len(tensor.raw)} bytes; shape {list(plan.shape)} of {plan.element.name} is {plan.size_bytes}",
        )
    return np.frombuffer(tensor.raw, dtype=plan.element.dtype).reshape(plan.shape)


def _values(tensor: tensor_pb2.Tensor, plan: Layout, field: str, _resolve: Resolve | None, _limit: int) -> AnyArray:
    for element in ELEMENTS:
        if element is not plan.element and len(getattr(tensor.values, element.name)):
            raise TensorError(join(field, element.name), f"must be empty: the tensor's dtype is {plan.element.name}")
    given = getattr(tensor.values, plan.element.name)
    if len(given) != plan.length:
        raise TensorError(
            join(field, plan.element.name),
            f"has {len(given)} elements; shape {list(plan.shape)} is {plan.length}",
        )
    return np.array(given, dtype=plan.element.dtype).reshape(plan.shape)


def _fill(tensor: tensor_pb2.Tensor, plan: Layout, field: str, _resolve: Resolve | None, limit: int) -> AnyArray:
    if plan.size_bytes > limit:
        raise TensorError(field, f"would take {plan.size_bytes} bytes; at most {limit} are allowed")
    value = tensor.fill
    if plan.element.name == "int64" and not (value.is_integer() and -(2.0**63) <= value < 2.0**63):
        raise TensorError(field, f"is {value}; an int64 tensor needs a whole number below 2^63")
    with np.errstate(over="ignore"):
        one = np.array(value).astype(plan.element.dtype)
    return np.full(plan.shape, one, dtype=plan.element.dtype)


def _dataset(tensor: tensor_pb2.Tensor, plan: Layout, field: str, resolve: Resolve | None, _limit: int) -> AnyArray:
    if resolve is None:
        raise TensorError(field, "a dataset cannot be used here")
    array = resolve(tensor.dataset)
    if element_of(array.dtype) is not plan.element:
        raise TensorError(field, f"holds {element_of(array.dtype).name}; the tensor's dtype is {plan.element.name}")
    if array.shape != plan.shape:
        raise TensorError(field, f"has shape {list(array.shape)}; the tensor's is {list(plan.shape)}")
    return array.view()


_DECODERS: dict[str, Callable[[tensor_pb2.Tensor, Layout, str, Resolve | None, int], AnyArray]] = {
    "raw": _raw,
    "values": _values,
    "fill": _fill,
    "dataset": _dataset,
}
