"""What a model hands to the engine: graphs, and nothing else.

An objective is a graph of the flat parameter vector and of data columns. When it is a sum of squares, its residual is
given too, with every scale inside, in two parts: rows that belong to data rows, and rows of the penalty.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nablad.expressions import Graph, Node, Symbol, topological
from nablad.expressions import symbols as s
from nablad.expressions.collecting import collection_put_off
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.batches import is_sum_over_rows
from nablad.solvers.autodiff.batching import batch
from nablad.solvers.autodiff.blocks import Program, compile_program, plan_program
from nablad.solvers.autodiff.entries import MOST_PARAMETERS, elements_of, entries_of, slopes_of
from nablad.solvers.autodiff.layered import Layered, compile_gram, compile_layered, jacobian_by_rows
from nablad.solvers.autodiff.linearize import KeptProduct, keep
from nablad.solvers.autodiff.ops import MEANING
from nablad.solvers.autodiff.scalars import fixed, read_elements, take_apart
from nablad.solvers.autodiff.simplify import simplify
from nablad.solvers.autodiff.structure import Linearity, class_of, degrees
from nablad.solvers.autodiff.transform import gradient, jvp

DIRECTIONS_BUDGET = 4 << 20
"""Bytes of live buffers for one block of the batched Hessian, from which the number of directions follows."""
DIRECTIONS = (8, 64)
SECOND_ORDER_LIMIT = 2_000
"""Of the scalar nodes that value, gradient and Hessian may have together to be one generated function: they are about p
times as many as the function has, and each is differentiated."""


@dataclass(frozen=True)
class Problem:
    """An objective as graphs. All share the input `parameters`, the flat vector theta of shape (p,)."""

    parameters: Node
    data: tuple[Node, ...]
    """Inputs whose first axis is ROWS, or that have none."""
    objective: Node
    """f, a scalar; of another shape in a problem that has derivatives but nothing to minimize."""
    output: Node
    """What the model computes, one row for each data row: f_K(theta, x) for a network."""
    residual: Node | None = None
    """r with ROWS as its first axis, or of fixed shape; then f = ||r||^2 + ||penalty||^2."""
    penalty: Node | None = None
    """The penalty's residual rows, shape (q,), where `residual` is given and there is a penalty."""
    predicted: Node | None = None
    """What is told of new data, where that is not the output itself: the probabilities of a classifier."""

    @property
    def size(self) -> int:
        (size,) = self.parameters.shape
        assert isinstance(size, int)
        return size

    @property
    def outputs_per_row(self) -> int:
        """Residual rows for each data row."""
        return 0 if self.residual is None else row_size(self.residual.shape)[1]


class Compiled:
    """The problem's derivatives, each differentiated and compiled when first asked for.

    Shared by an objective and its batches, between threads too: programs are immutable and hold for every N.
    """

    def __init__(self, problem: Problem, dtype: np.dtype[Any]) -> None:
        self.problem = problem
        self.dtype = dtype
        self._programs: dict[str, Program] = {}
        self._simplified: dict[Node, Node] = {}
        """What nodes of the objective, its gradient and the residual become: they are parts of all the other graphs."""
        self._lock = threading.RLock()

    def program(self, name: str) -> Program:
        """One of value, value_and_gradient, hvp, hessian, residual, jacobian, opposite, prediction.

        Or second_order, where the property of that name is not None.
        """
        with self._lock:
            if name not in self._programs:
                with collection_put_off():
                    self._programs[name] = plan_program(self._simplify(name, _BUILDERS[name](self)), self.dtype)
            return self._programs[name]

    def _simplify(self, name: str, graph: Graph) -> Graph:
        # Graphs that nothing else is derived from leave nothing here, so that their nodes may go.
        return simplify(graph, self._simplified if name in _SHARED else dict(self._simplified))

    @cached_property
    def gradient(self) -> Symbol:
        return gradient(self.problem.objective, [self.problem.parameters])[0]

    @cached_property
    def residual_class(self) -> Linearity:
        parts = [x for x in (self.problem.residual, self.problem.penalty) if x is not None]
        if not parts:
            return Linearity.NONE
        classes = {class_of(self._degrees[x]) for x in parts}
        return Linearity.AFFINE if classes <= {Linearity.AFFINE, Linearity.CONSTANT} else Linearity.NONE

    @cached_property
    def objective_class(self) -> Linearity:
        return class_of(self._degrees[self.problem.objective])

    @cached_property
    def _degrees(self) -> dict[Node, float]:
        """In theta, of the objective and of the residual's parts: found in one walk."""
        outputs = [self.problem.objective, *self.residual_parts()]
        found = degrees(outputs, [self.problem.parameters])
        return {x: found[x] for x in outputs}

    @cached_property
    def is_sum_over_rows(self) -> bool:
        """Whether the objective is proven to be affine in sums over data rows."""
        with self._lock, collection_put_off():
            return is_sum_over_rows(self._simplify("value", _value(self)))

    @cached_property
    def folded(self) -> str:
        """The program whose row blocks are folded: of r, or of -r where that is less work. J'J, J'r, r'r, |R| and all
        that is made of them are the same for both."""
        if self.residual_class is not Linearity.AFFINE:
            return "jacobian"
        first = simplify(_jacobian(self)).outputs[0]
        return "opposite" if first.op == "negative" else "jacobian"

    @cached_property
    def kept_product(self) -> KeptProduct | None:
        """H v in two parts, beside value and gradient: for many products at one point."""
        graph = _hvp(self)
        direction = next(x for x in graph.inputs if x.name == "direction")
        parts = keep(graph, direction, _value_and_gradient(self), self.dtype)
        if parts is not None:
            with self._lock:
                self._programs |= {"primal": parts.primal, "moving": parts.moving}
        return parts

    @cached_property
    def second_order(self) -> Program | None:
        """Value, gradient (p,) and Hessian (p, p) as one generated function; None where that is too large."""
        graph = _second_order(self)
        if graph is None:
            return None
        program = compile_program(graph, self.dtype)
        if program.source is None:
            return None
        with self._lock:
            return self._programs.setdefault("second_order", program)

    @cached_property
    def entries(self) -> tuple[Program, NDArray[np.intp]] | None:
        """The Hessian entry by entry, and for each place (i, j) which of the program's results stands there; None
        where theta is not read by elements, or the entries are too many."""
        problem = self.problem
        if problem.size > MOST_PARAMETERS or problem.objective.shape != ():
            return None
        with self._lock, collection_put_off():
            first = self.program("value_and_gradient").graph
            elements = elements_of(first, problem.parameters)
            slopes = None if elements is None else slopes_of(first.outputs[1])
            if elements is None or slopes is None:
                return None
            entries = entries_of(slopes, elements)
            if entries is None:
                return None
            program = plan_program(self.graph(entries.nodes), self.dtype)
            return self._programs.setdefault("entries", program), np.array(entries.places, np.intp)

    @cached_property
    def layered(self) -> Layered | None:
        """The Hessian by one direction for each pre-activation; None where the graph has no layered spine."""
        problem = self.problem
        return compile_layered(problem.objective, problem.parameters, problem.data, self.dtype)

    @cached_property
    def layered_gram(self) -> Layered | None:
        """J'J of a residual the same way; None where there is no layered spine, or the residual does not fit it."""
        problem, layered = self.problem, self.layered
        if layered is None or problem.residual is None:
            return None
        return compile_gram(layered, problem.residual, problem.penalty, problem.data, self.dtype)

    @cached_property
    def reverse_jacobian(self) -> Symbol | None:
        """dr/dtheta transposed (p, N, ...) of a layered residual by reverse mode; None for others, and affine ones."""
        problem = self.problem
        if self.residual_class is not Linearity.NONE or problem.residual is None or self.layered is None:
            return None
        return jacobian_by_rows(self.layered.spine, problem.residual, problem.parameters)

    @cached_property
    def directions(self) -> int:
        """How many rows of the Hessian one pass computes: as many as keep a block of the least size in cache."""
        low, high = DIRECTIONS
        if self.problem.size <= low:
            return self.problem.size
        most = min(self.problem.size, high)
        if DIRECTIONS_BUDGET // (64 * max(1, self.product_bytes)) >= most:
            return most
        per_row = max(1, self.program("hvp").body.bytes_per_row)
        return min(self.problem.size, max(low, min(high, DIRECTIONS_BUDGET // (64 * per_row))))

    @property
    def product_bytes(self) -> int:
        """No less than what a row of the product's program takes, without compiling one.

        That is as if every result had a buffer of its own, and two where a sign is taken out of it (simplify.py).
        """
        graph = _hvp(self)
        results = (node.shape for node in graph.nodes)
        temporaries = (take(x) for x in graph.nodes if (take := MEANING[x.op].scratch) is not None)
        elements = sum(size for power, size in map(row_size, (*results, *temporaries)) if power)
        return 2 * elements * self.dtype.itemsize

    @cached_property
    def product(self) -> tuple[Node, Node]:
        """H v, and v, both of shape (p,)."""
        v = s.parameter("direction", self.problem.parameters.shape)
        (product,) = jvp([self.gradient.node], {self.problem.parameters: v})
        return product.node, v.node

    def graph(self, outputs: tuple[Node, ...], *extra: Node) -> Graph:
        """A graph of theta, the extra inputs, and the data that the outputs need."""
        graph = Graph((self.problem.parameters, *extra, *self.problem.data), outputs)
        needed = set(graph.nodes)
        if needed.issuperset(self.problem.data):
            return graph
        return Graph((self.problem.parameters, *extra, *(x for x in self.problem.data if x in needed)), outputs)

    def residual_parts(self) -> tuple[Node, ...]:
        return tuple(x for x in (self.problem.residual, self.problem.penalty) if x is not None)


def _value(compiled: Compiled) -> Graph:
    return compiled.graph((compiled.problem.objective,))


def _value_and_gradient(compiled: Compiled) -> Graph:
    return compiled.graph((compiled.problem.objective, compiled.gradient.node))


def _hvp(compiled: Compiled) -> Graph:
    product, v = compiled.product
    return compiled.graph((product,), v)


def _hessian(compiled: Compiled) -> Graph:
    """Forward over reverse, several directions at once: (B, p) directions -> B rows of the Hessian (B, p)."""
    many = s.parameter("directions", (compiled.directions, compiled.problem.size))
    product, v = compiled.product
    (rows,) = batch([product], {v: many}, compiled.directions)
    return compiled.graph((rows.node,), many.node)


def _second_order(compiled: Compiled) -> Graph | None:
    """All of the second order of a small scalar function, element by element: forward over reverse, p times.

    Common subexpressions are one node, and entries that are zero by structure are never built; each pair of mixed
    derivatives is computed once. None where there are data rows, or where it cannot stay below SECOND_ORDER_LIMIT.
    """
    problem = compiled.problem
    size = problem.size
    inputs = (problem.parameters, *problem.data)
    if size**2 > SECOND_ORDER_LIMIT or any(fixed(x.shape) is None for x in inputs) or problem.objective.shape != ():
        return None
    if sum(row_size(x.shape)[1] for x in inputs) > SECOND_ORDER_LIMIT:
        return None
    elements = {x: read_elements(x) for x in inputs}
    parts = take_apart([problem.objective], elements, 8 * SECOND_ORDER_LIMIT)
    if parts is None:
        return None
    theta = elements[problem.parameters].tolist()
    f = parts[0].item()
    # A graph is larger before it is simplified, but not by that much: what cannot fit is not differentiated.
    if len(topological([f])) > 2 * SECOND_ORDER_LIMIT:
        return None
    first = simplify(Graph(inputs, (f, *(x.node for x in gradient(f, theta)))))
    value, *slopes = first.outputs
    entries: dict[tuple[int, int], Node] = {}
    seen = set(first.nodes)
    for i, x in enumerate(theta):
        row = jvp(slopes[: i + 1], {x: Symbol(s.lift(1.0))})
        for j, entry in enumerate(row):
            entries[i, j] = entries[j, i] = entry.node
        seen.update(topological((entry.node for entry in row), seen))
        if len(seen) > 4 * SECOND_ORDER_LIMIT:
            return None
    hessian = [entries[i, j] for i in range(size) for j in range(size)]
    gathered = [s.concatenate([s.reshape(x, (1,)) for x in part], 0) for part in (slopes, hessian)]
    return Graph(inputs, (value, gathered[0].node, s.reshape(gathered[1], (size, size)).node))


def _residual(compiled: Compiled) -> Graph:
    return compiled.graph(compiled.residual_parts())


def _jacobian(compiled: Compiled) -> Graph:
    """r' as (p, N, ...) and (p, q), then the residuals themselves.

    Layers upon layers: reverse mode, row by row; else forward mode, all p basis vectors at once.
    """
    size = compiled.problem.size
    parts = compiled.residual_parts()
    by_rows = compiled.reverse_jacobian
    pushed = parts if by_rows is None else parts[1:]
    v = s.parameter("direction", compiled.problem.parameters.shape)
    columns = jvp(pushed, {compiled.problem.parameters: v})
    batched = batch([x.node for x in columns], {v.node: s.eye(size)}, size)
    derivatives = batched if by_rows is None else (by_rows, *batched)
    return compiled.graph((*(x.node for x in derivatives), *parts))


def _opposite(compiled: Compiled) -> Graph:
    """The same of -r. For r = y - Phi theta its Jacobian is the data itself, which nothing needs to copy."""
    outputs = _jacobian(compiled).outputs
    return compiled.graph(tuple((-Symbol(x)).node for x in outputs))


def _prediction(compiled: Compiled) -> Graph:
    problem = compiled.problem
    return compiled.graph((problem.output if problem.predicted is None else problem.predicted,))


_SHARED = ("value", "value_and_gradient", "residual")
"""The graphs whose nodes stay as long as the problem does."""

_BUILDERS: dict[str, Callable[[Compiled], Graph]] = {
    "value": _value,
    "value_and_gradient": _value_and_gradient,
    "hvp": _hvp,
    "hessian": _hessian,
    "residual": _residual,
    "jacobian": _jacobian,
    "opposite": _opposite,
    "prediction": _prediction,
}
