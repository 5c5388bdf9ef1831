"""Functions of whole axes: fewer numbers out than in, or running totals.

In text their axis is always named, since max(x, 0) would be read in two ways.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nablad.expressions import symbols as s
from nablad.expressions.dimension import ROWS as ALL_ROWS
from nablad.expressions.dimension import ShapeError
from nablad.expressions.functions.arguments import axes_of, axis_of, flag, whole
from nablad.expressions.functions.row import Function
from nablad.expressions.symbol import Operand, Symbol, number, truth

Axis = int | tuple[int, ...] | None


def reduction(name: str) -> Callable[..., Symbol]:
    def call(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Symbol:
        node = number(x)
        axes = axes_of(axis, len(node.shape), name, node.shape)
        result: Symbol = getattr(s, name)(node, axes, flag(keepdims, "keepdims"))
        return result

    return call


def moment(name: str) -> Callable[..., Symbol]:
    def call(x: Operand, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Symbol:
        node = number(x)
        axes = axes_of(axis, len(node.shape), name, node.shape)
        if not ddof:
            result: Symbol = getattr(s, name)(node, axes, flag(keepdims, "keepdims"))
            return result
        centered = Symbol(node) - s.mean(node, axes, True)
        count = s.sum(s.broadcast_to(1.0, node.shape), axes, keepdims)
        variance = s.sum(s.square(centered), axes, flag(keepdims, "keepdims")) / (count - ddof)
        return variance if name == "var" else s.sqrt(variance)

    return call


def of_all(name: str) -> Callable[..., Symbol]:
    """Whether all of several truths hold (their least is 1), or any (their largest is)."""

    def call(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Symbol:
        node = number(truth(x))
        axes = axes_of(axis, len(node.shape), name, node.shape)
        extreme = s.min if name == "all" else s.max
        return s.not_equal(extreme(node, axes, flag(keepdims, "keepdims")), 0.0)

    return call


def norm(x: Operand, ord: Any = None, axis: Axis = None, *, keepdims: bool = False) -> Symbol:
    node = number(x)
    axes = axes_of(axis, len(node.shape), "norm", node.shape)
    rank = len(node.shape) if axes is None else len(axes)
    if rank == 2 and ord not in (None, "fro"):
        raise ValueError(f'a matrix has the norm "fro" here, not {ord!r}: for a vector norm of its rows give axis=')
    if rank > 2 and ord is not None:
        raise ValueError(f"ord={ord!r} is a norm of one or two axes: give axis=")
    return s.norm(node, axes, 2 if ord is None else ord, flag(keepdims, "keepdims"))


def softmax(x: Operand, axis: Axis = None) -> Symbol:
    return s.exp(log_softmax(x, axis))


def log_softmax(x: Operand, axis: Axis = None) -> Symbol:
    node = number(x)
    axes = axes_of(axis, len(node.shape), "softmax", node.shape)
    return Symbol(node) - s.logsumexp(node, axes, True)


def cumsum(x: Operand, axis: int | None = None) -> Symbol:
    node = number(x)
    return s.cumsum(node, None if axis is None else axis_of(axis, len(node.shape), "cumsum", [node.shape]))


def diff(x: Operand, n: int = 1, axis: int = -1) -> Symbol:
    node = number(x)
    axis = axis_of(axis, len(node.shape), "diff", [node.shape])
    for _ in range(whole(n, "n")):
        length = node.shape[axis]
        if length is ALL_ROWS or length < 1:
            raise ShapeError("diff", [node.shape], "needs an axis of known length, at least 1")
        ends = [[None if k != axis else bounds for k in range(len(node.shape))] for bounds in ((1, length), (0, -1))]
        ends[1][axis] = (0, length - 1)
        node = (s.slice_of(node, ends[0]) - s.slice_of(node, ends[1])).node
    return Symbol(node)


def ptp(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Symbol:
    return reduction("max")(x, axis, keepdims=keepdims) - reduction("min")(x, axis, keepdims=keepdims)


def average(x: Operand, axis: Axis = None, weights: Operand | None = None, *, keepdims: bool = False) -> Symbol:
    if weights is None:
        return reduction("mean")(x, axis, keepdims=keepdims)
    total = reduction("sum")
    weighted = total(Symbol(number(x)) * weights, axis, keepdims=keepdims)
    spread = Symbol(number(weights)) + s.broadcast_to(0.0, number(x).shape)
    return weighted / total(spread, axis, keepdims=keepdims)


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
    Function("logsumexp", reduction("logsumexp"), "log(sum(exp(x))), without overflow", positional=1),
    Function("softmax", softmax, "exp(x)/sum(exp(x)), without overflow", positional=1),
    Function("log_softmax", log_softmax, "its logarithm", positional=1),
    Function("all", of_all("all"), "whether all of the truths hold", positional=1),
    Function("any", of_all("any"), "whether one of the truths holds", positional=1),
    Function("cumsum", cumsum, "running totals", positional=1),
    Function("diff", diff, "differences of neighbours", positional=1),
)
