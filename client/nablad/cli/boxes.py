"""Bounds on parameters as the command line writes them: `b1=0:,b2=:5,b3=-1:1`, by the names that are reported.

Of a linear model the names are its columns and `intercept`, and the bounds are those of the coefficients in the table's
own units.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nablad.cli.errors import CommandError, nearest

if TYPE_CHECKING:
    from nablad.cli.fitting import Standardization

Box = Mapping[str, tuple[float | None, float | None]]


def parse_bounds(text: str) -> Box:
    """The bounds of each name. CommandError for what cannot be read."""
    box: dict[str, tuple[float | None, float | None]] = {}
    for part in next(csv.reader([text], skipinitialspace=True), []):
        name, equals, sides = part.strip().rpartition("=")
        lower, colon, upper = sides.partition(":")
        name = name.strip()
        if not equals or not colon or not name:
            raise CommandError(f"--bounds {part.strip()!r}: write NAME=LOWER:UPPER, such as b1=0: or b2=-1:1")
        if name in box:
            raise CommandError(f"--bounds: {name!r} is bounded twice")
        box[name] = _pair(name, _side(name, lower), _side(name, upper))
    if not box:
        raise CommandError("--bounds is empty; write NAME=LOWER:UPPER, such as b1=0: or b2=-1:1")
    return box


def _pair(name: str, lower: float | None, upper: float | None) -> tuple[float | None, float | None]:
    if lower is not None and upper is not None and lower > upper:
        raise CommandError(
            f"--bounds {name}: the lower bound {lower:g} is above the upper one {upper:g}; write {name}=LOWER:UPPER"
        )
    return lower, upper


def check_names(box: Box, known: tuple[str, ...]) -> None:
    """CommandError for a bound on a parameter that there is not."""
    for name in box:
        if name not in known:
            near = nearest(name, known) or f"; there are {', '.join(known)}"
            raise CommandError(f"--bounds {name}: there is no such parameter{near}")


def _side(name: str, text: str) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise CommandError(f"--bounds {name}: {text.strip()!r} is not a number; leave a side empty where it is open")
    return value


def linear_bounds(
    box: Box, columns: tuple[str, ...], intercept: bool, scaling: Standardization | None
) -> dict[str, tuple[Any, Any]]:
    """The client's bounds of a linear model, whose coefficients are one array `theta`."""
    known = (*columns, "intercept") if intercept else columns
    sides = np.full((len(columns), 2), (-np.inf, np.inf))
    found: dict[str, tuple[Any, Any]] = {}
    check_names(box, known)
    for name, (lower, upper) in box.items():
        pair = (-np.inf if lower is None else lower, np.inf if upper is None else upper)
        if name in columns:
            sides[columns.index(name)] = pair
        elif scaling is not None:
            raise CommandError("--bounds intercept: with --standardize the intercept moves with the other parameters")
        else:
            found["intercept"] = pair
    if scaling is not None:
        sides *= scaling.scales[:, None]
    return found | {"theta": (sides[:, 0], sides[:, 1])}
