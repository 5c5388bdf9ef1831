"""All that a run knows between two iterations, and its bytes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from nablad.solvers.bounds import Bounds
from nablad.solvers.expansion import Expansion
from nablad.solvers.methods.base import Method, State, fields_of
from nablad.solvers.objective import Counters, FloatArray, Objective
from nablad.solvers.packing import pack, unpack
from nablad.solvers.report import Seconds
from nablad.solvers.stopping import scaled_gradient
from nablad.solvers.trouble import Trouble

VERSION = 5
SETTLED = 0.999
"""A gradient norm counts as fallen below this share of what it was."""
NOISE = 100.0
"""The roundoff of f, in eps |f|."""
LENGTHS_KEPT = 12
"""Of the steps, for the order at which they shrink."""


class Point(NamedTuple):
    """A point of the run."""

    iteration: int
    theta: FloatArray
    value: float
    gradient: FloatArray
    gradient_norm: float

    @classmethod
    def of(cls, state: State, iteration: int) -> Point:
        return cls(iteration, state.theta, state.value, state.gradient, state.gradient_norm)


@dataclass
class Progress:
    """The run after `iteration`; everything here goes into a checkpoint."""

    iteration: int
    state: State
    arrived: int
    """The iteration that brought the state's point; earlier than `iteration` after a step that was refused."""
    best: Point
    """The lowest accepted point."""
    first_value: float
    first_gradient_norm: float
    first_scaled_gradient: float
    first_drop: float
    calm_value: float
    calm_gradient_norm: float
    """Where `stalled` steps in a row began: a slow run's steps are each too small to see, and their sum is not."""
    stalled: int
    origin: Point
    """Where the run began."""
    lengths: list[float]
    """The relative steps at the last accepted points, the newest last."""
    look_below: float
    """A point that passes a test is looked at only if its gradient norm is below this; each look in vain lowers it."""
    looks: int
    """Made in vain."""
    postponed: int
    """Looks that were put off."""
    unbounded_below: float
    """A value that seems to fall forever is looked at only if it is below this."""
    counts: Counters
    seconds: Seconds
    first_trouble: Trouble | None
    last_trouble: Trouble | None
    expansion: Expansion | None
    """What the objective is expanded about, where it is."""

    @classmethod
    def begin(cls, state: State, bounds: Bounds | None = None) -> Progress:
        return cls(
            iteration=0,
            state=state,
            arrived=0,
            best=Point.of(state, 0),
            first_value=state.value,
            first_gradient_norm=state.gradient_norm,
            first_scaled_gradient=scaled_gradient(state, bounds),
            first_drop=0.0,
            calm_value=state.value,
            calm_gradient_norm=state.gradient_norm,
            stalled=0,
            origin=Point.of(state, 0),
            lengths=[state.relative_step],
            look_below=math.inf,
            looks=0,
            postponed=0,
            unbounded_below=math.inf,
            counts=Counters(),
            seconds=Seconds(0.0, 0.0, 0.0),
            first_trouble=None,
            last_trouble=None,
            expansion=None,
        )

    def settle(self, state: State) -> None:
        """Tell the point of the state again, its numbers found to more digits."""
        self.state = state
        if self.best.iteration == self.arrived:
            self.best = Point.of(state, self.arrived)

    def advance(self, state: State, eps: float) -> None:
        """Go one iteration on, in place: a new value of so many fields would be a sixth of a small iteration's time."""
        self.iteration += 1
        if not state.accepted:
            self.state = state
            return
        calmer = state.gradient_norm < SETTLED * self.calm_gradient_norm
        if calmer or abs(state.value - self.calm_value) > NOISE * eps * abs(self.calm_value):
            self.stalled, self.calm_value = 0, state.value
            self.calm_gradient_norm = min(self.calm_gradient_norm, state.gradient_norm)
        else:
            self.stalled += 1
        self.arrived = self.iteration
        self.lengths = [*self.lengths[1 - LENGTHS_KEPT :], state.relative_step]
        self.first_drop = self.first_drop or max(0.0, self.state.value - state.value)
        self.state = state
        if state.value < self.best.value:
            self.best = Point.of(state, self.iteration)


def save(progress: Progress, method: Method[Any], size: int) -> bytes:
    """The bytes of a run between two iterations."""
    fields = fields_of(progress) | {
        "state": fields_of(progress.state),
        "best": progress.best._asdict(),
        "origin": progress.origin._asdict(),
        "counts": asdict(progress.counts),
        "seconds": asdict(progress.seconds),
        "first_trouble": None if progress.first_trouble is None else fields_of(progress.first_trouble),
        "last_trouble": None if progress.last_trouble is None else fields_of(progress.last_trouble),
        "expansion": None if progress.expansion is None else fields_of(progress.expansion),
    }
    header = {"version": VERSION, "method": method.name, "size": size, "dtype": progress.state.theta.dtype.str}
    return pack({"header": header, "progress": fields})


def restore(data: bytes, method: Method[Any], objective: Objective) -> Progress:
    """The inverse of `save`. Raises ValueError for damaged bytes, or those of another method, size or precision."""
    tree = unpack(data)
    try:
        header, fields = tree["header"], tree["progress"]
        expected = {"version": VERSION, "method": method.name, "size": objective.size, "dtype": objective.dtype.str}
        for name, value in expected.items():
            if header[name] != value:
                raise ValueError(f"resume: the state has {name} {header[name]!r}, this run {value!r}")
        return Progress(
            **fields
            | {
                "state": method.state_type(**fields["state"]),
                "best": Point(**fields["best"]),
                "origin": Point(**fields["origin"]),
                "counts": Counters(**fields["counts"]),
                "seconds": Seconds(**fields["seconds"]),
                "first_trouble": _trouble(fields["first_trouble"]),
                "last_trouble": _trouble(fields["last_trouble"]),
                "expansion": None if fields["expansion"] is None else Expansion(**fields["expansion"]),
            }
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"damaged nablad state: {error}") from error


def _trouble(fields: dict[str, Any] | None) -> Trouble | None:
    return None if fields is None else Trouble(**fields)


def is_finite_start(progress: Progress) -> bool:
    """Whether value and gradient at the start are finite."""
    return math.isfinite(progress.first_value) and math.isfinite(progress.first_gradient_norm)
