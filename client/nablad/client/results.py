"""What a solve comes to: the point, why the run ended there, and the evidence for it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from nablad.client.iterates import Iterate
from nablad.client.statistics import Statistics
from nablad.client.words import counted

_ORDERS = ((1.75, "quadratic"), (1.25, "superlinear"), (-math.inf, "linear"))
"""From so much on, an observed order of convergence is called so."""


@dataclass(frozen=True)
class Evidence:
    """What supports the claim. A number that was not computed is None."""

    gradient_norm: float | None = None
    """||g|| at the best point."""
    relative_gradient_norm: float | None = None
    """||g|| divided by its norm at the start."""
    smallest_curvature: float | None = None
    """The smallest eigenvalue of the Hessian."""
    largest_curvature: float | None = None
    """The largest eigenvalue of the Hessian."""
    verdict: str = "unverified"
    """minimum, saddle, flat, maximum or unverified."""
    condition: float | None = None
    """Of the Hessian, or of a sum of squares' Jacobian with its columns scaled to length 1."""
    rank: int | None = None
    """Of the Jacobian."""
    decrement: float | None = None
    """What a Newton step from the point would still gain."""
    convergence_order: float | None = None
    """The order at which the last steps shrank: 1 is linear, 2 quadratic, superlinear between."""
    worst_scaled_parameter: str | None = None
    """The parameter whose scale differs most from the others', such as `A_0[3,1]`."""
    worst_scale: float | None = None
    """The curvature along it, relative to the median of all."""
    active_bounds: int | None = None
    """How many parameters sit on a bound with the gradient pressing outwards; None where there are no bounds.
    Curvature, condition and rank are of the others."""
    note: str = ""
    """What else a person should know."""

    def told(self, parameters: int) -> list[tuple[str, str]]:
        """Convergence, scale and bounds in a person's words, of a run with so many parameters."""
        told = []
        if self.convergence_order is not None:
            kind = next(word for least, word in _ORDERS if self.convergence_order >= least)
            told.append(("convergence", f"{kind} (order {self.convergence_order:.2g})"))
        if self.worst_scaled_parameter and self.worst_scale and not 1e-3 < self.worst_scale < 1e3:
            told.append(
                ("scale", f"{self.worst_scaled_parameter} has {self.worst_scale:.2g} times the median curvature")
            )
        if self.active_bounds is not None:
            told.append(("on a bound", f"{self.active_bounds} of {counted(parameters, 'parameter')}"))
        return told

    def __repr__(self) -> str:
        given = ((name, value) for name, value in vars(self).items() if value is not None and name != "verdict")
        told = ((name, value if isinstance(value, str) else f"{value:.4g}") for name, value in given)
        lines = "".join(f"\n  {name.replace('_', ' '):24}{text}" for name, text in told if text)
        return f"Evidence: {self.verdict}{lines}"


@dataclass(frozen=True)
class Counts:
    """How often each question was asked of the model."""

    values: int = 0
    gradients: int = 0
    hessians: int = 0
    hessian_vector_products: int = 0
    residuals: int = 0
    jacobians: int = 0
    factorizations: int = 0


@dataclass(frozen=True)
class Times:
    """Where the time went, in seconds."""

    total: float = 0.0
    evaluation: float = 0.0
    linear_algebra: float = 0.0


@dataclass(frozen=True)
class ModelSummary:
    """What the server makes of a model before it solves."""

    parameters: int
    """p, the length of theta."""
    rows: int
    """N, the number of data rows."""
    layout: Mapping[str, tuple[int, ...]]
    """Parameter name -> shape, in the order in which theta holds them."""
    estimated_bytes: int
    """Of a worker's own memory, beside the data."""
    method: str = ""
    """The method that will be used, such as `newton`."""
    method_reason: str = ""
    """Why, where none was given."""


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """The outcome of a job, at the best point that it saw."""

    theta: NDArray[Any]
    """The best point, shape (p,)."""
    parameters: Mapping[str, NDArray[Any]]
    """The same by name, each in its own shape."""
    loss: float
    """f(theta)."""
    gradient: NDArray[Any] | None
    """df/dtheta at theta, shape (p,); None where it was never computed."""
    status: str
    """Why the run ended, such as CONVERGED_GRADIENT."""
    family: str
    """CONVERGED, STALLED, LIMIT, USER or FAILED."""
    success: bool
    """Whether the family is CONVERGED."""
    message: str
    """What happened, with its numbers, and what to do next."""
    evidence: Evidence
    iterations: int
    best_iteration: int
    counts: Counts
    times: Times
    settings_used: Mapping[str, str]
    """The settings as they were in force, defaults filled in."""
    job: str
    """`solveJobs/{id}`."""
    method_reason: str = ""
    """Why this method, where none was given: a sentence."""
    statistics: Statistics | None = None
    """Of a sum of squares: standard errors, covariance, intervals."""
    last_theta: NDArray[Any] | None = None
    """The last point, shape (p,), where it is not the best."""
    replay: Callable[[], tuple[Iterate, ...]] = field(default=tuple)
    """Gives the history on first use."""

    @property
    def history(self) -> tuple[Iterate, ...]:
        """The iterates, in order: those that the run's watcher saw, or all of them, fetched when first asked for."""
        kept: tuple[Iterate, ...] | None = self.__dict__.get("_history")
        if kept is None:
            kept = self.replay()
            self.__dict__["_history"] = kept
        return kept

    def __repr__(self) -> str:
        best = "" if self.best_iteration == self.iterations else f", the best at {self.best_iteration}"
        head = f"Result: {self.status} after {counted(self.iterations, 'iteration')}{best}"
        width = max(len(name) for name, _ in self._facts())
        rows = []
        for name, text in self._facts():
            lead = f"{name:<{width}}  "
            rows += textwrap.wrap(lead + text, 96, subsequent_indent=" " * len(lead), drop_whitespace=True)
        return "\n  ".join([head, *rows, *textwrap.wrap(self.message, 96)])

    def _facts(self) -> list[tuple[str, str]]:
        """What there is to tell, by name, in a person's words."""
        e, t = self.evidence, self.times
        facts = []
        if method := self.settings_used.get("method"):
            facts.append(("method", f"{method}: {self.method_reason}" if self.method_reason else method))
        facts.append(("loss", f"{self.loss:.12g}"))
        if e.gradient_norm is not None:
            relative = "" if e.relative_gradient_norm is None else f" ({e.relative_gradient_norm:.2g} of the start's)"
            facts.append(("gradient norm", f"{e.gradient_norm:.3g}{relative}"))
        if e.smallest_curvature is not None and e.largest_curvature is not None:
            facts.append(("curvature", f"{e.smallest_curvature:.3g} to {e.largest_curvature:.3g}"))
        known = [] if e.condition is None else [f"condition {e.condition:.3g}"]
        known += [] if e.rank is None else [f"rank {e.rank} of {self.theta.size}"]
        facts.append(("verdict", ", ".join([e.verdict, *known])))
        facts += e.told(self.theta.size)
        if self.statistics is not None:
            facts.append(("statistics", self.statistics.summary))
        names = [f"{name} {value.shape}" for name, value in list(self.parameters.items())[:6]]
        facts.append(("parameters", f"{', '.join(names)}{', ...' if len(self.parameters) > 6 else ''}"))
        spent = f"{t.total:.3g} s (evaluation {t.evaluation:.3g}, linear algebra {t.linear_algebra:.3g})"
        return [*facts, ("time", spent)]
