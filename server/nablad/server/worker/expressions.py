"""An Expression from the wire: text or graph, with its parameters, data and response.

What the engine finds wrong it tells in its constructor's words, `start.x`, `data.x[3]`; here they become the client's
own fields, `parameters[0].value`, `data[0].value[3]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nablad import solvers
from nablad.server.settings import Limits
from nablad.server.worker import definitions
from nablad.server.worker.border import Surroundings
from nablad.server.worker.violations import Violations
from nablad.v1 import tensor_pb2
from nablad.wire import graphs
from nablad.wire.errors import FieldViolation
from nablad.wire.tensors import AnyArray, decode, join


def expression(definition: definitions.Expression, around: Surroundings, field: str) -> solvers.Expression:
    """The model; `field` is the definition's own path. Violations."""
    source = "graph" if definition.text is None else "text"
    try:
        _check_names(definition)
        model = _from_text(definition) if source == "text" else _from_graph(definition, around)
        graphs.check_sizes(model.graph, model.labels, _limits(around.limits))
    except graphs.GraphError as error:
        path = join(source, error.field).removesuffix(".")
        raise Violations([FieldViolation(join(field, path), error.message)]) from None
    except solvers.InvalidModel as error:
        path = join(field, _path(error.field, definition, source)).removesuffix(".")
        raise Violations([FieldViolation(path, error.message)]) from None
    return model


def _from_text(definition: definitions.Expression) -> solvers.Expression:
    assert definition.text is not None
    return solvers.Expression.parse(definition.text, **_given(definition))


def _from_graph(definition: definitions.Expression, around: Surroundings) -> solvers.Expression:
    def constant(tensor: tensor_pb2.Tensor, field: str) -> AnyArray:
        return decode(tensor, field=field, resolve=around.resolve, fill_limit=around.limits.fill_bytes)

    assert definition.graph is not None
    given = _given(definition)
    graph, labels = graphs.decode(
        definition.graph,
        {name: value.shape for name, value in given["start"].items()},
        {name: value.shape for name, value in given["data"].items()},
        constant,
        _limits(around.limits),
    )
    return solvers.Expression(graph, labels=labels, **given)


def _given(definition: definitions.Expression) -> dict[str, Any]:
    return {
        "start": {row.name: row.value for row in definition.parameters},
        "data": {row.name: row.value for row in definition.data},
        "response": definition.response,
        "residual": definition.residual,
    }


def _check_names(definition: definitions.Expression) -> None:
    seen: dict[str, str] = {}
    for member in ("parameters", "data"):
        for index, row in enumerate(getattr(definition, member)):
            path = f"{member}[{index}].name"
            if not row.name.isidentifier():
                text = f"is {row.name!r:.60}: a name is letters, digits and _, not beginning with a digit"
                raise solvers.InvalidModel(path, text)
            if row.name in seen:
                raise solvers.InvalidModel(path, f"is {row.name!r:.60}, as {seen[row.name]} is")
            seen[row.name] = path


def _limits(limits: Limits) -> graphs.GraphLimits:
    return graphs.GraphLimits(limits.expression_nodes, limits.expression_constant_bytes, limits.workspace_bytes)


_MEMBERS: Mapping[str, str] = {"start.": "parameters", "data.": "data"}


def _path(field: str, definition: definitions.Expression, source: str) -> str:
    """The member of the message that an InvalidModel's field means."""
    for prefix, member in _MEMBERS.items():
        rest = field.removeprefix(prefix)
        rows = [(len(row.name), i) for i, row in enumerate(getattr(definition, member)) if rest.startswith(row.name)]
        if rest != field and rows:
            length, index = max(rows)
            return f"{member}[{index}].value{rest[length:]}"
    return {"graph": source, "text": source, "model": ""}.get(field, field)
