"""Products.

The matrix product is bilinear: with C = A B and cotangent G of C, A's is G B' and B's is A' G, whose stacked axes, if
any, are summed away where cotangents are accumulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nablad.expressions import ROWS as ALL_ROWS
from nablad.expressions import Node, Shape, Symbol
from nablad.expressions import symbols as s
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.ops.pointwise import degree_product
from nablad.solvers.autodiff.ops.row import Array, Instruction, Meaning, Multilinear, RowKind, row_by_row


def _left_adjoint(t: Symbol, operands: tuple[Symbol, ...], y: Symbol) -> Symbol:
    right = operands[1]
    if right.ndim == 1:
        return s.reshape(t, (*t.shape, 1)) * s.reshape(right, (1, *right.shape))
    return s.apply("matmul", t, s.matrix_transpose(right))


def _right_adjoint(t: Symbol, operands: tuple[Symbol, ...], y: Symbol) -> Symbol:
    return s.apply("matmul", s.matrix_transpose(operands[0]), t)


def _bind_matmul(
    arrays: Sequence[Array], attributes: tuple[Any, ...], out: Array, scratch: Array | None
) -> Instruction:
    x, y = arrays
    if x.ndim == 2 and y.ndim <= 2:
        return np.dot, (x, y, out)
    if y.ndim == 2 and x.flags.c_contiguous:
        # One product of a tall matrix instead of a loop over the stack.
        return np.dot, (x.reshape(-1, x.shape[-1]), y, out.reshape(-1, out.shape[-1]))
    return np.matmul, (x, y, out)


def _with_rank(x: Symbol, size: int, rank: int) -> Symbol:
    return s.reshape(x, (size, *(1,) * (rank + 1 - x.ndim), *x.shape[1:]))


def _batch_matmul(node: Node, operands: Sequence[Symbol], batched: Sequence[bool], size: int) -> Symbol:
    left, right = operands
    left_batched, right_batched = batched
    if len(node.operands[1].shape) == 1:
        if not left_batched:
            return right @ left.T
        column = s.reshape(right, (*right.shape, 1))
        return s.reshape(left @ column, (size, *node.shape))
    rank = max(len(x.shape) for x in node.operands)
    if left_batched:
        left = _with_rank(left, size, rank)
    if right_batched:
        right = _with_rank(right, size, rank)
    return left @ right


def _matmul_rows(node: Node) -> RowKind:
    left = node.operands[0].shape
    if left[-1] is ALL_ROWS:
        return "sum" if row_size(node.shape)[0] == 0 and row_size(left)[0] == 1 else None
    return row_by_row(node)


def _matmul_space(node: Node) -> Shape:
    return (*node.shape, node.operands[0].shape[-1])


ROWS: tuple[Meaning, ...] = (
    Meaning(
        "matmul",
        evaluate=np.matmul,
        bind=_bind_matmul,
        derivative=Multilinear((_left_adjoint, _right_adjoint)),
        batch=_batch_matmul,
        degree=degree_product,
        rows=_matmul_rows,
        space=_matmul_space,
        cost=2.0,
    ),
)
