"""The op table: what may be written. Each row is a name, an arity, a shape rule and a domain.

What an op means (its numbers, derivatives and cost) is told by the table of `nablad.solvers.autodiff.ops`, row for row;
a test holds the two to each other. A client needs only this page to build or to check a graph.

Elementwise ops broadcast as numpy does. Results are real numbers, or truths (of a comparison), which only `where`
reads.
"""

from __future__ import annotations

from nablad.expressions.table import algebra, leaves, pointwise, reductions, structure
from nablad.expressions.table.spec import OpSpec, ShapeRule

OPS: dict[str, OpSpec] = {
    row.name: row for module in (leaves, pointwise, reductions, structure, algebra) for row in module.ROWS
}

__all__ = ["OPS", "OpSpec", "ShapeRule"]
