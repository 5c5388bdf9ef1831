r"""Which curvature predicts a sum of squares better: the Hessian, or the Gauss-Newton matrix 2 J'J.

    f = ||r||^2,    H = 2 J'J + 2 sum_i r_i Hess(r_i)

Far from a minimum the second sum is large, changes quickly and is often indefinite, while r made linear stays a good
guide along curved paths; near one with r not small it is what makes Newton's convergence quadratic. After Dennis, Gay
and Welsch (1981, NL2SOL), who had an approximation of the second sum where here it is exact, each step chooses:

- A run begins with 2 J'J.
- After a step whose model erred by more than `GOOD_ENOUGH` of what it promised, and at a refused trial, both models are
  asked what they would have predicted for that very step. The nearer one is used from there on; within an iteration the
  other must be nearer by half, and the choice is made once.
- Once steps, of either model, are shorter than `LAST_PHASE` of theta though nothing holds them, the Hessian is used; so
  it is where 2 J'J promises no more than roundoff, or leads to no lower point. Saddles and maxima are so left: 2 J'J
  sees no negative curvature.

The Hessian is evaluated at every point, so that tests and verdict are exact; J only where 2 J'J is used or asked.
Measured on NIST's 54 nonlinear runs, solved and the median of function-equivalent evaluations (f 1, gradient 2, Hessian
2 p, Jacobian p): the Hessian alone 48 and 163, 2 J'J for every step 54 and 165, the blend 54 and 115.
"""

from __future__ import annotations

import math

from nablad.solvers.control import Limits
from nablad.solvers.linalg.symmetric import Curvature
from nablad.solvers.linalg.vectors import FloatArray, is_finite
from nablad.solvers.methods.newton_state import GAUSS_NEWTON, HESSIAN, NewtonState
from nablad.solvers.objective import Objective

GOOD_ENOUGH = 0.25
"""Fractions from a tenth to a half take about as many iterations; the fewer questions, the fewer Jacobians."""
CLEARLY_NEARER = 0.5
LAST_PHASE = 1e-3


class Curvatures:
    """The matrices of the models at a state's point, each made when first asked for."""

    def __init__(self, objective: Objective, state: NewtonState, limits: Limits, blend: bool) -> None:
        assert state.hessian is not None
        self.objective = objective
        self.state = state
        self.limits = limits
        self.blend = blend
        self.used = state.model
        """The model of the search's last step."""
        self._made: dict[str, FloatArray] = {HESSIAN: state.hessian}
        self._switched = False

    @property
    def matrix(self) -> FloatArray:
        """Of the model in use, shape (p, p)."""
        found = self._matrix(self.used)
        if found is None:
            self.used = HESSIAN
            found = self._made[HESSIAN]
        return found

    def _matrix(self, name: str) -> FloatArray | None:
        """None where it is not finite."""
        if name not in self._made:
            gram = self.objective.gram(self.state.theta)
            self._made[name] = 2.0 * gram.jtj
        found = self._made[name]
        return found if is_finite(found) else None

    def refused(self, step: FloatArray, actual: float) -> bool:
        """Learn from a refused trial with this decrease; True if the other model is used from now on."""
        if not self.blend or self._switched or not math.isfinite(actual):
            return False
        nearer = self._nearer(step, actual, CLEARLY_NEARER)
        self._switched = nearer != self.used
        self.used = nearer
        return self._switched

    def abandon(self) -> bool:
        """Use the Hessian from now on; False if it is used already."""
        abandoned = self.used != HESSIAN
        self.used, self._switched = HESSIAN, True
        return abandoned

    def next(self, step: FloatArray, actual: float, ratio: float, share: float, new: NewtonState) -> str:
        """The model for the next iteration, after a step that was taken; `share` is its length relative to theta's
        where nothing held it, else inf."""
        if not self.blend or share <= LAST_PHASE:
            return HESSIAN
        if new.curvature is Curvature.POSITIVE and new.relative_step <= LAST_PHASE:
            return HESSIAN
        return self.used if abs(ratio - 1.0) <= GOOD_ENOUGH else self._nearer(step, actual, 1.0)

    def _nearer(self, step: FloatArray, actual: float, share: float) -> str:
        """The model in use, or the other if its error on this step is below `share` of that."""
        other = HESSIAN if self.used == GAUSS_NEWTON else GAUSS_NEWTON
        if self._matrix(other) is None:
            return self.used
        errors = {name: abs(self._predicted(name, step) - actual) for name in (self.used, other)}
        return other if errors[other] < share * errors[self.used] else self.used

    def _predicted(self, name: str, step: FloatArray) -> float:
        with self.limits.algebra():
            curved = float(step.dot(self._made[name] @ step))
        return -(float(self.state.gradient.dot(step)) + 0.5 * curved)
