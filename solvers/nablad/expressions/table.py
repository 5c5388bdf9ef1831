"""The op table: what may be written. Each row is a name, an arity, a shape rule and a domain.

What an op means (its numbers, derivatives and cost) is told by the table of `nablad.solvers.autodiff.ops`, row for row;
a test holds the two to each other. A client needs only this page to build or to check a graph.

Elementwise ops broadcast as numpy does. Results are real numbers, or truths (of a comparison), which only `where`
reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nablad.expressions.dimension import ROWS, Dimension, Shape, ShapeError, broadcast, describe, row_size

ShapeRule = Callable[[Sequence[Shape], Sequence[Any]], Shape]


@dataclass(frozen=True)
class OpSpec:
    """A row of the language."""

    name: str
    arity: int | None
    """The number of operands; None where any number will do."""
    shape: ShapeRule
    """(operand shapes, attributes) -> result shape; raises ShapeError."""
    domain: str = "all real numbers"
    """Where the op is defined, and what it gives elsewhere."""
    attributes: tuple[str, ...] = ()
    """Names of the constants that belong to the op itself, in order."""
    result: Literal["real", "truth"] = "real"


def _elementwise(name: str) -> ShapeRule:
    return lambda shapes, _: broadcast(name, shapes)


def _sum(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
    (shape,), (axes, keepdims) = shapes, attributes
    if len(set(axes)) != len(axes) or not all(0 <= axis < len(shape) for axis in axes):
        raise ShapeError("sum", shapes, f"axes {axes} are not distinct axes of the operand")
    if keepdims:
        return tuple(1 if axis in axes else d for axis, d in enumerate(shape))
    return tuple(d for axis, d in enumerate(shape) if axis not in axes)


def _broadcast_to(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
    (shape,), (target,) = shapes, attributes
    if broadcast("broadcast_to", (shape, target)) != target:
        raise ShapeError("broadcast_to", shapes, f"does not stretch to {describe(target)}")
    return tuple(target)


def _reshape(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
    (shape,), (target,) = shapes, attributes
    if row_size(shape) != row_size(target):
        raise ShapeError("reshape", shapes, f"does not have as many elements as {describe(target)}")
    return tuple(target)


def _transpose(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
    (shape,), (permutation,) = shapes, attributes
    if sorted(permutation) != list(range(len(shape))):
        raise ShapeError("transpose", shapes, f"{permutation} does not permute the axes")
    return tuple(shape[axis] for axis in permutation)


def _matmul(shapes: Sequence[Shape], _: Sequence[Any]) -> Shape:
    left, right = shapes
    if len(left) < 2 or len(right) < 1 or (len(right) == 1 and len(left) != 2):
        raise ShapeError("matmul", shapes, "is defined for matrix @ vector and for (stacks of) matrix @ matrix")
    inner = right[0] if len(right) == 1 else right[-2]
    if left[-1] != inner:
        raise ShapeError("matmul", shapes, f"inner dimensions {describe((left[-1],))} and {describe((inner,))} differ")
    if len(right) == 1:
        return left[:1]
    return (*broadcast("matmul", (left[:-2], right[:-2])), left[-2], right[-1])


def _sliced(op: str, shapes: Sequence[Shape], shape: Shape, ranges: Sequence[Any]) -> Shape:
    if len(ranges) != len(shape):
        raise ShapeError(op, shapes, f"needs one range for each axis of {describe(shape)}, got {ranges}")
    result: list[Dimension] = []
    for d, bounds in zip(shape, ranges, strict=True):
        if bounds is None:
            result.append(d)
            continue
        start, stop = bounds
        if d is ROWS or not 0 <= start <= stop <= d:
            raise ShapeError(op, shapes, f"range {bounds} does not lie in an axis of length {describe((d,))}")
        result.append(stop - start)
    return tuple(result)


def _slice(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
    return _sliced("slice", shapes, shapes[0], attributes[0])


def _scatter(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
    target, places = attributes
    if len(places) != len(shapes):
        raise ShapeError("scatter", shapes, "needs one place for each operand")
    for shape, ranges in zip(shapes, places, strict=True):
        if _sliced("scatter", shapes, target, ranges) != shape:
            raise ShapeError("scatter", shapes, f"operand {describe(shape)} does not fill its place {ranges}")
    return tuple(target)


def _concatenate(shapes: Sequence[Shape], attributes: Sequence[Any]) -> Shape:
    (axis,) = attributes
    first = shapes[0]
    if not 0 <= axis < len(first):
        raise ShapeError("concatenate", shapes, f"axis {axis} is not an axis of the operands")
    total = 0
    for shape in shapes:
        d = shape[axis] if len(shape) == len(first) else ROWS
        if d is ROWS or shape[:axis] + shape[axis + 1 :] != first[:axis] + first[axis + 1 :]:
            raise ShapeError("concatenate", shapes, f"operands must agree but in axis {axis}, which may not be N")
        total += d
    return (*first[:axis], total, *first[axis + 1 :])


def _logsumexp(shapes: Sequence[Shape], _: Sequence[Any]) -> Shape:
    (shape,) = shapes
    if not shape:
        raise ShapeError("logsumexp", shapes, "needs at least one axis")
    return shape[:-1]


def _rows(*specs: OpSpec) -> dict[str, OpSpec]:
    return {spec.name: spec for spec in specs}


def _pointwise(name: str, arity: int, domain: str = "all real numbers", **rest: Any) -> OpSpec:
    return OpSpec(name, arity, _elementwise(name), domain, **rest)


OPS: dict[str, OpSpec] = _rows(
    OpSpec("input", 0, lambda _, a: tuple(a[1]), attributes=("name", "shape", "role")),
    OpSpec("constant", 0, lambda _, a: tuple(a[1]), attributes=("dtype", "shape", "bytes")),
    OpSpec("rows", 0, lambda _, a: (), "the number of data rows N"),
    OpSpec("eye", 0, lambda _, a: (a[0], a[0]), "the identity matrix", ("size",)),
    _pointwise("add", 2),
    _pointwise("subtract", 2),
    _pointwise("multiply", 2),
    _pointwise("divide", 2, "denominator not 0; x/0 is infinite or NaN"),
    _pointwise("negative", 1),
    _pointwise("square", 1),
    _pointwise("reciprocal", 1, "x not 0; infinite there"),
    _pointwise("sqrt", 1, "x >= 0, NaN below; its derivative at 0 is infinite"),
    _pointwise("power", 1, "x >= 0, or any x when the exponent is an integer", attributes=("exponent",)),
    _pointwise("exp", 1),
    _pointwise("expm1", 1),
    _pointwise("log", 1, "x > 0; -infinity at 0, NaN below"),
    _pointwise("log1p", 1, "x > -1; -infinity at -1, NaN below"),
    _pointwise("tanh", 1),
    _pointwise("sin", 1),
    _pointwise("cos", 1),
    _pointwise("erf", 1),
    _pointwise("normal_cdf", 1),
    _pointwise("sigmoid", 1),
    _pointwise("softplus", 1),
    _pointwise("relu", 1, "all real numbers; its derivative at 0 is taken as 0, as in JAX"),
    _pointwise("greater", 2, result="truth"),
    _pointwise("equal", 2, result="truth"),
    _pointwise("where", 3, "a truth and two numbers; the number not chosen never matters"),
    OpSpec("sum", 1, _sum, attributes=("axes", "keepdims")),
    OpSpec("logsumexp", 1, _logsumexp, "all real numbers; over the last axis"),
    OpSpec("broadcast_to", 1, _broadcast_to, attributes=("shape",)),
    OpSpec("reshape", 1, _reshape, attributes=("shape",)),
    OpSpec("transpose", 1, _transpose, attributes=("permutation",)),
    OpSpec("slice", 1, _slice, attributes=("ranges",)),
    OpSpec("scatter", None, _scatter, "operands added into their places in zeros", ("shape", "places")),
    OpSpec("concatenate", None, _concatenate, attributes=("axis",)),
    OpSpec("matmul", 2, _matmul),
)
