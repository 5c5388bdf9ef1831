"""Expressions: any graph of named parameters and data, as a model.

What is minimized follows from what is given:

    response given      r = y - f, with f stretched to y's shape, and the objective is ||r||^2
    residual=True       r = f, and the objective is ||f||^2
    neither             f itself, if it is a scalar; an f of any other shape has derivatives, but cannot be solved

The graph's inputs have the role "parameter" or "data". Each parameter is a part of the flat vector theta, in the order
of the start values. Data whose shape begins with ROWS are columns of N rows: evaluated in blocks, so that a million
rows need no more memory than a thousand. Data of fixed shapes are used whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nablad.expressions import (
    ROWS,
    ExpressionError,
    Graph,
    InvalidName,
    Node,
    Shape,
    ShapeError,
    Symbol,
    Traced,
    by_rows,
    input_node,
    make,
    parse,
    rebuild,
    trace,
)
from nablad.expressions import symbols as s
from nablad.expressions.collecting import collection_put_off
from nablad.expressions.dimension import concrete, describe, row_size, rows_axis
from nablad.expressions.tracing import SINGLE
from nablad.solvers.autodiff.binding import bind_rows
from nablad.solvers.autodiff.objective import GraphObjective
from nablad.solvers.autodiff.problem import Problem
from nablad.solvers.models.base import Model
from nablad.solvers.models.columns import floating
from nablad.solvers.models.errors import InvalidModel
from nablad.solvers.models.given import (
    agree,
    check_graph,
    check_shape,
    checked_arrays,
    common_dtype,
    count_rows,
    is_parameter,
    refuse_rows,
)
from nablad.solvers.models.layout import Layout
from nablad.solvers.models.regression import Regression
from nablad.solvers.objective import FloatArray

NOT_SOLVABLE = (
    "is an expression of shape {shape} that is no objective: its derivatives may be asked for, but to be minimized it "
    "must be a scalar, or be given a response, or be declared a residual with residual=True"
)


class Expression(Model):
    """f(parameters, data), as an objective, a residual, or an output. Raises InvalidModel.

    `graph` has one output; `start` maps the names of its parameters to start values, in the order in which theta is
    made of them; `data` the names of its data to arrays. A response y may have ROWS as its first axis. `labels` tells
    what messages call a node of the graph. The model is float32 only if every array given is, else float64.
    """

    def __init__(
        self,
        graph: Graph,
        start: Mapping[str, ArrayLike],
        data: Mapping[str, ArrayLike] | None = None,
        response: ArrayLike | None = None,
        residual: bool = False,
        labels: Mapping[Node, str] | None = None,
    ) -> None:
        if response is not None and residual:
            raise InvalidModel("residual", "is true and a response is given; a response makes the residual itself")
        self.graph = graph
        self.labels: Mapping[Node, str] = {} if labels is None else labels
        self._residual = bool(residual)
        arrays = checked_arrays(start, {} if data is None else data, response)
        self._dtype = common_dtype(arrays.values())
        arrays = {field: floating(field, value, self._dtype) for field, value in arrays.items()}
        self._start = {name: arrays[f"start.{name}"] for name in start}
        self._given = {name: arrays[f"data.{name}"] for name in data or {}}
        self._response = arrays.get("response")
        self._layout = Layout({name: value.shape for name, value in self._start.items()})
        check_graph(graph, self._start, self._given)
        self._rows = count_rows(graph, self._given)
        self._own_labels: dict[Node, str] = {}
        # Shapes that do not fit are found when the model is made.
        with collection_put_off():
            self._problem = self._build()

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        data: Mapping[str, ArrayLike] | None = None,
        response: ArrayLike | None = None,
        start: Mapping[str, ArrayLike],
        residual: bool = False,
    ) -> Expression:
        """The expression that the text is, such as "b1*(1 - exp(-b2*x))". Raises InvalidModel with field "text"."""

        def build(columns: Mapping[str, Shape]) -> Traced:
            return parse(text, {name: np.shape(value) for name, value in start.items()}, columns)

        return cls._defined(build, "text", start, data, response, residual)

    @classmethod
    def trace(
        cls,
        function: Callable[..., Any],
        *,
        start: Mapping[str, ArrayLike] | ArrayLike,
        data: Mapping[str, ArrayLike] | None = None,
        response: ArrayLike | None = None,
        residual: bool = False,
    ) -> Expression:
        """The expression that function(p), or function(p, d) if data are given, computes with numpy's functions.

        p and d are dicts of symbols; p is one symbol, called theta, where `start` is one array. What the function
        raises comes through.
        """
        named = start if isinstance(start, Mapping) else {SINGLE: start}

        def build(columns: Mapping[str, Shape]) -> Traced:
            shapes = {name: np.shape(value) for name, value in named.items()}
            return trace(function, shapes if named is start else shapes[SINGLE], None if data is None else columns)

        return cls._defined(build, "graph", named, data, response, residual)

    @classmethod
    def _defined(
        cls,
        build: Callable[[Mapping[str, Shape]], Traced],
        field: str,
        start: Mapping[str, ArrayLike],
        data: Mapping[str, ArrayLike] | None,
        response: ArrayLike | None,
        residual: bool,
    ) -> Expression:
        arrays = checked_arrays(start, data or {}, response)
        columns = {name: arrays[f"data.{name}"].shape for name in data or {}}
        try:
            with collection_put_off():
                traced = by_rows(build, columns, None if response is None else arrays["response"].shape)
        except ExpressionError as error:
            raise InvalidModel(field, str(error)) from None
        except InvalidName as error:
            raise InvalidModel(f"{'data' if error.name in columns else 'start'}.{error.name}", error.reason) from None
        return cls(traced.graph, start, data, response, residual, traced.labels)

    def data_name(self, internal: str) -> str:
        """A data array's own name; the response's is `response`, unless data are called so."""
        if internal != RESPONSE:
            return internal.removeprefix(_internal(""))
        return RESPONSE if RESPONSE not in {*self._given, *self._start} else "the response"

    @property
    def layout(self) -> Layout:
        return self._layout

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._dtype

    @property
    def rows(self) -> int:
        """The number of data rows N; 0 where no input has any."""
        by_rows = any(row_size(x.shape)[0] for x in self._problem.data)
        return len(self._response) if by_rows and self._rows is None and self._response is not None else self._rows or 0

    @property
    def data(self) -> dict[str, FloatArray]:
        arrays = {_internal(name): value for name, value in self._given.items()}
        return arrays if self._response is None else {**arrays, RESPONSE: self._response}

    @cached_property
    def node_labels(self) -> Mapping[Node, str]:
        """Labels and input names, of the nodes as they are in the problem: parameters there are parts of theta."""
        known = {new: self.labels[old] for old, new in self._moved.items() if old in self.labels}
        return self._own_labels | known | {new: old.name for old, new in self._moved.items() if old.op == "input"}

    @property
    def solvable(self) -> bool:
        """Whether there is a scalar to minimize."""
        return not self._problem.objective.shape

    def build(self) -> Problem:
        return self._problem

    def initial(self) -> FloatArray:
        """The start values."""
        return self._layout.join(self._start, self._dtype)

    @property
    def regression(self) -> Regression | None:
        residual = self._problem.residual
        return None if residual is None else Regression(math.prod(concrete(residual.shape, self.rows)))

    def objective(self, checkpoint: Callable[[], None] | None = None, threads: int = 1) -> GraphObjective:
        """The objective on the model's data. Raises InvalidModel with field "model" if there is none."""
        if not self.solvable:
            raise InvalidModel("model", NOT_SOLVABLE.format(shape=describe(self._problem.output.shape)))
        return super().objective(checkpoint, threads)

    def check_inputs(self, inputs: FloatArray) -> dict[str, FloatArray]:
        """New data for an expression of exactly one data array."""
        if len(self._given) != 1:
            known = f"{len(self._given)} ({', '.join(self._given)})" if self._given else "none"
            raise InvalidModel("inputs", f"one array of new data needs an expression of one data array, not {known}")
        (name,) = self._given
        return self._new_data({name: inputs}, lambda _: "inputs")

    def check_columns(self, columns: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        return self._new_data(columns, lambda name: f"inputs.{name}")

    def _new_data(self, columns: Mapping[str, FloatArray], field: Callable[[str], str]) -> dict[str, FloatArray]:
        """Given arrays in place of the model's; data of fixed shape that are not given stay as they are."""
        for name in columns:
            if name not in self._given:
                known = ", ".join(self._given) or "none"
                raise InvalidModel(field(name), f"no such data; the expression's are {known}")
        inputs = {x.name: x for x in self._problem.data}
        new: dict[str, FloatArray] = {}
        rows: tuple[str, int] | None = None
        for name, own in self._given.items():
            shape = inputs[_internal(name)].shape
            if name not in columns:
                if row_size(shape)[0]:
                    raise InvalidModel(field(name), "missing; every data column needs its new rows")
                new[_internal(name)] = own
                continue
            value = columns[name]
            check_shape(field(name), value, shape)
            rows = agree(rows, field(name), value, shape)
            new[_internal(name)] = value
        return new

    def _build(self) -> Problem:
        theta = s.parameter("theta", (self._layout.size,))
        graph, whole = self.graph, self._rows
        replace = {x: self._layout.part(theta, x.name).node for x in graph.inputs if is_parameter(x)}
        replace |= {x: input_node(_internal(x.name), x.shape) for x in graph.inputs if not is_parameter(x)}
        nodes = tuple(dict.fromkeys((*graph.nodes, *graph.inputs)))
        moved = dict(zip(nodes, rebuild(nodes, replace), strict=True))
        output = moved[graph.outputs[0]]
        data = tuple(replace[x] for x in graph.inputs if not is_parameter(x))
        if whole is not None and not all(_rows_in_front(x.shape) for x in (output, *data)):
            # Rows that are not the first axis, or two axes, cannot be dealt with in blocks.
            moved = dict(zip(moved, bind_rows(tuple(moved.values()), whole, whole), strict=True))
            output = moved[graph.outputs[0]]
            data = tuple(bind_rows([x], whole)[0] for x in data)
        self._moved = moved
        if self._response is None and not self._residual:
            return Problem(theta.node, data, output, output)
        residual = Symbol(output)
        if self._response is not None:
            response = self._response_input(output.shape, bound=whole is not None and not _any_rows(data))
            residual = Symbol(response) - residual
            data = (*data, response)
        squares = s.square(residual)
        objective = s.sum(squares)
        told = {residual: "the residual", squares: "its squares", objective: "the sum of squares"}
        self._own_labels = {x.node: label for x, label in told.items() if x.node is not output}
        return Problem(theta.node, data, objective.node, output, residual.node)

    def _response_input(self, output: Shape, bound: bool) -> Node:
        """y as an input: a column of data rows if that fits, else of fixed shape."""
        assert self._response is not None
        shape = self._response.shape
        if not shape and row_size(output) == (0, 1):
            return input_node(RESPONSE, ())
        if shape and not bound and self._rows in (None, shape[0]):
            by_rows: Shape = (ROWS, *shape[1:])
            if _stretches(output, by_rows):
                return input_node(RESPONSE, by_rows)
        if _stretches(output, shape):
            return input_node(RESPONSE, shape)
        if self._rows is not None and shape[:1] != (self._rows,):
            refuse_rows("response", shape, "the data", self._rows)
        given = describe(output if self._rows is None else concrete(output, self._rows))
        raise InvalidModel("response", f"has shape {shape}; the expression's {given} does not stretch to it")


RESPONSE = "response"


def _internal(name: str) -> str:
    """An input's name in the problem: the engine's own inputs can then never be called the same."""
    return f"data {name}"


def _any_rows(inputs: tuple[Node, ...]) -> bool:
    return any(row_size(x.shape)[0] for x in inputs)


def _rows_in_front(shape: Shape) -> bool:
    return row_size(shape)[0] == 0 or rows_axis(shape) == 0


def _stretches(shape: Shape, target: Shape) -> bool:
    try:
        make("broadcast_to", [input_node("", shape)], (target,))
    except ShapeError:
        return False
    return True
