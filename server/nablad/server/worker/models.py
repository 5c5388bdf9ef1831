"""From a Model to the solvers' own. What is wrong with it is found here, before any work: how many things it holds,
then at the border (definitions.py) everything at once, then what the models themselves find, then its size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from pydantic import ValidationError

from nablad import solvers
from nablad.server.settings import Limits
from nablad.server.worker import definitions
from nablad.server.worker.border import Definition, Surroundings, to_dict
from nablad.server.worker.context import WorkerContext
from nablad.server.worker.expressions import expression
from nablad.server.worker.violations import Violations, from_pydantic
from nablad.v1 import model_pb2
from nablad.wire import graphs
from nablad.wire.errors import FieldViolation
from nablad.wire.tensors import AnyArray, join

GRADIENT_VALUES = 4
"""About so many times as many intermediate values as its function has a gradient, kept all at once, which none is."""

Model: TypeAlias = solvers.LeastSquares | solvers.Network | solvers.Expression


def build_model(message: model_pb2.Model, context: WorkerContext, field: str) -> Model:
    """A model alone, for its derivatives; `field` is its path. Violations."""
    check_counts(message, field, context.limits)
    around = context.surroundings
    try:
        checked = definitions.Model.model_validate(to_dict(message), context=around)
    except ValidationError as error:
        raise Violations(from_pydantic(error, field)) from None
    model = model_of(checked, around, field)
    limit = context.limits.workspace_bytes
    if GRADIENT_VALUES * graphs.size_bytes([model.problem.objective, model.problem.output], model.rows) <= limit:
        return model
    size = model.cost().workspace_bytes  # which compiles value and gradient
    if size > limit:
        text = f"needs about {size} bytes to evaluate; at most {limit} are allowed"
        raise Violations([FieldViolation(field, text)])
    return model


def model_of(checked: definitions.Model, around: Surroundings, field: str) -> Model:
    """The model of a definition, once its size is known to be bearable; `field` is its path. Violations."""
    kind, definition = checked.chosen
    field = f"{field}.{kind}"
    _check_size_before(kind, definition, field, around.limits)
    if kind == "expression":
        return expression(definition, around, field)
    try:
        return _MODELS[kind](definition)
    except solvers.InvalidModel as error:
        raise Violations([FieldViolation(join(field, error.field), error.message)]) from None


def _given(definition: Definition, *names: str) -> dict[str, Any]:
    """Those of the fields that have a value; the others are left to the models' own defaults."""
    return {name: value for name in names if (value := getattr(definition, name)) is not None}


def _least_squares(definition: definitions.LeastSquares) -> Model:
    return solvers.LeastSquares(
        definition.features, definition.targets, **_given(definition, "weights", "intercept", "ridge", "reduction")
    )


def _network(definition: definitions.Network) -> Model:
    layers = [
        solvers.Layer(layer.width, layer.activation, **_given(layer, "initialization", "parameter"))
        for layer in definition.layers
    ]
    return solvers.Network(
        definition.inputs, definition.targets, layers, **_given(definition, "loss", "reduction", "ridge", "seed")
    )


_MODELS: dict[str, Callable[[Any], Model]] = {"least_squares": _least_squares, "network": _network}


def check_counts(model: model_pb2.Model, field: str, limits: Limits) -> None:
    """Before they are looked at one by one: a message has room for millions."""
    counts = (
        (f"{field}.network.layers", len(model.network.layers), limits.layers),
        (f"{field}.expression.parameters", len(model.expression.parameters), limits.expression_inputs),
        (f"{field}.expression.data", len(model.expression.data), limits.expression_inputs),
        (f"{field}.expression.graph.nodes", len(model.expression.graph.nodes), limits.expression_nodes),
        (f"{field}.expression.graph.constants", len(model.expression.graph.constants), limits.expression_nodes),
    )
    found = [
        FieldViolation(path, f"has {count}; at most {limit} are allowed")
        for path, count, limit in counts
        if count > limit
    ]
    if found:
        raise Violations(found)


def _check_size_before(kind: str, definition: Any, field: str, limits: Limits) -> None:
    """What would take memory by being built."""
    found = [
        FieldViolation(f"{field}.{path}", f"has {rows} rows; at most {limits.rows} are allowed")
        for path, rows in _ROWS_OF[kind](definition)
        if rows > limits.rows
    ]
    path, parameters = _PARAMETERS_OF[kind](definition)
    if parameters > limits.parameters:
        message = f"make {parameters} parameters; at most {limits.parameters} are allowed"
        found.append(FieldViolation(f"{field}.{path}", message))
    if found:
        raise Violations(found)


def _length(array: AnyArray | None) -> int:
    return len(array) if array is not None and array.ndim else 0


def _expression_rows(definition: definitions.Expression) -> list[tuple[str, int]]:
    arrays = [(f"data[{i}].value", row.value) for i, row in enumerate(definition.data)]
    return [(path, _length(array)) for path, array in [*arrays, ("response", definition.response)]]


def _network_parameters(definition: definitions.Network) -> tuple[str, int]:
    width = definition.inputs.shape[1] if definition.inputs.ndim == 2 else 0
    parameters = 0
    for layer in definition.layers:
        parameters += layer.width * (width + 1)
        width = layer.width
    return "layers", parameters


_ROWS_OF: dict[str, Callable[[Any], list[tuple[str, int]]]] = {
    "least_squares": lambda d: [("features", _length(d.features))],
    "network": lambda d: [("inputs", _length(d.inputs))],
    "expression": _expression_rows,
}
_PARAMETERS_OF: dict[str, Callable[[Any], tuple[str, int]]] = {
    "least_squares": lambda d: ("features", d.features.shape[1] if d.features.ndim == 2 else 0),
    "network": _network_parameters,
    "expression": lambda d: ("parameters", sum(row.value.size for row in d.parameters)),
}
