"""Expressions: any differentiable function of named parameters and data, as text or as numpy code.

    Expression.parse("b1*(1 - exp(-b2*x))", data={"x": x}, response=y, start={"b1": 500.0, "b2": 1e-4})
    Expression.trace(lambda p: 100*(p["y"] - p["x"]**2)**2 + (1 - p["x"])**2, start={"x": -1.2, "y": 1.0})

What is minimized follows from what is given: with a response, the sum of squares of response - f; with residual=True,
the sum of squares of f itself; otherwise f, if it is a scalar. An f of any other shape has derivatives, but cannot be
solved.

Text is read here, so that a mistake in it is told at once, and sent as text. Code is traced here, into a graph of
operations, and never leaves this process. docs/expressions.md is the language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from nablad.client.arrays import Data, Stored, numbers
from nablad.client.core.encode import Encoder
from nablad.client.errors import invalid
from nablad.client.named import Layout
from nablad.expressions import ExpressionError, InvalidName, Shape, Traced, by_rows, parse, trace
from nablad.expressions.tracing import SINGLE
from nablad.v1 import expression_pb2, model_pb2, tensor_pb2
from nablad.wire import graphs

Start: TypeAlias = Mapping[str, Data] | Data
"""Start values by name; or one array, whose name is then theta."""


@dataclass(frozen=True, eq=False)
class Expression:
    """f(parameters, data). Made by `parse` or `trace`; the result's parameters are named as the start values are."""

    traced: Traced
    """The graph, and the source text of its nodes."""
    text: str | None
    """What was parsed; None if code was traced."""
    start: Mapping[str, Stored]
    """Parameter -> start value, in the order of theta; float32 only if all of start and data are."""
    data: Mapping[str, Stored]
    """What is not differentiated, by name. Columns have the data rows as their first axis."""
    response: Stored | None
    residual: bool
    single: bool
    """Whether start was one array rather than named ones."""

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        data: Mapping[str, Data] | None = None,
        response: Data | None = None,
        start: Start,
        residual: bool = False,
    ) -> Expression:
        """The expression that the text is. InvalidRequest, with a caret beneath the mistake, if it is none."""
        given = _Given.of(start, data, response, residual)

        def build(columns: Mapping[str, Shape]) -> Traced:
            return parse(text, given.shapes, columns)

        try:
            return given.expression(build, text)
        except ExpressionError as error:
            raise invalid("model.text", str(error)) from error
        except TypeError as error:
            raise invalid("model.text", f"is no text: {error}") from error

    @classmethod
    def trace(
        cls,
        function: Callable[..., Any],
        *,
        start: Start,
        data: Mapping[str, Data] | None = None,
        response: Data | None = None,
        residual: bool = False,
    ) -> Expression:
        """The expression that function(p), or function(p, d) if data are given, computes with numpy's functions.

        p and d are dicts of arrays whose numbers are not known; p is one array where start is. Arrays that the function
        closes over are constants. What the function raises comes through; TypeError if it returns no array.
        """
        given = _Given.of(start, data, response, residual)

        def build(columns: Mapping[str, Shape]) -> Traced:
            parameters = given.shapes[SINGLE] if given.single else given.shapes
            return trace(function, parameters, None if data is None else columns)

        return given.expression(build, None)

    @property
    def layout(self) -> Layout:
        """The parameters' names and shapes, in the order of theta."""
        return {name: value.shape for name, value in self.start.items()}

    def __repr__(self) -> str:
        f = f"{len(self.traced.graph.nodes)} nodes" if self.text is None else self.text.strip()
        lines = [f"Expression: {f}", f"  parameters  {_shapes(self.start)}"]
        if self.data:
            lines.append(f"  data        {_shapes(self.data)}")
        if self.response is not None:
            lines.append(f"  response    {self.response.shape}")
        if self.residual:
            lines.append("  a residual")
        return "\n".join(lines)

    def to_proto(self, encoder: Encoder) -> model_pb2.Model:
        """As a nablad.v1.Model."""
        message = expression_pb2.Expression(
            parameters=_named(self.start, encoder), data=_named(self.data, encoder), residual=self.residual
        )
        if self.text is None:
            message.graph.CopyFrom(graphs.encode(self.traced.graph, self.traced.labels, tensor=encoder.tensor))
        else:
            message.text = self.text
        if self.response is not None:
            message.response.CopyFrom(encoder.tensor(self.response))
        return model_pb2.Model(expression=message)


def _shapes(arrays: Mapping[str, Stored]) -> str:
    return ", ".join(f"{name} {value.shape}" for name, value in arrays.items())


def _named(arrays: Mapping[str, Stored], encoder: Encoder) -> list[tensor_pb2.NamedTensor]:
    return [tensor_pb2.NamedTensor(name=name, value=encoder.tensor(value)) for name, value in arrays.items()]


@dataclass(frozen=True)
class _Given:
    """The arguments beside the definition, checked."""

    start: Mapping[str, Stored]
    data: Mapping[str, Stored]
    response: Stored | None
    residual: bool
    single: bool

    @classmethod
    def of(cls, start: Start, data: Mapping[str, Data] | None, response: Data | None, residual: bool) -> _Given:
        single = not isinstance(start, Mapping)
        named = start if isinstance(start, Mapping) else {SINGLE: start}
        if not named:
            raise invalid("model.start", "is empty; at least one parameter with its start value is needed")
        if data is not None and not hasattr(data, "keys"):
            raise invalid("model.data", f"is a dict of arrays by name, not {type(data).__name__}")
        if response is not None and residual:
            raise invalid("model.residual", "is true and a response is given; a response makes the residual itself")
        columns = {} if data is None else dict(data)
        return cls(
            {name: numbers(value, f"model.start.{name}") for name, value in named.items()},
            {name: numbers(value, f"model.data.{name}") for name, value in columns.items()},
            None if response is None else numbers(response, "model.response"),
            bool(residual),
            single,
        )

    @property
    def shapes(self) -> dict[str, Shape]:
        return {name: value.shape for name, value in self.start.items()}

    def expression(self, build: Callable[[Mapping[str, Shape]], Traced], text: str | None) -> Expression:
        """The expression with these arguments. InvalidRequest for names that cannot be, or are not used."""
        columns = {name: value.shape for name, value in self.data.items()}
        try:
            traced = by_rows(build, columns, None if self.response is None else self.response.shape)
        except InvalidName as error:
            field = "start" if error.name in self.start else "data"
            raise invalid(f"model.{field}.{error.name}", error.reason) from error
        for name in traced.unused:
            raise invalid(f"model.start.{name}", "is not used by the expression: nothing would determine it")
        return Expression(traced, text, self.start, self.data, self.response, self.residual, self.single)
