"""What a SolveSpec may say of a model, a start and when to stop, as pydantic models with the field names of nablad.v1.

What depends on several fields, or on the mathematics, is the models' own business, one step later (problem.py). To add
a field is to add it here; the methods' are in method_definitions.py.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from nablad.server.worker.border import (
    ZERO_IF_ABSENT,
    Array,
    Definition,
    Finite,
    OneOf,
    Seconds,
    Surroundings,
    Tolerance,
    wrong,
)
from nablad.server.worker.method_definitions import Method
from nablad.v1 import expression_pb2, model_pb2


def _reduction(value: object) -> object:
    if value == model_pb2.REDUCTION_UNSPECIFIED:
        return "sum"
    for name, number in model_pb2.Reduction.items():
        if number == value:
            return name.removeprefix("REDUCTION_").lower()
    raise PydanticCustomError("reduction", "must be REDUCTION_SUM or REDUCTION_MEAN")


Reduction = Annotated[str, BeforeValidator(_reduction)]


class LeastSquares(Definition):
    features: Array
    targets: Array
    weights: Array = None
    intercept: bool = False
    ridge: Tolerance | None = None
    reduction: Reduction = "sum"


class Layer(Definition):
    width: PositiveInt = ZERO_IF_ABSENT
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
    data: list[NamedArray] = Field(default_factory=list)
    response: Array = None
    residual: bool = False

    @model_validator(mode="after")
    def _is_defined(self, info: ValidationInfo) -> Self:
        around: Surroundings = info.context  # type: ignore[assignment]
        if self.text is None and self.graph is None:
            raise PydanticCustomError("missing", "is required: give text or graph")
        if self.text is not None and len(self.text) > around.limits.expression_text:
            raise wrong(
                "text",
                "has {length} characters; at most {limit} are allowed: send a graph",
                length=len(self.text),
                limit=around.limits.expression_text,
            )
        return self


class Model(OneOf):
    least_squares: LeastSquares | None = None
    network: Network | None = None
    expression: Expression | None = None


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


class Bounds(Definition):
    lower: Array = None
    upper: Array = None


class Spec(Definition):
    model: Model
    method: Method | None = None
    stopping: Stopping = Stopping()
    start: Array = None
    bounds: Bounds | None = None
    record_theta: RecordTheta = RecordTheta()
    cancel_when_unwatched: bool = False
    title: str = ""

    @model_validator(mode="after")
    def _title_is_short(self, info: ValidationInfo) -> Self:
        around: Surroundings = info.context  # type: ignore[assignment]
        if len(self.title) > around.limits.title:
            raise wrong(
                "title",
                "has {length} characters; at most {limit} are allowed",
                length=len(self.title),
                limit=around.limits.title,
            )
        return self
