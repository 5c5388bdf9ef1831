"""LAPACK routines by name, for an array's own precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from scipy.linalg import get_lapack_funcs

from nablad.solvers.linalg.vectors import FloatArray


def routine(name: str, A: FloatArray) -> Callable[..., Any]:
    """The LAPACK routine `name`, such as potrf, in the precision of A."""
    return cast(Callable[..., Any], get_lapack_funcs(name, (A,)))
