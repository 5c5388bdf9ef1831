r"""Which curvature predicts a sum of squares better: the Hessian, or the Gauss-Newton matrix 2 J'J.

    f = ||r||^2,    H = 2 J'J + 2 sum_i r_i Hess(r_i)

Far from a minimum the second sum is large, changes quickly and is often indefinite, while r made linear stays a good
guide along curved paths; near one with r not small it is what makes Newton's convergence quadratic. So a run begins
with 2 J'J, and the Hessian is evaluated only where it is asked for (the idea is NL2SOL's, by Dennis, Gay and Welsch
1981, who had an approximation of the second sum where here it is exact):

- When `DOUBTS` steps in a row each erred by more than `GOOD_ENOUGH` of what 2 J'J promised, both matrices at the new
  point are asked what they would have said of the way back, and so after each such step by the Hessian. The nearer one
  is used from there on.
- Where 2 J'J says that the end is near: its step is shorter than `LAST_PHASE` of theta, or than `VERY_LAST` if it
  is at most a tenth of the step before, for then 2 J'J alone is converging quadratically and the Hessian can wait; or
  it promises no more than roundoff. The last phase is the Hessian's, unless it has been all but finished without it,
  and so are the verdict and the tests of the next step: a point that only 2 J'J has seen passes them for a tolerance of
  the user's alone.
- Where 2 J'J leads to no lower point. Saddles and maxima are so left: 2 J'J sees no negative curvature.

An iteration with 2 J'J costs a value a trial and one pass over J, which brings the gradient along; one with the
Hessian a value, a gradient and the Hessian. Measured in function-equivalent evaluations (a value 1, a gradient 2, a
Hessian or a pass over J 2 p), NIST's 54 nonlinear runs to their end, solved and median, and the median to the minimum
of 106 of More, Garbow and Hillstrom's, where scipy's trf takes 178: with both matrices at each point 54, 132 and 288;
as above 54, 123 and 172; with one doubt enough 53, 124 and 190.
"""

from __future__ import annotations

import math

import numpy as np

from nablad.solvers.control import Limits
from nablad.solvers.linalg.vectors import FloatArray, is_finite
from nablad.solvers.methods.newton_state import GAUSS_NEWTON, HESSIAN, NewtonState
from nablad.solvers.objective import Gram, Objective

GOOD_ENOUGH = 0.5
DOUBTS = 2
LAST_PHASE, VERY_LAST = 1e-3, 1e-6
FAST = 0.1
"""The share of the last step that the next one is at most where convergence is quadratic."""


class Passes:
    """An objective for searches that gets its gradient on arrival from the pass over J that the next step needs too."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self._at: FloatArray | None = None
        self._gram: Gram | None = None

    def value(self, theta: FloatArray) -> float:
        return self.objective.value(theta)

    def gradient(self, theta: FloatArray) -> FloatArray:
        return self.objective.gradient(theta)

    def value_and_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        return self.objective.value_and_gradient(theta)

    def arriving(self, theta: FloatArray) -> FloatArray:
        """df/dtheta = 2 J'r, shape (p,)."""
        return np.asarray(2.0 * self._pass(theta).jtr)

    def matrix(self, theta: FloatArray) -> FloatArray | None:
        """2 J'J, shape (p, p); None where it is not finite."""
        found = np.asarray(2.0 * self._pass(theta).jtj)
        return found if is_finite(found) else None

    def _pass(self, theta: FloatArray) -> Gram:
        if self._gram is None or self._at is not theta:
            self._at, self._gram = theta, self.objective.gram(theta)
        return self._gram


class Curvatures:
    """The matrices of the models at a state's point, each made when first asked for."""

    def __init__(self, objective: Objective, state: NewtonState, limits: Limits) -> None:
        self.objective = objective
        self.state = state
        self.limits = limits
        self.used = state.model
        """The model of the search's last step."""
        known = {HESSIAN: state.hessian, GAUSS_NEWTON: state.gauss_newton}
        self._made: dict[str, FloatArray] = {name: matrix for name, matrix in known.items() if matrix is not None}

    @property
    def matrix(self) -> FloatArray:
        """Of the model in use, shape (p, p)."""
        found = self.of(self.used)
        assert found is not None, "a state has a matrix of the model that it names"
        return found

    def of(self, name: str) -> FloatArray | None:
        """The matrix of this model; None where it is not finite."""
        if name not in self._made:
            theta = self.state.theta
            self._made[name] = (
                self.objective.hessian(theta) if name == HESSIAN else 2.0 * self.objective.gram(theta).jtj
            )
        found = self._made[name]
        return found if is_finite(found) else None

    def abandon(self) -> bool:
        """Use the Hessian from now on; False if it is used already, or not finite."""
        abandoned = self.used != HESSIAN and self.of(HESSIAN) is not None
        if abandoned:
            self.used = HESSIAN
        return abandoned

    def nearer_behind(self, step: FloatArray, actual: float) -> str:
        """The model that tells better what f was before `step` led here and lowered f by `actual`; the one in use where
        neither does."""
        other = HESSIAN if self.used == GAUSS_NEWTON else GAUSS_NEWTON
        return other if self._error(other, step, actual) < self._error(self.used, step, actual) else self.used

    def _error(self, name: str, step: FloatArray, actual: float) -> float:
        matrix = self.of(name)
        if matrix is None:
            return math.inf
        with self.limits.algebra():
            slope, curved = float(self.state.gradient.dot(step)), float(step.dot(matrix @ step))
        return abs(0.5 * curved - slope - actual)
