"""Derivatives of a model at any point: the mathematics of the derivative service.

Numerator layout throughout. For a function f of the model with values of shape S and theta of shape (p,), the Jacobian
has shape S + (p,), the Hessian S + (p, p); the gradient of a scalar is its Jacobian. With B points, theta (B, p), every
result has one more axis (B,) in front, and all points are evaluated together.

`of` names the function: "objective" (what is minimized), "output" (what the model computes, before any loss), or
"residual" (the data rows' residual with every scale inside; the rows of a penalty are not part of it). For a model
without a scalar to minimize, "objective" is its output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nablad.expressions import Node
from nablad.solvers.autodiff.derivatives import (
    Choice,
    Evaluation,
    Function,
    NoSuchWay,
    ResultTooLarge,
    Setting,
    choose,
    kernels,
)
from nablad.solvers.autodiff.derivatives.ways import prepared
from nablad.solvers.autodiff.structure import Linearity
from nablad.solvers.autodiff.taylor import ExpansionTooLarge
from nablad.solvers.models import InvalidModel, Model
from nablad.solvers.models.columns import floating
from nablad.solvers.objective import FloatArray

MAX_ORDER = 64
"""Of Taylor coefficients."""

OF = ("objective", "output", "residual")


@dataclass(frozen=True)
class Derived:
    """A derivative, and how it was computed."""

    array: FloatArray
    way: str
    """The way's name."""
    reason: str
    """Why this way, in words with numbers."""
    passes: int
    """How many directions were pushed, or pulled, through the graph."""
    flops: float
    """Floating point operations, by the costs of the ops."""


class Derivatives:
    """The derivatives of a model. Used by one thread at a time.

    `checkpoint` is called before every block of rows; what it raises comes out of the call. `threads` changes the time,
    never the bits. Methods raise InvalidModel with the name of the argument that is at fault as its field.
    """

    def __init__(self, model: Model, *, threads: int = 1, checkpoint: Callable[[], None] | None = None) -> None:
        self.model = model
        self._threads = threads
        self._checkpoint = checkpoint
        self._evaluation = Evaluation(model.data, model.rows, model.dtype, threads, checkpoint)

    def value(self, theta: ArrayLike, of: str = "objective") -> FloatArray:
        """f(theta), shape S; of theta (B, p): (B,) + S."""
        function, point = self._function(of), self._points(theta)
        self._check_size((*point.shape[:-1], *function.shape(self.model.rows)))
        return self._evaluation.run(function, (function.output,), point)[0]

    def jacobian(self, theta: ArrayLike, of: str = "output", way: str | None = None) -> Derived:
        """df/dtheta, shape S + (p,); of theta (B, p): (B,) + S + (p,)."""
        function, point = self._function(of), self._points(theta)
        shape = (*point.shape[:-1], *function.shape(self.model.rows), function.size)
        self._check_size(shape)
        setting = self._setting(function, of, point)
        choice = self._choose("jacobian", setting, way)
        assert choice.way.kernel is not None
        chosen = prepared(choice.way, setting)
        found = self._evaluation.sweep(chosen, choice.way.kernel(chosen), point, choice.passes)
        return _derived(found.reshape(shape), choice)

    def gradient(self, theta: ArrayLike, of: str = "objective", way: str | None = None) -> Derived:
        """The Jacobian of the objective: shape (p,), the row vector 1 x p, for a scalar."""
        return self.jacobian(theta, of, way)

    def hessian(self, theta: ArrayLike, of: str = "objective", way: str | None = None) -> Derived:
        """d2f/dtheta2, shape S + (p, p), exactly symmetric in its last two axes; of theta (B, p): (B,) in front."""
        function, point = self._function(of), self._points(theta)
        shape = (*point.shape[:-1], *function.shape(self.model.rows), function.size, function.size)
        self._check_size(shape)
        setting = self._setting(function, of, point)
        choice = self._choose("hessian", setting, way)
        if choice.way.kernel is None:
            objective = self.model.objective(self._checkpoint, self._threads)
            return _derived(objective.hessian(point), choice)
        chosen = prepared(choice.way, setting)
        found = self._evaluation.sweep(chosen, choice.way.kernel(chosen), point, choice.passes).reshape(shape)
        return _derived(0.5 * (found + np.swapaxes(found, -1, -2)), choice)

    def hvp(self, theta: ArrayLike, v: ArrayLike, of: str = "objective") -> FloatArray:
        """H(theta) v, shape S + (p,). v (p,); of theta or v (B, p): (B,) in front."""
        function, point, direction = self._function(of), self._points(theta), self._points(v, "v")
        shape = (*self._batch(point, direction, "v"), *function.shape(self.model.rows), function.size)
        self._check_size(shape)
        if function.output.shape and not function.by_rows:
            function = function.whole(self.model.rows)
        kernel = kernels.curved(function)
        (found,) = self._evaluation.run(function, (kernel.output,), point, {kernel.direction: direction})
        return found.reshape(shape)

    def jvp(self, theta: ArrayLike, v: ArrayLike, of: str = "output") -> FloatArray:
        """J(theta) v, shape S: forward mode. v (p,); of theta or v (B, p): (B,) in front."""
        function, point, direction = self._function(of), self._points(theta), self._points(v, "v")
        self._check_size((*self._batch(point, direction, "v"), *function.shape(self.model.rows)))
        kernel = kernels.pushed(function)
        return self._evaluation.run(function, (kernel.output,), point, {kernel.direction: direction})[0]

    def vjp(self, theta: ArrayLike, u: ArrayLike, of: str = "output") -> FloatArray:
        """u J(theta), shape (p,): reverse mode. u of shape S; of theta (B, p) or u (B,) + S: (B, p)."""
        function, point = self._function(of), self._points(theta)
        shape = function.shape(self.model.rows)
        cotangent = floating("u", u, self.model.dtype)
        if cotangent.shape not in (shape, (*cotangent.shape[:1], *shape)):
            raise InvalidModel("u", f"has shape {cotangent.shape}, should be {shape}, or one more axis in front")
        _check_finite("u", cotangent)
        if point.ndim == 2 and cotangent.ndim > len(shape) and len(point) != len(cotangent):
            raise InvalidModel("u", f"are {len(cotangent)} for {len(point)} points; as many are needed")
        kernel = kernels.pulled(function)
        return self._evaluation.run(function, (kernel.output,), point, {kernel.direction: cotangent})[0]

    def taylor(self, theta: ArrayLike, direction: ArrayLike, order: int, of: str = "objective") -> FloatArray:
        """c_0 ... c_order of t -> f(theta + t direction), shape (order + 1,) + S: c_k is its k-th derivative over k!.

        direction (p,); of theta or direction (B, p): (B,) in front.
        """
        function, point, moved = self._function(of), self._points(theta), self._points(direction, "direction")
        if isinstance(order, bool) or not isinstance(order, (int, np.integer)) or not 0 <= order <= MAX_ORDER:
            raise InvalidModel("order", f"is {order!r}; a whole number from 0 to {MAX_ORDER} is needed")
        before = self._batch(point, moved, "direction")
        shape = (*before, int(order) + 1, *function.shape(self.model.rows))
        self._check_size(shape)
        try:
            expanded = kernels.expanded(function, int(order))
        except ExpansionTooLarge as error:
            raise InvalidModel("order", str(error)) from None
        found = self._evaluation.run(function, expanded.outputs, point, {expanded.direction: moved})
        coefficients = np.zeros(shape, self.model.dtype)
        for k, coefficient in zip(expanded.orders, found, strict=True):
            coefficients[(slice(None),) * len(before) + (k,)] = coefficient
        return coefficients

    def _function(self, of: str) -> Function:
        problem = self.model.problem
        nodes: dict[str, Node | None] = {
            "objective": problem.objective,
            "output": problem.output,
            "residual": problem.residual,
        }
        if of not in nodes:
            raise InvalidModel("of", f"is {of!r}; known are {', '.join(OF)}")
        node = nodes[of]
        if node is None:
            raise InvalidModel("of", "is 'residual', but the model's objective is no sum of squares")
        return Function(node, problem.parameters, problem.data)

    def _setting(self, function: Function, of: str, point: FloatArray) -> Setting:
        affine = of == "objective" and self.model.compiled.residual_class is Linearity.AFFINE
        return Setting(function, self.model.rows, affine, len(point) if point.ndim == 2 else 1)

    def _choose(self, derivative: str, setting: Setting, way: str | None) -> Choice:
        try:
            return choose("jacobian" if derivative == "jacobian" else "hessian", setting, way)
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

    def _check_size(self, shape: tuple[int, ...]) -> None:
        try:
            self._evaluation.check_size(shape)
        except ResultTooLarge as error:
            raise InvalidModel("of", str(error)) from None


def _check_finite(field: str, array: FloatArray) -> None:
    if not np.all(np.isfinite(array)):
        where = np.argwhere(~np.isfinite(array))[0]
        index = ", ".join(str(k) for k in where)
        raise InvalidModel(f"{field}[{index}]", f"is {array[tuple(where)]}; every number must be finite")


def _derived(array: FloatArray, choice: Choice) -> Derived:
    return Derived(np.ascontiguousarray(array), choice.way.name, choice.reason, choice.passes, choice.operations)
