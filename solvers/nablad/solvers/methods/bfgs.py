r"""BFGS: a quasi-Newton method that learns the inverse Hessian from gradients along the path.

    d_k = -H_k g_k,   theta_{k+1} = theta_k + alpha_k d_k,   s = theta_{k+1} - theta_k,   y = g_{k+1} - g_k

H_{k+1} is the matrix nearest to H_k, in a norm that no change of the parameters' units alters, that is symmetric and
maps y to s, as the inverse of the mean Hessian along the step does (Broyden, Fletcher, Goldfarb, Shanno 1970; Nocedal
and Wright 2006, section 6.1). Near a minimum with a definite Hessian it converges superlinearly, with gradients alone.

**Product form.** The update is H+ = A H A' with A = I - s v'/y's, v = y - tau B s, tau = sqrt(y's / s'Bs), B = H^-1
(Brodlie, Gourlay and Greenstadt 1973; Powell 1987). So H = sigma J J' is kept by its factor J, which becomes A J: H is
positive definite by construction however ill-conditioned it grows, and d is a descent direction by arithmetic, where
the usual formula for H loses both to roundoff. B s = -alpha g needs no product; J'v is one.

**First scale.** J = diag(u), u being the units of the parameters that the start tells (units.py; 1 where it tells
none), and sigma is Cauchy's step (first_order.py), so that the first trial is alpha = 1 like all later ones. Before the
first update sigma becomes y's / ||J'y||^2 (Nocedal and Wright 2006, 6.20). sigma carries the common units, J none:
f -> cf and x -> cx by powers of two change no bit of J.

**Which pairs count.** A Wolfe step has y's > 0; a search that ended without one, or a step so short that y is made of
roundoff, may not. A pair whose y's is within `PAIR_MARGIN` roundings of its own terms, sum |s_i| (|g_i| + |g+_i|), is
left out, and H stays as it was, but for its scale: where a step grew without meeting curvature the next begins as long,
so that a fall without end is soon seen to be one. Damping (Powell 1978) would bend such a pair until it fits, and teach
H what is not so; with a Wolfe search there is nothing to bend.

**Restart.** If no step along d is acceptable, H is forgotten and Cauchy's step is tried before the run ends.

**What is left of f.** The model promises g'H g / 2 at each step; a gradient k times shorter promises k^2 times less.
That rough estimate (`estimated_decrease`) says when a look at the Hessian is due (verification.py), and nothing else.

Parameters: `line_search`, with c1 = 1e-4 and c2 = 0.9: the full step is good in itself once H is, and a more exact
search pays evaluations for nothing (Nocedal and Wright 2006, section 3.1).

Cost per iteration: one value and gradient, rarely two; 8 p^2 multiplications. One Hessian-vector product at the start.
Memory: one p x p matrix, in the state and in its bytes; beyond some thousands of parameters, use LBFGS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from nablad.solvers.control import Limits
from nablad.solvers.linalg.vectors import FloatArray, epsilon, norm, ratio, smallest_normal
from nablad.solvers.methods.first_order import arrival, confirmed, ended
from nablad.solvers.methods.line_search import Ray, Search, Trial, Wolfe, search_failure, strong_wolfe
from nablad.solvers.methods.units import UnitsState, at_start_with_units, cauchy_again
from nablad.solvers.objective import Objective

PAIR_MARGIN = 10.0
"""How many roundings of its terms y's must exceed."""


@dataclass(frozen=True, kw_only=True)
class BFGSState(UnitsState):
    factor: FloatArray
    """J, shape (p, p), in the relative units of the parameters."""
    scale: float
    """sigma, in the parameters' units squared per the objective's."""
    updates: int = 0
    """How many pairs J has learnt from."""


@dataclass(frozen=True)
class BFGS:
    """Settings of BFGS."""

    line_search: Wolfe = field(default_factory=Wolfe)

    name: ClassVar[str] = "bfgs"
    order: ClassVar[int] = 1
    bounded: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()
    state_type: ClassVar[type[BFGSState]] = BFGSState

    def init(self, objective: Objective, theta: FloatArray, limits: Limits) -> BFGSState:
        fields, step = at_start_with_units(objective, theta, self.line_search.initial)
        state = BFGSState(**fields, factor=np.diag(fields["units"]), scale=step)
        return confirmed(objective, state)

    def step(self, objective: Objective, state: BFGSState, limits: Limits) -> BFGSState:
        found, direction, reduced = self._search(objective, state, limits)
        if found.trial is None and state.updates and not found.plunged:
            state = _forgotten(objective, state)
            found, direction, reduced = self._search(objective, state, limits)
        trial = found.trial
        if trial is None:
            return ended(state, *search_failure(found, state.gradient_norm))
        step = trial.step * direction
        with limits.algebra():
            factor, scale, learnt = _updated(state, trial, step, reduced)
        following = BFGSState(
            **arrival(objective, state, trial, norm(step), 0.5 * (state.scale * norm(reduced)) * norm(reduced)),
            units=state.units,
            factor=factor,
            scale=scale,
            updates=state.updates + learnt,
        )
        return confirmed(objective, following)

    def _search(self, objective: Objective, state: BFGSState, limits: Limits) -> tuple[Search, FloatArray, FloatArray]:
        """What was found along d, d itself, and J'g."""
        with limits.algebra():
            reduced = state.factor.T.dot(state.gradient)
            direction = -state.scale * state.factor.dot(reduced)
            length = norm(reduced)
        # sigma first: the square of a gradient may overflow.
        ray = Ray(state.theta, direction, state.value, -(state.scale * length) * length)
        return strong_wolfe(objective, ray, 1.0, self.line_search), direction, reduced


def _forgotten(objective: Objective, state: BFGSState) -> BFGSState:
    """The state with nothing learnt."""
    return replace(state, factor=np.diag(state.units), scale=cauchy_again(objective, state), updates=0)


def pair_counts(s: FloatArray, before: FloatArray, after: FloatArray, product: float) -> bool:
    """Whether y's, for y = after - before, is positive beyond the roundoff of its terms."""
    tiny = smallest_normal(s.dtype)
    terms = float(np.abs(s).dot(np.abs(before) + np.abs(after) + tiny))
    # Where numbers end, roundings are no smaller than those of the smallest normal one.
    return PAIR_MARGIN * epsilon(s.dtype) * max(terms, s.size * tiny) < product < math.inf


def _updated(state: BFGSState, trial: Trial, s: FloatArray, reduced: FloatArray) -> tuple[FloatArray, float, bool]:
    """J+ and sigma+, and whether the pair counted; `reduced` is J'g."""
    y = trial.gradient - state.gradient
    product = float(y.dot(s))
    if not pair_counts(s, state.gradient, trial.gradient, product):
        return state.factor, state.scale * max(1.0, trial.step), False
    scale, length = state.scale, norm(reduced)
    change = state.factor.T.dot(y)
    if state.updates == 0:
        size = norm(change)
        scale = ratio(ratio(product, size), size)
    # B s = -alpha g, times old sigma / new sigma where sigma has just changed.
    stretch = trial.step * ratio(state.scale, scale)
    # y's / s'Bs, term by term: what has f's unit twice underflows.
    share = ratio(ratio(ratio(product, state.scale * length), length), stretch * trial.step)
    if not (0.0 < share < math.inf and 0.0 < scale < math.inf):
        return state.factor, state.scale * max(1.0, trial.step), False
    v = change + (math.sqrt(share) * stretch) * reduced
    return state.factor - np.outer(s, v / product), scale, True
