"""The meaning table: for each op of the language its numbers, derivatives, batching, structure and cost."""

from nablad.solvers.autodiff.ops import (
    algebra,
    arithmetic,
    exponential,
    indexing,
    leaves,
    linear_algebra,
    piecewise,
    reductions,
    special,
    structure,
    trigonometric,
)
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

_FAMILIES = (
    leaves,
    arithmetic,
    exponential,
    trigonometric,
    special,
    piecewise,
    reductions,
    structure,
    indexing,
    algebra,
    linear_algebra,
)

MEANING: dict[str, Meaning] = {row.name: row for family in _FAMILIES for row in family.ROWS}

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
