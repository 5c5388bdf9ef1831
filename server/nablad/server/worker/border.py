"""The border: from messages to checked values, with the field names of nablad.v1.

A message becomes a dict of the fields that are set, tensors left as they are; a pydantic model (definitions.py,
method_definitions.py) checks each part, and tensors are decoded on the way, so that everything wrong is found at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Self

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeFloat, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from nablad.server.settings import Limits
from nablad.v1 import expression_pb2, tensor_pb2
from nablad.wire.durations import nanoseconds
from nablad.wire.tensors import AnyArray, TensorError, decode


@dataclass(frozen=True)
class Surroundings:
    """What decoding needs beside the message."""

    resolve: Callable[[str], AnyArray]
    """The array of a dataset's name. TensorError if it is not here."""
    limits: Limits


def _array(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, tensor_pb2.Tensor):
        return value
    around: Surroundings = info.context  # type: ignore[assignment]
    try:
        return decode(value, resolve=around.resolve, fill_limit=around.limits.fill_bytes)
    except TensorError as error:
        raise PydanticCustomError("tensor", "{text}", {"text": error.message, "member": error.field}) from None


def _seconds(value: object) -> object:
    if not isinstance(value, Duration):
        return value
    try:
        return nanoseconds(value) / 1e9
    except ValueError as error:
        raise PydanticCustomError("duration", "{text}", {"text": str(error)}) from None


# An ndarray once it is validated.
Array = Annotated[Any, BeforeValidator(_array)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1)]
Coefficient = Annotated[float, Field(ge=0, lt=1)]
Factor = Annotated[float, Field(gt=0, le=1)]
ZERO_IF_ABSENT: Any = Field(default=0, validate_default=True)
"""Of a number whose presence the wire does not tell: what is not there is 0, and is judged as such."""
Tolerance = Annotated[NonNegativeFloat, Field(allow_inf_nan=False)]


class Definition(BaseModel):
    """Base of all: frozen, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class OneOf(Definition):
    """Exactly one of the fields is given; protobuf sees to it that it is not two."""

    @model_validator(mode="after")
    def _is_given(self) -> Self:
        if not self.model_fields_set:
            choices = " or ".join(type(self).model_fields)
            raise PydanticCustomError("missing", "is required: give {choices}", {"choices": choices})
        return self

    @property
    def chosen(self) -> tuple[str, Any]:
        """The field's name and its value."""
        (name,) = self.model_fields_set
        return name, getattr(self, name)


def wrong(member: str, text: str, **numbers: Any) -> PydanticCustomError:
    """What a check of several fields together raises; `member` is the field at fault, `text` has {numbers}."""
    return PydanticCustomError("together", text, numbers | {"member": member})


def to_dict(message: Message) -> dict[str, Any]:
    """The set fields of a message as a dict; tensors, graphs and durations as they are."""
    return {descriptor.name: _plain(value) for descriptor, value in message.ListFields()}


def _plain(value: Any) -> Any:
    if isinstance(value, tensor_pb2.Tensor | expression_pb2.ExpressionGraph | Duration):
        return value
    if isinstance(value, Message):
        return to_dict(value)
    if isinstance(value, str | bytes | int | float):
        return value
    return [_plain(item) for item in value]
