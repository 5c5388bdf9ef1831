r"""Nesterov's accelerated gradient method (1983) with adaptive restart (O'Donoghue and Candes 2015).

    x_{k+1} = y_k - alpha g(y_k)                                           a gradient step
    y_{k+1} = x_{k+1} + beta_k (x_{k+1} - x_k)                             and on, without asking
    t_{k+1} = (1 + sqrt(1 + 4 t_k^2)) / 2,   beta_k = (t_k - 1) / t_{k+1},   t_0 = 1

For a convex f whose curvature is at most L, alpha <= 1 / L gives f(x_k) - f* <= 2 ||x_0 - x*||^2 / (alpha (k + 1)^2),
the best order that gradients alone can have (Beck and Teboulle 2009, theorem 4.4). On strongly convex functions beta_k
grows past its best value and f swings in waves as long as sqrt(kappa); **restarting** t when momentum has begun to
climb,

    g(y_k)'(x_{k+1} - x_k) > 0,

takes the swings out, and the rate of a well-tuned beta comes by itself: about sqrt(kappa) iterations a digit, where
gradient descent needs kappa. The test needs no further evaluation, and no unit.

The run's points are the y_k, where the gradients are. Their values need not fall; the driver keeps the best.

**alpha** is constant, or found by backtracking from the last one: a trial is accepted with

    f(x_{k+1}) <= f(y_k) - c alpha ||g||^2,   c = 0.499,

for c = 1/2 is what the theory asks for and holds with equality, up to roundoff, where alpha = 1 / L is just right; so
Armijo's own `sufficient_decrease` is not used. The theory lets alpha only fall; but then one steep place at the start
makes all of the way long. So each iteration tries `GROWTH` = 1.1 times the last alpha, which costs one trial in seven
iterations (Becker, Candes and Grant 2011, section 5.3), and a restart Armijo's `grow` times. The first trial is
Cauchy's step.

Where y_{k+1} is not finite the extrapolation is dropped: y_{k+1} = x_{k+1}.

Cost: one value and gradient with a constant step, two with backtracking. Memory: five vectors.
"""

from __future__ import annotations

import math
from dataclasses import replace

from nablad.solvers.linalg.vectors import FloatArray, is_finite, norm
from nablad.solvers.methods.descent_state import DescentState, arrived, once_more
from nablad.solvers.methods.first_order import ended
from nablad.solvers.methods.line_search import Armijo, Ray, Trial, backtrack, search_failure
from nablad.solvers.methods.step_lengths.constant import Constant, diverged
from nablad.solvers.objective import Objective

DECREASE = 0.499
"""c: one half, less what rounding f may take from it."""
GROWTH = 1.1
"""1.05 to 1.25 all took about the same evaluations on quadratics and in Rosenbrock's valley, no more than without any
growth, and 8 to 22 times fewer on a barrier that is steep at the start."""


def nesterov_step(objective: Objective, state: DescentState, settings: Constant | Armijo) -> DescentState:
    """The state at y_{k+1}, or why there is none."""
    known: Trial | None = None
    if isinstance(settings, Constant):
        step, growth, renewed = settings.step_size, 1.0, 1.0
        x = state.theta - step * state.gradient
    else:
        length = state.gradient_norm
        ray = Ray(state.theta, -state.gradient / length, state.value, -length)
        search = replace(settings, sufficient_decrease=DECREASE)
        found = backtrack(objective, ray, state.next_step * length, search)
        again = once_more(objective, state, found)
        if again is not None:
            found = backtrack(objective, ray, again, search)
        if found.trial is None:
            return ended(state, *search_failure(found, length))
        known, step, growth, renewed = found.trial, found.trial.step / length, GROWTH, settings.grow
        x = known.theta
    ahead = x - state.anchor
    restart = float(state.gradient.dot(ahead)) > 0.0
    t = 1.0 if restart else state.inertia
    inertia = 0.5 * (1.0 + math.sqrt(1.0 + 4.0 * t * t))
    y = x + ((t - 1.0) / inertia) * ahead if t > 1.0 else x
    point = _first_finite(objective, step, y, x, known)
    if not math.isfinite(point.value) or not is_finite(point.gradient):
        return diverged(objective, state, point.value, step)
    return arrived(
        objective,
        state,
        point,
        direction=state.direction,
        moved=norm(point.theta - state.theta),
        step=step,
        following=step * (renewed if restart else growth),
        anchor=x,
        inertia=inertia if point.theta is y else 1.0,
        blind=state.blind + 1 if isinstance(settings, Constant) else 0,
    )


def _first_finite(objective: Objective, step: float, y: FloatArray, x: FloatArray, known: Trial | None) -> Trial:
    """What was found at y or, where that is not finite, at x; `known` is x's, if it has been evaluated."""
    if y is x and known is not None:
        return known
    value, gradient = objective.value_and_gradient(y)
    if y is x or (math.isfinite(value) and is_finite(gradient)) or value == -math.inf:
        return Trial(step, y, value, gradient)
    return known or Trial(step, x, *objective.value_and_gradient(x))
