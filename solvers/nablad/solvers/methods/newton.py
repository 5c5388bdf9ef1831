r"""Newton's method: the method to begin with.

    H(theta_k) s_k = -g(theta_k),    theta_{k+1} = theta_k + s_k

With no argument it suits itself to the problem:

- An affine residual needs no Hessian: its step is solved by QR of the Jacobian, or by Cholesky where that is as good,
  and refined (newton_affine.py).
- Elsewhere the Hessian is evaluated, and steps are kept in a trust region (newton_trust.py); with `Armijo()` as its
  globalization, in a line search along modified steps (newton_line_search.py).
- A sum of squares takes its curvature from 2 J'J or from the Hessian, whichever predicts f better (newton_blend.py).
- Many parameters take conjugate gradients on products with the Hessian, which is then never formed (newton_cg.py).

globalization: the region by default. It uses negative curvature to the full, and costs no more where none is needed.
curvature: `blend` solves 54 of NIST's 54 nonlinear runs where `exact` solves 46; other objectives are always exact.
linear_solver: None takes `dense` up to `DENSE_SIZE` parameters and `cg` beyond.

Cost and memory are told by those modules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from nablad.solvers.control import Limits
from nablad.solvers.linalg.vectors import FloatArray
from nablad.solvers.methods import newton_affine, newton_cg, newton_line_search, newton_trust
from nablad.solvers.methods.line_search import Armijo
from nablad.solvers.methods.newton_look import Landing
from nablad.solvers.methods.newton_state import NewtonState
from nablad.solvers.methods.trust_region import TrustRegion
from nablad.solvers.objective import Objective, UnsupportedObjective

CURVATURES = ("blend", "exact")
LINEAR_SOLVERS = (None, "dense", "cg")
DENSE_SIZE = 500
"""A Hessian costs as much as a gradient for each parameter, or half, and its spectrum about 25 p^3 more; an iteration
of conjugate gradients 20 to 30 products of one to three gradients. On networks of two layers and 600 rows both take
about the same time to one minimum at p = 200 (123 ms a Hessian), and at p = 600 (550 ms) conjugate gradients are ten
times ahead. Up to 500 the matrix is worth its price: it has the sign of every curvature, and 2 J'J beside it."""


@dataclass(frozen=True)
class Newton:
    """Settings of Newton's method; the module's docstring argues the defaults. Raises ValueError."""

    globalization: TrustRegion | Armijo = field(default_factory=TrustRegion)
    curvature: str = "blend"
    """Of a sum of squares: "blend" or "exact"."""
    linear_solver: str | None = None
    """"dense", "cg", or None: by the number of parameters."""

    name: ClassVar[str] = "newton"
    order: ClassVar[int] = 2
    bounded: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()
    state_type: ClassVar[type[NewtonState]] = NewtonState

    def __post_init__(self) -> None:
        if self.curvature not in CURVATURES:
            raise ValueError(f"curvature must be one of {', '.join(CURVATURES)}, got {self.curvature!r}")
        if self.linear_solver not in LINEAR_SOLVERS:
            raise ValueError(f"linear_solver must be one of dense, cg, got {self.linear_solver!r}")
        if self.linear_solver == "cg" and isinstance(self.globalization, Armijo):
            raise ValueError("linear_solver: conjugate gradients go with a trust region, not with a line search")

    def check(self, objective: Objective) -> None:
        """Raise UnsupportedObjective for what only some of the settings can do."""
        affine = objective.capabilities.residual and objective.capabilities.affine
        if objective.bounds is not None and isinstance(self.globalization, Armijo) and not affine:
            message = "newton keeps parameters within bounds by its trust region, not by a line search"
            raise UnsupportedObjective(self.name, "no bounds", message, "globalization")

    def init(self, objective: Objective, theta: FloatArray, limits: Limits) -> NewtonState:
        affine = objective.capabilities.residual and objective.capabilities.affine
        if self._by_products(objective):
            assert isinstance(self.globalization, TrustRegion)
            return newton_cg.init(objective, theta, self.globalization, limits)
        if affine:
            return newton_affine.init(objective, theta, limits)
        if isinstance(self.globalization, Armijo):
            return newton_line_search.init(objective, Landing(theta, *objective.value_and_gradient(theta)), limits)
        return newton_trust.init(objective, theta, self.globalization, self._blends(objective), limits)

    def step(self, objective: Objective, state: NewtonState, limits: Limits) -> NewtonState:
        if state.triangle is not None:
            return newton_affine.step(objective, state, limits)
        if self._by_products(objective):
            return newton_cg.step(objective, state, limits)
        if isinstance(self.globalization, Armijo):
            return newton_line_search.step(objective, state, self.globalization, limits)
        return newton_trust.step(objective, state, self._blends(objective), limits)

    def _by_products(self, objective: Objective) -> bool:
        """Whether the Hessian is never formed."""
        if self.linear_solver is not None or isinstance(self.globalization, Armijo):
            return self.linear_solver == "cg"
        affine = objective.capabilities.residual and objective.capabilities.affine
        return objective.size > DENSE_SIZE and not affine

    def _blends(self, objective: Objective) -> bool:
        return self.curvature == "blend" and objective.capabilities.residual
