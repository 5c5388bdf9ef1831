r"""The step of a quadratic model inside a box and a ball.

    minimize q(s) = g's + s'B s / 2   subject to   lower <= s <= upper,   ||D s|| <= radius,    lower <= 0 <= upper

B need not be positive definite. After Lin and More (1999, TRON) and More and Toraldo (1991), in three parts:

1. The face that holds at s = 0: parameters on a side of the box against which -g presses stay, the rest are free. If
   the minimizer on it lies in the box and no multiplier has the wrong sign, that is the answer: the only work in most
   iterations of a run.
2. Else the Cauchy point: along the projected path P(-t D^-2 g), t is halved or doubled until q falls by a share of what
   g promises (their conditions 3.2). It finds most of the right face at once, and is what convergence proofs rest on.
3. On the face of the point at hand, the minimizer u of the ball is found, and the projected path from s to u searched
   for a decrease of q; parameters that meet a side join the face, and so on until u itself is reached. Then the
   multipliers are looked at: parameters that q would rather see inside are let go, all at once where that brings a
   decrease, the worst one alone where it does not (Lawson and Hanson 1974, chapter 23, for one at a time: for convex q
   it always descends, no face comes twice, and the end is the solution, not an approximation).

The ball is centered at 0, which lies in the box. Clipping towards 0 shortens ||D s||, and every point between two of
the ball lies in it: so the whole of this takes place in box and ball. With D in the units of 1/theta nothing depends
on the parameters' units.

Cost: one call of `solve` and one to a few products per face; one face where no side of the box matters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nablad.solvers.linalg.vectors import FloatArray, epsilon, norm

Mask = NDArray[np.bool_]
Product = Callable[[FloatArray], FloatArray]
SolveFace = Callable[[Mask, FloatArray, FloatArray, float], FloatArray]

SHARE = 0.01
"""Of the decrease that the slope promises, what a point on a projected path must keep (Lin and More's mu_0)."""
HALVINGS = 8
"""Of a projected path; the part of it that meets no side is the last resort."""
CAUCHY_TRIALS = 60
SIGN_MARGIN = 100.0
"""In eps: a multiplier below this share of the terms that it is the sum of has no sign."""
ON_THE_BALL = 1e-6
"""A step is held by the ball if it is so near to it."""


@dataclass(frozen=True)
class BoxStep:
    """A step inside the box and the ball."""

    step: FloatArray
    """s, shape (p,)."""
    decrease: float
    """-q(s), not negative."""
    active: Mask
    """Which parameters the step leaves, or puts, on a side of the box where q holds them; shape (p,)."""
    settled: bool
    """Whether s is the minimizer on its face and no multiplier is of the wrong sign; False after too many faces."""


def room(theta: FloatArray, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The box of the steps from theta: what is left below and above it, shapes (p,)."""
    return lower - theta, upper - theta


def land(theta: FloatArray, step: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """theta + step, on the very bound where the step goes all the way to it: no rounding leaves a sliver or a trespass.

    theta and step of shape (p,), with the step within `room(theta, lower, upper)`.
    """
    below, above = room(theta, lower, upper)
    moved = np.minimum(np.maximum(theta + step, lower), upper)
    return np.where(step <= below, lower, np.where(step >= above, upper, moved)).astype(theta.dtype, copy=False)


def box_step(
    gradient: FloatArray,
    product: Product,
    lower: FloatArray,
    upper: FloatArray,
    scale: FloatArray,
    radius: float,
    solve: SolveFace,
    max_faces: int | None = None,
) -> BoxStep:
    """The step s (p,) that minimizes q in box and ball; for B that is not positive definite, a local solution.

    `gradient` g (p,). `product(v)` is B v (p,). `lower` <= 0 <= `upper` (p,), from `room`; equal to 0 both where a
    parameter is fixed. `scale` D > 0 (p,). `radius` may be inf where q is bounded below in the box.

    `solve(free, fixed, linear, radius)` returns u (m,), the minimizer of linear'u + u'B_FF u / 2 subject to
    ||D_F u|| <= radius, where F are the m > 0 parameters that are True in `free` (p,). `fixed` (p,) is s outside of F
    and 0 in it, and linear = (g + B fixed)_F (m,): whoever has B = 2 R'R takes the residual R fixed from `fixed`, and
    loses no digit to the squares. Note that u is the whole step in F, not a correction. An inexact u does no harm
    beyond its own error. It may raise to end everything, which makes it the place to look at the clock.

    `max_faces` bounds the calls of `solve`: p + 10 unless given.
    """
    search = _Search(gradient, product, lower, upper, scale, radius, solve)
    return search.run(gradient.size + 10 if max_faces is None else max_faces)


class _Search:
    """The point at hand, s, with B s and the face."""

    def __init__(
        self,
        gradient: FloatArray,
        product: Product,
        lower: FloatArray,
        upper: FloatArray,
        scale: FloatArray,
        radius: float,
        solve: SolveFace,
    ) -> None:
        self.gradient = gradient
        self.product = product
        self.lower = lower
        self.upper = upper
        self.scale = scale
        self.radius = radius
        self.solve = solve
        self.eps = epsilon(gradient.dtype)
        self.stuck = lower == upper
        self.s = np.zeros_like(gradient)
        self.bs = np.zeros_like(gradient)
        self.free = self._not_pressed()
        self.faces = 0

    def run(self, max_faces: int) -> BoxStep:
        if self._whole_face():
            return self._found(True)
        self._cauchy()
        bold = True
        while self.faces < max_faces:
            moved, reached = self._descend() if self.free.any() else (False, True)
            if moved and not reached:
                continue
            self.free &= (self.lower < self.s) & (self.s < self.upper)
            wrong = self._wrong()
            if not wrong.any():
                return self._found(reached)
            if not (moved or bold):
                break
            bold = bold and moved
            self.free |= wrong if bold else _worst(wrong, self._multipliers() / self.scale)
        return self._found(False)

    def _not_pressed(self) -> Mask:
        pressed = ((self.lower >= 0.0) & (self.gradient > 0.0)) | ((self.upper <= 0.0) & (self.gradient < 0.0))
        return np.asarray(~(pressed | self.stuck))

    def _whole_face(self) -> bool:
        """Try the face that holds at 0: True if its minimizer is the answer."""
        if not self.free.any():
            return True
        target = self._minimizer()
        if not (np.isfinite(target).all() and self._inside(target)):
            return False
        bs = self.product(target)
        if not float(self.gradient.dot(target)) + 0.5 * float(target.dot(bs)) <= 0.0:
            return False
        self.s, self.bs = target, bs
        self.free &= (self.lower < target) & (target < self.upper)
        return not self._wrong().any()

    def _inside(self, s: FloatArray) -> bool:
        return bool(((self.lower <= s) & (s <= self.upper)).all())

    def _minimizer(self) -> FloatArray:
        """The minimizer on the face and in the ball, shape (p,)."""
        self.faces += 1
        fixed = np.where(self.free, 0.0, self.s).astype(self.s.dtype, copy=False)
        linear = self.gradient + self.product(fixed) if fixed.any() else self.gradient
        used = norm(self.scale * fixed)
        left = self.radius
        if math.isfinite(left) and used > 0.0:
            left = math.sqrt(max((left - used) * (left + used), 0.0))
        target = fixed.copy()
        if left > 0.0:
            target[self.free] = self.solve(self.free, fixed, linear[self.free], left)
        return target

    def _cauchy(self) -> None:
        """s = P(-t D^-2 g), with t such that q falls by a share of what the slope promises, and nearly no larger."""
        self.s, self.bs = np.zeros_like(self.gradient), np.zeros_like(self.gradient)
        direction = np.where(self._not_pressed(), -self.gradient / self.scale / self.scale, 0.0)
        length = norm(self.scale * direction)
        if length == 0.0 or not math.isfinite(length):
            return
        # Beyond the last side that the path meets nothing changes.
        with np.errstate(divide="ignore", invalid="ignore"):
            sides = np.where(direction > 0.0, self.upper, self.lower)
            breaks = np.where(direction != 0.0, sides / direction, 0.0)
        last = min(self.radius / length, float(breaks.max()))
        bend = float(direction.dot(self.product(direction)))
        t = -float(self.gradient.dot(direction)) / bend if bend > 0.0 else last
        t = min(t, last)
        if not math.isfinite(t):
            return
        best, growing = self._at(t, direction), False
        for _ in range(CAUCHY_TRIALS):
            if best is None:
                if growing:
                    break
                t *= 0.5
                best = self._at(t, direction)
                continue
            self.s, self.bs = best
            if t >= last or not (growing or bool(self._touched(best[0], direction).any())):
                break
            # Where a side was met, the curvature along the first piece no longer tells the length.
            growing, t = True, min(2.0 * t, last)
            farther = self._at(t, direction)
            best = farther if farther is not None and self._q(*farther) < self._q(self.s, self.bs) else None
        self.free = (self.lower < self.s) & (self.s < self.upper)

    def _touched(self, s: FloatArray, direction: FloatArray) -> Mask:
        return np.asarray((direction != 0.0) & ((s <= self.lower) | (s >= self.upper)))

    def _at(self, t: float, direction: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """P(t d) and B P(t d), if acceptable."""
        s = self._clip(t * direction)
        bs = self.product(s)
        slope = float(self.gradient.dot(s))
        return (s, bs) if slope + 0.5 * float(s.dot(bs)) <= SHARE * slope and slope < 0.0 else None

    def _q(self, s: FloatArray, bs: FloatArray) -> float:
        return float(self.gradient.dot(s)) + 0.5 * float(s.dot(bs))

    def _clip(self, s: FloatArray) -> FloatArray:
        return np.asarray(np.minimum(np.maximum(s, self.lower), self.upper), dtype=self.s.dtype)

    def _descend(self) -> tuple[bool, bool]:
        """Search from s towards the minimizer on the face: whether s moved, and whether it came all the way."""
        target = self._minimizer()
        if not np.isfinite(target).all():
            return False, False
        ends = [target] if self.s.any() else [target, -target]  # from a saddle, both ways are as good
        for end in ends:
            direction = end - self.s
            if not direction.any():
                return False, True
            found = self._along(direction, end)
            if found is not None:
                self.s, self.bs = found
                self.free &= (self.lower < self.s) & (self.s < self.upper)
                return True, bool((self.s == end).all())
        # No decrease to be seen over no length to speak of: s is the minimizer, as far as can be told.
        small = norm(self.scale * (target - self.s)) <= SIGN_MARGIN * self.eps * norm(self.scale * target)
        return False, small

    def _along(self, direction: FloatArray, end: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """A lower point of the projected path from s to `end`, with its product; None if there is none."""
        slope = self.gradient + self.bs
        first, met = self._reach(direction)
        if first >= 1.0:
            return self._lower(self._clip(end), slope)
        t = 1.0
        for _ in range(HALVINGS):
            if t <= first:
                break
            if (found := self._lower(self._clip(self.s + t * direction), slope)) is not None:
                return found
            t *= 0.5
        at_side = np.where(met, np.where(direction > 0.0, self.upper, self.lower), self.s + first * direction)
        return self._lower(self._clip(at_side), slope) if first > 0.0 else None

    def _reach(self, direction: FloatArray) -> tuple[float, Mask]:
        """How far along the ray the first side is, and whose it is."""
        with np.errstate(divide="ignore", invalid="ignore"):
            sides = np.where(direction > 0.0, self.upper, self.lower)
            steps = np.where(direction != 0.0, (sides - self.s) / direction, np.inf)
        first = float(steps.min(initial=math.inf))
        return first, np.asarray(steps == first)

    def _lower(self, trial: FloatArray, slope: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """The trial with its product if q is lower there by a share of what the slope promises."""
        moved = trial - self.s
        bmoved = self.product(moved)
        promised = float(slope.dot(moved))
        change = promised + 0.5 * float(moved.dot(bmoved))
        if not (change < 0.0 and change <= SHARE * promised):
            return None
        return trial, self.product(trial)

    def _multipliers(self) -> FloatArray:
        """The gradient of q and of the ball's own multiplier at s: zero on the free parameters, where s minimizes."""
        slope = self.gradient + self.bs
        size = norm(self.scale * self.s)
        if size < (1.0 - ON_THE_BALL) * self.radius or size == 0.0:
            return slope
        scaled = self.scale * self.s
        inside = scaled[self.free]
        below = norm(inside)
        ball = -float((slope / self.scale)[self.free].dot(inside / below)) / below if below > 0.0 else 0.0
        return np.asarray(slope + max(0.0, ball) * self.scale * scaled)

    def _wrong(self) -> Mask:
        """The parameters on a side of the box that q would rather see inside."""
        multipliers = self._multipliers()
        terms = (np.abs(self.gradient) + np.abs(self.bs)) / self.scale
        noise = SIGN_MARGIN * self.eps * self.scale * float(terms.max(initial=0.0))
        inwards = ((self.s <= self.lower) & (multipliers < -noise)) | ((self.s >= self.upper) & (multipliers > noise))
        return np.asarray(inwards & ~self.free & ~self.stuck)

    def _found(self, settled: bool) -> BoxStep:
        return BoxStep(self.s, max(0.0, -self._q(self.s, self.bs)), ~self.free, settled)


def _worst(wrong: Mask, multipliers: FloatArray) -> Mask:
    """Only the parameter with the largest of these multipliers, in no units."""
    one = np.zeros_like(wrong)
    one[int(np.argmax(np.where(wrong, np.abs(multipliers), -1.0)))] = True
    return one
