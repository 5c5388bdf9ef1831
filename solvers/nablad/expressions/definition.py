"""What reading or tracing a definition gives, and the shapes that its data are given.

Data are columns of N rows wherever that fits: such a graph is evaluated in blocks of rows, and a million rows need no
more memory than a thousand. An expression that tells rows apart, as x[0] or x[1:] do, is one of arrays of fixed shape.
Both mean the same; only the way of evaluation differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nablad.expressions.dimension import ROWS, Shape
from nablad.expressions.graph import Graph, Node
from nablad.expressions.labels import Labels
from nablad.expressions.symbol import Symbol, data, parameter

NODES = 1_000_000
"""The most ops that a definition may make."""


@dataclass(frozen=True)
class Traced:
    """A graph with one output, whose inputs are the parameters and then the data, and the labels of its nodes."""

    graph: Graph
    labels: Labels

    @property
    def output(self) -> Node:
        return self.graph.outputs[0]

    @property
    def unused(self) -> list[str]:
        """The parameters on which the output does not depend: nothing would determine them."""
        needed = set(self.graph.nodes)
        return [x.name for x in self.graph.inputs if x.attributes[2] == "parameter" and x not in needed]


class InvalidName(ValueError):
    """A parameter or data cannot be called so. `name` says which, `reason` why."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(name, reason)

    def __str__(self) -> str:
        return f"{self.name!r} {self.reason}"


class TooManyNodes(ValueError):
    """The definition makes more than NODES ops."""

    def __init__(self) -> None:
        super().__init__(f"the expression has more than {NODES:,} operations: write loops over elements with arrays")


@dataclass(frozen=True)
class Inputs:
    """The symbols of a definition's parameters and data, by name."""

    parameters: Mapping[str, Symbol]
    data: Mapping[str, Symbol]

    @classmethod
    def of(cls, parameters: Mapping[str, Shape], columns: Mapping[str, Shape]) -> Inputs:
        """Raises InvalidName for what is no identifier, or names both a parameter and data."""
        for name in (*parameters, *columns):
            if not (isinstance(name, str) and name.isidentifier()):
                raise InvalidName(name, "is not a name: letters, digits and _, not beginning with a digit")
        for name in parameters:
            if name in columns:
                raise InvalidName(name, "is both a parameter and data")
        return cls(
            {name: parameter(name, tuple(shape)) for name, shape in parameters.items()},
            {name: data(name, tuple(shape)) for name, shape in columns.items()},
        )

    def define(self, output: Node, labels: Labels) -> Traced:
        """The definition with this output."""
        symbols = (*self.parameters.values(), *self.data.values())
        graph = Graph(tuple(symbol.node for symbol in symbols), (output,))
        return Traced(graph, labels.of(graph.nodes))


def by_rows(
    build: Callable[[Mapping[str, Shape]], Traced],
    columns: Mapping[str, tuple[int, ...]],
    response: tuple[int, ...] | None = None,
) -> Traced:
    """`build(shapes of the data)`, with ROWS as the first axis of the columns if that can be, else with fixed shapes.

    Columns are the data as long as the response, or where there is none, as long as most of the data are. An error is
    that of the attempt with fixed shapes.
    """
    lengths = Counter(shape[0] for shape in columns.values() if shape)
    rows = response[0] if response else max(lengths, key=lambda n: (lengths[n], n), default=0)
    if lengths[rows]:
        shapes: dict[str, Shape] = {
            name: (ROWS, *shape[1:]) if shape[:1] == (rows,) else shape for name, shape in columns.items()
        }
        try:
            return build(shapes)
        except Exception:  # whatever it is, it is told again with the shapes that the caller knows
            pass
    return build(columns)
