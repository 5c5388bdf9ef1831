r"""What methods of first order share: the first step, and when a gradient is roundoff.

**The first step** is Cauchy's: the minimizer of the quadratic model along -g, g'g / g'Hg, from one Hessian-vector
product. It is right in any units, where a fixed 1.0 would be absurd in most.

**Roundoff.** Rounding theta moves the gradient by about eps L ||theta||, L being the curvature last seen along the
path, ||g_{k+1} - g_k|| / ||theta_{k+1} - theta_k||. That takes the steepest direction for the one of the largest
parameter, and is far too large where theta is long in a direction in which f is flat; so before a run ends by it, two
products with the Hessian must confirm it. What rounding theta does is H s, with s_i = +-|theta_i| at random; of two
such vectors, which for p = 2 are all that differ, the larger H s counts.

Where the residual is affine, one pass over the rows at the start finds the norms of the Jacobian's columns, for the
tests that are free of the parameters' units (stopping.py).

Within bounds the gradient is the projected one throughout, and parameters that press against a bound, which are where
they are without rounding, take no part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from nablad.solvers.linalg.vectors import FloatArray, epsilon, norm, ratio
from nablad.solvers.methods.base import State
from nablad.solvers.methods.line_search import Trial
from nablad.solvers.objective import Objective
from nablad.solvers.status import Finding, Status

ROUNDOFF_MARGIN = 4.0
"""How many roundings of theta a gradient must exceed to mean something, by the bound eps L ||theta||."""
SHARP_MARGIN = 32.0
"""The same by an estimate of one rounding's true effect: an evaluation rounds in every sum that theta enters."""


@dataclass(frozen=True, kw_only=True)
class FirstOrderState(State):
    """A point on the path of a method that sees curvature only along it."""

    curvature_seen: float
    """The last estimate of L; NaN if there is none."""
    estimated_decrease: float = math.inf
    """What the method's own model of f promises from here, roughly; inf where it has none."""


F = TypeVar("F", bound=FirstOrderState)


def projected(objective: Objective, theta: FloatArray, gradient: FloatArray) -> FloatArray:
    """The gradient, or what the bounds leave of it."""
    return gradient if objective.bounds is None else objective.bounds.projected(theta, gradient)


def cauchy_step(
    objective: Objective, theta: FloatArray, gradient: FloatArray, length: float, units: FloatArray | float = 1.0
) -> tuple[float, float]:
    """The minimizer of the quadratic model along -gradient, and the curvature ||H d|| / ||d|| there.

    `length` is the gradient's, positive and finite. With `units` u, the gradient is that in z = theta / u, and so is
    the step; the curvature is theta's. Where the model has no minimizer (no or negative curvature), the size of H, or
    else of theta, sets the scale.
    """
    unit = gradient / length
    direction = units * unit
    product = objective.hvp(theta, direction)
    size = norm(units * product)
    along = abs(float(direction.dot(product)))
    bend = max(along, 1e-2 * size)
    # Units of 1e-160 let both underflow.
    if math.isfinite(size) and bend > 0.0 and norm(direction) > 0.0:
        return 1.0 / bend, norm(product) / norm(direction)
    scale = norm(theta / units)
    return (0.1 * scale if scale > 0.0 else 1.0) / length, math.nan


def known_column_norms(objective: Objective, theta: FloatArray) -> FloatArray | None:
    """Of the Jacobian, shape (p,), where the residual is affine and no bound holds it back; None elsewhere."""
    affine = objective.capabilities.residual and objective.capabilities.affine
    return objective.column_norms(theta) if affine and objective.bounds is None else None


def at_start(
    objective: Objective, theta: FloatArray, initial: float | None, units: FloatArray | float = 1.0
) -> tuple[dict[str, Any], float]:
    """The fields of a FirstOrderState at the start, and the first multiple of -gradient: `initial`, or Cauchy's.

    With `units`, it is the multiple in theta / units.
    """
    value, gradient = objective.value_and_gradient(theta)
    descent = projected(objective, theta, gradient)
    length = norm(descent)
    step, seen, norms = math.nan, math.nan, None
    if 0.0 < length < math.inf and math.isfinite(value):
        scaled = units * descent
        step, seen = cauchy_step(objective, theta, scaled, norm(scaled), units)
        norms = known_column_norms(objective, theta)
    fields = {
        "theta": theta,
        "value": value,
        "gradient": gradient,
        "gradient_norm": length,
        "gradient_over_roundoff": over_roundoff(length, seen * norm(theta), theta.dtype),
        "column_norms": norms,
        "jacobian_norm": math.nan if norms is None else norm(norms),
        "curvature_seen": seen,
    }
    return fields, step if initial is None else initial


def arrival(
    objective: Objective, state: FirstOrderState, trial: Trial, moved: float, promised: float = math.inf
) -> dict[str, Any]:
    """The fields of a FirstOrderState at an accepted trial, `moved` away from the state's point.

    `promised` is the decrease that the method's model of f promised there, where it has one. What it promises here is
    about as much less as the gradient is shorter, squared.
    """
    length = norm(projected(objective, trial.theta, trial.gradient))
    size = norm(trial.theta)
    seen = curvature_along(state, trial.theta, trial.gradient, moved, size)
    return {
        "theta": trial.theta,
        "value": trial.value,
        "gradient": trial.gradient,
        "gradient_norm": length,
        "step_size": trial.step,
        "relative_step": ratio(moved, size),
        "estimated_decrease": _promise_here(promised, ratio(length, state.gradient_norm)),
        "gradient_over_roundoff": over_roundoff(length, seen * size, trial.theta.dtype),
        "column_norms": state.column_norms,
        "jacobian_norm": state.jacobian_norm,
        "curvature_seen": seen,
    }


def _promise_here(promised: float, grown: float) -> float:
    """The promise at a point where the gradient is `grown` times as long; inf where that is no number."""
    here = promised * grown * grown
    return here if math.isfinite(here) else math.inf


def curvature_along(
    state: FirstOrderState, theta: FloatArray, gradient: FloatArray, moved: float, size: float
) -> float:
    """||g_{k+1} - g_k|| / ||theta_{k+1} - theta_k|| on arriving at `theta`, of length `size`, `moved` away from the
    state's point.

    A step of a few roundings of theta says nothing of the curvature: the last estimate then stands.
    """
    tells = moved > 1e3 * epsilon(theta.dtype) * size
    return norm(gradient - state.gradient) / moved if tells else state.curvature_seen


def over_roundoff(length: float, change: float, dtype: np.dtype[Any], margin: float = ROUNDOFF_MARGIN) -> float:
    """The gradient in units of what a change of theta by its own roundoff does, `change` being H |theta| in size."""
    return math.inf if math.isnan(change) else ratio(length, margin * epsilon(dtype) * change)


def confirmed(objective: Objective, state: F) -> F:
    """The state, its gradient said to be roundoff only if the Hessian itself agrees."""
    if state.gradient_over_roundoff > 1.0 or state.gradient_norm == 0.0 or not state.accepted:
        return state
    theta = state.theta
    signs = np.where(np.random.default_rng(0).random(theta.size) < 0.5, -1.0, 1.0).astype(theta.dtype)
    free = None if objective.bounds is None else objective.bounds.free(theta, state.gradient)
    change = max(_rounded(objective, theta, v, free) for v in (theta, signs * theta))
    over = over_roundoff(state.gradient_norm, change, theta.dtype, SHARP_MARGIN)
    return replace(state, gradient_over_roundoff=over)


def _rounded(objective: Objective, theta: FloatArray, v: FloatArray, free: Any) -> float:
    """The length of H v, or of what is free in both."""
    return norm(objective.hvp(theta, v)) if free is None else norm(free * objective.hvp(theta, free * v))


def ended(state: F, status: Status, message: str) -> F:
    """The old point, with a reason to end there."""
    return replace(state, accepted=False, proposal=Finding(status, message))
