"""Every method of the table in a few settings, and what may be expected of each: data, so that tests need no branches.

A row of METHODS whose settings all have defaults is covered by itself, and nothing excuses it from any property. A row
without defaults, or a weaker promise, is written down here. What a method needs of an objective it says itself; pairs
that do not fit are left out by `pairs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, fields
from typing import Any

import numpy as np
import pytest
from solvers.objectives import Smooth

from nablad.solvers import (
    METHODS,
    Armijo,
    BarzilaiBorwein,
    Bounds,
    Constant,
    InverseTime,
    Schedule,
    Stopping,
    UnsupportedObjective,
    Wolfe,
    check_supported,
)

SEARCHES = "searches"
"""Decides each step by f itself: whatever the scale, f never rises past what its rule allows, and bad trials are
refused. Others have a step length in units of their own, which no change of units leaves as good."""
CURVES = "curves"
"""Uses negative curvature: leaves saddles and maxima by itself."""
FAST = "fast"
"""Makes something of curvature: follows a curved valley in tens of iterations, not tens of thousands."""
UNITS = "units"
"""Each parameter's own unit changes nothing."""
SHORTEST = "shortest"
"""Of an affine residual's minimizers, finds the shortest, in two steps."""
NOISY = "noisy"
"""Estimates f from a few rows at a time: it comes near, and seldom ends by itself."""

PROMISES: dict[str, frozenset[str]] = {
    "gradient_descent": frozenset({SEARCHES}),
    "newton": frozenset({SEARCHES, FAST, CURVES, UNITS, SHORTEST}),
    "gauss_newton": frozenset({SEARCHES, FAST, UNITS}),
    "levenberg_marquardt": frozenset({SEARCHES, FAST, UNITS}),
    "stochastic_gradient_descent": frozenset({NOISY}),
    "adam": frozenset({NOISY}),
}
"""By method; SEARCHES and FAST where nothing is said."""
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "gradient_descent": {
        "momentum": {"momentum": 0.8},
        "wolfe": {"step_length": Wolfe(curvature=0.5), "momentum": 0.6},
        "barzilai-borwein": {"step_length": BarzilaiBorwein()},
        "nesterov": {"nesterov": True},
        "slow": {"step_length": Armijo(initial=1e-3, shrink=0.3, grow=3.0)},
        "constant": {"step_length": Constant(1e-3)},
        "constant-momentum": {"step_length": Constant(5e-4), "momentum": 0.5},
        "constant-nesterov": {"step_length": Constant(5e-4), "nesterov": True},
    },
    "newton": {
        "exact": {"curvature": "exact"},
        "line-search": {"globalization": Armijo()},
        "cg": {"linear_solver": "cg"},
    },
    "levenberg_marquardt": {"geodesic": {"geodesic_acceleration": True}},
    "nonlinear_conjugate_gradient": {
        "polak-ribiere": {"formula": "polak_ribiere"},
        "fletcher-reeves": {"formula": "fletcher_reeves"},
    },
    "lbfgs": {"short": {"memory": 1, "line_search": Wolfe(curvature=0.5)}},
    "stochastic_gradient_descent": {
        "whole": {"learning_rate": 1e-3},
        "single": {"learning_rate": 1e-3, "batch_size": 1, "schedule": Schedule(InverseTime(1e-3))},
    },
    "adam": {
        "": {"learning_rate": 1e-2},
        "single": {"learning_rate": 3e-3, "batch_size": 1, "schedule": Schedule(InverseTime(1e-3))},
    },
}
"""Besides a method's defaults (or in place of them, as ""): by method and a word of ours."""
BROKEN: dict[str, frozenset[str]] = {
    "gradient_descent slow": frozenset({SEARCHES}),
    "gradient_descent constant": frozenset({SEARCHES}),
    "gradient_descent constant-momentum": frozenset({SEARCHES}),
    "gradient_descent constant-nesterov": frozenset({SEARCHES}),
    "newton line-search": frozenset({UNITS}),
}
"""Promises of a method that a variant does not keep: a step length given in units of its own keeps none, and a search
along negative curvature gives its direction a length in the parameters' common unit."""


@dataclass(frozen=True)
class Problem:
    """An objective with a start; its minimum, where it has one."""

    f: Smooth
    start: np.ndarray
    minimum: float = 0.0


Problems = dict[str, Callable[[], Problem]]
"""Makers by name: every test has its own."""


@dataclass(frozen=True)
class Variant:
    name: str
    method: Any
    promises: frozenset[str]

    @property
    def order(self) -> int:
        return int(self.method.order)

    def fits(self, problem: Smooth, bounds: Bounds | None = None) -> bool:
        """Whether the method, by its own account, can be asked to minimize this."""
        before, problem.bounds = problem.bounds, bounds
        try:
            check_supported(self.method, problem)
        except UnsupportedObjective:
            return False
        finally:
            problem.bounds = before
        return True


def _variants() -> dict[str, Variant]:
    found = {}
    for name, cls in METHODS.items():
        settings = dict(SETTINGS.get(name, {}))
        if all(f.default is not MISSING or f.default_factory is not MISSING for f in fields(cls)):
            settings = {"": {}, **settings}
        for word, given in settings.items():
            label = f"{name} {word}".strip()
            promises = PROMISES.get(name, frozenset({SEARCHES, FAST})) - BROKEN.get(label, frozenset())
            found[label] = Variant(label, cls(**given), promises)
    return found


VARIANTS = _variants()


def every(*promises: str, but: Iterable[str] = ()) -> list[Variant]:
    """The variants that make all of these promises, and none of `but`."""
    return [v for v in VARIANTS.values() if v.promises.issuperset(promises) and v.promises.isdisjoint(but)]


def plain(*promises: str) -> list[Variant]:
    """One variant of each method that makes these promises, with its defaults where it has them."""
    return list({variant.method.name: variant for variant in reversed(every(*promises))}.values())


def over(variants: Iterable[Variant]) -> pytest.MarkDecorator:
    """A test over variants, in its argument `variant`."""
    return pytest.mark.parametrize("variant", variants, ids=lambda v: v.name)


def pairs(
    variants: Iterable[Variant],
    problems: Problems,
    *more: tuple[Iterable[Variant], Problems],
    bounds: Bounds | None = None,
) -> pytest.MarkDecorator:
    """A test over variants and the problems that fit them, in its arguments `variant` and `problem` (its maker)."""
    cases = [
        pytest.param(variant, make, id=f"{variant.name}-{name}")
        for group, makers in ((variants, problems), *more)
        for variant in group
        for name, make in makers.items()
        if variant.fits(make().f, bounds)
    ]
    return pytest.mark.parametrize(("variant", "problem"), cases)


LONG = Stopping(max_iterations=50_000)
"""Gradient descent is slow: what a test of something else than speed may take."""
