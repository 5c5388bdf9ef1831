"""Leaves: nodes without operands. Inputs and `rows` are bound by whoever runs the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nablad.expressions import Node, Symbol, apply
from nablad.expressions.dimension import rows_axis
from nablad.solvers.autodiff.ops.row import Array, Instruction, Meaning, RowKind


def _unbatched(node: Node, operands: Sequence[Symbol], batched: Sequence[bool], size: int) -> Symbol:
    return apply(node.op, attributes=node.attributes)


def _fill(out: Array, value: Any) -> None:
    np.copyto(out, value)


def _leaf(name: str, evaluate: Any, analytic: bool = True) -> Meaning:
    def bind(arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None) -> Instruction:
        return _fill, (out, evaluate(*attributes))

    return Meaning(
        name, evaluate, bind, None, _unbatched, degree=lambda *_: 0.0, rows=_rows_in_front, cost=0.0, analytic=analytic
    )


def _rows_in_front(node: Node) -> RowKind:
    """Row blocks are cut from the first axis, where they are contiguous."""
    return "row" if rows_axis(node.shape) == 0 else None


def _given(*attributes: Any) -> Any:
    raise TypeError("an input's value is given, not computed")


ROWS: tuple[Meaning, ...] = (
    _leaf("input", _given),
    _leaf("rows", _given),
    _leaf("constant", lambda dtype, shape, data: np.frombuffer(data, dtype).reshape(shape)),
    _leaf("eye", np.eye),
)
