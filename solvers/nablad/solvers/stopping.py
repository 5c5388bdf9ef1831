r"""When to stop: one table of tests, each a few lines of mathematics with its numbers.

The defaults keep a change of units harmless, f -> cf and x -> cx: nothing is compared with an absolute number (an
absolute gradient test is why Rosenbrock's function times 1e-12 is "solved" at its start by five of scipy's methods).

- GRADIENT. ||g|| <= rtol ||g_0||, for first-order methods, with rtol = 1e-6. On a quadratic f - f* is between ||g||^2
  / 2L and ||g||^2 / 2m, so six digits of the gradient are about twelve of the decrease where the condition is
  moderate: what gradient descent can still see in f. Second-order methods have better tests, and by default ignore
  this one.
- DECREMENT. Newton's decrement promises the decrease d = g'H^-1 g / 2. It is done once d <= eps |f| where the step is
  also short (sqrt eps): f alone, which is flat at a minimum, fixes only half of theta's digits.
- The gradient relative to the start depends on the parameters' units: on NIST's Norris, fitted with its intercept, it
  falls to 4e-7 in one step, and the intercept has no digit. Where the norms of J's columns are known, the same is
  therefore asked of J_j'r / ||J_j||, in which the units cancel.
- ROUNDOFF, by cosines: no column of J makes an angle with r whose cosine |J_j'r| / (||J_j|| ||r||) can be told from
  zero. A computed inner product is uncertain by a few eps ||J_j|| ||r||, for r itself is rounded (Higham 2002, section
  3.1; blocked sums keep N out of it), and 10 eps is that. It is what ends a fit of noise, where ||r|| is large beside
  ||J theta|| and rounding theta is the lesser error. A perfect fit has no such angle: r is then roundoff itself.
- STEP. The next Newton step is shorter than eps^(2/3) of theta, in units of the curvature's diagonal; by quadratic
  convergence the error is then of that size (Dennis and Schnabel 1996, section 7.2).
- ROUNDOFF. No component of g exceeds what rounding theta once would change in it, eps |H| |theta|: theta is the best
  representable point (Higham 2002, section 1.10). A start at the answer is a success by this test. So is a step
  below its own uncertainty, eps times the condition, where it no longer shrinks either: that bound is often far too
  large (on NIST's Lanczos1 by five digits).

A test never passes at a point where curvature is known to be negative (but for `vanished`, which is put to values of
f), nor on a step that was refused (ceres #116).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nablad.solvers.bounds import Bounds
from nablad.solvers.linalg.symmetric import Curvature
from nablad.solvers.methods.base import State
from nablad.solvers.status import Finding, Status


@dataclass(frozen=True)
class Stopping:
    """Rules given by the user; None leaves a rule to the method's default. Times in seconds, the rest without units
    unless said."""

    max_iterations: int | None = None
    """At most so many iterations; 0 looks at the start only. Default: 10,000 (first order), 1,000 (second order, and
    where an iteration is an epoch). Most runs of second order need 20; long curved valleys take Levenberg-Marquardt
    hundreds (NIST's Bennett5 from its far start: 790)."""
    max_evaluations: int | None = None
    """At most so many evaluations of the objective's value, alone or with its gradient, line searches included."""
    max_seconds: float | None = None
    gradient_tolerance: float | None = None
    """Stop once ||g|| is at most this, in the objective's units per parameter's. Default 0."""
    relative_gradient_tolerance: float | None = None
    """Stop once ||g|| is at most this times ||g|| at the start; for an affine residual, in units of the Jacobian's
    columns too. Default 1e-6 (first order), 0 (second order)."""
    step_tolerance: float | None = None
    """Stop once the relative step is at most this: the accepted one (first order), the next one (second order)."""
    decrement_tolerance: float | None = None
    """Stop once the decrease that a Newton step promises is at most this times |f|."""
    target_value: float | None = None
    """Stop once f is at most this."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is None:
                continue
            if math.isnan(value):
                raise ValueError(f"stopping: {name} must be a number")
            if name == "max_seconds" and value <= 0:
                raise ValueError(f"stopping: {name} must be positive, got {value}")
            if name != "target_value" and value < 0:
                raise ValueError(f"stopping: {name} must not be negative, got {value}")

    def given(self) -> dict[str, Any]:
        """The rules that the user set."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def used(self, order: int, eps: float, epochs: bool = False) -> Stopping:
        """With the defaults of a method of this order, in arithmetic of this precision.

        `epochs` is true of methods whose iteration is a pass over the data, many steps in one.
        """
        defaults = DEFAULTS[order](eps)
        if epochs:
            defaults = replace(defaults, max_iterations=DEFAULT_EPOCHS)
        return replace(defaults, **self.given())


DEFAULT_EPOCHS = 1_000
"""Noise keeps minibatch methods from passing the tests of a gradient, unless their rate decays: this is then the
training's length, and scikit-learn's for its linear SGD methods. Long for a network, where epochs should be given."""


DEFAULTS: dict[int, Callable[[float], Stopping]] = {
    1: lambda eps: Stopping(
        max_iterations=10_000, gradient_tolerance=0.0, relative_gradient_tolerance=max(1e-6, 100 * eps)
    ),
    2: lambda eps: Stopping(
        max_iterations=1_000, gradient_tolerance=0.0, step_tolerance=eps ** (2 / 3), decrement_tolerance=eps
    ),
}


@dataclass(slots=True)
class View:
    """What a test may look at."""

    state: State
    rules: Stopping
    order: int
    eps: float
    first_gradient_norm: float
    first_scaled_gradient: float
    """The largest |g_j| / ||J_j|| at the start; NaN where the columns' norms are not known."""
    first_value: float
    first_drop: float
    """The decrease of the first step that made one."""
    previous_step: float
    """The relative step at the point before; inf if there is none."""
    stalled: int
    """Accepted steps in a row over which neither f changed beyond its roundoff nor the gradient norm fell."""
    bounds: Bounds | None = None
    trusting: bool = False
    """The user gave a tolerance."""


KNOWN = (Curvature.POSITIVE, Curvature.FLAT)


def target(view: View) -> Finding | None:
    goal = view.rules.target_value
    if goal is None or not view.state.value <= goal:
        return None
    return Finding(Status.TARGET, f"The value {view.state.value:.6g} is at or below the target {goal:.6g}.")


def gradient(view: View) -> Finding | None:
    size, rules = view.state.gradient_norm, view.rules
    if size <= (rules.gradient_tolerance or 0.0):
        at = f"at or below the tolerance {rules.gradient_tolerance:.1e}" if size else "exactly zero"
        return Finding(Status.GRADIENT, f"The gradient norm {size:.3e} is {at}.")
    relative = rules.relative_gradient_tolerance
    if relative and size <= relative * view.first_gradient_norm and _small_in_any_units(view, relative):
        return Finding(
            Status.GRADIENT,
            f"The gradient norm {size:.3e} is {size / view.first_gradient_norm:.1e} of that at the start "
            f"({view.first_gradient_norm:.3e}), within the tolerance {relative:.1e}.",
        )
    return None


def scaled_gradient(state: State, bounds: Bounds | None) -> float:
    """The largest |g_j| / ||J_j||, twice the largest of |J_j'r| / ||J_j||, over the parameters that no bound holds; NaN
    where J's columns are not known."""
    if state.column_norms is None:
        return math.nan
    gradient = state.gradient if bounds is None else bounds.projected(state.theta, state.gradient)
    return float(np.max(np.abs(gradient) / state.column_norms, initial=0.0))


def _small_in_any_units(view: View, relative: float) -> bool:
    if view.state.column_norms is None:
        return True
    return scaled_gradient(view.state, view.bounds) <= relative * view.first_scaled_gradient


COSINE_MARGIN = 10.0
ROUNDOFF_DECREASE = 100.0
"""In eps |f|: what an evaluation of f rounds off."""


def cosine(view: View) -> Finding | None:
    state = view.state
    if state.column_norms is None:
        return None
    bound = 2.0 * COSINE_MARGIN * view.eps * math.sqrt(state.value)
    # The sum over columns bounds the largest from above, and is at hand.
    if not state.gradient_norm <= bound * state.jacobian_norm or not scaled_gradient(state, view.bounds) <= bound:
        return None
    return Finding(
        Status.ROUNDOFF,
        f"The residual is orthogonal to the Jacobian's columns: no cosine exceeds {COSINE_MARGIN * view.eps:.1e}, the "
        f"roundoff of such a cosine.",
    )


def roundoff(view: View) -> Finding | None:
    state = view.state
    if state.gradient_over_roundoff <= 1.0:
        return Finding(
            Status.ROUNDOFF,
            f"The gradient norm {state.gradient_norm:.3e} is within what rounding the parameters changes in it.",
        )
    shrinks = state.relative_step <= 0.5 * view.previous_step
    lost = state.predicted_decrease <= ROUNDOFF_DECREASE * view.eps * abs(state.value)
    if state.relative_step <= state.step_uncertainty and state.curvature in KNOWN and (lost or not shrinks):
        return Finding(
            Status.ROUNDOFF,
            f"The next step is {state.relative_step:.1e} of the parameters, below its own uncertainty "
            f"{state.step_uncertainty:.1e} (condition times roundoff).",
        )
    return None


def decrement(view: View) -> Finding | None:
    state, tolerance = view.state, view.rules.decrement_tolerance
    if tolerance is None or state.curvature not in KNOWN:
        return None
    promised, bound = state.predicted_decrease, tolerance * abs(state.value)
    settled = state.relative_step <= math.sqrt(view.eps) or view.stalled >= 3 or tolerance > view.eps
    if not promised <= bound or not settled:
        return None
    return Finding(
        Status.DECREMENT,
        f"Newton's step promises a decrease of {promised:.2e}, at most {tolerance:.1e} of the value {state.value:.6g}.",
    )


def step(view: View) -> Finding | None:
    state, tolerance = view.state, view.rules.step_tolerance
    if tolerance is None or not state.relative_step <= tolerance:
        return None
    if view.order > 1 and state.curvature not in KNOWN:
        return None
    which = "The next" if view.order > 1 else "The last"
    return Finding(
        Status.STEP,
        f"{which} step is {state.relative_step:.1e} of the parameters, within the tolerance {tolerance:.1e}.",
    )


TESTS: tuple[Callable[[View], Finding | None], ...] = (target, gradient, roundoff, step, decrement, cosine)
TESTS_OF_THE_POINT: tuple[Callable[[View], Finding | None], ...] = (target, gradient)


def vanished(view: View) -> Finding | None:
    """The gradient has fallen by more digits than it has, where curvature still seems negative.

    Beside a minimum that is not strict, as that of x^2 (1 + y^2), curvatures of either sign shrink with f, and no step
    ends that. Whoever verifies the claim must see that f does not fall there: at a saddle it does.
    """
    size = view.state.gradient_norm
    if view.order == 1 or not 0.0 < size <= view.eps**1.5 * view.first_gradient_norm:
        return None
    told = f"The gradient norm {size:.3e} is {size / view.first_gradient_norm:.1e} of that at the start"
    return Finding(Status.GRADIENT, f"{told} ({view.first_gradient_norm:.3e}).")


def converged(view: View) -> Finding | None:
    """The first test that the point of `view` passes, or None."""
    if not view.state.accepted or not math.isfinite(view.state.value):
        return None
    if view.state.curvature is Curvature.NEGATIVE:
        return target(view) or vanished(view)
    waiting = view.state.unfinished or (view.state.glimpsed and not view.trusting)
    for test in TESTS_OF_THE_POINT if waiting else TESTS:
        found = test(view)
        if found is not None:
            return found
    return None


PATIENCE = 50
UNBOUNDED_FACTOR = 1e20


def no_progress(view: View) -> Finding | None:
    """Many accepted steps, and f is within its own roundoff all along."""
    if view.stalled < PATIENCE:
        return None
    return Finding(
        Status.NO_PROGRESS,
        f"In {view.stalled} accepted steps neither the value {view.state.value:.10g} changed beyond its roundoff nor "
        f"the gradient norm {view.state.gradient_norm:.3e} fell.",
    )


def unbounded(view: View) -> Finding | None:
    """f is below its start by twenty orders of magnitude more than anything it showed there."""
    state = view.state
    scale = max(abs(view.first_value), view.first_drop)
    if state.value == -math.inf or (scale > 0.0 and state.value < -UNBOUNDED_FACTOR * scale):
        return Finding(
            Status.UNBOUNDED,
            f"The value fell from {view.first_value:.6g} to {state.value:.3e} and goes on falling.",
        )
    return None


def iterations(iteration: int, rules: Stopping) -> Finding | None:
    """The limit on iterations is used up."""
    if rules.max_iterations is None or iteration < rules.max_iterations:
        return None
    return Finding(Status.MAX_ITERATIONS, f"The limit of {rules.max_iterations} iterations was reached.")
