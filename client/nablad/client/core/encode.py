"""Python values into messages. Values that no message can hold are InvalidRequest, naming the argument."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from nablad.client.arrays import Dataset
from nablad.client.errors import InvalidRequest, invalid
from nablad.v1 import tensor_pb2
from nablad.wire import names, tensors
from nablad.wire.tensors import AnyArray


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
        argument = f"{path}.{name}" if path else name
        kind = message.DESCRIPTOR.fields_by_name[name].cpp_type
        wanted, read, least, most = _KINDS.get(kind, _ANY)
        try:
            number = read(value)
        except (TypeError, ValueError) as error:
            raise invalid(argument, f"is {value!r:.60}; {wanted} is needed") from error
        if not least <= (number if least > -math.inf else 0) <= most:
            raise invalid(argument, f"is {number}; a whole number from {least} to {most} is needed")
        try:
            setattr(message, name, number)
        except (TypeError, ValueError) as error:
            raise invalid(argument, f"cannot be {value!r:.60} ({error})") from error


def assign_as(message: Message, argument: str, /, **member: Any) -> None:
    """Sets a member that the caller knows by another name, which InvalidRequest gives."""
    try:
        assign(message, "", **member)
    except InvalidRequest as error:
        raise invalid(argument, error.violations[0].description) from error


def _integer(value: Any) -> int:
    return operator.index(_unless(bool | np.bool_, value))


def _float(value: Any) -> float:
    return float(_unless(bool | np.bool_ | str | bytes, value))


def _bool(value: Any) -> bool:
    return bool(_only(bool | np.bool_, value))


def _text(value: Any) -> str:
    return str(_only(str, value))


def _unless(kinds: Any, value: Any) -> Any:
    if isinstance(value, kinds):
        raise TypeError
    return value


def _only(kinds: Any, value: Any) -> Any:
    if not isinstance(value, kinds):
        raise TypeError
    return value


_Kind: TypeAlias = "tuple[str, Callable[[Any], Any], float, float]"
_WHOLE, _OPEN = "a whole number", (-math.inf, math.inf)
_ANY: _Kind = ("another value", lambda value: value, *_OPEN)
_KINDS: dict[int, _Kind] = {
    FieldDescriptor.CPPTYPE_INT32: (_WHOLE, _integer, -(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (_WHOLE, _integer, -(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (_WHOLE, _integer, 0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_DOUBLE: ("a number", _float, *_OPEN),
    FieldDescriptor.CPPTYPE_FLOAT: ("a number", _float, *_OPEN),
    FieldDescriptor.CPPTYPE_BOOL: ("True or False", _bool, *_OPEN),
    FieldDescriptor.CPPTYPE_STRING: ("a text", _text, *_OPEN),
}
"""By the field's type: what is wanted, in words, how a value is read, and the range that the wire can hold."""


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
