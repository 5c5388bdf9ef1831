"""What all pointwise rows y_i = f(x_i) have in common; the rows stand in a module for each family of functions.

Costs are counted in the usual way: one operation for arithmetic, ten for an elementary function, which is about their
ratio in time with numpy's vectorized loops. With them every row's derivative costs at most three times what the row
itself does, so that value and gradient together stay under the four of Baur and Strassen (1983).

A rule is chosen by its relative error, near zero and in the tails too, in first and second derivatives: where the
textbook formula subtracts numbers that are nearly equal, the rule uses a function that does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from nablad.expressions import Node, Symbol
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.ops.row import Degree, Meaning, Partial, Pointwise, bind_ufunc


def batch_pointwise(node: Node, operands: Sequence[Symbol], batched: Sequence[bool], size: int) -> Symbol:
    """Give every batched operand the result's rank, so that the batch axis lines up in front."""
    rank = len(node.shape)
    aligned = [
        s.reshape(x, (size, *(1,) * (rank - x.ndim + 1), *x.shape[1:])) if is_batched and x.ndim <= rank else x
        for x, is_batched in zip(operands, batched, strict=True)
    ]
    return s.apply(node.op, *aligned, attributes=node.attributes)


def degree_transcendental(degrees: Sequence[float], attributes: tuple[Any, ...]) -> float:
    return 0.0 if all(d == 0 for d in degrees) else math.inf


def degree_linear(degrees: Sequence[float], attributes: tuple[Any, ...]) -> float:
    return max(degrees)


def degree_product(degrees: Sequence[float], attributes: tuple[Any, ...]) -> float:
    return sum(degrees)


def pointwise_row(
    name: str,
    call: Callable[..., Any],
    *partials: Partial | None,
    cost: float = 1.0,
    degree: Degree = degree_transcendental,
    evaluate: Callable[..., Any] | None = None,
    analytic: bool = True,
    in_place: tuple[int, ...] | None = None,
) -> Meaning:
    """A row whose `call(*operands, out)` is a ufunc or a function of that form; `evaluate` where that has no result."""
    return Meaning(
        name,
        evaluate=evaluate or call,
        bind=bind_ufunc(call),
        derivative=Pointwise(partials),
        batch=batch_pointwise,
        degree=degree,
        cost=cost,
        analytic=analytic,
        in_place=tuple(range(len(partials))) if in_place is None else in_place,
    )
