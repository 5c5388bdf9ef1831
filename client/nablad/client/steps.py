"""How far to go along a direction: step lengths and searches, as data. Whatever is None is the server's default."""

from __future__ import annotations

from dataclasses import dataclass

from nablad.client.settings import Settings


@dataclass(frozen=True)
class ConstantStep(Settings):
    """The same step length at every iteration: cheap, and as good as the number. Below 2 / (largest curvature)."""

    step_size: float
    """Positive and finite."""


@dataclass(frozen=True)
class ArmijoSearch(Settings):
    """Backtracking: shorter and shorter steps, until f falls by a share of what the slope promises (Armijo 1966)."""

    initial_step: float | None = None
    """The first trial's step length at the first iteration; free of units unless given."""
    sufficient_decrease: float | None = None
    """The share c1 of the promised decrease to insist on, in (0, 0.5). 1e-4 unless given."""
    shrink: float | None = None
    """The factor of each backtrack, in (0, 1)."""
    max_trials: int | None = None
    """At most so many trials an iteration."""


@dataclass(frozen=True)
class WolfeSearch(Settings):
    """A step at which f has fallen enough, and the slope has too (strong Wolfe; Nocedal and Wright 2006, section 3.5).

    What BFGS, L-BFGS and conjugate gradients need: the condition on the slope keeps their curvature positive.
    """

    initial_step: float | None = None
    """The first trial's step length at the first iteration."""
    sufficient_decrease: float | None = None
    """The share c1 of the promised decrease to insist on, in (0, 0.5), below `curvature`. 1e-4 unless given."""
    curvature: float | None = None
    """The share c2 of its size that the slope may keep, in (0, 1). Smaller is a more exact search. 0.9 unless given;
    0.1 in conjugate gradients."""
    max_trials: int | None = None
    """At most so many trials an iteration."""


@dataclass(frozen=True)
class BarzilaiBorwein(Settings):
    """The step that the last change of the gradient suggests (Barzilai and Borwein 1988), kept by a nonmonotone search.

    Often the best that gradients alone can do: f may rise now and then, and falls far faster in the long run.
    """

    memory: int | None = None
    """f must fall below the largest of so many values before. At least 1: then it falls every time."""
    max_trials: int | None = None
    """At most so many trials an iteration."""


@dataclass(frozen=True)
class ExactStep(Settings):
    """The minimizer along the direction, of a quadratic objective such as LeastSquares."""


@dataclass(frozen=True)
class TrustRegion(Settings):
    """Steps stay within a radius in which the quadratic model has proven true; it grows and shrinks by what is seen."""

    initial_radius: float | None = None
    """The first radius, in units of the scaled parameters. Positive; the server's own choice unless given."""
