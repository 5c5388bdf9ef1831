"""Functions of whole axes: fewer numbers out than in, or running totals.

In text their axis is always named, since max(x, 0) would be read in two ways.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nablad.expressions import symbols as s
from nablad.expressions.dimension import ROWS as ALL_ROWS
from nablad.expressions.dimension import Shape, ShapeError, describe
from nablad.expressions.functions.arguments import axes_of, flag, whole
from nablad.expressions.functions.row import Function
from nablad.expressions.graph import Node
from nablad.expressions.symbol import Operand, Symbol, number, truth
from nablad.expressions.symbols.axes import axes_of as places_of
from nablad.expressions.symbols.axes import axis_of

Axis = int | tuple[int, ...] | None


def reduction(name: str) -> Callable[..., Symbol]:
    reduce: Callable[..., Symbol] = getattr(s, name)

    def call(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Symbol:
        return reduce(number(x), axes_of(axis), flag(keepdims, "keepdims"))

    return call


def moment(name: str) -> Callable[..., Symbol]:
    reduce: Callable[..., Symbol] = getattr(s, name)

    def call(x: Operand, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Symbol:
        return reduce(number(x), axes_of(axis), flag(keepdims, "keepdims"), ddof)

    return call


def of_all(extreme: Callable[..., Symbol]) -> Callable[..., Symbol]:
    """Whether all of several truths hold (their least is 1), or any (their largest is)."""

    def call(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Symbol:
        return s.not_equal(extreme(number(Symbol(truth(x))), axes_of(axis), flag(keepdims, "keepdims")), 0.0)

    return call


def norm(x: Operand, ord: Any = None, axis: Axis = None, *, keepdims: bool = False) -> Symbol:
    node = number(x)
    axes = axes_of(axis)
    rank = len(node.shape) if axes is None else len(axes)
    if rank == 2 and ord not in (None, "fro"):
        raise ValueError(f'a matrix has the norm "fro" here, not {ord!r}: for a norm of each row give axis=1')
    if rank != 2 and ord == "fro":
        raise ValueError('"fro" is the norm of a matrix: give two axes')
    if rank > 2 and ord is not None:
        raise ValueError(f"ord={ord!r} is a norm of one or two axes: give axis=")
    return s.norm(node, axes, 2 if ord is None else ord, flag(keepdims, "keepdims"))


def vector_norm(x: Operand, *, axis: Axis = None, keepdims: bool = False, ord: Any = 2) -> Symbol:
    """Of all numbers along the axes as one vector."""
    return s.norm(number(x), axes_of(axis), ord, flag(keepdims, "keepdims"))


def matrix_norm(x: Operand, *, keepdims: bool = False, ord: Any = "fro") -> Symbol:
    """Of the matrices in the last two axes."""
    return norm(x, ord, (-2, -1), keepdims=keepdims)


def softmax(x: Operand, axis: Axis = None) -> Symbol:
    return s.softmax(number(x), axes_of(axis))


def log_softmax(x: Operand, axis: Axis = None) -> Symbol:
    return s.log_softmax(number(x), axes_of(axis))


def cumsum(x: Operand, axis: int | None = None) -> Symbol:
    return s.cumsum(number(x), None if axis is None else whole(axis, "axis"))


def diff(x: Operand, n: int = 1, axis: int = -1) -> Symbol:
    node = number(x)
    place = axis_of("diff", whole(axis, "axis"), node.shape)
    for _ in range(whole(n, "n")):
        length = node.shape[place]
        if length is ALL_ROWS or length < 1:
            raise ShapeError("diff", [node.shape], "needs an axis of known length, at least 1")
        later, earlier = (
            s.slice_of(node, [bounds if k == place else None for k in range(len(node.shape))])
            for bounds in ((1, length), (0, length - 1))
        )
        node = (later - earlier).node
    return Symbol(node)


def ptp(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Symbol:
    node, axes = number(x), axes_of(axis)
    return s.max(node, axes, flag(keepdims, "keepdims")) - s.min(node, axes, keepdims)


def average(x: Operand, axis: Axis = None, weights: Operand | None = None, *, keepdims: bool = False) -> Symbol:
    node, axes = number(x), axes_of(axis)
    if weights is None:
        return s.mean(node, axes, flag(keepdims, "keepdims"))
    spread = _along(number(weights), node.shape, axes)
    return s.sum(s.multiply(node, spread), axes, flag(keepdims, "keepdims")) / s.sum(spread, axes, keepdims)


def _along(weights: Node, shape: Shape, axes: tuple[int, ...] | None) -> Symbol:
    """Weights in the shape of what they weigh: theirs is the same, or the lengths of the axes, in the order given."""
    if weights.shape == shape:
        return Symbol(weights)
    chosen = places_of("average", axes, shape)
    lengths = tuple(shape[axis] for axis in chosen)
    if axes is None or weights.shape != lengths:
        fit = f"the lengths {describe(lengths)} of the axes" if axes is not None else "the shape of what they weigh"
        raise ShapeError("average", [shape, weights.shape], f"weights must have {fit}")
    turned = s.transpose(weights, [chosen.index(axis) for axis in sorted(chosen)])
    return s.broadcast_to(s.reshape(turned, tuple(d if k in chosen else 1 for k, d in enumerate(shape))), shape)


ROWS: tuple[Function, ...] = (
    Function("sum", reduction("sum"), "the sum", positional=1),
    Function("mean", reduction("mean"), "the mean", positional=1),
    Function("prod", reduction("prod"), "the product", ("product",), positional=1),
    Function("max", reduction("max"), "the largest", ("amax",), positional=1),
    Function("min", reduction("min"), "the smallest", ("amin",), positional=1),
    Function("var", moment("var"), "the variance, over n - ddof", positional=1),
    Function("std", moment("std"), "the standard deviation, over n - ddof", positional=1),
    Function("ptp", ptp, "the largest minus the smallest", positional=1),
    Function("average", average, "the mean, weighted", positional=1),
    Function("norm", norm, 'the norm: 2, 1, inf, or "fro" of a matrix', ("linalg.norm",), positional=2),
    Function("linalg.vector_norm", vector_norm, "the norm: 2, 1 or inf, of all numbers as one vector", positional=1),
    Function("linalg.matrix_norm", matrix_norm, 'the norm "fro" of the matrices in the last two axes', positional=1),
    Function("logsumexp", reduction("logsumexp"), "log(sum(exp(x))), without overflow", positional=1),
    Function("softmax", softmax, "exp(x)/sum(exp(x)), without overflow", positional=1),
    Function("log_softmax", log_softmax, "its logarithm", positional=1),
    Function("all", of_all(s.min), "whether all of the truths hold", positional=1),
    Function("any", of_all(s.max), "whether one of the truths holds", positional=1),
    Function("cumsum", cumsum, "running totals", positional=1),
    Function("diff", diff, "differences of neighbours", positional=1),
)
