"""What a graph, or a way that is not built yet, costs in floating point operations, by the op rows' costs."""

from __future__ import annotations

from nablad.expressions import Node, topological
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.derivatives.function import Function
from nablad.solvers.autodiff.derivatives.ways import Setting, Way
from nablad.solvers.autodiff.memory import remembered
from nablad.solvers.autodiff.ops import MEANING


def estimate(way: Way, setting: Setting) -> float:
    """Operations if each visit of a value that depends on theta took one multiplication for each of its numbers."""
    visits = _visited(setting.function, setting.rows)
    return setting.points * way.passes(setting) * way.factor(setting) * visits


@remembered
def _visited(function: Function, rows: int) -> float:
    moving = {function.theta}
    numbers = 0.0
    for node in topological([function.output]):
        if any(x in moving for x in node.operands):
            moving.add(node)
            numbers += min(1.0, MEANING[node.op].cost) * _length(node, rows)
    return numbers


@remembered
def split_operations(outputs: tuple[Node, ...], moved: Node, rows: int) -> tuple[float, float]:
    """(of nodes that do not depend on `moved`, of those that do), for N rows."""
    moving = {moved}
    fixed = depending = 0.0
    for node in topological(outputs):
        work = operations(node, rows)
        if any(x in moving for x in node.operands):
            moving.add(node)
            depending += work
        else:
            fixed += work
    return fixed, depending


def operations(node: Node, rows: int) -> float:
    """Floating point operations of one node, by its op row's cost."""
    cost = MEANING[node.op].cost
    return cost * _length(node, rows) if cost else 0.0


def _length(node: Node, rows: int) -> float:
    """Of the index set that the op loops over."""
    power, size = row_size(MEANING[node.op].space(node))
    return float(size) * float(rows) ** power
