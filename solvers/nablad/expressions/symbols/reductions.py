"""Reductions of symbols."""

from __future__ import annotations

from collections.abc import Sequence

from nablad.expressions.symbol import Operand, Symbol, apply, lift


def sum(x: Operand, axes: Sequence[int] | None = None, keepdims: bool = False) -> Symbol:
    """The sum over the given axes, over all of them when None."""
    node = lift(x)
    rank = len(node.shape)
    chosen = tuple(range(rank)) if axes is None else tuple(sorted(axis + rank if axis < 0 else axis for axis in axes))
    return apply("sum", node, attributes=(chosen, keepdims))


def logsumexp(x: Operand) -> Symbol:
    """log(sum(exp(x))) over the last axis, shifted by the maximum so that nothing overflows."""
    return apply("logsumexp", x)
