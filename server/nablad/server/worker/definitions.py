"""The border: what a SolveSpec may say, as pydantic models with the field names of nablad.v1.

A message becomes a dict of the fields that are set, tensors left as they are; each model checks its part, and tensors
are decoded on the way, so that everything wrong is found at once. What depends on several fields, or on the
mathematics, is the models' own business, one step later (problem.py). To add a field is to add it here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Self

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from nablad.server.settings import Limits
from nablad.v1 import expression_pb2, model_pb2, tensor_pb2
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
    return value.seconds + value.nanos * 1e-9 if isinstance(value, Duration) else value


def _reduction(value: object) -> object:
    if value == model_pb2.REDUCTION_UNSPECIFIED:
        return "sum"
    for name, number in model_pb2.Reduction.items():
        if number == value:
            return name.removeprefix("REDUCTION_").lower()
    raise PydanticCustomError("reduction", "must be REDUCTION_SUM or REDUCTION_MEAN")


# An ndarray once it is validated.
Array = Annotated[Any, BeforeValidator(_array)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, allow_inf_nan=False)]
Reduction = Annotated[str, BeforeValidator(_reduction)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1)]
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


class LeastSquares(Definition):
    features: Array
    targets: Array
    weights: Array = None
    intercept: bool = False
    ridge: Tolerance | None = None
    reduction: Reduction = "sum"


class Layer(Definition):
    width: PositiveInt
    activation: str = "identity"
    initialization: str | None = None
    parameter: Finite | None = None


class Network(Definition):
    inputs: Array
    targets: Array
    layers: Annotated[list[Layer], Field(min_length=1)]
    loss: str = "squared_error"
    reduction: Reduction = "sum"
    ridge: Tolerance | None = None
    seed: NonNegativeInt | None = None


class NamedArray(Definition):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    value: Array


class Expression(Definition):
    text: str | None = None
    graph: expression_pb2.ExpressionGraph | None = None
    parameters: Annotated[list[NamedArray], Field(min_length=1)]
    data: list[NamedArray] = []
    response: Array = None
    residual: bool = False

    @model_validator(mode="after")
    def _is_defined(self, info: ValidationInfo) -> Self:
        around: Surroundings = info.context  # type: ignore[assignment]
        if self.text is None and self.graph is None:
            raise PydanticCustomError("missing", "is required: give text or graph")
        if self.text is not None and len(self.text) > around.limits.expression_text:
            raise PydanticCustomError(
                "text",
                "has {length} characters; at most {limit} are allowed: send a graph",
                {"length": len(self.text), "limit": around.limits.expression_text, "member": "text"},
            )
        return self


class Model(OneOf):
    least_squares: LeastSquares | None = None
    network: Network | None = None
    expression: Expression | None = None


class ConstantStep(Definition):
    step_size: Positive


class ArmijoSearch(Definition):
    initial_step: Positive | None = None
    sufficient_decrease: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    shrink: Share | None = None
    max_trials: PositiveInt | None = None


class GradientDescent(Definition):
    constant: ConstantStep | None = None
    armijo: ArmijoSearch | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None


class Newton(Definition):
    line_search: ArmijoSearch | None = None


class Method(OneOf):
    gradient_descent: GradientDescent | None = None
    newton: Newton | None = None


class Stopping(Definition):
    max_iterations: NonNegativeInt | None = None
    max_evaluations: PositiveInt | None = None
    max_time: Seconds | None = None
    gradient_tolerance: Tolerance | None = None
    relative_gradient_tolerance: Tolerance | None = None
    step_tolerance: Tolerance | None = None
    decrement_tolerance: Tolerance | None = None
    target_value: Finite | None = None


class RecordTheta(Definition):
    never: bool | None = None
    every: PositiveInt | None = None
    best_and_final: bool | None = None


class Spec(Definition):
    model: Model
    method: Method | None = None
    stopping: Stopping = Stopping()
    start: Array = None
    record_theta: RecordTheta = RecordTheta()
    cancel_when_unwatched: bool = False
    title: str = ""

    @model_validator(mode="after")
    def _title_is_short(self, info: ValidationInfo) -> Self:
        around: Surroundings = info.context  # type: ignore[assignment]
        if len(self.title) > around.limits.title:
            raise PydanticCustomError(
                "title",
                "has {length} characters; at most {limit} are allowed",
                {"length": len(self.title), "limit": around.limits.title, "member": "title"},
            )
        return self


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
