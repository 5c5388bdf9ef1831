"""Functions with steps and corners, and truths.

Conventions where f is not differentiable: relu'(0) = 0 and equal halves to both sides of a tie in maximum and minimum,
as in JAX. |x|' at 0 is 0, the subgradient of least size: |x| is then stationary where it is least, whereas JAX's 1
points away from it. Steps (sign, floor, ceil, rint) have derivative 0.

A branch that is not chosen gets a zero cotangent, not 0 * (its derivative), so that NaN and infinity beyond the branch
do not leak into the gradient: sqrt(maximum(x, 0)) has derivative 0 left of 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nablad.expressions import symbols as s
from nablad.solvers.autodiff.ops.pointwise import pointwise_row
from nablad.solvers.autodiff.ops.row import Array, Meaning


def _by_keyword(call: Callable[..., Any]) -> Callable[..., None]:
    """numpy 2.4 deprecates a positional `out` for maximum and minimum."""

    def into(x: Array, y: Array, out: Array) -> None:
        call(x, y, out=out)

    return into


def _relu_into(x: Array, out: Array) -> None:
    np.maximum(x, out.dtype.type(0), out=out)


def _where_into(truth: Array, x: Array, y: Array, out: Array) -> None:
    np.copyto(out, y)
    np.copyto(out, x, where=truth)


def _share(t: Array, x: Array, y: Array) -> Any:
    out = np.empty(np.broadcast(t, x, y).shape, t.dtype)
    _share_into(t, x, y, out)
    return out


def _share_into(t: Array, x: Array, y: Array, out: Array) -> None:
    np.copyto(out, t)
    np.multiply(out, 0.5, out, where=x == y)
    np.copyto(out, 0, where=~(x >= y))


def _step(name: str, call: Callable[..., Any]) -> Meaning:
    return pointwise_row(name, call, None, analytic=False)


def _truth(name: str, call: Callable[..., Any], arity: int = 2) -> Meaning:
    return pointwise_row(name, call, *(None,) * arity, analytic=False, in_place=())


ROWS: tuple[Meaning, ...] = (
    pointwise_row("absolute", np.absolute, lambda t, x, y: t * s.sign(x[0]), analytic=False),
    _step("sign", np.sign),
    _step("floor", np.floor),
    _step("ceil", np.ceil),
    _step("rint", np.rint),
    pointwise_row(
        "relu",
        _relu_into,
        lambda t, x, y: s.where(s.greater(y, 0.0), t, 0.0),
        evaluate=lambda x: np.maximum(x, x.dtype.type(0)),
        analytic=False,
    ),
    pointwise_row(
        "maximum",
        _by_keyword(np.maximum),
        lambda t, x, y: s.share(t, x[0], x[1]),
        lambda t, x, y: s.share(t, x[1], x[0]),
        evaluate=np.maximum,
        analytic=False,
    ),
    pointwise_row(
        "minimum",
        _by_keyword(np.minimum),
        lambda t, x, y: s.share(t, x[1], x[0]),
        lambda t, x, y: s.share(t, x[0], x[1]),
        evaluate=np.minimum,
        analytic=False,
    ),
    pointwise_row(
        "share",
        _share_into,
        lambda t, x, y: s.share(t, x[1], x[2]),
        None,
        None,
        degree=lambda d, _: d[0] if d[1] == d[2] == 0 else math.inf,
        evaluate=_share,
        analytic=False,
        in_place=(0,),
    ),
    pointwise_row(
        "where",
        _where_into,
        None,
        lambda t, x, y: s.where(x[0], t, 0.0),
        lambda t, x, y: s.where(x[0], 0.0, t),
        degree=lambda d, _: max(d[1:]) if d[0] == 0 else math.inf,
        evaluate=np.where,
        analytic=False,
        in_place=(2,),
    ),
    _truth("greater", np.greater),
    _truth("greater_equal", np.greater_equal),
    _truth("equal", np.equal),
    _truth("not_equal", np.not_equal),
    _truth("logical_and", np.logical_and),
    _truth("logical_or", np.logical_or),
    _truth("logical_not", np.logical_not, 1),
)
