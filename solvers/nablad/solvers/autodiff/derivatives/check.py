"""Computed derivatives beside difference quotients, over a range of steps.

The central quotient D(h) = (f(x + h) - f(x - h)) / 2h misses f' by h^2 f'''/6 + ..., and by the rounding of f over h:
its error falls with h^2, reaches about eps^(2/3), and rises again (Nocedal and Wright 2006, section 8.1). No single h
is right for every entry, so all are tried, and the quotient judges itself first: where D changes least from one step to
the next, that change bounds what it can tell. A derivative agrees if it lies within TOLERANCE times that.

A corner (|x| at 0) has a central quotient that may well agree. It is found by the one-sided quotients: their difference
falls with h where f is smooth, and stays where it is not.

Cost: 20 values of f for each entry looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

STEPS = tuple(10.0**-k for k in range(1, 11))
"""From large to small; those that would be lost in rounding x + h are left out."""
TOLERANCE = 10.0
CORNER_STEPS = 5
"""So many of the largest steps must see the corner."""
FALLING_STEPS = 6
"""The order is read from these; rounding has the others."""
VALUES_AT_ONCE = 1 << 21
ELEMENTS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class BlockCheck:
    """The check of one parameter."""

    parameter: str
    steps: tuple[float, ...]
    """h relative to max(1, |theta_i|), from large to small."""
    errors: tuple[float, ...]
    """The largest error over the entries looked at, for each step, relative to the size of the block's derivative."""
    order: float | None
    """The slope of log error against log h where the error falls; None where it does not."""
    best_error: float
    best_step: float
    worst_entry: str
    """The entry that agrees worst, such as "A_0[1, 2]"."""
    computed: float
    """Its derivative; of an f with several elements, that of the element that agrees worst."""
    estimated: float
    entries: int
    passed: bool
    corner: bool = False
    """The worst entry has different slopes on its two sides."""


@dataclass(frozen=True)
class Check:
    """The checks of all parameters."""

    blocks: tuple[BlockCheck, ...]
    passed: bool
    message: str


@dataclass(frozen=True)
class _Entry:
    """What one entry's quotients tell: errors (steps,), and the worst element's derivative by both ways."""

    errors: Array
    computed: float
    estimated: float
    excess: float
    """The best error over what the quotients can tell: above one, they disagree."""
    corner: bool


def check(
    evaluate: Callable[[Array], Array],
    theta: Array,
    jacobian: Array,
    parameters: Mapping[str, tuple[int, tuple[int, ...]]],
    max_entries: int,
) -> Check:
    """Compare `jacobian` (m, p) with quotients of `evaluate`, which maps points (B, p) to values (B, m).

    `parameters` tells where each begins in theta, and its shape; at most `max_entries` entries of each are looked at.
    """
    centre = evaluate(theta[None])[0]
    widest = float(np.max(np.abs(jacobian), initial=0.0))
    blocks = []
    noise = 1e-2 * float(np.sqrt(np.finfo(theta.dtype).eps))
    for name, (start, shape) in parameters.items():
        size = int(np.prod(shape, dtype=int))
        chosen = np.unique(np.linspace(0, size - 1, min(size, max_entries)).round().astype(int))
        largest = float(np.max(np.abs(jacobian[:, start + chosen]), initial=0.0))
        scale = largest or widest or 1.0
        entries = list(_entries(evaluate, theta, centre, jacobian, start + chosen, scale))
        blocks.append(_block(name, shape, chosen, entries, _steps(theta), noise))
    passed = all(block.passed for block in blocks)
    return Check(tuple(blocks), passed, _message(blocks))


def _steps(theta: Array) -> tuple[float, ...]:
    return tuple(h for h in STEPS if h > 4.0 * np.finfo(theta.dtype).eps)


def _entries(
    evaluate: Callable[[Array], Array], theta: Array, centre: Array, jacobian: Array, places: Array, scale: float
) -> Sequence[_Entry]:
    """Several at a time, as many as keep the values few."""
    steps = np.array(_steps(theta))
    together = max(1, VALUES_AT_ONCE // (2 * len(steps) * max(1, centre.size)))
    found = []
    for first in range(0, len(places), together):
        group = places[first : first + together]
        lengths = np.maximum(1.0, np.abs(theta[group].astype(float)))[:, None, None] * np.stack([steps, -steps])
        moved = theta[group, None, None] + lengths.astype(theta.dtype)
        values = _values(evaluate, theta, np.repeat(group, 2 * len(steps)), moved.reshape(-1))
        values = values.reshape(*moved.shape, -1)
        for k, place in enumerate(group):
            # The steps that were taken, not those that were meant: x + h is rounded.
            ahead, behind = (np.abs(moved[k, side] - theta[place])[:, None] for side in (0, 1))
            parts = [slice(start, start + ELEMENTS_AT_ONCE) for start in range(0, centre.size, ELEMENTS_AT_ONCE)]
            found.append(
                _worst([_entry(values[k][..., e], centre[e], ahead, behind, jacobian[e, place], scale) for e in parts])
            )
    return found


def _values(evaluate: Callable[[Array], Array], theta: Array, places: Array, moved: Array) -> Array:
    """f (..., m) where one entry of theta is another number, for each (place, number)."""
    count = max(1, VALUES_AT_ONCE // len(theta))
    values = []
    for first in range(0, len(places), count):
        part = places[first : first + count]
        points = np.repeat(theta[None], len(part), axis=0)
        points[np.arange(len(part)), part] = moved[first : first + count]
        values.append(evaluate(points))
    return np.concatenate(values)


def _worst(parts: Sequence[_Entry]) -> _Entry:
    """Of an entry's elements, looked at in parts."""
    worst = max(parts, key=lambda part: (part.corner, part.excess))
    return replace(worst, errors=np.max([part.errors for part in parts], axis=0))


@np.errstate(all="ignore")
def _entry(values: Array, centre: Array, ahead: Array, behind: Array, computed: Array, scale: float) -> _Entry:
    plus, minus = values.astype(float)
    quotients = (plus - minus) / (ahead + behind)
    differences = np.abs(quotients - computed)
    changes = np.abs(np.diff(quotients, axis=0))
    noise = np.finfo(values.dtype).eps * np.abs(np.stack([plus, minus])).max(0) / (ahead + behind)
    jumps = np.abs((plus - centre) / ahead - (centre - minus) / behind)
    errors = np.max(differences, axis=1, initial=0.0) / scale
    finite = np.isfinite(differences).all(axis=0)
    # What each element's quotients can tell: the least change from one step to the next, and the rounding of f there.
    unsure = np.where(np.isfinite(changes), _without_luck(changes), np.inf)
    trusted = np.argmin(unsure, axis=0)
    columns = np.arange(changes.shape[1])
    floor = np.sqrt(np.finfo(values.dtype).eps) * scale
    can_tell = np.maximum(TOLERANCE * (unsure[trusted, columns] + noise[trusted + 1, columns]), floor)
    closest = np.minimum(differences[trusted, columns], differences[trusted + 1, columns])
    excess = np.where(finite, closest / can_tell, np.inf)
    seen = jumps[:CORNER_STEPS]
    corners = (seen.min(0) > 0.3 * seen.max(0)) & (seen > 1e3 * noise[:CORNER_STEPS]).all(0) & (seen.min(0) > floor)
    worst = int(np.argmax(np.where(corners, np.inf, excess)))
    estimated = float(quotients[trusted[worst], worst])
    errors = np.where(np.isfinite(errors), errors, np.inf)
    return _Entry(errors, float(computed[worst]), estimated, float(excess[worst]), bool(corners.any()))


def _without_luck(changes: Array) -> Array:
    """A change may be small by chance: truncation makes it 1/100 of the one before, rounding 1/10 of the next."""
    smoothed = changes.copy()
    np.fmax(smoothed[1:], changes[:-1] / 100.0, smoothed[1:])
    np.fmax(smoothed[:-1], changes[1:] / 10.0, smoothed[:-1])
    return smoothed


def _block(
    name: str,
    shape: tuple[int, ...],
    chosen: Array,
    entries: Sequence[_Entry],
    steps: tuple[float, ...],
    noise: float,
) -> BlockCheck:
    errors = np.max([entry.errors for entry in entries], axis=0)
    best = int(np.argmin(errors))
    worst = max(range(len(entries)), key=lambda k: (entries[k].corner, entries[k].excess, entries[k].errors[best]))
    index = ", ".join(str(i) for i in np.unravel_index(chosen[worst], shape)) if shape else ""
    return BlockCheck(
        name,
        steps,
        tuple(float(x) for x in errors),
        _order(errors, noise),
        float(errors[best]),
        steps[best],
        f"{name}[{index}]" if shape else name,
        entries[worst].computed,
        entries[worst].estimated,
        len(entries),
        all(entry.excess <= 1.0 and not entry.corner for entry in entries),
        entries[worst].corner,
    )


def _order(errors: Array, noise: float) -> float | None:
    """The middle one of the slopes from where the error falls first, as long as each step makes it three times less."""
    slopes: list[float] = []
    for before, after in pairwise(errors[:FALLING_STEPS]):
        if noise < before < np.inf and 0.0 < after <= before / 3.0:
            slopes.append(float(np.log10(before / after)))
        elif slopes:
            break
    return float(np.median(slopes)) if slopes else None


def _message(blocks: Sequence[BlockCheck]) -> str:
    failed = [block for block in blocks if not block.passed]
    if not failed:
        worst = max(blocks, key=lambda block: block.best_error)
        return (
            f"The derivatives agree with difference quotients in every parameter; the largest error is "
            f"{worst.best_error:.1e}, of {worst.worst_entry}."
        )
    told = []
    for block in failed:
        if block.corner:
            told.append(f"{block.worst_entry} is at a corner of f: its slopes on the two sides differ.")
        else:
            told.append(
                f"{block.worst_entry} does not agree: computed {block.computed:.6g}, by difference quotients "
                f"{block.estimated:.6g}."
            )
    return " ".join(told)
