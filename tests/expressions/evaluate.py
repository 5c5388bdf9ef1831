"""Definitions as numbers, by the oracle: one numpy call for each node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nablad.expressions import Traced, parse, trace
from nablad.solvers.autodiff.interpret import interpret

Arrays = Mapping[str, ArrayLike]


def shapes(arrays: Arrays) -> dict[str, tuple[int, ...]]:
    return {name: np.shape(value) for name, value in arrays.items()}


def value(definition: Traced, arrays: Arrays) -> NDArray[Any]:
    given = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
    with np.errstate(all="ignore"):
        (result,) = interpret(definition.graph, given)
    return result


def parsed(text: str, arrays: Arrays) -> NDArray[Any]:
    return value(parse(text, shapes(arrays)), arrays)


def traced(function: Callable[[Any], Any], arrays: Arrays) -> NDArray[Any]:
    return value(trace(function, shapes(arrays)), arrays)
