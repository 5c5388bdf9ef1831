"""The Moré-Garbow-Hillstrom functions a second time: term by term as the paper prints them, in mpmath's numbers.

`value(number, x, m)` is f at a sequence x. Derivatives are central differences with steps so small, and digits so many,
that nothing is lost: an oracle that shares no code with the engine.
"""

from __future__ import annotations

from math import prod
from typing import Any

import mpmath as mp

from benchmarks.problems import more_residuals as data


def exact(numbers: Any) -> list[Any]:
    """Decimal numbers as they are written."""
    return [mp.mpf(repr(float(v))) for v in numbers]


def q(text: str) -> Any:
    return mp.mpf(text)


def up(n: int) -> range:
    return range(1, n + 1)


def rosenbrock(x, m):
    return [10 * (x[2 * i] - x[2 * i - 1] ** 2) for i in up((len(x) - 1) // 2)] + [
        1 - x[2 * i - 1] for i in up((len(x) - 1) // 2)
    ]


def freudenstein_roth(x, m):
    return [-13 + x[1] + ((5 - x[2]) * x[2] - 2) * x[2], -29 + x[1] + ((x[2] + 1) * x[2] - 14) * x[2]]


def powell_badly_scaled(x, m):
    return [10**4 * x[1] * x[2] - 1, mp.exp(-x[1]) + mp.exp(-x[2]) - q("1.0001")]


def brown_badly_scaled(x, m):
    return [x[1] - 10**6, x[2] - q("2e-6"), x[1] * x[2] - 2]


def beale(x, m):
    y = exact([1.5, 2.25, 2.625])
    return [y[i - 1] - x[1] * (1 - x[2] ** i) for i in up(3)]


def jennrich_sampson(x, m):
    return [2 + 2 * i - (mp.exp(i * x[1]) + mp.exp(i * x[2])) for i in up(10)]


def helical_valley(x, m):
    angle = mp.atan(x[2] / x[1]) / (2 * mp.pi) + (0 if x[1] > 0 else q("0.5"))
    return [10 * (x[3] - 10 * angle), 10 * (mp.sqrt(x[1] ** 2 + x[2] ** 2) - 1), x[3]]


def bard(x, m):
    y = exact(data.BARD)
    return [y[i - 1] - (x[1] + i / ((16 - i) * x[2] + min(i, 16 - i) * x[3])) for i in up(15)]


def gaussian(x, m):
    y = exact(data.GAUSSIAN)
    return [x[1] * mp.exp(-x[2] * (q(8 - i) / 2 - x[3]) ** 2 / 2) - y[min(i, 16 - i) - 1] for i in up(15)]


def meyer(x, m):
    y = exact(data.MEYER)
    return [x[1] * mp.exp(x[2] / (45 + 5 * i + x[3])) - y[i - 1] for i in up(16)]


def gulf(x, m):
    def term(i):
        t = mp.mpf(i) / 100
        y = 25 + mp.cbrt((-50 * mp.log(t)) ** 2)
        return mp.exp(-(abs(y - x[2]) ** x[3]) / x[1]) - t

    return [term(i) for i in up(99)]


def box(x, m):
    def term(t):
        return mp.exp(-t * x[1]) - mp.exp(-t * x[2]) - x[3] * (mp.exp(-t) - mp.exp(-10 * t))

    return [term(mp.mpf(i) / 10) for i in up(10)]


def powell_singular(x, m):
    terms = []
    for k in range(0, len(x) - 1, 4):
        a, b, c, d = x[k + 1 : k + 5]
        terms += [a + 10 * b, mp.sqrt(5) * (c - d), (b - 2 * c) ** 2, mp.sqrt(10) * (a - d) ** 2]
    return terms


def wood(x, m):
    ten = mp.sqrt(10)
    return [
        10 * (x[2] - x[1] ** 2),
        1 - x[1],
        mp.sqrt(90) * (x[4] - x[3] ** 2),
        1 - x[3],
        ten * (x[2] + x[4] - 2),
        (x[2] - x[4]) / ten,
    ]


def kowalik_osborne(x, m):
    rows = zip(exact(data.KOWALIK), exact(data.KOWALIK_AT), strict=True)
    return [y - x[1] * (u * u + u * x[2]) / (u * u + u * x[3] + x[4]) for y, u in rows]


def brown_dennis(x, m):
    times = [mp.mpf(i) / 5 for i in up(20)]
    return [(x[1] + t * x[2] - mp.exp(t)) ** 2 + (x[3] + x[4] * mp.sin(t) - mp.cos(t)) ** 2 for t in times]


def osborne_1(x, m):
    y = exact(data.OSBORNE_1)
    return [y[k] - (x[1] + x[2] * mp.exp(-10 * k * x[4]) + x[3] * mp.exp(-10 * k * x[5])) for k in range(33)]


def biggs(x, m):
    def term(t):
        y = mp.exp(-t) - 5 * mp.exp(-10 * t) + 3 * mp.exp(-4 * t)
        return x[3] * mp.exp(-t * x[1]) - x[4] * mp.exp(-t * x[2]) + x[6] * mp.exp(-t * x[5]) - y

    return [term(mp.mpf(i) / 10) for i in up(13)]


def osborne_2(x, m):
    y = exact(data.OSBORNE_2)

    def term(k):
        t = mp.mpf(k) / 10
        peaks = sum(x[j] * mp.exp(-((t - x[j + 7]) ** 2) * x[j + 4]) for j in (2, 3, 4))
        return y[k] - (x[1] * mp.exp(-t * x[5]) + peaks)

    return [term(k) for k in range(65)]


def watson(x, m):
    n = len(x) - 1

    def term(i):
        t = mp.mpf(i) / 29
        return (
            sum((j - 1) * x[j] * t ** (j - 2) for j in range(2, n + 1))
            - sum(x[j] * t ** (j - 1) for j in up(n)) ** 2
            - 1
        )

    return [term(i) for i in up(29)] + [x[1], x[2] - x[1] ** 2 - 1]


def penalty_1(x, m):
    n = len(x) - 1
    return [mp.sqrt(q("1e-5")) * (x[i] - 1) for i in up(n)] + [sum(x[i] ** 2 for i in up(n)) - q("0.25")]


def penalty_2(x, m):
    n, root = len(x) - 1, mp.sqrt(q("1e-5"))

    def e(v):
        return mp.exp(v / 10)

    return [
        x[1] - q("0.2"),
        *[root * (e(x[i]) + e(x[i - 1]) - e(mp.mpf(i)) - e(mp.mpf(i - 1))) for i in range(2, n + 1)],
        *[root * (e(x[i - n + 1]) - e(mp.mpf(-1))) for i in range(n + 1, 2 * n)],
        sum((n - j + 1) * x[j] ** 2 for j in up(n)) - 1,
    ]


def variably_dimensioned(x, m):
    n = len(x) - 1
    total = sum(j * (x[j] - 1) for j in up(n))
    return [x[i] - 1 for i in up(n)] + [total, total**2]


def trigonometric(x, m):
    n = len(x) - 1
    cosines = sum(mp.cos(x[j]) for j in up(n))
    return [n - cosines + i * (1 - mp.cos(x[i])) - mp.sin(x[i]) for i in up(n)]


def brown_almost_linear(x, m):
    n = len(x) - 1
    return [x[i] + sum(x[1:]) - (n + 1) for i in up(n - 1)] + [prod(x[1:]) - 1]


def discrete_boundary_value(x, m):
    n = len(x) - 1
    h, y = mp.mpf(1) / (n + 1), [0, *x[1:], 0]
    return [2 * y[i] - y[i - 1] - y[i + 1] + h**2 * (y[i] + i * h + 1) ** 3 / 2 for i in up(n)]


def discrete_integral(x, m):
    n = len(x) - 1
    h = mp.mpf(1) / (n + 1)
    t = [i * h for i in range(n + 1)]
    cubes = [0] + [(x[j] + t[j] + 1) ** 3 for j in up(n)]
    return [
        x[i]
        + h
        * (
            (1 - t[i]) * sum(t[j] * cubes[j] for j in up(i))
            + t[i] * sum((1 - t[j]) * cubes[j] for j in range(i + 1, n + 1))
        )
        / 2
        for i in up(n)
    ]


def broyden_tridiagonal(x, m):
    n = len(x) - 1
    y = [0, *x[1:], 0]
    return [(3 - 2 * y[i]) * y[i] - y[i - 1] - 2 * y[i + 1] + 1 for i in up(n)]


def broyden_banded(x, m):
    n = len(x) - 1
    return [
        x[i] * (2 + 5 * x[i] ** 2)
        + 1
        - sum(x[j] * (1 + x[j]) for j in range(max(1, i - 5), min(n, i + 1) + 1) if j != i)
        for i in up(n)
    ]


def linear_full_rank(x, m):
    n, total = len(x) - 1, sum(x[1:])
    return [x[i] - mp.mpf(2) / m * total - 1 for i in up(n)] + [-mp.mpf(2) / m * total - 1] * (m - n)


def linear_rank_1(x, m):
    return [i * sum(j * x[j] for j in up(len(x) - 1)) - 1 for i in up(m)]


def linear_rank_1_with_zeros(x, m):
    total = sum(j * x[j] for j in range(2, len(x) - 1))
    return [mp.mpf(-1), *[(i - 1) * total - 1 for i in range(2, m)], mp.mpf(-1)]


def chebyquad(x, m):
    n = len(x) - 1

    def shifted(i, v):
        before, now = mp.mpf(1), 2 * v - 1
        for _ in range(i - 1):
            before, now = now, 2 * (2 * v - 1) * now - before
        return now

    return [sum(shifted(i, x[j]) for j in up(n)) / n + (mp.mpf(1) / (i * i - 1) if i % 2 == 0 else 0) for i in up(m)]


TERMS = {
    1: rosenbrock,
    2: freudenstein_roth,
    3: powell_badly_scaled,
    4: brown_badly_scaled,
    5: beale,
    6: jennrich_sampson,
    7: helical_valley,
    8: bard,
    9: gaussian,
    10: meyer,
    11: gulf,
    12: box,
    13: powell_singular,
    14: wood,
    15: kowalik_osborne,
    16: brown_dennis,
    17: osborne_1,
    18: biggs,
    19: osborne_2,
    20: watson,
    21: rosenbrock,
    22: powell_singular,
    23: penalty_1,
    24: penalty_2,
    25: variably_dimensioned,
    26: trigonometric,
    27: brown_almost_linear,
    28: discrete_boundary_value,
    29: discrete_integral,
    30: broyden_tridiagonal,
    31: broyden_banded,
    32: linear_full_rank,
    33: linear_rank_1,
    34: linear_rank_1_with_zeros,
    35: chebyquad,
}


def residual(number: int, x: Any, m: int) -> Any:
    """r at x, as a column of mpmath numbers; m is the number of terms where that is free."""
    return mp.matrix(TERMS[number]([None, *[mp.mpf(v) for v in x]], m))


def value(number: int, x: Any, m: int) -> Any:
    return sum(term * term for term in residual(number, x, m))


def jacobian(number: int, x: Any, m: int) -> tuple[Any, Any]:
    """r and dr/dx by central differences at a third of the digits at hand."""
    x = [mp.mpf(v) for v in x]
    r = residual(number, x, m)
    J = mp.matrix(len(r), len(x))
    for k in range(len(x)):
        h = mp.mpf(10) ** (-mp.mp.dps // 3) * max(abs(x[k]), mp.mpf(10) ** -6)
        there = residual(number, [v + h * (j == k) for j, v in enumerate(x)], m)
        back = residual(number, [v - h * (j == k) for j, v in enumerate(x)], m)
        J[:, k] = (there - back) / (2 * h)
    return r, J


def gradient(number: int, x: Any, m: int) -> Any:
    r, J = jacobian(number, x, m)
    return 2 * (J.T * r)


def hessian(number: int, x: Any, m: int) -> Any:
    """2 J'J + 2 sum_i r_i d2r_i, the second by differences of J'r with r held fast."""
    x = [mp.mpf(v) for v in x]
    r, J = jacobian(number, x, m)
    second = mp.matrix(len(x), len(x))
    for k in range(len(x)):
        h = mp.mpf(10) ** (-mp.mp.dps // 6) * max(abs(x[k]), mp.mpf(10) ** -6)
        there = jacobian(number, [v + h * (j == k) for j, v in enumerate(x)], m)[1]
        back = jacobian(number, [v - h * (j == k) for j, v in enumerate(x)], m)[1]
        second[:, k] = ((there - back) / (2 * h)).T * r
    return 2 * (J.T * J) + second + second.T
