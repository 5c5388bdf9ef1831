"""Products of symbols, and linear algebra."""

from __future__ import annotations

from nablad.expressions.symbol import Operand, Symbol, apply


def matmul(x: Operand, y: Operand) -> Symbol:
    """Matrix @ vector, or (stacks of) matrix @ matrix."""
    return apply("matmul", x, y)
