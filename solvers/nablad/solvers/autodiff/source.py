"""Straight-line Python for small graphs without data rows: a scalar op costs some 40 ns, a numpy call a microsecond.

The graph is taken apart into scalar nodes (scalars.py), simplified, and written as one function, a statement a node:

    def evaluate(x0):
        t0, t1, = x0
        t2 = t0 * t0
        t3 = t1 - t2
        ...
        return (t9,), (t11, t12,)

Nothing enters the text but templates of the op rows (ops/scalar.py) and numbers of slots: no name, no constant,
nothing that a client wrote. Python's floats raise where numpy gives NaN or infinity (1.0 / 0.0, math.log(0.0)); then
`Source.run` gives None, and the caller evaluates the same graph by arrays. Where nothing raises, the operations are
IEEE's, so non-finite values are numpy's too. Finite ones agree to a few units in the last place: elementary functions
are those of `math`, and sums are added in order here, pairwise there.

Limits: 20,000 scalar nodes, float64 only. A graph of long vectors is better off with numpy, so source is written only
where it has at most EACH_STEP scalar nodes for each instruction of the plan that it stands in for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nablad.expressions import OPS, Graph, Node, input_node
from nablad.solvers.autodiff.ops import MEANING, Array
from nablad.solvers.autodiff.ops.scalar import NAMES, SCALAR
from nablad.solvers.autodiff.scalars import MOVES, REDUCTIONS, Elements, as_elements, fixed, take_apart
from nablad.solvers.autodiff.simplify import simplify

NODE_LIMIT = 20_000
"""Statements in one function: to write and compile it takes half a second, about half of what came before."""
EACH_STEP = 16
"""Scalar statements that cost about as much as one numpy call on as many elements."""


@dataclass(frozen=True)
class Source:
    """A graph as generated Python. `generate` makes it."""

    text: str
    statements: int
    shapes: tuple[tuple[int, ...], ...]
    function: Callable[..., tuple[tuple[float, ...], ...]]

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...] | None:
        """The outputs, fresh float64 arrays; None where Python's floats raise. `inputs` in the graph's order."""
        try:
            results = self.function(*[np.asarray(x, np.float64).reshape(-1).tolist() for x in inputs])
        except (ArithmeticError, ValueError):
            return None
        return tuple([np.array(r, np.float64).reshape(shape) for r, shape in zip(results, self.shapes, strict=True)])


def generate(graph: Graph, steps: int) -> Source | None:
    """Source for the graph, None where it has data rows, is too large, or is better off as a plan of `steps` calls."""
    limit = min(NODE_LIMIT, EACH_STEP * steps)
    numbers = {node: shape for node in graph.inputs if (shape := fixed(node.shape)) is not None}
    if len(numbers) < len(graph.inputs) or sum(math.prod(shape) for shape in numbers.values()) > limit:
        return None
    if any(OPS[node.op].result == "truth" for node in graph.outputs):
        return None
    inputs = {
        node: as_elements([input_node(f"{k} {place}", (), "shared") for place in range(math.prod(shape))], shape)
        for k, (node, shape) in enumerate(numbers.items())
    }
    # Some statements may be simplified away, but not half of them: what is too large is known before a node is made.
    if sum(map(_statements, graph.nodes)) > 2 * limit:
        return None
    # Elements that are only moved about count here, and are gone from the text.
    outputs = take_apart(graph.outputs, inputs, 8 * limit)
    if outputs is None:
        return None
    flat = simplify(
        Graph(
            tuple(x for array in inputs.values() for x in array.reshape(-1)),
            tuple(x for array in outputs for x in array.reshape(-1)),
        )
    )
    if sum(bool(node.operands) for node in flat.nodes) > limit:
        return None
    return _written(flat, inputs, [x.shape for x in outputs])


def _statements(node: Node) -> int:
    """How many the node makes before anything is simplified."""
    if node.op in MOVES or not node.operands:
        return 0
    size = math.prod(fixed(node.shape) or ())
    if node.op == "matmul":
        return 2 * size * math.prod(fixed(node.operands[0].shape[-1:]) or ())
    return math.prod(fixed(node.operands[0].shape) or ()) if node.op in REDUCTIONS else size


def _written(flat: Graph, inputs: Mapping[Node, Elements], shapes: Sequence[tuple[int, ...]]) -> Source:
    slot: dict[Node, str] = {}
    namespace: dict[str, Any] = {**NAMES, "float": float, "round": round, "__builtins__": {}}

    def known(value: Any) -> str:
        name = f"c{len(namespace)}"
        namespace[name] = value
        return name

    lines = [f"def evaluate({', '.join(f'x{k}' for k in range(len(inputs)))}):"]
    for k, array in enumerate(inputs.values()):
        names = []
        for element in array.reshape(-1):
            slot[element] = f"t{len(slot)}"
            names.append(slot[element])
        if names:
            lines.append(f"    {', '.join(names)}, = x{k}")
    count = 0
    for node in flat.nodes:
        if node in slot:
            continue
        if node.op == "constant":
            slot[node] = known(float(node.value))
            continue
        operands = [slot[x] for x in node.operands]
        slot[node] = f"t{len(slot)}"
        if node.op in SCALAR:
            attributes = {f"a{k}": known(value) for k, value in enumerate(node.attributes)}
            expression = SCALAR[node.op].format(*operands, **attributes)
        else:
            expression = f"{known(_by_numpy(node))}({', '.join(operands)})"
        lines.append(f"    {slot[node]} = {expression}")
        count += 1
    results, at = [], 0
    for shape in shapes:
        size = math.prod(shape)
        results.append(f"({''.join(f'{slot[x]}, ' for x in flat.outputs[at : at + size])})")
        at += size
    lines.append(f"    return ({''.join(f'{r}, ' for r in results)})")
    text = "\n".join(lines) + "\n"
    exec(compile(text, "<nablad source>", "exec"), namespace)
    return Source(text, count, tuple(shapes), namespace["evaluate"])


def _by_numpy(node: Node) -> Callable[..., Any]:
    """A row without a template: its numpy call on one number."""
    evaluate, attributes = MEANING[node.op].evaluate, node.attributes
    kind = bool if OPS[node.op].result == "truth" else float

    def call(*operands: Any) -> Any:
        with np.errstate(all="ignore"):
            return kind(evaluate(*map(np.asarray, operands), *attributes))

    return call
