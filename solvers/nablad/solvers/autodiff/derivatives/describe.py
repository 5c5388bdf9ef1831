"""A graph told to a reader: its nodes, what each costs, and, at a point, its value and its adjoint.

The adjoint of a node is d f / d node, for an f of several elements that of their sum. In the reverse sweep a node's
adjoint is complete when all its readers have contributed; `adjoint_order` counts these moments, 1 for the output.

Values and adjoints are summed up block by block as they are computed (summaries.py), so that a graph of a million rows
is told in bounded memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from nablad.expressions import ROWS, Graph, Node, topological
from nablad.expressions import symbols as s
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.blocks import Evaluator, compile_program
from nablad.solvers.autodiff.derivatives.counting import operations
from nablad.solvers.autodiff.derivatives.function import Function
from nablad.solvers.autodiff.derivatives.kernels import pulled
from nablad.solvers.autodiff.derivatives.summaries import Accumulator, Summary
from nablad.solvers.autodiff.ops import Array
from nablad.solvers.autodiff.simplify import simplify
from nablad.solvers.autodiff.transform import vjp

TEXT = 60
"""Characters of an attribute's or a constant's text."""


@dataclass(frozen=True)
class GraphNode:
    """One operation."""

    op: str
    operands: tuple[int, ...]
    """Indices of earlier nodes; operands that are not told are left out."""
    label: str
    """A source text, an input's name, a constant's value, or nothing."""
    attributes: str
    shape: tuple[int, ...]
    """Lengths along its axes, -1 for the number of data rows."""
    operations: float
    """Floating point operations by the op row's cost."""
    adjoint_order: int | None
    """When its adjoint is complete in the reverse sweep; None where theta does not matter."""
    value: Summary | None = None
    adjoint: Summary | None = None


@dataclass(frozen=True)
class Told:
    """The nodes nearest to the output, operands first."""

    nodes: tuple[GraphNode, ...]
    output: int
    total: int
    """How many nodes the graph has."""


@dataclass(frozen=True)
class Work:
    """What value and gradient take."""

    separable: bool
    value_operations: float
    gradient_operations: float
    live_bytes: int
    tape_bytes: int

    @classmethod
    def of(cls, function: Function, rows: int, dtype: np.dtype[np.generic]) -> Work:
        """Of f and its gradient, or u J where f is no scalar, as they are compiled."""
        kernel = pulled(function)
        value = function.graph((function.output,))
        both = function.graph((function.output, kernel.output), (kernel.direction,))
        program = compile_program(both, dtype)
        counts = [sum(operations(node, rows) for node in simplify(graph).nodes) for graph in (value, both)]
        return cls(program.separable, counts[0], counts[1], program.bytes(rows), program.tape_bytes(rows))


def tell(
    output: Node,
    labels: Mapping[Node, str],
    rows: int,
    max_nodes: int,
    inputs: Mapping[str, Array] | None = None,
    dtype: np.dtype[np.generic] | None = None,
    check_work: Callable[[int], None] = lambda needed: None,
) -> Told:
    """The graph below `output`. Inputs of the role "parameter" are what adjoints are about.

    With `inputs`, arrays by input name, values and adjoints are told; `check_work` is asked before so many bytes are
    taken for it.
    """
    graph = topological([output])
    parameters = [node for node in graph if node.op == "input" and node.attributes[2] == "parameter"]
    active = set(parameters)
    for node in graph:
        if any(x in active for x in node.operands):
            active.add(node)
    order = {node: k for k, node in enumerate((x for x in reversed(graph) if x in active), 1)}
    chosen = _nearest(output, graph, max_nodes)
    place = {node: k for k, node in enumerate(chosen)}
    values: dict[Node, Summary] = {}
    adjoints: dict[Node, Summary] = {}
    if inputs is not None and dtype is not None:
        values, adjoints = _numbers(output, chosen, [x for x in chosen if x in active], inputs, rows, dtype, check_work)
    nodes = tuple(
        GraphNode(
            node.op,
            tuple(place[x] for x in node.operands if x in place),
            _label(node, labels),
            _attributes(node),
            tuple(-1 if d is ROWS else d for d in node.shape),
            operations(node, rows),
            order.get(node),
            values.get(node),
            adjoints.get(node),
        )
        for node in chosen
    )
    return Told(nodes, place[output], len(graph))


def _nearest(output: Node, graph: list[Node], count: int) -> list[Node]:
    """At most `count` nodes, level by level from the output, in the graph's own order."""
    if len(graph) <= count:
        return graph
    kept: dict[Node, None] = {output: None}
    level = [output]
    while level and len(kept) < count:
        below = dict.fromkeys(x for node in level for x in node.operands if x not in kept)
        level = list(below)[: count - len(kept)]
        kept.update(dict.fromkeys(level))
    return [node for node in graph if node in kept]


def _numbers(
    output: Node,
    chosen: list[Node],
    active: list[Node],
    inputs: Mapping[str, Array],
    rows: int,
    dtype: np.dtype[np.generic],
    check_work: Callable[[int], None],
) -> tuple[dict[Node, Summary], dict[Node, Summary]]:
    adjoints = [x.node for x in vjp([output], active, [s.ones(output.shape)])]
    numbers = [node for node in chosen if node.spec.result == "real"]
    outputs = (*numbers, *adjoints)
    declared = tuple(x for x in topological(outputs) if x.op == "input")
    program = compile_program(Graph(declared, outputs), dtype)
    check_work(program.bytes(rows))
    columns = {x.name: np.ascontiguousarray(inputs[x.name]) for x in declared if row_size(x.shape)[0]}
    gathered = [Accumulator() for _ in program.body.graph.outputs[program.sums :]]

    def sink(stripe: int, start: int, stop: int, blocks: tuple[Array, ...]) -> None:
        for accumulator, block in zip(gathered, blocks, strict=True):
            accumulator.add(start, block)

    found = Evaluator(program, columns, rows).run({x.name: inputs[x.name] for x in declared}, sink)
    summaries = []
    for array, (_, k) in zip(found, program.order, strict=True):
        if array is None:
            summaries.append(gathered[k].summary())
        else:
            accumulator = Accumulator()
            accumulator.add(0, array)
            summaries.append(accumulator.summary())
    values = dict(zip(numbers, summaries, strict=False))
    return values, dict(zip(active, summaries[len(numbers) :], strict=True))


def _label(node: Node, labels: Mapping[Node, str]) -> str:
    if node.op == "input":
        return node.name
    if node.op == "constant":
        return _short(np.array2string(node.value, threshold=8)) if node.value.size <= 64 else ""
    return labels.get(node, "")


def _attributes(node: Node) -> str:
    if node.op in ("input", "constant"):
        return ""
    pairs = zip(node.spec.attributes, node.attributes, strict=True)
    return _short(", ".join(f"{name}={value}" for name, value in pairs))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= TEXT else f"{text[: TEXT - 3]}..."
