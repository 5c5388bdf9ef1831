"""Leaves: nodes without operands."""

from __future__ import annotations

from nablad.expressions.table.spec import OpSpec

ROWS: tuple[OpSpec, ...] = (
    OpSpec("input", 0, lambda _, a: tuple(a[1]), attributes=("name", "shape", "role")),
    OpSpec("constant", 0, lambda _, a: tuple(a[1]), attributes=("dtype", "shape", "bytes")),
    OpSpec("rows", 0, lambda _, a: (), "the number of data rows N"),
    OpSpec("eye", 0, lambda _, a: (a[0], a[0]), "the identity matrix", ("size",)),
)
