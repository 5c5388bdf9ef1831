"""How weights are drawn before the first step; biases start at zero.

Glorot and Bengio 2010 keep the variance of signals steady through layers that are linear near zero, with variance
2 / (fan in + fan out); He et al. 2015 double it for those that pass only half of what comes in: 2 / fan in. The uniform
forms have the same variances: a half-width of sqrt(3 variance).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from nablad.solvers.objective import FloatArray

Draw = Callable[[np.random.Generator, int, int], FloatArray]
"""(generator, fan out, fan in) -> weights (fan out, fan in)."""


def _uniform(variance: Callable[[int, int], float]) -> Draw:
    def draw(generator: np.random.Generator, fan_out: int, fan_in: int) -> FloatArray:
        half_width = math.sqrt(3.0 * variance(fan_out, fan_in))
        return generator.uniform(-half_width, half_width, (fan_out, fan_in))

    return draw


def _normal(variance: Callable[[int, int], float]) -> Draw:
    def draw(generator: np.random.Generator, fan_out: int, fan_in: int) -> FloatArray:
        return generator.normal(0.0, math.sqrt(variance(fan_out, fan_in)), (fan_out, fan_in))

    return draw


def _glorot(fan_out: int, fan_in: int) -> float:
    return 2.0 / (fan_in + fan_out)


def _he(fan_out: int, fan_in: int) -> float:
    return 2.0 / fan_in


INITIALIZATIONS: dict[str, Draw] = {
    "glorot_uniform": _uniform(_glorot),
    "glorot_normal": _normal(_glorot),
    "he_uniform": _uniform(_he),
    "he_normal": _normal(_he),
}
