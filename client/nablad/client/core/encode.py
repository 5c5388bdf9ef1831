"""Python values into messages. Values that no message can hold are InvalidRequest, naming the argument."""

from __future__ import annotations

import math
import operator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from nablad.client.arrays import Dataset
from nablad.client.errors import invalid
from nablad.v1 import tensor_pb2
from nablad.wire import names, tensors
from nablad.wire.tensors import AnyArray

_INTEGERS = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}
_FLOATS = {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}


class Encoder:
    """Makes tensors for one request. Arrays over `inline_limit` bytes become references; `uploads` holds them."""

    def __init__(self, inline_limit: int = tensors.INLINE_LIMIT) -> None:
        self.uploads: dict[str, AnyArray] = {}
        """Dataset name -> array: to be on the server before the request is."""
        self._inline_limit = inline_limit

    def tensor(self, value: Any) -> tensor_pb2.Tensor:
        """An array of float64, float32 or int64, or a Dataset, as a Tensor."""
        if isinstance(value, Dataset):
            data_type = tensors.element_of(value.dtype).data_type
            return tensor_pb2.Tensor(dtype=data_type, shape=value.shape, dataset=value.name)
        return tensors.encode(value, inline_limit=self._inline_limit, upload=self._keep)

    def _keep(self, array: AnyArray) -> str:
        name = dataset_name(array)
        self.uploads[name] = array
        return name


def dataset_name(array: AnyArray) -> str:
    """The name that the array has, or would have, on any server."""
    return names.name_of(names.DATASETS, tensors.hash_array(array))


def assign(message: Message, path: str, /, **members: Any) -> None:
    """Sets the members that are not None, numpy scalars too. InvalidRequest names `path.member`."""
    for name, value in members.items():
        if value is None:
            continue
        kind = message.DESCRIPTOR.fields_by_name[name].cpp_type
        try:
            if kind in _INTEGERS and not isinstance(value, bool):
                value = operator.index(value)
            elif kind in _FLOATS and not isinstance(value, str):
                value = float(value)
            elif kind == FieldDescriptor.CPPTYPE_BOOL:
                value = bool(value)
            setattr(message, name, value)
        except (TypeError, ValueError) as error:
            raise invalid(f"{path}.{name}" if path else name, f"cannot be {value!r} ({error})") from error


def duration(seconds: float, argument: str) -> Duration:
    """Seconds as a Duration. InvalidRequest unless finite and below ten thousand years."""
    try:
        value = float(seconds)
    except (TypeError, ValueError) as error:
        raise invalid(argument, f"cannot be {seconds!r}; seconds are needed") from error
    if not math.isfinite(value) or abs(value) > 3e11:
        raise invalid(argument, f"is {value}; a finite number of seconds is needed")
    message = Duration()
    message.FromNanoseconds(round(value * 1e9))
    return message
