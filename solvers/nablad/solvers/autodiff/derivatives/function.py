"""What is differentiated: f: R^p -> R^S as a node of theta and of data.

S may begin with ROWS. Where the graph treats every data row alike (rows.py proves it), f is N copies of one function
of theta and of one row; `row` is that function, a graph whose number of rows is bound to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from nablad.expressions import Graph, Node, topological
from nablad.expressions.dimension import concrete, row_size, rows_axis
from nablad.solvers.autodiff.binding import bind_rows
from nablad.solvers.autodiff.rows import classify


@dataclass(frozen=True)
class Function:
    """f(theta; data). All derivatives are with respect to `theta`, shape (p,)."""

    output: Node
    theta: Node
    data: tuple[Node, ...]

    @property
    def size(self) -> int:
        """p."""
        (size,) = self.theta.shape
        assert isinstance(size, int)
        return size

    def shape(self, rows: int) -> tuple[int, ...]:
        """S for N rows."""
        return tuple(concrete(self.output.shape, rows))

    def elements(self, rows: int) -> int:
        return math.prod(self.shape(rows))

    def graph(self, outputs: tuple[Node, ...], extra: tuple[Node, ...] = ()) -> Graph:
        """A graph of theta, the extra inputs, and the data that the outputs need."""
        needed = set(topological(outputs))
        return Graph((self.theta, *extra, *(x for x in self.data if x in needed and x not in extra)), outputs)

    @cached_property
    def by_rows(self) -> bool:
        """Row n of f needs row n of the data only, and its rows are its first axis."""
        if rows_axis(self.output.shape) != 0:
            return False
        classes = classify(self.graph((self.output,)))
        return classes is not None and classes[self.output] == "row"

    @cached_property
    def row(self) -> Function:
        """One row of f, where `by_rows`: its data have one row each; the number of rows is still N where it is read."""
        output, *data = bind_rows([self.output, *self.data], 1)
        return Function(output, self.theta, tuple(data))

    def whole(self, rows: int) -> Function:
        """The same function with the number of rows bound to N: every shape is a number."""
        output, *data = bind_rows([self.output, *self.data], rows, rows)
        return Function(output, self.theta, tuple(data))

    @property
    def needs_rows(self) -> bool:
        """Whether some shape in the graph depends on the number of rows."""
        return any(row_size(node.shape)[0] for node in topological([self.output]))
