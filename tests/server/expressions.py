"""Expressions to send to a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nablad.expressions import by_rows, parse
from nablad.v1 import expression_pb2, model_pb2, tensor_pb2
from nablad.wire import graphs
from nablad.wire.tensors import encode

Arrays = Mapping[str, Any]


def named(arrays: Arrays) -> list[tensor_pb2.NamedTensor]:
    return [
        tensor_pb2.NamedTensor(name=name, value=value if isinstance(value, tensor_pb2.Tensor) else tensor(value))
        for name, value in arrays.items()
    ]


def tensor(value: Any) -> tensor_pb2.Tensor:
    array = np.asarray(value)
    return encode(array if array.dtype.kind == "f" else array.astype(np.float64))


def text(source: str, start: Arrays, data: Arrays | None = None, **fields: Any) -> model_pb2.Model:
    """An expression that the server parses."""
    if fields.get("response") is not None:
        fields["response"] = tensor(fields["response"])
    return model_pb2.Model(
        expression=expression_pb2.Expression(text=source, parameters=named(start), data=named(data or {}), **fields)
    )


def graph(source: str, start: Arrays, data: Arrays | None = None, **fields: Any) -> model_pb2.Model:
    """The same as a graph."""
    shapes = {name: np.shape(value) for name, value in start.items()}
    columns = {name: np.shape(value) for name, value in (data or {}).items()}
    traced = by_rows(lambda columns: parse(source, shapes, columns), columns, np.shape(fields.get("response", ())))
    model = text("", start, data, **fields)
    model.expression.graph.CopyFrom(graphs.encode(traced.graph, traced.labels, encode))
    return model


ROSENBROCK = "100*(x2 - x1**2)**2 + (1 - x1)**2"
ROSENBROCK_START = {"x1": -1.2, "x2": 1.0}


def misra() -> tuple[str, Arrays, Arrays, Any]:
    """NIST's Misra1a: text, start, data, response."""
    x = [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0]
    y = [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78]
    return "b1*(1-exp(-b2*x))", {"b1": 500.0, "b2": 1e-4}, {"x": x}, y


MISRA_CERTIFIED = (2.3894212918e02, 5.5015643181e-04)
MISRA_SUM_OF_SQUARES = 1.2455138894e-01
