"""From a SolveSpec to what the solvers take: model, method, start, stopping. All that is wrong with it is found here,
before any work: at the border (definitions.py) everything at once, then by the models one by one, then against the
limits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from pydantic import ValidationError

from nablad import solvers
from nablad.server.datasets.files import DatasetFiles
from nablad.server.settings import Limits
from nablad.server.worker import definitions
from nablad.server.worker.expressions import expression
from nablad.server.worker.violations import Violations, from_pydantic
from nablad.v1 import model_pb2, solver_pb2, tensor_pb2
from nablad.wire import graphs
from nablad.wire.errors import FieldViolation
from nablad.wire.tensors import INLINE_LIMIT, READABLE_ELEMENTS, AnyArray, TensorError, decode, encode, join

GRADIENT_VALUES = 4
"""About so many times as many intermediate values as its function has a gradient, kept all at once, which none is."""
MESSAGE_BYTES = 4 << 20
"""Of the tensors inside one message, which must stay below the limit of gRPC."""

Model: TypeAlias = solvers.LeastSquares | solvers.Network | solvers.Expression
Method: TypeAlias = solvers.GradientDescent | solvers.Newton


@dataclass(frozen=True)
class WorkerContext:
    """What a worker has beside its command."""

    files: DatasetFiles
    limits: Limits
    threads: int
    announce: Callable[[bytes], None]
    """Tells the front of a dataset that this worker has written."""

    def resolve(self, name: str) -> AnyArray:
        """The array of a dataset, memory-mapped. TensorError if it is not here."""
        try:
            return self.files.open(name)
        except (FileNotFoundError, ValueError):
            raise TensorError("dataset", f"{name!r} is not on this server; upload it first") from None

    def array(self, tensor: tensor_pb2.Tensor, field: str) -> AnyArray:
        """The array of a request's tensor; `field` is its path. Violations."""
        try:
            return decode(tensor, field=field, resolve=self.resolve, fill_limit=self.limits.fill_bytes)
        except TensorError as error:
            raise Violations([FieldViolation(error.field or field, error.message)]) from None

    def tensor(self, array: AnyArray) -> tensor_pb2.Tensor:
        """The array as a tensor: a large one as a dataset that the front has been told of."""
        return encode(array, readable=READABLE_ELEMENTS, upload=self._put)

    def message_of_tensors(self) -> Callable[[AnyArray], tensor_pb2.Tensor]:
        """The same for all tensors of one message: once they are large together, the rest become datasets, too."""
        left = MESSAGE_BYTES

        def tensor(array: AnyArray) -> tensor_pb2.Tensor:
            nonlocal left
            limit = min(INLINE_LIMIT, left)
            left -= array.nbytes if array.nbytes <= limit else 0
            return encode(array, readable=READABLE_ELEMENTS, inline_limit=limit, upload=self._put)

        return tensor

    def _put(self, array: AnyArray) -> str:
        dataset = self.files.put(array)
        self.announce(dataset.SerializeToString())
        return dataset.name


@dataclass(frozen=True)
class Problem:
    """Everything that a run needs."""

    model: Model
    method: Method
    method_field: str
    start: AnyArray
    stopping: solvers.Stopping
    record: solvers.RecordTheta


def build(spec: solver_pb2.SolveSpec, context: WorkerContext) -> Problem:
    """The problem that a spec describes. Violations, with paths that begin with `spec`."""
    _check_counts(spec.model, "spec.model", context.limits)
    around = definitions.Surroundings(context.resolve, context.limits)
    try:
        checked = definitions.Spec.model_validate(definitions.to_dict(spec), context=around)
    except ValidationError as error:
        raise Violations(from_pydantic(error, "spec")) from None
    model = _model(checked.model, around, "spec.model")
    if isinstance(model, solvers.Expression) and not model.solvable:
        _refuse_to_solve(model)
    method_field, method = _method(checked.method)
    problem = Problem(
        model,
        method,
        method_field,
        _start(model, checked.start),
        _stopping(checked.stopping),
        _record(checked.record_theta),
    )
    _check_limits(problem, f"spec.model.{checked.model.chosen[0]}", checked, context.limits)
    return problem


def build_model(message: model_pb2.Model, context: WorkerContext, field: str) -> Model:
    """A model alone, for its derivatives; `field` is its path. Violations."""
    _check_counts(message, field, context.limits)
    around = definitions.Surroundings(context.resolve, context.limits)
    try:
        checked = definitions.Model.model_validate(definitions.to_dict(message), context=around)
    except ValidationError as error:
        raise Violations(from_pydantic(error, field)) from None
    model = _model(checked, around, field)
    limit = context.limits.workspace_bytes
    if GRADIENT_VALUES * graphs.size_bytes([model.problem.objective, model.problem.output], model.rows) <= limit:
        return model
    size = model.cost().workspace_bytes  # which compiles value and gradient
    if size > limit:
        text = f"needs about {size} bytes to evaluate; at most {limit} are allowed"
        raise Violations([FieldViolation(field, text)])
    return model


def _model(checked: definitions.Model, around: definitions.Surroundings, field: str) -> Model:
    kind, definition = checked.chosen
    field = f"{field}.{kind}"
    _check_size_before(kind, definition, field, around.limits)
    if kind == "expression":
        return expression(definition, around, field)
    try:
        return _MODELS[kind](definition)
    except solvers.InvalidModel as error:
        raise Violations([FieldViolation(join(field, error.field), error.message)]) from None


def _refuse_to_solve(model: solvers.Expression) -> None:
    try:
        model.objective()
    except solvers.InvalidModel as error:
        raise Violations([FieldViolation("spec.model.expression", error.message)]) from None


def _given(definition: definitions.Definition, *names: str) -> dict[str, Any]:
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


def _armijo(definition: definitions.ArmijoSearch, default: solvers.Armijo) -> solvers.Armijo:
    return solvers.Armijo(
        initial=default.initial if definition.initial_step is None else definition.initial_step,
        **_given(definition, "sufficient_decrease", "shrink", "max_trials"),
    )


def _gradient_descent(definition: definitions.GradientDescent) -> Method:
    step: solvers.Constant | solvers.Armijo = solvers.Armijo()
    if definition.constant is not None:
        step = solvers.Constant(definition.constant.step_size)
    elif definition.armijo is not None:
        step = _armijo(definition.armijo, solvers.Armijo())
    return solvers.GradientDescent(step, momentum=definition.momentum or 0.0)


def _newton(definition: definitions.Newton) -> Method:
    default = solvers.Newton()
    if definition.line_search is None:
        return default
    return solvers.Newton(line_search=_armijo(definition.line_search, default.line_search))


_METHODS: dict[str, Callable[[Any], Method]] = {"gradient_descent": _gradient_descent, "newton": _newton}


def _method(definition: definitions.Method | None) -> tuple[str, Method]:
    if definition is None:
        return "spec.method", solvers.Newton()
    kind, chosen = definition.chosen
    return f"spec.method.{kind}", _METHODS[kind](chosen)


def _start(model: Model, given: AnyArray | None) -> AnyArray:
    try:
        start: AnyArray = model.start(given)
    except solvers.InvalidModel as error:
        raise Violations([FieldViolation("spec.start", error.message)]) from None
    if not np.isfinite(start).all():
        where = int(np.flatnonzero(~np.isfinite(start))[0])
        raise Violations([FieldViolation("spec.start", f"element {where} is {start[where]}; every one must be finite")])
    return start


def _stopping(definition: definitions.Stopping) -> solvers.Stopping:
    given = {f.name: getattr(definition, f.name, None) for f in fields(solvers.Stopping)}
    return solvers.Stopping(**given | {"max_seconds": definition.max_time})


def _record(definition: definitions.RecordTheta) -> solvers.RecordTheta:
    if definition.every is not None:
        return solvers.RecordTheta.each(definition.every)
    return solvers.RecordTheta.never() if definition.never else solvers.RecordTheta.best_and_final()


def _check_counts(model: model_pb2.Model, field: str, limits: Limits) -> None:
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


def _check_limits(problem: Problem, field: str, spec: definitions.Spec, limits: Limits) -> None:
    found: list[FieldViolation] = []
    cost = problem.model.cost()
    parameters = problem.start.size
    if problem.method.order > 1 and cost.hessian_bytes > limits.hessian_bytes:
        message = (
            f"{problem.method.name} needs a {parameters} x {parameters} Hessian of {cost.hessian_bytes} bytes; "
            f"at most {limits.hessian_bytes} are allowed: use gradient_descent"
        )
        found.append(FieldViolation(problem.method_field, message))
    if cost.workspace_bytes > limits.workspace_bytes:
        message = f"needs about {cost.workspace_bytes} bytes to evaluate; at most {limits.workspace_bytes} are allowed"
        found.append(FieldViolation(field, message))
    iterations = spec.stopping.max_iterations
    if iterations is not None and iterations > limits.iterations:
        message = f"is {iterations}; at most {limits.iterations} are allowed: solve again from the result's theta"
        found.append(FieldViolation("spec.stopping.max_iterations", message))
    every = problem.record.every
    if every is not None:
        used = problem.stopping.used(problem.method.order, float(np.finfo(problem.start.dtype).eps))
        recorded = (used.max_iterations or limits.iterations) // every * problem.start.nbytes
        if recorded > limits.journal_bytes:
            message = (
                f"is {every}: so many thetas may take {recorded} bytes; at most {limits.journal_bytes} are allowed: "
                "record fewer, or set stopping.max_iterations"
            )
            found.append(FieldViolation("spec.record_theta.every", message))
    if found:
        raise Violations(found)
