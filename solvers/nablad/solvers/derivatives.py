"""Derivatives of a model at any point: the mathematics of the derivative service.

Numerator layout throughout. For a function f of the model with values of shape S and theta of shape (p,), the Jacobian
has shape S + (p,), the Hessian S + (p, p); the gradient of a scalar is its Jacobian. With B points, theta (B, p), every
result has one more axis (B,) in front, and all points are evaluated together.

`of` names the function: "objective" (what is minimized), "output" (what the model computes, before any loss), or
"residual" (the data rows' residual with every scale inside; the rows of a penalty are not part of it). For a model
without a scalar to minimize, "objective" is its output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from nablad.solvers.autodiff.blocks import MemoryLimit
from nablad.solvers.autodiff.derivatives import (
    Choice,
    Evaluation,
    Function,
    NoSuchWay,
    Setting,
    Sparsity,
    TooLarge,
    choose,
    compute,
    kernels,
)
from nablad.solvers.autodiff.derivatives.check import BlockCheck, Check, check
from nablad.solvers.autodiff.derivatives.describe import GraphNode, Work, tell
from nablad.solvers.autodiff.derivatives.evaluation import RESULT_LIMIT, WORK_LIMIT
from nablad.solvers.autodiff.derivatives.sparse import from_dense
from nablad.solvers.autodiff.derivatives.summaries import Summary
from nablad.solvers.autodiff.derivatives.ways import Derivative
from nablad.solvers.autodiff.sparsity import ENTRIES_LIMIT, Csr
from nablad.solvers.autodiff.structure import Linearity, linearity
from nablad.solvers.autodiff.taylor import ExpansionTooLarge
from nablad.solvers.derived import Derivation, Derived, Description, WayChoice
from nablad.solvers.models import InvalidModel, Model
from nablad.solvers.models.columns import floating
from nablad.solvers.objective import FloatArray

__all__ = [
    "BlockCheck",
    "Check",
    "Csr",
    "Derivation",
    "Derivatives",
    "Derived",
    "Description",
    "GraphNode",
    "Summary",
    "WayChoice",
]

MAX_ORDER = 64
"""Of Taylor coefficients."""

UNASKED_ENTRIES = 2_000_000
"""Of the patterns that may be looked for when nobody asked for a sparse way: a fraction of a second's work."""

P = ParamSpec("P")
Result = TypeVar("Result")

OF = ("objective", "output", "residual")


def _bounded(method: Callable[P, Result]) -> Callable[P, Result]:
    """What would be too large is told as the fault of an argument."""

    @wraps(method)
    def call(*arguments: P.args, **named: P.kwargs) -> Result:
        try:
            return method(*arguments, **named)
        except (TooLarge, MemoryLimit) as error:
            raise InvalidModel("of", str(error)) from None

    return call


class Derivatives:
    """The derivatives of a model. Used by one thread at a time.

    `checkpoint` is called before every block of rows; what it raises comes out of the call. `threads` changes the time,
    never the bits. With `inputs`, new data as `predict` takes them, the output is looked at there, and nothing else can
    be. No array of more than `result_bytes` is computed, and nothing whose buffers would take more than
    `work_bytes`. Methods raise InvalidModel with the name of the argument that is at fault as its field.
    """

    def __init__(
        self,
        model: Model,
        *,
        inputs: ArrayLike | Mapping[str, ArrayLike] | None = None,
        threads: int = 1,
        checkpoint: Callable[[], None] | None = None,
        result_bytes: int = RESULT_LIMIT,
        work_bytes: int = WORK_LIMIT,
    ) -> None:
        self.model = model
        self._threads = threads
        self._checkpoint = checkpoint
        self._sparsities: dict[tuple[Function, bool], Sparsity] = {}
        self._own_data = inputs is None
        self._data, self._rows = (model.data, model.rows) if inputs is None else model.new_data(inputs)
        self._evaluation = Evaluation(
            self._data, self._rows, model.dtype, threads, checkpoint, result_bytes, work_bytes
        )

    @_bounded
    def value(self, theta: ArrayLike, of: str = "objective") -> FloatArray:
        """f(theta), shape S; of theta (B, p): (B,) + S."""
        function, point = self._function(of), self._points(theta)
        self._evaluation.check_size((*point.shape[:-1], *function.shape(self._rows)))
        return self._evaluation.run(function, (function.output,), point)[0]

    @_bounded
    def jacobian(self, theta: ArrayLike, of: str = "output", way: str | None = None, sparse: bool = False) -> Derived:
        """df/dtheta, shape S + (p,); of theta (B, p): (B,) + S + (p,). Sparse, at one point: (elements of f) x p."""
        function, point = self._function(of), self._points(theta)
        setting = self._setting(function, of, point, sparse or way is not None)
        shape = (*point.shape[:-1], *function.shape(self._rows), function.size)
        if sparse:
            self._one_point(point)
            choice = self._choose("jacobian", setting, way, sparse)
            flat = setting.elements, function.size
            return Derived.of(compute.sparse(self._evaluation, setting, choice, point, flat), choice)
        choice = self._choose("jacobian", setting, way)
        return Derived.of(compute.dense(self._evaluation, setting, choice, point, shape), choice)

    def gradient(self, theta: ArrayLike, of: str = "objective", way: str | None = None) -> Derived:
        """The Jacobian of the objective: shape (p,), the row vector 1 x p, for a scalar."""
        return self.jacobian(theta, of, way)

    @_bounded
    def hessian(self, theta: ArrayLike, of: str = "objective", way: str | None = None, sparse: bool = False) -> Derived:
        """d2f/dtheta2, shape S + (p, p), exactly symmetric in its last two axes; of theta (B, p): (B,) in front.

        Sparse, at one point and of a scalar: p x p.
        """
        function, point = self._function(of), self._points(theta)
        setting = self._setting(function, of, point, sparse or way is not None)
        shape = (*point.shape[:-1], *function.shape(self._rows), function.size, function.size)
        if sparse:
            self._one_point(point)
            if function.output.shape != ():
                raise InvalidModel("sparse", f"needs a scalar function; this one has shape {shape[:-2]}")
        choice = self._choose("hessian", setting, way, sparse)
        if choice.way.colored is not None and sparse:
            return Derived.of(compute.sparse(self._evaluation, setting, choice, point, (function.size,) * 2), choice)
        self._evaluation.check_size(shape, f"by {choice.reason}" if sparse else "")
        if choice.way.kernel is None:
            found = self.model.objective(self._checkpoint, self._threads).hessian(point)
        else:
            found = compute.dense(self._evaluation, setting, choice, point, shape)
            found = 0.5 * (found + np.swapaxes(found, -1, -2))
        return Derived.of(from_dense(found) if sparse else found, choice)

    @_bounded
    def hvp(self, theta: ArrayLike, v: ArrayLike, of: str = "objective") -> FloatArray:
        """H(theta) v, shape S + (p,). v (p,); of theta or v (B, p): (B,) in front."""
        function, point, direction = self._function(of), self._points(theta), self._points(v, "v")
        shape = (*self._batch(point, direction, "v"), *function.shape(self._rows), function.size)
        self._evaluation.check_size(shape)
        if function.output.shape and not function.by_rows:
            function = function.whole(self._rows)
        kernel = kernels.curved(function)
        (found,) = self._evaluation.run(function, (kernel.output,), point, {kernel.direction: direction})
        return found.reshape(shape)

    @_bounded
    def jvp(self, theta: ArrayLike, v: ArrayLike, of: str = "output") -> FloatArray:
        """J(theta) v, shape S: forward mode. v (p,); of theta or v (B, p): (B,) in front."""
        function, point, direction = self._function(of), self._points(theta), self._points(v, "v")
        self._evaluation.check_size((*self._batch(point, direction, "v"), *function.shape(self._rows)))
        kernel = kernels.pushed(function)
        return self._evaluation.run(function, (kernel.output,), point, {kernel.direction: direction})[0]

    @_bounded
    def vjp(self, theta: ArrayLike, u: ArrayLike, of: str = "output") -> FloatArray:
        """u J(theta), shape (p,): reverse mode. u of shape S; of theta (B, p) or u (B,) + S: (B, p)."""
        function, point = self._function(of), self._points(theta)
        shape = function.shape(self._rows)
        cotangent = floating("u", u, self.model.dtype)
        if cotangent.shape not in (shape, (*cotangent.shape[:1], *shape)) or not cotangent.size:
            raise InvalidModel("u", f"has shape {cotangent.shape}, should be {shape}, or one more axis in front")
        _check_finite("u", cotangent)
        if point.ndim == 2 and cotangent.ndim > len(shape) and len(point) != len(cotangent):
            raise InvalidModel("u", f"are {len(cotangent)} for {len(point)} points; as many are needed")
        before = (*point.shape[:-1],) if cotangent.ndim == len(shape) else cotangent.shape[:1]
        self._evaluation.check_size((*before, function.size))
        kernel = kernels.pulled(function)
        return self._evaluation.run(function, (kernel.output,), point, {kernel.direction: cotangent})[0]

    @_bounded
    def taylor(self, theta: ArrayLike, direction: ArrayLike, order: int, of: str = "objective") -> FloatArray:
        """c_0 ... c_order of t -> f(theta + t direction), shape (order + 1,) + S: c_k is its k-th derivative over k!.

        direction (p,); of theta or direction (B, p): (B,) in front.
        """
        function, point, moved = self._function(of), self._points(theta), self._points(direction, "direction")
        if isinstance(order, bool) or not isinstance(order, (int, np.integer)) or not 0 <= order <= MAX_ORDER:
            raise InvalidModel("order", f"is {order!r}; a whole number from 0 to {MAX_ORDER} is needed")
        before = self._batch(point, moved, "direction")
        shape = (*before, int(order) + 1, *function.shape(self._rows))
        self._evaluation.check_size(shape)
        try:
            expanded = kernels.expanded(function, int(order))
        except ExpansionTooLarge as error:
            raise InvalidModel("order", str(error)) from None
        found = self._evaluation.run(function, expanded.outputs, point, {expanded.direction: moved})
        coefficients = np.zeros(shape, self.model.dtype)
        for k, coefficient in zip(expanded.orders, found, strict=True):
            coefficients[(slice(None),) * len(before) + (k,)] = coefficient
        return coefficients

    @_bounded
    def check(self, theta: ArrayLike, of: str = "objective", max_entries: int = 64) -> Check:
        """The Jacobian beside difference quotients over a range of steps, for each parameter.

        At one point; at most `max_entries` entries of each parameter are looked at, chosen evenly.
        """
        if isinstance(max_entries, bool) or not isinstance(max_entries, (int, np.integer)) or max_entries < 1:
            raise InvalidModel("max_entries", f"is {max_entries!r}; a whole number >= 1 is needed")
        point = self._one_point(theta)
        function = self._function(of)
        setting = self._setting(function, of)
        shape = setting.elements, function.size
        jacobian = compute.dense(self._evaluation, setting, self._choose("jacobian", setting, None), point, shape)

        def evaluate(points: FloatArray) -> FloatArray:
            return self.value(points, of).reshape(len(points), -1)

        layout = self.model.layout
        parameters = {name: (layout.ranges[name][0], shape) for name, shape in layout.shapes.items()}
        return check(evaluate, point, jacobian, parameters, int(max_entries))

    @_bounded
    def describe(self, of: str = "objective", theta: ArrayLike | None = None, max_nodes: int = 1000) -> Description:
        """The graph as its author knows it, what it costs, and how its derivatives are computed, and why.

        With a point, values and adjoints of the nodes too. At most `max_nodes` nodes are told, from the output down.
        """
        if isinstance(max_nodes, bool) or not isinstance(max_nodes, (int, np.integer)) or max_nodes < 1:
            raise InvalidModel("max_nodes", f"is {max_nodes!r}; a whole number >= 1 is needed")
        function, rows = self._function(of), self._rows
        inputs = None if theta is None else self.model.readable_inputs(self._one_point(theta))
        told = tell(
            *self.model.readable(function.output),
            rows,
            int(max_nodes),
            inputs,
            self.model.dtype,
            self._evaluation.check_work,
        )
        objective, setting = (self._setting(self._function(name), name) for name in ("objective", of))
        choices = (
            WayChoice.of("gradient", choose("jacobian", objective)),
            WayChoice.of("jacobian", choose("jacobian", setting)),
            WayChoice.of("hessian", choose("hessian", setting)),
        )
        work = Work.of(function, rows, self.model.dtype)
        return Description(
            told.nodes,
            told.output,
            told.total,
            linearity(function.output, [function.theta]).value,
            rows > 0 and work.separable,
            choices,
            work.value_operations,
            work.gradient_operations,
            work.live_bytes,
            work.tape_bytes,
        )

    def _one_point(self, theta: ArrayLike) -> FloatArray:
        point = self._points(theta)
        if point.ndim != 1:
            raise InvalidModel("theta", f"are {len(point)} points; one is needed here")
        return point

    def _function(self, of: str) -> Function:
        problem = self.model.problem
        nodes = {
            "objective": problem.objective,
            "output": problem.output,
            "residual": problem.residual,
        }
        if of not in nodes:
            raise InvalidModel("of", f"is {of!r}; known are {', '.join(OF)}")
        if not self._own_data and of != "output":
            raise InvalidModel("of", f"is {of!r}; at new data there is only the output")
        node = nodes[of]
        if node is None:
            raise InvalidModel("of", "is 'residual', but the model's objective is no sum of squares")
        return Function(node, problem.parameters, problem.data)

    def _setting(self, function: Function, of: str, point: FloatArray | None = None, sparse: bool = False) -> Setting:
        """`sparse` where a sparse way was asked for: its pattern may then take long."""
        affine = of == "objective" and self.model.compiled.residual_class is Linearity.AFFINE
        points = 1 if point is None or point.ndim == 1 else len(point)
        if (function, sparse) not in self._sparsities:
            limit = ENTRIES_LIMIT if sparse else UNASKED_ENTRIES
            self._sparsities[function, sparse] = Sparsity(function, self._rows, self._data, limit)
        return Setting(function, self._rows, affine, points, self._sparsities[function, sparse])

    def _choose(self, derivative: Derivative, setting: Setting, way: str | None, sparse: bool = False) -> Choice:
        try:
            return choose(derivative, setting, way, sparse)
        except NoSuchWay as error:
            raise InvalidModel("way", str(error)) from None

    def _points(self, values: ArrayLike, field: str = "theta") -> FloatArray:
        array = floating(field, values, self.model.dtype)
        size = self.model.size
        if array.ndim not in (1, 2) or array.shape[-1] != size or not array.size:
            raise InvalidModel(field, f"has shape {array.shape}, should be ({size},), or (B, {size}) for several")
        _check_finite(field, array)
        return array

    def _batch(self, point: FloatArray, direction: FloatArray, field: str) -> tuple[int, ...]:
        counts = {len(x) for x in (point, direction) if x.ndim == 2}
        if len(counts) > 1:
            raise InvalidModel(field, f"are {len(direction)} for {len(point)} points; as many are needed")
        return tuple(counts)


def _check_finite(field: str, array: FloatArray) -> None:
    if not np.all(np.isfinite(array)):
        where = np.argwhere(~np.isfinite(array))[0]
        index = ", ".join(str(k) for k in where)
        raise InvalidModel(f"{field}[{index}]", f"is {array[tuple(where)]}; every number must be finite")
