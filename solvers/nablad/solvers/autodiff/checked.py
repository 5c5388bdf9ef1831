"""Checked mode: which result was the first to be NaN or infinite, in the words of the definition.

The graph is evaluated as it was defined, unsimplified, one numpy call a node and one block of data rows at a time. A
non-finite value is to blame only if it reaches the objective through values that are not finite either: log(-1) in the
branch of a `where` that is not chosen is nobody's fault. Of those to blame, the first in topological order is told. If
all values are finite, the adjoints are looked at in the order of the reverse sweep, and what is told is the first
contribution that is not: the adjoint of x through sqrt(x) at x = 0.

Cost: two evaluations, one numpy call a node, of the value, and of the gradient if the value is finite. Memory: all
results over one row block, at most BLOCK elements; a graph that mixes rows is evaluated whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nablad.expressions import OPS, Graph, Node, topological
from nablad.expressions.dimension import ROWS, concrete, row_size, rows_axis
from nablad.solvers.autodiff.ops import MEANING, Array, Pointwise
from nablad.solvers.autodiff.rows import RowClass, classify
from nablad.solvers.autodiff.transform import gradient

BLOCK = 1 << 22
"""Elements of all results over one block of rows."""
DEPTH = 3
"""Ops within ops that are written out where a node has no label."""

Look = Callable[[Node], Array]


@dataclass(frozen=True)
class Nonfinite:
    """One result that is not finite, although what it is computed from is."""

    node: Node
    """Of the graph as defined: the op that gave it, or through which the adjoint goes."""
    operand: Node | None
    """Whose adjoint it is; None for a value."""
    name: str
    """The label, or the op written out."""
    value: float
    index: tuple[int, ...]
    """In the result's array, data rows counted over all blocks."""
    row: int | None
    """The data row, where the result has any."""
    operands: tuple[tuple[str, float], ...]
    """Names and values of what it is computed from: those at the same place, or the largest where places mix."""

    def __str__(self) -> str:
        where = "" if self.row is None else f" in data row {self.row}"
        if self.row is None and self.index:
            where = f" at [{', '.join(map(str, self.index))}]"
        given = ", ".join(f"{name} = {value:.6g}" for name, value in self.operands)
        return f"{self.name} is {self.value:g}{where}" + (f", where {given}." if given else ".")


class Checked:
    """Looks for the first non-finite result of an objective on its data.

    `labels` maps nodes to the text that messages call them; `checkpoint` is called before every block of rows.
    """

    def __init__(
        self,
        objective: Node,
        parameters: Node,
        given: Mapping[str, Array],
        rows: int,
        dtype: np.dtype[Any],
        labels: Mapping[Node, str] | None = None,
        checkpoint: Callable[[], None] | None = None,
    ) -> None:
        self._objective = objective
        self._parameters = parameters
        self._given = given
        self._rows = rows
        self._dtype = dtype
        self._labels: Mapping[Node, str] = {} if labels is None else labels
        self._checkpoint = checkpoint

    def first(self) -> Nonfinite | None:
        """The first non-finite value, else the first non-finite adjoint, else None."""
        graph = self._graph([self._objective])
        blamed = self._blamed(graph)
        for node in graph.nodes:
            if node in blamed:
                return self._value(graph, node)
        return self._first_adjoint()

    def _first_adjoint(self) -> Nonfinite | None:
        seen: list[tuple[Node, Node, Node]] = []
        (slope,) = gradient(
            self._objective, [self._parameters], lambda *parts: seen.append((parts[0], parts[1], parts[2].node))
        )
        graph = self._graph([slope.node])
        blamed = self._blamed(graph)
        for through, operand, contribution in seen:
            if contribution in blamed:
                # The op's operands are values of the original graph, which the gradient need not read.
                return self._adjoint(self._graph([through, contribution]), through, operand, contribution)
        return None

    def _graph(self, outputs: Sequence[Node]) -> Graph:
        return Graph(tuple(x for x in topological(outputs) if x.op == "input"), tuple(outputs))

    def _blamed(self, graph: Graph) -> set[Node]:
        """What is not finite somewhere and leads to an output through what is not finite."""
        bad = {node for node, value, _, _ in self._walk(graph) if node.op != "constant" and _first(value) is not None}
        blamed = {node for node in graph.outputs if node in bad}
        for node in reversed(graph.nodes):
            if node in blamed:
                blamed.update(x for x in node.operands if x in bad)
        return blamed

    def _value(self, graph: Graph, wanted: Node) -> Nonfinite:
        for node, value, look, start in self._walk(graph):
            if node is wanted and (index := _first(value)) is not None:
                return self._found(node, None, self.text(node), value, index, look, start)
        raise AssertionError("the second walk sees what the first one saw")

    def _adjoint(self, graph: Graph, through: Node, operand: Node, wanted: Node) -> Nonfinite:
        name = f"the adjoint of {self.text(operand)} through {self.text(through)}"
        for node, value, look, start in self._walk(graph):
            if node is wanted and (index := _first(value)) is not None:
                return self._found(through, operand, name, value, index, look, start)
        raise AssertionError("the second walk sees what the first one saw")

    def _found(
        self, node: Node, operand: Node | None, name: str, value: Array, index: tuple[int, ...], look: Look, start: int
    ) -> Nonfinite:
        axis = rows_axis(node.shape)
        row = None if axis is None or len(index) != len(node.shape) else index[axis] + start
        same_place = isinstance(MEANING[node.op].derivative, Pointwise) and len(index) == len(node.shape)
        operands = []
        for x in dict.fromkeys(node.operands):
            if x.op == "constant" or OPS[x.op].result == "truth":
                continue
            array = np.asarray(look(x))
            if array.size == 0:
                continue
            if same_place:
                operands.append((self._apart(x, node), float(np.broadcast_to(array, value.shape)[index])))
            else:
                operands.append((f"the largest entry of {self._apart(x, node)}", float(np.max(np.abs(array)))))
        place = tuple(k + start if row is not None and n == axis else k for n, k in enumerate(index))
        return Nonfinite(node, operand, name, float(value[index]), place, row, tuple(operands))

    def _apart(self, operand: Node, node: Node) -> str:
        """The text of an operand; written out, where a label stands for both it and what is made of it."""
        text = self.text(operand)
        return self._written(operand, DEPTH) if text == self.text(node) else text

    def text(self, node: Node, depth: int = DEPTH) -> str:
        """A node's label, else its name, number or op written out."""
        return self._labels[node] if node in self._labels else self._written(node, depth)

    def _written(self, node: Node, depth: int) -> str:
        if node.op == "input":
            return node.name
        if node.op == "constant":
            return f"{float(node.value):g}" if node.shape == () else f"a constant of shape {node.shape}"
        if node.op in _TRANSPARENT:
            return self.text(node.operands[0], depth)
        if node.op == "slice":
            ranges = ", ".join(_range(bounds) for bounds in node.attributes[0])
            return f"{self.text(node.operands[0], depth)}[{ranges}]"
        inner = ", ".join(self.text(x, depth - 1) for x in node.operands) if depth > 1 and node.operands else "..."
        return f"{node.op}({inner})"

    def _walk(self, graph: Graph) -> Iterator[tuple[Node, Array, Look, int]]:
        """(node, value, values of earlier nodes, first row of the block) for every node, block by block."""
        classes = classify(graph)
        # Without a proof that rows stay apart, everything is computed once, over all rows.
        kind: Mapping[Node, RowClass] = classes or dict.fromkeys(graph.nodes, "free")
        done: dict[Node, Any] = {}
        with np.errstate(all="ignore"):
            for node in graph.nodes:
                if kind[node] == "free":
                    done[node] = self._compute(node, done, self._rows, 0, self._rows)
                    yield node, done[node], self._looking(done), 0
            body = [node for node in graph.nodes if kind[node] in ("row", "sum")]
            width = sum(row_size(node.shape)[1] for node in body) or 1
            step = max(1, min(self._rows, BLOCK // width))
            for start in range(0, self._rows if body else 0, step):
                if self._checkpoint is not None:
                    self._checkpoint()
                stop = min(start + step, self._rows)
                block = dict(done)
                for node in body:
                    value = self._compute(node, block, stop - start, start, stop)
                    if kind[node] == "row":
                        block[node] = value
                        yield node, value, self._looking(block), start
                    else:
                        done[node] = done[node] + value if node in done else value
            for node in graph.nodes:
                if kind[node] == "after":
                    done[node] = self._compute(node, done, self._rows, 0, self._rows)
                if kind[node] in ("sum", "after"):
                    yield node, done[node], self._looking(done), 0

    def _looking(self, values: Mapping[Node, Any]) -> Look:
        # After the blocks the values over rows are gone; they count as empty.
        return lambda node: values.get(node, np.empty(0, self._dtype))

    def _compute(self, node: Node, values: Mapping[Node, Any], rows: int, start: int, stop: int) -> Any:
        if node.op == "input":
            array = self._given[node.name]
            return array[start:stop] if ROWS in node.shape else array
        if node.op == "rows":
            return np.asarray(self._rows, self._dtype)
        attributes = node.attributes if node.op == "constant" else concrete(node.attributes, rows)
        value = np.asarray(MEANING[node.op].evaluate(*(values[x] for x in node.operands), *attributes))
        return value.astype(self._dtype) if node.op in ("constant", "eye") else value


_TRANSPARENT = ("reshape", "broadcast_to", "transpose")
"""Ops that change an array's form and not its numbers; messages leave them out."""


def _first(value: Any) -> tuple[int, ...] | None:
    """The index of the first entry that is not finite."""
    array = np.asarray(value)
    # One sum tells most arrays to be finite in a single pass.
    if np.isfinite(np.add.reduce(array, axis=None)) or array.size == 0:
        return None
    bad = np.argwhere(~np.isfinite(array))
    return tuple(int(k) for k in bad[0]) if len(bad) else None


def _range(bounds: Any) -> str:
    if bounds is None:
        return ":"
    start, stop, *step = bounds
    if stop == start + 1 and step in ([], [1]):
        return str(start)
    return ":".join(str(k) for k in bounds)
