"""Rewrites that change how a graph is computed, never what it says.

Folded are constants, and what is the identity in floating point too: 1 x, x / 1, -(-x), x + (-y), a shape changed to
itself, two permutations in a row, a stretch that the elementwise op above it does anyway. Signs are moved out of
products and quotients, (-x) y = -(x y) exactly, up to where a sum takes them in for nothing. The sum of one number, so
many times, becomes a product: the same but for rounding, and no pass over the rows.

Never 0 x -> 0: where x is NaN or infinite, 0 x is NaN, and the rewrite would hide it. A I -> A (I the identity matrix)
is of another kind. In floating point (A I)_ij = A_ij + sum_k 0 A_ik, whose zero terms are there only because the
product with the basis vectors is a way to write down the Jacobian of x -> A x. That Jacobian IS A, entry by entry; an
infinite A_ik is a fact about column k, not about column j. It keeps every entry of A, its shape, its NaN. It also makes
the Jacobian of an affine residual cost no N p^2 product.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nablad.expressions import OPS, ROWS, Graph, Node, constant, make, remake, topological
from nablad.expressions.dimension import broadcast, row_size
from nablad.solvers.autodiff.ops import MEANING, Pointwise

Rewrite = Callable[[Node], Node | None]

FOLD_LIMIT = 4096
"""Constants up to this many elements are folded; larger ones are left to the plan's buffers."""


def simplify(graph: Graph, known: dict[Node, Node] | None = None) -> Graph:
    """The same function of the same inputs, by fewer nodes. One pass, operands first.

    What a node becomes depends on what is below it alone. `known` tells it of nodes that another graph has in common
    with this one, whose part below is then not looked at; what this pass finds is added.
    """
    new = {} if known is None else known
    for node in topological(graph.outputs, new) if new else graph.nodes:
        new[node] = _rewrite(_renewed(node, tuple([new[operand] for operand in node.operands])))
    return Graph(graph.inputs, tuple([new[node] for node in graph.outputs]))


def simplified(node: Node, known: dict[Node, Node]) -> Node:
    """What a node becomes, of whose operands most are `known`; what is found is added, the result itself too.

    A walk that calls itself: for what a rule has just put on top of known nodes, which is never deep.
    """
    found = known.get(node)
    if found is None:
        found = _rewrite(_renewed(node, tuple([simplified(x, known) for x in node.operands])))
        known[node] = known[found] = found
    return found


_POINTWISE = frozenset(name for name, meaning in MEANING.items() if isinstance(meaning.derivative, Pointwise))


def _renewed(node: Node, operands: tuple[Node, ...]) -> Node:
    if node.op in _POINTWISE and any(x.op == "broadcast_to" for x in operands):
        operands = _unstretched(node, operands)
    return remake(node, operands)


def _rewrite(node: Node) -> Node:
    while True:
        simpler = _fold(node)
        if simpler is None and node.op in REWRITES:
            simpler = REWRITES[node.op](node)
        if simpler is None and node.op in _POINTWISE:
            simpler = _stretched_last(node)
        if simpler is None:
            return node
        node = simpler


def _unstretched(node: Node, operands: tuple[Node, ...]) -> tuple[Node, ...]:
    """Drop stretches that do not change the result's shape."""
    chosen = list(operands)
    for k, operand in enumerate(chosen):
        if operand.op == "broadcast_to":
            trial = [*chosen[:k], operand.operands[0], *chosen[k + 1 :]]
            if broadcast(node.op, [x.shape for x in trial]) == node.shape:
                chosen = trial
    return tuple(chosen)


def _stretched_last(node: Node) -> Node | None:
    """f of stretched numbers is the stretched f of the numbers."""
    if not node.shape or not all(x.shape == () or _is_stretched_number(x) for x in node.operands):
        return None
    numbers = [x.operands[0] if x.shape else x for x in node.operands]
    return make("broadcast_to", (_rewrite(make(node.op, numbers, node.attributes)),), (node.shape,))


def _is_stretched_number(node: Node) -> bool:
    return node.op == "broadcast_to" and node.operands[0].shape == ()


def _fold(node: Node) -> Node | None:
    for x in node.operands:
        if x.op != "constant":
            return None
    if not node.operands or OPS[node.op].result == "truth" or ROWS in node.shape or node.op == "broadcast_to":
        return None
    if row_size(node.shape)[1] > FOLD_LIMIT:
        return None
    with np.errstate(all="ignore"):
        return constant(MEANING[node.op].evaluate(*(x.value for x in node.operands), *node.attributes))


def _is_one(node: Node) -> bool:
    return node.op == "constant" and row_size(node.shape) == (0, 1) and node.value.item() == 1.0


def _is_number(node: Node) -> bool:
    return node.op == "constant" and node.shape == ()


def _multiply(node: Node) -> Node | None:
    x, y = node.operands
    if _is_one(x) and y.shape == node.shape:
        return y
    if _is_one(y) and x.shape == node.shape:
        return x
    if _is_number(y):
        return make("multiply", (y, x))
    if _is_number(x) and y.op == "negative":
        return make("multiply", (constant(-x.value), y.operands[0]))
    return _signs_out(node)


def _divide(node: Node) -> Node | None:
    x, y = node.operands
    return x if _is_one(y) and x.shape == node.shape else _signs_out(node)


def _signs_out(node: Node) -> Node | None:
    """(-x) y -> -(x y) and the like; _negative takes it further."""
    x, y = node.operands
    if x.op == "negative":
        return make("negative", (_rewrite(make(node.op, (x.operands[0], y))),))
    if y.op == "negative":
        return make("negative", (_rewrite(make(node.op, (x, y.operands[0]))),))
    return None


def _add(node: Node) -> Node | None:
    x, y = node.operands
    if x is y:
        return make("multiply", (constant(2.0), x))
    if y.op == "negative":
        return make("subtract", (x, y.operands[0]))
    return make("subtract", (y, x.operands[0])) if x.op == "negative" else None


def _subtract(node: Node) -> Node | None:
    x, y = node.operands
    return make("add", (x, y.operands[0])) if y.op == "negative" else None


def _negative(node: Node) -> Node | None:
    (x,) = node.operands
    if x.op == "negative":
        return x.operands[0]
    if x.op == "multiply":
        left, right = x.operands
        if _is_number(left):
            return make("multiply", (constant(-left.value), right))
    return None


def _reshape(node: Node) -> Node | None:
    (x,) = node.operands
    if x.shape == node.shape:
        return x
    return make("reshape", x.operands, node.attributes) if x.op == "reshape" else None


def _transpose(node: Node) -> Node | None:
    (x,), (permutation,) = node.operands, node.attributes
    if permutation == tuple(range(len(permutation))):
        return x
    if x.op == "eye":
        return x
    if x.op == "transpose":
        return make("transpose", x.operands, (tuple(x.attributes[0][axis] for axis in permutation),))
    return None


def _broadcast_to(node: Node) -> Node | None:
    (x,) = node.operands
    if x.shape == node.shape:
        return x
    return make("broadcast_to", x.operands, node.attributes) if x.op == "broadcast_to" else None


def _sum(node: Node) -> Node | None:
    (x,), axes = node.operands, node.attributes[0]
    if axes == ():
        return x
    if not _is_stretched_number(x) or len(axes) < len(x.shape):
        return None
    power, size = row_size(x.shape)
    product = x.operands[0]
    for _ in range(power):
        product = _rewrite(make("multiply", (make("rows"), product)))
    return make("multiply", (constant(float(size)), product))


def _matmul(node: Node) -> Node | None:
    x, y = node.operands
    if x.op == "eye" and y.shape == node.shape:
        return y
    return x if y.op == "eye" and x.shape == node.shape else None


REWRITES: dict[str, Rewrite] = {
    "multiply": _multiply,
    "divide": _divide,
    "add": _add,
    "subtract": _subtract,
    "negative": _negative,
    "reshape": _reshape,
    "transpose": _transpose,
    "broadcast_to": _broadcast_to,
    "sum": _sum,
    "matmul": _matmul,
}
