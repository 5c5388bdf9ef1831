"""Moré, Garbow and Hillstrom's test functions for unconstrained minimization, all 35.

J. J. Moré, B. S. Garbow and K. E. Hillstrom, Testing unconstrained optimization software, ACM Transactions on
Mathematical Software 7 (1981) 17-41. Each is a sum of squares, f = ||r||^2, and makes two models: one that tells its
residual, and one that is a plain scalar. Those of free size stand here in the sizes of the paper's tables.

The starts are the paper's, and 10 and 100 times them. A start that is all zeros (Watson's) cannot be multiplied: as in
the paper's own test program it is then the vector of all 10s, of all 100s. Where f overflows at such a start nobody can
begin there; `starts` leaves those out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.problems import more_residuals as r
from benchmarks.problems.more_minima import MINIMA, Minimum
from nablad.solvers import Expression

FloatArray = NDArray[np.float64]

FACTORS = (1.0, 10.0, 100.0)
RELATIVE, ABSOLUTE = 1e-8, 1e-12


@dataclass(frozen=True)
class Problem:
    """One function in one size."""

    number: int
    name: str
    residual: r.Residual
    standard: tuple[float, ...]

    @property
    def size(self) -> int:
        return len(self.standard)

    @cached_property
    def minima(self) -> tuple[Minimum, ...]:
        """The known minimizers, lowest first; more than the literature lists, not all that there are."""
        return MINIMA[self.name]

    def start(self, factor: float = 1.0) -> FloatArray:
        standard = np.array(self.standard)
        return factor * standard if standard.any() or factor == 1.0 else np.full(self.size, factor)

    @property
    def starts(self) -> dict[float, FloatArray]:
        """By factor, those at which f is finite."""
        with np.errstate(all="ignore"):
            return {c: self.start(c) for c in FACTORS if math.isfinite(self.value(self.start(c)))}

    def value(self, x: FloatArray) -> float:
        """f in plain numpy."""
        return float(np.sum(self.residual(x) ** 2))

    def squares(self) -> Expression:
        """The model that tells its residual."""
        return Expression.trace(self.residual, start=self.start(), residual=True)

    def scalar(self) -> Expression:
        """The model that is a scalar function and nothing more."""
        return Expression.trace(lambda x: np.sum(self.residual(x) ** 2), start=self.start())

    def solved(self, value: float) -> bool:
        """Whether f is that of a known minimum: within 1e-8 of it relatively, or below 1e-12 where it is zero."""
        return any(near(value, minimum.value) for minimum in self.minima)

    def lowest(self, value: float) -> bool:
        """Whether f is that of the lowest minimum known."""
        return near(value, self.minima[0].value)


def near(value: float, minimum: float) -> bool:
    return abs(value - minimum) <= (RELATIVE * abs(minimum) if minimum else ABSOLUTE)


def _steps(n: int) -> list[float]:
    """j / (n + 1)."""
    return [(j + 1) / (n + 1) for j in range(n)]


def _bowed(n: int) -> list[float]:
    return [t * (t - 1.0) for t in _steps(n)]


_TABLE: tuple[tuple[int, str, r.Residual, Sequence[float]], ...] = (
    (1, "Rosenbrock", r.rosenbrock, [-1.2, 1.0]),
    (2, "Freudenstein-Roth", r.freudenstein_roth, [0.5, -2.0]),
    (3, "Powell badly scaled", r.powell_badly_scaled, [0.0, 1.0]),
    (4, "Brown badly scaled", r.brown_badly_scaled, [1.0, 1.0]),
    (5, "Beale", r.beale, [1.0, 1.0]),
    (6, "Jennrich-Sampson", r.jennrich_sampson, [0.3, 0.4]),
    (7, "Helical valley", r.helical_valley, [-1.0, 0.0, 0.0]),
    (8, "Bard", r.bard, [1.0, 1.0, 1.0]),
    (9, "Gaussian", r.gaussian, [0.4, 1.0, 0.0]),
    (10, "Meyer", r.meyer, [0.02, 4000.0, 250.0]),
    (11, "Gulf", r.gulf, [5.0, 2.5, 0.15]),
    (12, "Box", r.box, [0.0, 10.0, 20.0]),
    (13, "Powell singular", r.powell_singular, [3.0, -1.0, 0.0, 1.0]),
    (14, "Wood", r.wood, [-3.0, -1.0, -3.0, -1.0]),
    (15, "Kowalik-Osborne", r.kowalik_osborne, [0.25, 0.39, 0.415, 0.39]),
    (16, "Brown-Dennis", r.brown_dennis, [25.0, 5.0, -5.0, -1.0]),
    (17, "Osborne 1", r.osborne_1, [0.5, 1.5, -1.0, 0.01, 0.02]),
    (18, "Biggs", r.biggs, [1.0, 2.0, 1.0, 1.0, 1.0, 1.0]),
    (19, "Osborne 2", r.osborne_2, [1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5]),
    (20, "Watson 6", r.watson(6), [0.0] * 6),
    (20, "Watson 9", r.watson(9), [0.0] * 9),
    (20, "Watson 12", r.watson(12), [0.0] * 12),
    (21, "Extended Rosenbrock 10", r.extended_rosenbrock, [-1.2, 1.0] * 5),
    (21, "Extended Rosenbrock 100", r.extended_rosenbrock, [-1.2, 1.0] * 50),
    (22, "Extended Powell singular 12", r.powell_singular, [3.0, -1.0, 0.0, 1.0] * 3),
    (23, "Penalty I 4", r.penalty_1(4), [1.0, 2.0, 3.0, 4.0]),
    (23, "Penalty I 10", r.penalty_1(10), [j + 1.0 for j in range(10)]),
    (24, "Penalty II 4", r.penalty_2(4), [0.5] * 4),
    (24, "Penalty II 10", r.penalty_2(10), [0.5] * 10),
    (25, "Variably dimensioned 10", r.variably_dimensioned(10), [1.0 - (j + 1) / 10 for j in range(10)]),
    (26, "Trigonometric 10", r.trigonometric(10), [0.1] * 10),
    (27, "Brown almost linear 10", r.brown_almost_linear(10), [0.5] * 10),
    (28, "Discrete boundary value 10", r.discrete_boundary_value(10), _bowed(10)),
    (29, "Discrete integral equation 10", r.discrete_integral(10), _bowed(10)),
    (30, "Broyden tridiagonal 10", r.broyden_tridiagonal, [-1.0] * 10),
    (31, "Broyden banded 10", r.broyden_banded(10), [-1.0] * 10),
    (32, "Linear, full rank 10", r.linear_full_rank(10, 20), [1.0] * 10),
    (33, "Linear, rank 1, 10", r.linear_rank_1(10, 20), [1.0] * 10),
    (34, "Linear, rank 1, zeros, 10", r.linear_rank_1_with_zeros(10, 20), [1.0] * 10),
    (35, "Chebyquad 7", r.chebyquad(7, 7), _steps(7)),
    (35, "Chebyquad 8", r.chebyquad(8, 8), _steps(8)),
    (35, "Chebyquad 9", r.chebyquad(9, 9), _steps(9)),
    (35, "Chebyquad 10", r.chebyquad(10, 10), _steps(10)),
)

PROBLEMS: dict[str, Problem] = {
    name: Problem(number, name, residual, tuple(start)) for number, name, residual, start in _TABLE
}
