r"""The trust-region subproblem: the least value of a quadratic model within a ball.

    minimize g's + s'H s / 2   subject to   ||s|| <= radius

H is any symmetric matrix, g and s are in scaled parameters (s = D times the step, H = D^-1 Hess D^-1). s solves it if
and only if, for some multiplier lambda >= 0 (More and Sorensen 1983; Nocedal and Wright 2006, theorem 4.1),

    (H + lambda I) s = -g,   H + lambda I >= 0,   lambda (radius - ||s||) = 0.

**From the spectrum** (`Spectrum`), H = V L V' and h = V'g, all that is left is one equation in one unknown. It is
written in mu = lambda + L_1, the distance from the smallest eigenvalue,

    ||s||^2 = sum_i h_i^2 / (d_i + mu)^2 = radius^2,   d_i = L_i - L_1 >= 0,

in which nothing cancels: however near to the hard case, where h_1 all but vanishes and mu with it, every digit is
there. 1 / ||s|| - 1 / radius is concave in mu, so that Newton's iteration rises to the root from a point below it, and
there is one: the largest |h_i| / radius - d_i, or mu's least admissible value max(L_1, 0). In the hard case itself (L_1
< 0, h_1 = 0, and ||s|| below radius at mu = 0) an eigenvector of L_1 is added until the ball is met. The predicted
decrease is

    (sum_i h_i^2 / (d_i + mu) + lambda ||s||^2) / 2,

a sum of positive terms. Each further radius costs O(p^2), most of it for V times a vector: shrinking is free.

**From Cholesky factors** (`by_factors`), for many parameters: H + lambda I = R'R is factorized for a few lambda, each
25 times cheaper than the spectrum (measured, p = 200 to 400); Newton's iteration on the same equation, kept between
bounds for lambda that every factorization narrows; near the hard case a null vector of R is estimated and added (More
and Sorensen 1983, section 3). A tenth of the radius is near enough. Where `MAX_FACTORS` do not get there the spectrum
is taken: it always ends (scipy #12513, #20244 are what happens otherwise). `Ball` chooses between the two.

No number here depends on the units of f or of the parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nablad.solvers.linalg.lapack import routine
from nablad.solvers.linalg.symmetric import gradient_noise, step_spectrum
from nablad.solvers.linalg.vectors import FloatArray, epsilon, norm, ratio

MAX_FACTORS = 12
"""A dozen factorizations cost half as much as the spectrum."""
NEAR_EDGE = 0.1
"""A step from factors may miss the radius by this share of it."""
NEAR_OPTIMUM = 0.1
"""With a null vector added it may miss the model's least value by this share."""
ROOT_STEPS = 60


@dataclass(frozen=True)
class ModelStep:
    """A step within the ball, in scaled parameters."""

    step: FloatArray
    """Shape (p,)."""
    predicted: float
    """The model's decrease, >= 0."""
    multiplier: float
    """lambda."""
    at_edge: bool
    """The radius alone kept it from being longer."""


@dataclass(frozen=True)
class Spectrum:
    """H = V L V' with h = V'g."""

    values: FloatArray
    """L ascending, shape (p,)."""
    vectors: FloatArray
    """V, shape (p, p)."""
    slopes: FloatArray
    """h, shape (p,)."""

    def step(self, radius: float) -> ModelStep:
        """The solution for this radius, inf where the model has a minimizer; no step for one that is 0 by underflow."""
        values, h = self.values, self.slopes
        size = values.size
        if size == 0 or not radius > 0.0:
            return ModelStep(np.zeros_like(h), 0.0, 0.0, size > 0)
        lowest = float(values[0])
        gaps = values - lowest
        least = max(lowest, 0.0)
        y = _inverse(h, gaps + least)
        length = norm(y)
        if length <= radius:
            return self._inside(y, least, lowest, length, radius)
        with np.errstate(over="ignore"):
            mu = _root(h, gaps, least, radius)
        y = _inverse(h, gaps + mu)
        length = norm(y)
        if not length > 0.0:
            return self._steepest(radius)
        y = y * min(1.0, radius / length)
        multiplier = mu - lowest
        predicted = -0.5 * float(h.dot(y)) + 0.5 * multiplier * radius * radius
        return ModelStep(self.vectors @ y, predicted, multiplier, True)

    def _steepest(self, radius: float) -> ModelStep:
        """The step within a ball so small that ||h|| / radius leaves the range of numbers: no curvature counts in it.

        A run at a kink at 0, |x|, comes to such balls.
        """
        steepness = norm(self.slopes)
        y = -self.slopes / steepness * radius
        return ModelStep(self.vectors @ y, radius * steepness, math.inf, True)

    def _inside(self, y: FloatArray, least: float, lowest: float, length: float, radius: float) -> ModelStep:
        """At mu's least value the step is short enough: the minimizer, or else the hard case."""
        predicted = -0.5 * float(self.slopes.dot(y))
        multiplier = least - lowest
        if multiplier > 0.0:
            # (radius - length)(radius + length), which neither overflows nor cancels as the squares' difference would.
            missing = math.sqrt(radius - length) * math.sqrt(radius + length)
            y = y.copy()
            y[0] = missing if self._sign() > 0 else -missing
            predicted += 0.5 * multiplier * radius * radius
        return ModelStep(self.vectors @ y, predicted, multiplier, multiplier > 0.0)

    def _sign(self) -> int:
        """Which way along the first eigenvector, whose own sign is the library's whim."""
        v = self.vectors[:, 0]
        return 1 if v[int(np.argmax(np.abs(v)))] > 0 else -1


def spectrum(H: FloatArray, g: FloatArray) -> Spectrum:
    """The spectrum of a finite symmetric H (p, p), with g (p,) in its basis."""
    values: Any
    vectors: Any
    values, vectors = np.linalg.eigh(H)
    h = vectors.T @ g
    # What is so small beside the rest decides nothing, and its quotients would leave the range of numbers.
    negligible = math.sqrt(float(np.finfo(h.dtype).tiny)) * float(np.max(np.abs(h), initial=0.0))
    return Spectrum(values, vectors, np.where(np.abs(h) <= negligible, h.dtype.type(0.0), h))


def reckoned(found: Spectrum, H: FloatArray, scaled_theta: FloatArray) -> Spectrum:
    """The spectrum of H as steps reckon with it: no curvature that roundoff may have made, no slope along such
    directions that rounding theta makes; `scaled_theta` is D theta, (p,)."""
    values = step_spectrum(found.values)
    noise = gradient_noise(H, found.vectors, scaled_theta)
    lost = (values == 0.0) & (np.abs(found.slopes) <= noise)
    return Spectrum(values, found.vectors, np.where(lost, values.dtype.type(0.0), found.slopes))


SPECTRUM_SIZE = 100
"""Up to so many parameters the spectrum takes a millisecond, less than the Hessian it belongs to."""


class Ball:
    """One model, asked for its step in one ball after the other.

    H (p, p) symmetric and g (p,), in scaled parameters; `scaled_theta` is D theta, (p,). `flat` says that H is singular
    to working precision: only the spectrum then tells a slope from roundoff.
    """

    def __init__(self, H: FloatArray, g: FloatArray, scaled_theta: FloatArray, flat: bool) -> None:
        self.H = H
        self.g = g
        self.scaled_theta = scaled_theta
        self.small = flat or g.size <= SPECTRUM_SIZE
        self._spectrum: Spectrum | None = None
        self.multiplier = 0.0
        """Of the last step."""

    def step(self, radius: float) -> ModelStep:
        """The step for this radius, > 0."""
        found = self.spectrum.step(radius) if self.small else by_factors(self.H, self.g, radius)
        self.multiplier = found.multiplier
        return found

    @property
    def spectrum(self) -> Spectrum:
        if self._spectrum is None:
            self._spectrum = reckoned(spectrum(self.H, self.g), self.H, self.scaled_theta)
        return self._spectrum

    def correction(self, error: FloatArray, step: FloatArray, longest: float) -> FloatArray | None:
        """c (p,) with the least error'c + c'(H + lambda I) c / 2 across the step, c's = 0, at most about `longest`;
        lambda is the last step's. None where H + lambda I is not positive definite."""
        if self.small:
            return _across(self.spectrum, self.multiplier, error, step, longest)
        shifted = self.H.copy()
        np.fill_diagonal(shifted, np.diagonal(self.H) + self.multiplier)
        R, info = routine("potrf", shifted)(shifted, lower=0, clean=1)
        if info != 0:
            return None
        solved, _ = routine("potrs", R)(R, np.column_stack([-error, step]), lower=0)
        c = _orthogonal(solved[:, 0], solved[:, 1], step)
        return c if norm(c) <= longest else None


LEAST_SHARE = 1e-14
DAMPINGS = 30


def _across(
    found: Spectrum, multiplier: float, error: FloatArray, step: FloatArray, longest: float
) -> FloatArray | None:
    """The correction by the spectrum, damped where it would be longer: soft directions give way first."""
    shifted = found.values + multiplier
    largest = float(shifted.max())
    if not largest > 0.0:
        return None
    shifted = np.maximum(shifted, LEAST_SHARE * largest)
    e, s = found.vectors.T @ error, found.vectors.T @ step
    damping = 0.0
    for _ in range(DAMPINGS):
        c = _orthogonal(-e / (shifted + damping), s / (shifted + damping), s)
        if norm(c) <= longest:
            return np.asarray(found.vectors @ c)
        damping = max(4.0 * damping, 1e-10 * largest)
    return None


def _orthogonal(c: FloatArray, solved: FloatArray, step: FloatArray) -> FloatArray:
    """c minus its part along the step, in the metric of the matrix that `solved` = matrix^-1 step comes from."""
    along = float(step.dot(solved))
    return c - (float(step.dot(c)) / along) * solved if along > 0.0 else c


def _inverse(h: FloatArray, shifted: FloatArray) -> FloatArray:
    """-h / shifted, where 0 / 0 is 0."""
    with np.errstate(divide="ignore", over="ignore"):
        return -np.divide(h, shifted, out=np.zeros_like(h), where=h != 0.0)


def _root(h: FloatArray, gaps: FloatArray, least: float, radius: float) -> float:
    """mu > least with ||h / (gaps + mu)|| = radius; at `least` the norm is larger."""
    low = max(least, float(np.max(np.abs(h) / radius - gaps)))
    high = norm(h) / radius
    mu = low
    for _ in range(ROOT_STEPS):
        y = _inverse(h, gaps + mu)
        length = norm(y)
        if length > radius:
            low = mu
        else:
            high = mu
        if abs(length - radius) <= 4.0 * epsilon(h.dtype) * radius or not low < high:
            break
        u = y / length
        rate = float((u * u / (gaps + mu)).sum())
        following = mu + (length / radius - 1.0) / rate
        mu = following if low < following < high else low + 0.5 * (high - low)
    return mu


def by_factors(H: FloatArray, g: FloatArray, radius: float) -> ModelStep:
    """The step of a finite symmetric H (p, p) and g (p,) for this radius, > 0, to `NEAR_EDGE` and `NEAR_OPTIMUM`."""
    return _factors(H, g, radius) or spectrum(H, g).step(radius)


def _factors(H: FloatArray, g: FloatArray, radius: float) -> ModelStep | None:
    """The same, or None after `MAX_FACTORS` factorizations."""
    potrf, trtrs = routine("potrf", H), routine("trtrs", H)
    diagonal = np.diagonal(H)
    steepest = ratio(norm(g), radius)
    if not (radius > 0.0 and steepest < math.inf):
        return None
    bound = min(norm(H.ravel()), float(np.abs(H).sum(axis=0).max()))
    low, high = max(0.0, -float(diagonal.min()), steepest - bound), steepest + bound
    multiplier = low
    for _ in range(MAX_FACTORS):
        shifted = H.copy()
        np.fill_diagonal(shifted, diagonal + multiplier)
        R, info = potrf(shifted, lower=0, clean=1)
        following = -1.0
        if info == 0:
            w, _ = trtrs(R, -g, trans=1)
            s, _ = trtrs(R, w)
            length, squared = norm(s), float(w.dot(w))
            inside = length <= radius
            whole = squared + multiplier * (radius if inside else length) ** 2
            if (inside and multiplier == 0.0) or abs(length - radius) <= NEAR_EDGE * radius:
                predicted = 0.5 * (squared + multiplier * length * length)
                return ModelStep(s, predicted, multiplier, multiplier > 0.0)
            if inside:
                high = multiplier
                z = _null_vector(R)
                rest = norm(R @ z) ** 2
                tau = _to_the_ball(s, z, radius)
                if tau * tau * rest <= NEAR_OPTIMUM * whole:
                    return ModelStep(s + tau * z, 0.5 * (whole - tau * tau * rest), multiplier, True)
                low = max(low, multiplier - rest)
            else:
                low = multiplier
            if length > 0.0:
                v, _ = trtrs(R, s / length, trans=1)
                following = multiplier + (length / radius - 1.0) / float(v.dot(v))
        else:
            low = max(low, multiplier)
        multiplier = following if low < following < high else max(math.sqrt(low * high), low + 0.01 * (high - low))
    return None


def _null_vector(R: FloatArray) -> FloatArray:
    """A unit z with ||R z|| near R's smallest singular value: two steps of inverse iteration, its sign fixed."""
    trtrs = routine("trtrs", R)
    z = np.asarray(np.random.default_rng(0).standard_normal(R.shape[0]), dtype=R.dtype)
    for _ in range(2):
        y, _ = trtrs(R, z, trans=1)
        z, _ = trtrs(R, y / norm(y))
        z = z / norm(z)
    return np.asarray(z if z[int(np.argmax(np.abs(z)))] > 0 else -z)


def _to_the_ball(s: FloatArray, z: FloatArray, radius: float) -> float:
    """The smaller tau, in size, with ||s + tau z|| = radius, for ||s|| <= radius and a unit z."""
    along = float(s.dot(z))
    length = norm(s)
    missing = (radius - length) * (radius + length)
    root = math.sqrt(along * along + missing)
    return missing / (along + math.copysign(root, along))
