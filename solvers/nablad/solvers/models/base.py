"""What every model has: a layout of parameters, a problem in graphs, and data. All the rest follows from these."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nablad.expressions import Node, Symbol, input_node, make, rebuild
from nablad.expressions import symbols as s
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.blocks import Evaluator
from nablad.solvers.autodiff.memory import Memory
from nablad.solvers.autodiff.objective import GraphObjective
from nablad.solvers.autodiff.problem import Compiled, Problem
from nablad.solvers.models.columns import check_finite, floating
from nablad.solvers.models.errors import InvalidModel
from nablad.solvers.models.layout import Layout
from nablad.solvers.models.regression import Regression
from nablad.solvers.objective import FloatArray

ALL = "all parameters"
"""What the flat vector is called in a readable graph that uses it beside its parts."""

REDUCTIONS = ("sum", "mean")


@dataclass(frozen=True)
class Cost:
    """Estimates, before anything is run. Memory in bytes, work in floating point operations by the op rows' costs."""

    parameters: int
    rows: int
    data_bytes: int
    workspace_bytes: int
    """One thread's buffers for value and gradient: the live set of one row block."""
    tape_bytes: int
    """What a buffer for every intermediate result over all rows would take, as a tape does."""
    hessian_bytes: int
    """One dense Hessian, p^2 numbers."""
    block_rows: int
    """Rows that are worked on at a time."""
    gradient_flops: float
    """Value and gradient once; the value alone of a model that is no scalar."""


class Model(ABC):
    """A model of data. Subclasses are frozen dataclasses, validated when made, that build graphs and nothing else."""

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """The parameters' names and shapes."""

    @property
    @abstractmethod
    def data(self) -> dict[str, FloatArray]:
        """The arrays of the problem's data inputs, by name."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """The floating type in which the model is evaluated: that of its data."""

    @abstractmethod
    def build(self) -> Problem:
        """The graphs of objective, output and residual."""

    @abstractmethod
    def initial(self) -> FloatArray:
        """The default starting point (p,)."""

    @property
    def regression(self) -> Regression | None:
        """How the objective is a sum of squared differences from data; None where it is none."""
        return None

    @abstractmethod
    def check_inputs(self, inputs: FloatArray) -> dict[str, FloatArray]:
        """New data as the inputs of the prediction graph; raises InvalidModel("inputs", ...)."""

    def check_columns(self, columns: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """The same for data by name, where a model has several arrays of it."""
        raise InvalidModel("inputs", "are arrays by name; this model takes one matrix, a row for each prediction")

    @property
    def node_labels(self) -> Mapping[Node, str]:
        """What messages call the problem's nodes; a node without a label is called by its op."""
        return {}

    def readable(self, node: Node) -> tuple[Node, dict[Node, str]]:
        """The graph below a node of the problem as its author knows it, and its labels.

        Parameters and data are inputs of their own names, where the problem has parts of theta.
        """
        theta = self.problem.parameters
        alone = tuple(self.layout.shapes.values()) == (theta.shape,)
        replace = {theta: input_node(self.names[0] if alone else ALL, theta.shape, "parameter")}
        for name, shape in self.layout.shapes.items():
            parameter = Symbol(input_node(name, shape, "parameter"))
            flat = (self.layout.ranges[name][1] - self.layout.ranges[name][0],)
            part = s.slice_of(Symbol(theta), [self.layout.ranges[name]])
            replace[part.node] = s.reshape(parameter, flat).node
            replace[self.layout.part(Symbol(theta), name).node] = parameter.node
        replace |= {x: input_node(self.data_name(x.name), x.shape) for x in self.problem.data}
        labels: dict[Node, str] = {}
        known = self.node_labels

        def renewed(old: Node, operands: tuple[Node, ...]) -> Node:
            new = old if operands == old.operands else make(old.op, operands, old.attributes)
            if old in known:
                labels[new] = known[old]
            return new

        (found,) = rebuild([node], replace, renewed)
        return found, labels

    def readable_inputs(self, theta: ArrayLike) -> dict[str, FloatArray]:
        """The arrays of a `readable` graph's inputs, by name."""
        data = {self.data_name(name): value for name, value in self.data.items()}
        return {**data, ALL: self.start(theta), **self.parameters(theta)}

    def data_name(self, internal: str) -> str:
        """What the author calls an input of the problem's data."""
        return internal

    @cached_property
    def problem(self) -> Problem:
        return self.build()

    @property
    def compiled(self) -> Compiled:
        """The problem's programs, compiled when first asked for, and shared by models of the same form."""
        return _compiled(self.problem, self.dtype)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.layout.shapes)

    @property
    def size(self) -> int:
        """The number of parameters p."""
        return self.layout.size

    @property
    def rows(self) -> int:
        """The number of data rows N."""
        return len(next(iter(self.data.values())))

    def objective(self, checkpoint: Callable[[], None] | None = None, threads: int = 1) -> GraphObjective:
        """The objective on the model's data. `checkpoint` is called before every row block."""
        return GraphObjective(
            self.compiled,
            self.data,
            checkpoint=checkpoint,
            threads=threads,
            labels=self.node_labels,
            names=self.layout.element,
        )

    def start(self, start: ArrayLike | Mapping[str, ArrayLike] | None = None) -> FloatArray:
        """A starting point (p,): the model's own, or the given vector or named arrays, checked.

        Raises InvalidModel with field "start" or "start.<name>".
        """
        if start is None:
            return self.initial()
        if isinstance(start, Mapping):
            theta = self.layout.join(start, self.dtype)
        else:
            theta = np.array(floating("start", start, self.dtype))
            if theta.shape != (self.size,):
                shapes = ", ".join(f"{name} {shape}" for name, shape in self.layout.shapes.items())
                raise InvalidModel("start", f"has shape {theta.shape}, should be ({self.size},): {shapes}")
        return theta

    def parameters(self, theta: ArrayLike) -> dict[str, FloatArray]:
        """theta (p,) as named arrays, copied."""
        return self.layout.split(np.array(theta, self.dtype))

    def flatten(self, parameters: Mapping[str, ArrayLike]) -> FloatArray:
        """Named arrays as one vector (p,): the inverse of `parameters`."""
        return self.layout.join(parameters, self.dtype)

    def predict(self, theta: ArrayLike, inputs: ArrayLike | Mapping[str, ArrayLike]) -> FloatArray:
        """The model's prediction on new data: a matrix, one row for each prediction, or arrays by name."""
        columns, rows = self.new_data(inputs)
        by_rows = self.by_rows & columns.keys()
        program = self.compiled.program("prediction")
        evaluator = Evaluator(program, {name: columns[name] for name in by_rows}, rows)
        fixed = {name: value for name, value in columns.items() if name not in by_rows}
        (predicted,) = evaluator.run({self.problem.parameters.name: self.start(theta), **fixed})
        assert predicted is not None
        return predicted

    @property
    def by_rows(self) -> set[str]:
        """The names of the data inputs that have a row for each data row."""
        return {x.name for x in self.problem.data if row_size(x.shape)[0]}

    def new_data(self, inputs: ArrayLike | Mapping[str, ArrayLike]) -> tuple[dict[str, FloatArray], int]:
        """New data as inputs of the prediction's graph, by name, and their number of rows."""
        if isinstance(inputs, Mapping):
            named = {name: floating(f"inputs.{name}", value, self.dtype) for name, value in inputs.items()}
            columns = self.check_columns(named)
            for name, column in named.items():
                check_finite(f"inputs.{name}", column)
        else:
            matrix = floating("inputs", inputs, self.dtype)
            columns = self.check_inputs(matrix)
            check_finite("inputs", matrix)
        return columns, next((len(columns[name]) for name in sorted(self.by_rows & columns.keys())), 0)

    def cost(self) -> Cost:
        """Estimates of memory and work."""
        scalar = self.problem.objective.shape == ()
        program = self.compiled.program("value_and_gradient" if scalar else "value")
        per_row = program.body.flops[0]
        once = sum(plan.flops[1] for plan in (program.head, program.body, program.tail))
        return Cost(
            parameters=self.size,
            rows=self.rows,
            data_bytes=sum(x.nbytes for x in self.data.values()),
            workspace_bytes=program.bytes(self.rows),
            tape_bytes=program.tape_bytes(self.rows),
            hessian_bytes=self.size**2 * self.dtype.itemsize,
            block_rows=min(self.rows, program.block_rows),
            gradient_flops=per_row * self.rows + once,
        )


# A compiled model takes one to three KB a node. 32 small ones are kept, or two of any size.
@Memory(limit=160_000, last=2, least=5_000).remembered
def _compiled(problem: Problem, dtype: np.dtype[Any]) -> Compiled:
    # Nodes are hash-consed: two models of the same form have equal problems, whatever their data. A worker that is
    # given the same kind of job again compiles nothing.
    return Compiled(problem, dtype)


def reduction_scale(reduction: str) -> Symbol | None:
    """What the sum over rows is multiplied with: 1/N for the mean, nothing for the sum."""
    return s.reciprocal(s.rows()) if reduction == "mean" else None


def squares(residual: Symbol, reduction: str, ridge: float, penalized: Symbol) -> tuple[Symbol, Symbol, Symbol | None]:
    """(objective, scaled residual, penalty rows) of scale * ||residual||^2 + ridge * ||penalized||^2.

    The objective's scale stands outside the sum; the residual carries its square root, so that the squares of its
    entries and of the penalty rows sum to the objective.
    """
    total = s.sum(s.square(residual))
    scale = reduction_scale(reduction)
    scaled = residual
    if scale is not None:
        total, scaled = scale * total, s.sqrt(scale) * residual
    if ridge == 0.0:
        return total, scaled, None
    return total + ridge * s.sum(s.square(penalized)), scaled, float(np.sqrt(ridge)) * penalized
