"""The box of a spec: two tensors, each of shape (p) or (), or absent, into the solvers' Bounds.

Bounds are rounded to the model's precision, in which every point is.
"""

from __future__ import annotations

import numpy as np

from nablad import solvers
from nablad.server.worker import definitions
from nablad.server.worker.border import to_dict
from nablad.server.worker.context import WorkerContext
from nablad.server.worker.models import Model
from nablad.server.worker.violations import Violations
from nablad.v1 import solver_pb2
from nablad.wire.elements import element_name
from nablad.wire.errors import FieldViolation
from nablad.wire.tensors import AnyArray


def bounds_of_spec(spec: solver_pb2.SolveSpec, model: Model, context: WorkerContext) -> solvers.Bounds | None:
    """The box of a spec that has been checked before."""
    checked = definitions.Bounds.model_validate(to_dict(spec.bounds), context=context.surroundings)
    return bounds_of(checked, model, "spec.bounds")


def bounds_of(given: definitions.Bounds | None, model: Model, field: str) -> solvers.Bounds | None:
    """The box; None where it is open on all sides. `field` is its path. Violations."""
    if given is None:
        return None
    lower = _side(given.lower, -np.inf, model, f"{field}.lower")
    upper = _side(given.upper, np.inf, model, f"{field}.upper")
    crossed = np.flatnonzero((lower > upper) | (lower == np.inf) | (upper == -np.inf))
    if crossed.size:
        i = int(crossed[0])
        text = f"{_called(model, i)} has no room between {lower[i]:g} and {upper[i]:g}"
        raise Violations([FieldViolation(field, text)])
    if not np.isfinite(lower).any() and not np.isfinite(upper).any():
        return None
    return solvers.Bounds(lower, upper)


def check_inside(theta: AnyArray, bounds: solvers.Bounds, model: Model, field: str) -> None:
    """Violations if theta is outside, naming the first element that is."""
    outside = np.flatnonzero((theta < bounds.lower) | (theta > bounds.upper))
    if outside.size:
        i = int(outside[0])
        text = f"{_called(model, i)} is {theta[i]:g}, outside its bounds [{bounds.lower[i]:g}, {bounds.upper[i]:g}]"
        raise Violations([FieldViolation(field, text)])


MOVES_TOLD = 6
"""Of more parameters that were moved only these are named."""


def moved_into(given: AnyArray, start: AnyArray, model: Model) -> str:
    """Which start values lay outside the bounds, and where they are now, in words; empty if none did."""
    moved = np.flatnonzero(given != start)
    if not moved.size:
        return ""
    told = [
        f"{element_name(model.layout.shapes, int(i))} from {given[i]:g} to {start[i]:g}" for i in moved[:MOVES_TOLD]
    ]
    more = f" and {moved.size - MOVES_TOLD} more" if moved.size > MOVES_TOLD else ""
    return f"The start lay outside the bounds and was moved to them: {', '.join(told)}{more}."


def _side(given: AnyArray | None, opened: float, model: Model, field: str) -> AnyArray:
    side = np.asarray(opened if given is None else given)
    if side.dtype.kind != "f":
        raise Violations([FieldViolation(field, f"has dtype {side.dtype}; bounds are floating")])
    if side.shape not in ((), (model.size,)):
        raise Violations([FieldViolation(field, f"has shape {side.shape}; it must be () or ({model.size},)")])
    whole = np.full(model.size, side, model.dtype)
    nan = np.flatnonzero(np.isnan(whole))
    if nan.size:
        text = f"of {_called(model, int(nan[0]))} is NaN; leave a side open with {opened}"
        raise Violations([FieldViolation(field, text)])
    return whole


def _called(model: Model, index: int) -> str:
    return f"element {index} ({element_name(model.layout.shapes, index)})"
