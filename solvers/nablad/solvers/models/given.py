"""What is given to an expression, checked against its graph: finite real numbers, names, shapes, rows.

Each refusal names the argument at fault: "start.b1", "data.x[3]", "response", "graph".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from nablad.expressions import ROWS, Graph, Node, Shape
from nablad.expressions.dimension import describe, row_size
from nablad.solvers.models.columns import check_finite, floating
from nablad.solvers.models.errors import InvalidModel
from nablad.solvers.objective import FloatArray


def is_parameter(node: Node) -> bool:
    return bool(node.attributes[2] == "parameter")


def checked_arrays(
    start: Mapping[str, ArrayLike], data: Mapping[str, ArrayLike], response: ArrayLike | None
) -> dict[str, FloatArray]:
    """Everything given, by field, as arrays of finite real numbers."""
    if not isinstance(start, Mapping) or not start:
        raise InvalidModel("start", "is empty; at least one parameter with its start value is needed")
    given: dict[str, Any] = {f"start.{name}": value for name, value in start.items()}
    given |= {f"data.{name}": value for name, value in data.items()}
    if response is not None:
        given["response"] = response
    arrays = {}
    for field, value in given.items():
        array = floating(field, value)
        if array.size == 0:
            raise InvalidModel(field, f"is empty: shape {array.shape}")
        check_finite(field, array)
        arrays[field] = array
    return arrays


def common_dtype(arrays: Iterable[FloatArray]) -> np.dtype[Any]:
    single = all(x.dtype == np.float32 for x in arrays)
    return np.dtype(np.float32) if single else np.dtype(np.float64)


def check_graph(graph: Graph, start: Mapping[str, FloatArray], data: Mapping[str, FloatArray]) -> None:
    if len(graph.outputs) != 1:
        raise InvalidModel("graph", f"has {len(graph.outputs)} outputs; an expression has one")
    (output,) = graph.outputs
    if output.spec.result == "truth":
        raise InvalidModel("graph", "is true or false; a derivative needs a number, such as where(condition, 1, 0)")
    if row_size(output.shape) == (0, 0):
        raise InvalidModel("graph", f"has an output without elements: shape {describe(output.shape)}")
    given = {"parameter": ("start", start), "data": ("data", data)}
    for node in graph.inputs:
        role = node.attributes[2]
        if role not in given:
            raise InvalidModel("graph", f"has an input {node.name!r} of the unknown role {role!r}")
        field, arrays = given[role]
        if node.name not in arrays:
            raise InvalidModel(f"{field}.{node.name}", "missing; the expression has an input of this name")
        check_shape(f"{field}.{node.name}", arrays[node.name], node.shape)
        if role == "parameter" and row_size(node.shape)[0]:
            raise InvalidModel(f"start.{node.name}", "has a shape that depends on the number of rows")
    needed = set(graph.nodes)
    for role, (field, arrays) in given.items():
        declared = {x.name for x in graph.inputs if x.attributes[2] == role}
        used = {x.name for x in graph.inputs if x in needed}
        for name in arrays:
            if name not in declared:
                raise InvalidModel(f"{field}.{name}", f"no such {role} in the expression")
            if role == "parameter" and name not in used:
                raise InvalidModel(f"start.{name}", "is not used by the expression: nothing would determine it")


def count_rows(graph: Graph, data: Mapping[str, FloatArray]) -> int | None:
    found: tuple[str, int] | None = None
    for node in graph.inputs:
        if not is_parameter(node):
            found = agree(found, f"data.{node.name}", data[node.name], node.shape)
    return None if found is None else found[1]


def agree(known: tuple[str, int] | None, field: str, array: FloatArray, shape: Shape) -> tuple[str, int] | None:
    """(field, rows) of the first column with rows; every other must have as many."""
    for axis, d in enumerate(shape):
        if d is ROWS:
            if known is None:
                known = field, array.shape[axis]
            elif array.shape[axis] != known[1]:
                refuse_rows(field, array.shape[axis:], *known)
    return known


def refuse_rows(field: str, shape: tuple[int, ...], than: str, rows: int) -> NoReturn:
    raise InvalidModel(field, f"has {shape[0] if shape else 'no'} rows, but {than} has {rows}")


def check_shape(field: str, array: FloatArray, shape: Shape) -> None:
    fits = array.ndim == len(shape) and all(d is ROWS or d == n for d, n in zip(shape, array.shape, strict=True))
    if not fits:
        raise InvalidModel(field, f"has shape {array.shape}, should be {describe(shape)}")
