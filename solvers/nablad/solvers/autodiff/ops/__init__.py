"""The meaning table: for each op of the language its numbers, derivatives, batching, structure and cost."""

from nablad.solvers.autodiff.ops import algebra, indexing, leaves, pointwise, reductions, structure
from nablad.solvers.autodiff.ops.row import (
    Array,
    General,
    Instruction,
    Linear,
    Meaning,
    Multilinear,
    Pointwise,
    RowKind,
)

MEANING: dict[str, Meaning] = {
    row.name: row for module in (leaves, pointwise, reductions, structure, indexing, algebra) for row in module.ROWS
}

__all__ = [
    "MEANING",
    "Array",
    "General",
    "Instruction",
    "Linear",
    "Meaning",
    "Multilinear",
    "Pointwise",
    "RowKind",
]
