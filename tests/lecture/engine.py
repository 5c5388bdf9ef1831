"""The lecture's functions through the engine: ordinary numpy code or text, traced, differentiated, evaluated.

Shapes are in numerator layout: for an f with values of shape S of an x of shape X, the Jacobian has shape S + X and the
Hessian S + X + X.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nablad.expressions import Traced, by_rows, parse, trace
from nablad.solvers import Derivatives, Expression

Array = Any
Function = Callable[..., Any] | str
"""Numpy code of x, or of (p, d) with named parameters and data; or text."""


def model(f: Function, start: Any, data: Mapping[str, Array] | None = None) -> Expression:
    """f as a model, of one array called theta or of named parameters."""
    named = start if isinstance(start, Mapping) else {"theta": start}
    shapes = {name: np.shape(value) for name, value in named.items()}

    def build(columns: Mapping[str, Any]) -> Traced:
        if isinstance(f, str):
            return parse(f, shapes, columns)
        return trace(f, shapes if named is start else shapes["theta"], columns if data is not None else None)

    traced = by_rows(build, {name: np.shape(value) for name, value in (data or {}).items()})
    return Expression(traced.graph, named, data, labels=traced.labels)


def flat(x: Any) -> Array:
    """theta: all parameters, one after the other."""
    parts = x.values() if isinstance(x, Mapping) else [x]
    return np.concatenate([np.ravel(np.asarray(part, float)) for part in parts])


def value(f: Function, x: Array) -> Array:
    """f(x), shape S."""
    return Derivatives(model(f, x)).value(flat(x))


def jacobian(f: Function, x: Array, way: str | None = None) -> Array:
    """df/dx, shape S + x.shape; the gradient of a scalar is the row of its partial derivatives."""
    found = Derivatives(model(f, x)).jacobian(flat(x), way=way).array
    return found.reshape(found.shape[:-1] + np.shape(x))


def hessian(f: Function, x: Array) -> Array:
    """d2f/dx2, shape S + x.shape + x.shape."""
    found = Derivatives(model(f, x)).hessian(flat(x)).array
    return found.reshape(found.shape[:-2] + np.shape(x) + np.shape(x))


def partials(f: str, at: Mapping[str, float]) -> dict[str, Array]:
    """The partial derivatives of a text of named numbers."""
    found = Derivatives(model(f, at)).jacobian(flat(at)).array
    return dict(zip(at, np.moveaxis(found, -1, 0), strict=True))
