r"""What a few products with the Hessian tell of a point, where the Hessian itself costs too much (evidence.affordable).

**How far from stationary?** Conjugate gradients on H s = -g, from s = 0, give steps whose promise d = -g's / 2 is a
lower bound of Newton's decrement that only grows (Nocedal and Wright 2006, section 5.1): if it is too large, the point
is disproved at a few products. Each such step has s'Hs = 2 d, so that the model along it is f + d (t^2 - 2 t), and its
length is t = sqrt(2 d) / N in units of the curvature, with N^2 = |theta'H theta|, but not less than verification.py's
share of what f has lost, where the curvature explains that loss. A long step that promises little is what a minimum at
infinity looks like (probes.recedes).

**Is curvature negative?** What the gradient does not reach, such a step never sees, and at a stationary point it sees
nothing. A Krylov space from a random vector does: the least eigenvalue of the Lanczos matrix T = Q'H Q is v'Hv for a
vector v of that space, an upper bound of H's least (Golub and Van Loan 2013, chapter 10), and comes within a share eps
of the spread of H's eigenvalues in some log(p / delta^2) / (4 sqrt eps) products, with probability 1 - delta over the
random vector (Kuczynski and Wozniakowski 1992): negative curvature of a tenth of the largest is seen by ten or twenty,
of a thousandth by some hundred. The parameters are scaled by D, D_i^2 = ||H_i||, the rows' norms being estimated from
products with random signs as in methods/newton_cg.py: by Sylvester's law of inertia no sign depends on it, and units do
not hide what is negative. v'Hv counts if it is negative beyond roundoff, and beyond what the curvature may change by
over the step that is still to go, `DRIFT` t of the largest: on the way to a minimum with flat directions it may well be
a little negative.

What products do not disprove stays "unverified", and the note says what was looked at. Vectors are seeded: the same run
has the same verdict.

Cost: a product costs about two gradients. The step takes at most `MOST_STEPS`, but no more than a quarter of the run's
gradients in number, the space and D together at most `MOST_SAMPLES`, but no more than a twelfth; each a handful, where
that is less, and one or two more for N. A point that the step disproves pays no space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nablad.solvers.bounds import inward
from nablad.solvers.evidence import DRIFT, CurvatureFacts, too_large, without_hessian
from nablad.solvers.linalg.lanczos import Lanczos
from nablad.solvers.linalg.symmetric import curvature_tolerance
from nablad.solvers.linalg.vectors import epsilon, is_finite, norm, ratio
from nablad.solvers.methods.base import State
from nablad.solvers.objective import FloatArray, Objective
from nablad.solvers.progress import Point
from nablad.solvers.verification import DROP_SHARE, RESPONSIBLE, WEAK, Look
from nablad.solvers.words import counted

FEWEST_STEPS, MOST_STEPS, GRADIENTS_PER_STEP = 5, 25, 4
"""A far start's claim (Rosenbrock's function of 100 parameters, from a hundred times its start, "done" by its relative
gradient at f = 6,096) falls at the first product."""
FEWEST_SAMPLES, MOST_SAMPLES, GRADIENTS_PER_SAMPLE = 4, 30, 12
RESIDUAL = 1e-2
"""Of the gradient's length: what the step may leave."""
MOST_PROBES, MANY = 4, 15
"""Of so many products that number estimate the rows' norms, of fewer one."""
LEAST_ROW = 1e-4
"""Of the largest row's norm: smaller ones are taken for it."""
SEED = 2


class NotFinite(Exception):
    """A product with the Hessian was NaN or infinite."""


@dataclass(frozen=True)
class Approach:
    """The step of conjugate gradients, as far as it was taken."""

    step: FloatArray
    """(p,)."""
    decrement: float
    """d; inf where f falls along a direction of no curvature."""
    length: float
    """t; 0 of a step that ended because the point is disproved."""
    early: bool
    """f is not minimized to half of its digits, or the gradient leads along negative curvature."""


class Products:
    """The Hessian at a state's point, among the parameters that no bound holds."""

    def __init__(self, objective: Objective, at: State) -> None:
        self.objective = objective
        self.theta = at.theta
        self.free = free_inside(objective, at)
        self.count = 0

    def __call__(self, v: FloatArray) -> FloatArray:
        """H v, both restricted, shape (p,). Raises NotFinite."""
        self.count += 1
        found = self.objective.hvp(self.theta, self.free * v)
        if not is_finite(found):
            raise NotFinite
        return np.asarray(self.free * found)


def free_inside(objective: Objective, at: State) -> NDArray[np.bool_]:
    """Which parameters may move both ways, shape (p,)."""
    if objective.bounds is None:
        return np.ones(at.theta.size, dtype=bool)
    return objective.bounds.free(at.theta, at.gradient)


def approached(
    objective: Objective, at: State, origin: Point, gradients: int, thorough: bool = False
) -> Approach | None:
    """The step towards the stationary point nearby, by a share of what the run's `gradients` cost; None where products
    are not finite. It ends where the point is disproved, unless `thorough`."""
    most = min(max(gradients // GRADIENTS_PER_STEP, FEWEST_STEPS), MOST_STEPS)
    try:
        return _approached(Products(objective, at), at, origin, most, thorough)
    except NotFinite:
        return None


def _approached(product: Products, at: State, origin: Point, products: int, thorough: bool) -> Approach:
    half = math.sqrt(epsilon(at.theta.dtype))
    gradient = product.free * at.gradient
    size = norm(gradient)
    if size == 0.0:
        return Approach(np.zeros_like(gradient), 0.0, 0.0, False)
    natural = abs(float(at.theta.dot(product(at.theta))))
    enough = half * max(abs(at.value), 0.5 * half * natural)
    # All of this for a gradient of length 1: its own square may be no number.
    residual = gradient / size
    direction, step = -residual, np.zeros_like(residual)
    square, promised, early = 1.0, 0.0, False
    for _ in range(products):
        if not square > RESIDUAL * RESIDUAL or (early and not thorough):
            break
        image = product(direction)
        bend = float(direction.dot(image))
        if not bend > 0.0:
            early, promised = True, promised if bend < 0.0 else math.inf
            break
        alpha = square / bend
        step = step + alpha * direction
        promised += 0.5 * alpha * square
        early = early or size * promised * size > enough
        residual = residual + alpha * image
        before, square = square, float(residual.dot(residual))
        direction = (square / before) * direction - residual
    decrement = size * promised * size
    longest = _longest(product, at, origin, natural) if thorough or not early else math.inf
    return Approach(size * step, decrement, ratio(math.sqrt(2.0 * decrement), longest), early)


def _longest(product: Products, at: State, origin: Point, natural: float) -> float:
    """N. What f has lost says nothing of it where this curvature, over the way, cannot have brought f down."""
    moved, drop = product.free * (at.theta - origin.theta), max(origin.value - at.value, 0.0)
    share = DROP_SHARE * math.sqrt(2.0 * drop)
    slope = float(np.abs(origin.gradient).dot(np.abs(moved)))
    if not natural < WEAK * drop < math.inf or not slope >= RESPONSIBLE * drop:
        return max(math.sqrt(natural), share)
    explained = abs(float(moved.dot(product(moved)))) if origin.theta.any() else natural
    return math.sqrt(max(natural, explained)) if explained < WEAK * drop else share


def as_known(approach: Approach) -> tuple[CurvatureFacts, Look]:
    """What the step alone tells of the point."""
    short = approach.length <= epsilon(approach.step.dtype) ** (1 / 3)
    facts = CurvatureFacts("unverified", step=approach.step, decrement=approach.decrement)
    return facts, Look(not approach.early, step=approach.length, short=short)


def sampled(objective: Objective, at: State, approach: Approach | None, gradients: int) -> tuple[CurvatureFacts, Look]:
    """What is known of the point: it is a "saddle", or "flat" where no curvature was met, or else "unverified".

    As in evidence.py this is of the curvature alone: `conclusion.stated` takes "flat" from a point that is not
    stationary.
    """
    if not free_inside(objective, at).any():
        note = "Bounds hold every parameter."
        held = CurvatureFacts("minimum", rank=0, decrement=0.0, active=at.theta.size, note=note)
        return held, Look(True)
    plain = too_large(objective)
    try:
        if approach is None:
            raise NotFinite
        product = Products(objective, at)
        products = min(max(gradients // GRADIENTS_PER_SAMPLE, FEWEST_SAMPLES), MOST_SAMPLES)
        lowest, largest = _extremes(product, products)
    except NotFinite:
        return without_hessian(), Look(False)
    facts, found = as_known(approach)
    looked = f"{counted(product.count, 'product')} with the Hessian, along random vectors,"
    if lowest == largest == 0.0:
        told = f"{looked} {'was' if product.count == 1 else 'were'} zero."
        return replace(facts, verdict="flat", note=told), found
    bound = max(curvature_tolerance(at.theta.size, epsilon(at.theta.dtype)), DRIFT * approach.length)
    if lowest < -bound * max(abs(lowest), abs(largest)):
        return replace(facts, verdict="saddle", note=f"{looked} showed it."), found
    told = f"{counted(product.count, 'product')} with it, along random vectors, met no negative curvature."
    return replace(facts, note=f"{plain} {told}"), found


def _extremes(product: Products, products: int) -> tuple[float, float]:
    """The least and the largest eigenvalue that a Krylov space from a random vector holds, of the scaled Hessian."""
    generator = np.random.default_rng(SEED)
    theta, free = product.theta, product.free
    probes = MOST_PROBES if products >= MANY else 1
    rows = [np.abs(product(np.asarray(_signs(generator, theta), theta.dtype))) for _ in range(probes)]
    largest = max(float(np.max(row)) for row in rows)
    if not largest > 0.0:
        return 0.0, 0.0
    sizes = np.sqrt(np.mean([(row / largest) ** 2 for row in rows], axis=0))
    scale = np.sqrt(np.maximum(sizes, LEAST_ROW)).astype(theta.dtype)
    first = (free * generator.standard_normal(theta.size)).astype(theta.dtype)
    # Divided by the largest row, so that neither units of f nor of the parameters leave the range of numbers.
    space = Lanczos(lambda v: product(v / scale) / scale / largest, first, products - probes)
    lowest, vector = space.lowest()
    least, bounds = float(lowest), product.objective.bounds
    if bounds is not None and bounds.sides(theta)[free].any():
        # Where a bound is touched, only what leads into the box counts (critical_cone.py).
        cuts = [cut / norm(scale * cut) for cut in inward(bounds, theta, vector / scale) if cut.any()]
        least = min((float(cut.dot(product(cut))) / largest for cut in cuts), default=0.0)
    return least, float(space.values[-1])


def _signs(generator: np.random.Generator, like: FloatArray) -> FloatArray:
    return np.where(generator.random(like.size) < 0.5, -1.0, 1.0)
