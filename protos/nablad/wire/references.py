"""The tensors of a message, wherever they are: found by walking its fields, so that a new field needs no new code.

Only fields that can lead to a tensor are walked, which their descriptors tell once and for all: so an iterate without
theta costs one look, whatever else it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from nablad.v1 import tensor_pb2
from nablad.wire import names
from nablad.wire.tensors import join


@cache
def _leading(kind: Descriptor) -> tuple[str, ...]:
    """The fields of a message type that can lead to a tensor, in field order. No map of nablad.v1 does."""
    return tuple(
        field.name
        for field in sorted(kind.fields, key=lambda field: field.number)
        if field.message_type is not None and _TENSOR in _reachable(field.message_type)
    )


_TENSOR = tensor_pb2.Tensor.DESCRIPTOR


@cache
def _reachable(kind: Descriptor) -> frozenset[Descriptor]:
    """The message types that a message of this type may hold, however deep, itself among them."""
    found = {kind}
    pending = [kind]
    while pending:
        nested = {field.message_type for field in pending.pop().fields if field.message_type is not None}
        pending += nested - found
        found |= nested
    return frozenset(found)


def tensors_in(message: Message, field: str = "") -> Iterator[tuple[str, tensor_pb2.Tensor]]:
    """Every Tensor in a message with its path, such as ("spec.model.network.inputs", ...), in field order."""
    if isinstance(message, tensor_pb2.Tensor):
        yield field, message
        return
    for name in _leading(message.DESCRIPTOR):
        path = join(field, name)
        value = getattr(message, name)
        if not isinstance(value, Message):
            for index, item in enumerate(value):
                yield from tensors_in(item, f"{path}[{index}]")
        elif message.HasField(name):
            yield from tensors_in(value, path)


def may_refer(data: bytes) -> bool:
    """Whether a serialized message may refer to a dataset; False is certain, for every dataset's name begins alike."""
    return _PREFIX in data


_PREFIX = f"{names.DATASETS}/".encode()


def datasets_in(message: Message) -> list[str]:
    """The names of the datasets that a message refers to, each once, in order."""
    return list(dict.fromkeys(t.dataset for _, t in tensors_in(message) if t.WhichOneof("encoding") == "dataset"))
