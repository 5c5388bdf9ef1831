"""Numbers in sentences."""

from __future__ import annotations

import math


def counted(number: int, thing: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def nonfinite_entries(bad: int, size: int) -> str:
    """Of a gradient."""
    return f"{bad} of the gradient's {size} entries {'is' if bad == 1 else 'are'} NaN or infinite"


def newtons_step(length: float, decrease: float) -> str:
    """What Newton's step from a point says of it: its length relative to theta's, inf at the origin; its promise."""
    long = f"is {length:.1e} of the parameters and " if math.isfinite(length) else ""
    return f"Newton's step from here {long}promises a decrease of {decrease:.1e}"
