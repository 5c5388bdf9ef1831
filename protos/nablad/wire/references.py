"""The tensors of a message, wherever they are: found by walking its fields, so that a new field needs no new code."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message

from nablad.v1 import tensor_pb2
from nablad.wire.tensors import join


def tensors_in(message: Message, field: str = "") -> Iterator[tuple[str, tensor_pb2.Tensor]]:
    """Every Tensor in a message with its path, such as ("spec.model.network.inputs", ...), in field order."""
    if isinstance(message, tensor_pb2.Tensor):
        yield field, message
        return
    for descriptor, value in message.ListFields():
        path = join(field, descriptor.name)
        if isinstance(value, Message):
            yield from tensors_in(value, path)
        elif descriptor.message_type is not None and not descriptor.message_type.GetOptions().map_entry:
            for index, item in enumerate(value):
                yield from tensors_in(item, f"{path}[{index}]")


def datasets_in(message: Message) -> list[str]:
    """The names of the datasets that a message refers to, each once, in order."""
    return list(dict.fromkeys(t.dataset for _, t in tensors_in(message) if t.WhichOneof("encoding") == "dataset"))
