r"""Does f fall without end? Values along rays tell, where the curvature along them says nothing.

A linear f, or one that is linear along a direction of no curvature (w^2 - b), has no minimum, and a test of the
gradient cannot tell: far out everything is small beside |f| and ||theta||, the gradient too. f is therefore followed
along rays theta + t d, at t = 1, 100, 100^2, ..., in units of the way that the run has come, or of theta where it
began. With the falls F_k between two neighbours,

    f falls without end   if   F_{k+1} >= 2 F_k > 0   for seven k in a row:

fourteen orders of magnitude over which f falls like a power of the distance, t^0.15 or steeper. Nothing that tends to a
limit does: the falls of exp(-t), 1/t and arctan(-t) shrink, those of a well end. Not told are falls as slow as -log t;
a minimum that is farther away than that, on a way along which nothing bends, would be taken for none.

- **Rays.** Directions of recession (Rockafellar 1970, section 8) are looked for among: what the run, and the negative
  gradient, have in the directions without curvature; the run's whole way; the negative gradient; and the parameters'
  own ways that have grown most. One that f has no slope along, downwards, is none.
- **Begun at two points**, the last and the first: from far away, b = 1e31, rounding hides w - b in (w - b)^2 - b, and
  from near by it does not.
- **Where the model is convex**, and f does rise beyond Newton's step as the model says, there is a minimum to go to.

Cost: one or two values for a ray that leads nowhere, thirteen for one that has no end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nablad.solvers.evidence import CurvatureFacts
from nablad.solvers.linalg.vectors import FloatArray, is_finite, norm
from nablad.solvers.methods.base import State
from nablad.solvers.objective import Objective
from nablad.solvers.probes import noise
from nablad.solvers.progress import Point

STRIDE = 100.0
STRIDES = 24
IN_A_ROW = 7
STEEPER = 2.0
FLATTENING = 4
"""After so many strides without one that falls more than the one before, f tends to a limit."""
NOISE_MARGIN = 10.0
"""Far out on a way along which f is constant its roundoff grows like the distance, and may fall like it."""
LEAST_SLOPE = 1e-6
"""In sum |g_i d_i|. A slope of less is the small difference of large ones: d is not quite the direction along which f
is constant, and leads off it at last."""
SINGLE_WAYS = 4
BEYOND = 10.0
"""In Newton steps: where a convex model's f must have risen again."""


@dataclass(frozen=True, eq=False)
class Fall:
    """A ray along which f falls without end."""

    direction: FloatArray
    """(p,)."""
    lowest: float
    """The last value that was looked at."""


def endless_fall(objective: Objective, at: State | Point, origin: Point, facts: CurvatureFacts | None) -> Fall | None:
    """The first such ray; None where none is found. `facts` are of the point, where they are known."""
    if objective.capabilities.residual or (facts is not None and _has_its_minimum(objective, at, facts)):
        return None  # a sum of squares is bounded by 0
    for base in (at, origin):
        for direction in _directions(objective, at, origin, facts, base):
            lowest = _followed(objective, base, direction)
            if lowest is not None:
                return Fall(direction, lowest)
    return None


def _has_its_minimum(objective: Objective, at: State | Point, facts: CurvatureFacts) -> bool:
    if facts.verdict != "minimum" or facts.step is None or not facts.step.any():
        return False
    ends = [at.theta + share * facts.step for share in (1.0, BEYOND)]
    if objective.bounds is not None and not all(objective.bounds.contains(end) for end in ends):
        return True
    near, far = (objective.value(end) for end in ends)
    return near < far


def _directions(
    objective: Objective, at: State | Point, origin: Point, facts: CurvatureFacts | None, base: State | Point
) -> Iterator[FloatArray]:
    """Rays from `base`, each as long as what is known there, along which f has a slope there, downwards."""
    way, descent = _finite(at.theta - origin.theta), _finite(-at.gradient)
    if objective.bounds is not None:
        descent = objective.bounds.projected(at.theta, at.gradient) * -1.0
    unit = norm(origin.theta) if base is origin else max(norm(at.theta), norm(way))
    found = [way, descent]
    if facts is not None and facts.spectrum is not None:
        found = [*(facts.spectrum.without_curvature(part) for part in found), *found]
    grown = np.abs(way) / np.where(origin.theta != 0.0, np.abs(origin.theta), 1.0)
    found += [np.where(np.arange(way.size) == i, way, 0.0) for i in np.argsort(-grown)[:SINGLE_WAYS]]
    for direction in found:
        length, terms = norm(direction), base.gradient * direction
        falls = -float(terms.sum()) > LEAST_SLOPE * float(np.abs(terms).sum())
        if falls and 0.0 < length < math.inf:
            yield direction / length * (unit or 1.0)


def _finite(way: FloatArray) -> FloatArray:
    """The way, or which way its infinite parts lead."""
    return way if is_finite(way) else np.where(np.isinf(way), np.sign(way), 0.0)


def _followed(objective: Objective, base: State | Point, direction: FloatArray) -> float | None:
    """The last value along the ray if f falls along it without end; None else."""
    before, fall, steeper, t = base.value, 0.0, 0, 1.0
    for k in range(STRIDES):
        theta = base.theta + t * direction
        if not is_finite(theta) or (objective.bounds is not None and not objective.bounds.contains(theta)):
            return None
        value = objective.value(theta)
        if not value < before:
            return None
        if value == -math.inf:
            return value
        steeper = steeper + 1 if before - value >= STEEPER * fall else 0
        if steeper >= IN_A_ROW:
            return value if before - value > NOISE_MARGIN * noise(objective, theta, value) else None
        if not steeper and k >= FLATTENING:
            return None
        before, fall, t = value, before - value, STRIDE * t
    return None
