"""The second derivative of what depends on theta alone: batched, as of any graph, once where it is constant.

A penalty's Hessian is often diagonal; then p numbers are kept instead of p^2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nablad.expressions import Graph, Node
from nablad.expressions import symbols as s
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.batching import batch
from nablad.solvers.autodiff.blocks import Evaluator, Program, compile_program
from nablad.solvers.autodiff.ops import Array
from nablad.solvers.autodiff.structure import Linearity, linearity
from nablad.solvers.autodiff.transform import jvp

DIRECTIONS = 64
"""Rows of the Hessian that one pass computes."""


@dataclass(frozen=True, eq=False)
class Penalty:
    """A penalty's second derivative, compiled."""

    program: Program
    """`directions` (B, p) -> B rows of the Hessian (B, p)."""
    constant: bool


def compile_penalty(
    gradient: Node | None, parameters: Node, data: Sequence[Node], dtype: np.dtype[Any]
) -> Penalty | None:
    """From the penalty's gradient (p,); None where the second derivative is zero by structure."""
    if gradient is None:
        return None
    v = s.parameter("direction", parameters.shape)
    (product,) = jvp([gradient], {parameters: v})
    if product.node is s.zeros(product.shape).node:
        return None
    (size,) = parameters.shape
    assert isinstance(size, int)
    count = min(size, DIRECTIONS)
    many = s.parameter("directions", (count, size))
    (rows,) = batch([product.node], {v.node: many}, count)
    fixed = tuple(x for x in data if not row_size(x.shape)[0])
    program = compile_program(Graph((parameters, many.node, *fixed), (rows.node,)), dtype)
    return Penalty(program, linearity(gradient, [parameters]) in (Linearity.CONSTANT, Linearity.AFFINE))


class PenaltyHessian:
    """Adds a penalty's Hessian to others; keeps it where it is constant. Used by one thread at a time."""

    def __init__(self, penalty: Penalty | None, rows: int) -> None:
        self._penalty = penalty
        self._evaluator = None if penalty is None else Evaluator(penalty.program, {}, rows)
        self.kept: Array | None = None

    def add_to(self, hessian: Array, parameters: Mapping[str, Array], scale: float = 1.0) -> None:
        """hessian (p, p) += scale times the penalty's, in place."""
        if self._penalty is None:
            return
        second = self._second(parameters) if self.kept is None else self.kept
        if self._penalty.constant:
            self.kept = second
        target = np.einsum("ii->i", hessian) if second.ndim == 1 else hessian
        np.add(target, second if scale == 1.0 else scale * second, target)

    def _second(self, parameters: Mapping[str, Array]) -> Array:
        """(p, p), exactly symmetric, or (p,) where it is diagonal."""
        assert self._evaluator is not None
        program = self._evaluator.program
        count, size = next(x.shape for x in program.graph.inputs if x.name == "directions")
        assert isinstance(count, int)
        assert isinstance(size, int)
        hessian = np.empty((size, size), program.head.dtype)
        for start in range(0, size, count):
            stop = min(start + count, size)
            directions = np.zeros((count, size), hessian.dtype)
            directions[np.arange(stop - start), np.arange(start, stop)] = 1
            (rows,) = self._evaluator.run({**parameters, "directions": directions})
            assert rows is not None
            hessian[start:stop] = rows[: stop - start]
        diagonal = np.diagonal(hessian).copy()
        if np.count_nonzero(hessian) == np.count_nonzero(diagonal):
            return diagonal
        return np.asarray(0.5 * (hessian + hessian.T), hessian.dtype)
