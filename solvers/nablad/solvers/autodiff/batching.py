"""vmap as a graph transform: push many directions through a graph in one pass.

The nodes that depend on a batched input get an axis of length B in front; the others are computed once and shared. With
the tangent of jvp batched, B columns of a Jacobian, or B rows of a Hessian (forward over reverse), come out of one
evaluation whose products are B times as large, which is what BLAS likes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nablad.expressions import Dimension, Node, Symbol, topological
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.ops import MEANING


def batch(outputs: Sequence[Node], batched: Mapping[Node, Symbol], size: Dimension) -> tuple[Symbol, ...]:
    """The outputs with a leading axis of length `size`, which is ROWS where the batch is to be cut into row blocks.

    `batched` maps inputs to symbols whose shape is (size, *input.shape). An output that depends on none of them is
    stretched along the new axis.
    """
    new: dict[Node, Symbol] = dict(batched)
    length: Any = size  # a rule puts it in front of a shape, whether it is a number or ROWS
    for node in topological(outputs):
        if node in new:
            continue
        flags = [operand in new for operand in node.operands]
        if any(flags):
            operands = [new.get(operand, Symbol(operand)) for operand in node.operands]
            new[node] = MEANING[node.op].batch(node, operands, flags, length)
    return tuple(new[node] if node in new else s.broadcast_to(Symbol(node), (size, *node.shape)) for node in outputs)
