"""The number of data rows bound in the graph itself, where a derivation needs a shape without an unknown.

Bound to 1, a graph that treats every row alike becomes the function of one row, which `batching.batch` may then repeat
over the rows: that is how a Jacobian is pulled row by row. Bound to N, it becomes a graph of fixed shapes.
"""

from __future__ import annotations

from collections.abc import Sequence

from nablad.expressions import Node, constant, make, rebuild
from nablad.expressions.dimension import concrete


def bind_rows(outputs: Sequence[Node], rows: int, count: int | None = None) -> tuple[Node, ...]:
    """The outputs with ROWS replaced by `rows` in every shape; inputs keep their names.

    `count` is the value of the leaf that tells the number of rows; it is left as it is when None.
    """

    def bound(node: Node, operands: tuple[Node, ...]) -> Node:
        if node.op == "rows" and count is not None:
            return constant(float(count))
        attributes = node.attributes if node.op == "constant" else concrete(node.attributes, rows)
        if attributes == node.attributes and operands == node.operands:
            return node
        return make(node.op, operands, attributes)

    return rebuild(outputs, {}, bound)
