"""The residuals of Moré, Garbow and Hillstrom (1981), section 3, as numpy code: f(x) = ||r(x)||^2.

Each works on an array as well as on nablad's symbols. Those of a size of their own choice are made by a function of n
(and m). Numbers in the docstrings are the paper's. In problem 11 the paper's "m i" is a misprint for a minus sign, as
its own solution shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Residual = Callable[[Any], Any]


def _count(m: int) -> Any:
    """1.0, 2.0, ..., m."""
    return np.arange(1.0, m + 1.0)


def rosenbrock(x: Any) -> Any:
    """1"""
    return np.stack([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]])


def freudenstein_roth(x: Any) -> Any:
    """2"""
    return np.stack(
        [-13.0 + x[0] + ((5.0 - x[1]) * x[1] - 2.0) * x[1], -29.0 + x[0] + ((x[1] + 1.0) * x[1] - 14.0) * x[1]]
    )


def powell_badly_scaled(x: Any) -> Any:
    """3"""
    return np.stack([1e4 * x[0] * x[1] - 1.0, np.exp(-x[0]) + np.exp(-x[1]) - 1.0001])


def brown_badly_scaled(x: Any) -> Any:
    """4"""
    return np.stack([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2.0])


def beale(x: Any) -> Any:
    """5"""
    return np.array([1.5, 2.25, 2.625]) - x[0] * (1.0 - x[1] ** _count(3))


def jennrich_sampson(x: Any) -> Any:
    """6, m = 10"""
    i = _count(10)
    return 2.0 + 2.0 * i - (np.exp(i * x[0]) + np.exp(i * x[1]))


def helical_valley(x: Any) -> Any:
    """7"""
    turns = np.arctan(x[1] / x[0]) / (2.0 * np.pi) + np.where(x[0] > 0.0, 0.0, 0.5)
    return np.stack([10.0 * (x[2] - 10.0 * turns), 10.0 * (np.sqrt(x[0] ** 2 + x[1] ** 2) - 1.0), x[2]])


BARD = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])


def bard(x: Any) -> Any:
    """8"""
    u = _count(15)
    v = 16.0 - u
    return BARD - (x[0] + u / (v * x[1] + np.minimum(u, v) * x[2]))


GAUSSIAN = np.array([0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521, 0.3989])


def gaussian(x: Any) -> Any:
    """9"""
    t = (8.0 - _count(15)) / 2.0
    return x[0] * np.exp(-x[1] * (t - x[2]) ** 2 / 2.0) - np.concatenate([GAUSSIAN, GAUSSIAN[-2::-1]])


MEYER = np.array(
    [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872], dtype=float
)


def meyer(x: Any) -> Any:
    """10"""
    return x[0] * np.exp(x[1] / (45.0 + 5.0 * _count(16) + x[2])) - MEYER


def gulf(x: Any) -> Any:
    """11, m = 99"""
    t = _count(99) / 100.0
    y = 25.0 + (-50.0 * np.log(t)) ** (2.0 / 3.0)
    return np.exp(-(np.abs(y - x[1]) ** x[2]) / x[0]) - t


def box(x: Any) -> Any:
    """12, m = 10"""
    t = 0.1 * _count(10)
    return np.exp(-t * x[0]) - np.exp(-t * x[1]) - x[2] * (np.exp(-t) - np.exp(-10.0 * t))


def powell_singular(x: Any) -> Any:
    """13, and 22 where x is longer"""
    a, b, c, d = (x[k::4] for k in range(4))
    return np.concatenate([a + 10.0 * b, np.sqrt(5.0) * (c - d), (b - 2.0 * c) ** 2, np.sqrt(10.0) * (a - d) ** 2])


def wood(x: Any) -> Any:
    """14"""
    return np.stack(
        [
            10.0 * (x[1] - x[0] ** 2),
            1.0 - x[0],
            np.sqrt(90.0) * (x[3] - x[2] ** 2),
            1.0 - x[2],
            np.sqrt(10.0) * (x[1] + x[3] - 2.0),
            (x[1] - x[3]) / np.sqrt(10.0),
        ]
    )


KOWALIK = np.array([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
KOWALIK_AT = np.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])


def kowalik_osborne(x: Any) -> Any:
    """15"""
    u = KOWALIK_AT
    return KOWALIK - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])


def brown_dennis(x: Any) -> Any:
    """16, m = 20"""
    t = _count(20) / 5.0
    return (x[0] + t * x[1] - np.exp(t)) ** 2 + (x[2] + x[3] * np.sin(t) - np.cos(t)) ** 2


OSBORNE_1 = np.array(
    [
        *(0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628),
        *(0.603, 0.580, 0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420),
        *(0.414, 0.411, 0.406),
    ]
)


def osborne_1(x: Any) -> Any:
    """17"""
    t = 10.0 * (_count(33) - 1.0)
    return OSBORNE_1 - (x[0] + x[1] * np.exp(-t * x[3]) + x[2] * np.exp(-t * x[4]))


def biggs(x: Any) -> Any:
    """18, m = 13"""
    t = 0.1 * _count(13)
    y = np.exp(-t) - 5.0 * np.exp(-10.0 * t) + 3.0 * np.exp(-4.0 * t)
    return x[2] * np.exp(-t * x[0]) - x[3] * np.exp(-t * x[1]) + x[5] * np.exp(-t * x[4]) - y


OSBORNE_2 = np.array(
    [
        *(1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608, 0.655, 0.616),
        *(0.606, 0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661, 0.612, 0.558, 0.533, 0.495),
        *(0.500, 0.423, 0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428, 0.429, 0.523, 0.562, 0.607, 0.653, 0.672),
        *(0.708, 0.633, 0.668, 0.645, 0.632, 0.591, 0.559, 0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581),
        *(0.428, 0.292, 0.162, 0.098, 0.054),
    ]
)


def osborne_2(x: Any) -> Any:
    """19"""
    t = (_count(65) - 1.0) / 10.0
    peaks = [x[k] * np.exp(-((t - x[k + 7]) ** 2) * x[k + 4]) for k in (1, 2, 3)]
    return OSBORNE_2 - (x[0] * np.exp(-t * x[4]) + peaks[0] + peaks[1] + peaks[2])


def watson(n: int) -> Residual:
    """20, m = 31"""
    powers = (_count(29) / 29.0)[:, None] ** np.arange(n)
    slopes = np.column_stack([np.zeros(29), powers[:, :-1] * np.arange(1.0, n)])

    def residual(x: Any) -> Any:
        first = slopes @ x - (powers @ x) ** 2 - 1.0
        return np.concatenate([first, np.stack([x[0], x[1] - x[0] ** 2 - 1.0])])

    return residual


def extended_rosenbrock(x: Any) -> Any:
    """21, x of even length"""
    return np.concatenate([10.0 * (x[1::2] - x[0::2] ** 2), 1.0 - x[0::2]])


def penalty_1(n: int) -> Residual:
    """23, m = n + 1"""
    return lambda x: np.concatenate([np.sqrt(1e-5) * (x - 1.0), np.stack([np.sum(x**2) - 0.25])])


def penalty_2(n: int) -> Residual:
    """24, m = 2n"""
    root = np.sqrt(1e-5)
    powers = np.exp(_count(n) / 10.0)
    weights = n + 1.0 - _count(n)

    def residual(x: Any) -> Any:
        e = np.exp(x / 10.0)
        return np.concatenate(
            [
                np.stack([x[0] - 0.2]),
                root * (e[1:] + e[:-1] - (powers[1:] + powers[:-1])),
                root * (e[1:] - np.exp(-0.1)),
                np.stack([np.sum(weights * x**2) - 1.0]),
            ]
        )

    return residual


def variably_dimensioned(n: int) -> Residual:
    """25, m = n + 2"""

    def residual(x: Any) -> Any:
        total = np.sum(_count(n) * (x - 1.0))
        return np.concatenate([x - 1.0, np.stack([total, total**2])])

    return residual


def trigonometric(n: int) -> Residual:
    """26, m = n"""
    return lambda x: n - np.sum(np.cos(x)) + _count(n) * (1.0 - np.cos(x)) - np.sin(x)


def brown_almost_linear(n: int) -> Residual:
    """27, m = n"""
    return lambda x: np.concatenate([x[:-1] + np.sum(x) - (n + 1.0), np.stack([np.prod(x) - 1.0])])


def _between(x: Any) -> tuple[Any, Any]:
    """x_(i-1) and x_(i+1), 0 beyond the ends."""
    zero = np.zeros(1)
    return np.concatenate([zero, x[:-1]]), np.concatenate([x[1:], zero])


def discrete_boundary_value(n: int) -> Residual:
    """28, m = n"""
    h = 1.0 / (n + 1.0)

    def residual(x: Any) -> Any:
        left, right = _between(x)
        return 2.0 * x - left - right + h**2 * (x + h * _count(n) + 1.0) ** 3 / 2.0

    return residual


def discrete_integral(n: int) -> Residual:
    """29, m = n"""
    h = 1.0 / (n + 1.0)
    t = h * _count(n)
    lower = np.tril(np.outer(1.0 - t, t))
    upper = np.triu(np.outer(t, 1.0 - t), 1)
    kernel = h / 2.0 * (lower + upper)
    return lambda x: x + kernel @ (x + t + 1.0) ** 3


def broyden_tridiagonal(x: Any) -> Any:
    """30, m = n"""
    left, right = _between(x)
    return (3.0 - 2.0 * x) * x - left - 2.0 * right + 1.0


def broyden_banded(n: int) -> Residual:
    """31, m = n"""
    i = np.arange(n)
    band = ((i[None, :] >= i[:, None] - 5) & (i[None, :] <= i[:, None] + 1) & (i[None, :] != i[:, None])).astype(float)
    return lambda x: x * (2.0 + 5.0 * x**2) + 1.0 - band @ (x * (1.0 + x))


def linear_full_rank(n: int, m: int) -> Residual:
    """32"""

    def residual(x: Any) -> Any:
        common = -2.0 / m * np.sum(x) - 1.0
        return np.concatenate([x + common, common * np.ones(m - n)])

    return residual


def linear_rank_1(n: int, m: int) -> Residual:
    """33"""
    return lambda x: _count(m) * np.sum(_count(n) * x) - 1.0


def linear_rank_1_with_zeros(n: int, m: int) -> Residual:
    """34"""
    rows = np.concatenate([[0.0], _count(m - 2), [0.0]])
    return lambda x: rows * np.sum(np.arange(2.0, n) * x[1:-1]) - 1.0


def chebyquad(n: int, m: int) -> Residual:
    """35"""
    i = _count(m)
    even = i % 2 == 0
    integrals = np.where(even, -1.0 / np.where(even, i**2 - 1.0, 1.0), 0.0)

    def residual(x: Any) -> Any:
        z = 2.0 * x - 1.0
        before, now = 1.0 + 0.0 * z, z
        means = []
        for _ in range(m):
            means.append(np.sum(now) / n)
            before, now = now, 2.0 * z * now - before
        return np.stack(means) - integrals

    return residual
