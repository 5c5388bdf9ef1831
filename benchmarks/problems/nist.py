"""NIST's certified regressions (StRD): the files in nist/ as problems, and the number of correct digits of an answer.

`NONLINEAR` maps the 27 nonlinear problems to their models as text, in the file's own parameter names and order;
`LINEAR` maps the 11 linear ones to the columns of their designs. Everything else is read from the files: data, starts,
and the certified parameters, standard deviations, residual sum of squares and degrees of freedom. Certified values
carry 11 digits (nonlinear) and 15 (linear): no answer can be shown to have more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nablad.solvers import Expression, LeastSquares

FloatArray = NDArray[np.float64]

FOLDER = Path(__file__).with_name("nist")

_RISE = "b1*(1 - exp(-b2*x))"
_PEAKS = "b1*exp(-b2*x) + b3*exp(-(x - b4)**2/b5**2) + b6*exp(-(x - b7)**2/b8**2)"
_DECAYS = "b1*exp(-b2*x) + b3*exp(-b4*x) + b5*exp(-b6*x)"
_CUBIC = "(b1 + b2*x + b3*x**2 + b4*x**3)/(1 + b5*x + b6*x**2 + b7*x**3)"
_DAMPED = "exp(-b1*x)/(b2 + b3*x)"

NONLINEAR: dict[str, str] = {
    "Bennett5": "b1*(b2 + x)**(-1/b3)",
    "BoxBOD": _RISE,
    "Chwirut1": _DAMPED,
    "Chwirut2": _DAMPED,
    "DanWood": "b1*x**b2",
    "ENSO": "b1 + b2*cos(2*pi*x/12) + b3*sin(2*pi*x/12) + b5*cos(2*pi*x/b4) + b6*sin(2*pi*x/b4)"
    " + b8*cos(2*pi*x/b7) + b9*sin(2*pi*x/b7)",
    "Eckerle4": "(b1/b2)*exp(-0.5*((x - b3)/b2)**2)",
    "Gauss1": _PEAKS,
    "Gauss2": _PEAKS,
    "Gauss3": _PEAKS,
    "Hahn1": _CUBIC,
    "Kirby2": "(b1 + b2*x + b3*x**2)/(1 + b4*x + b5*x**2)",
    "Lanczos1": _DECAYS,
    "Lanczos2": _DECAYS,
    "Lanczos3": _DECAYS,
    "MGH09": "b1*(x**2 + x*b2)/(x**2 + x*b3 + b4)",
    "MGH10": "b1*exp(b2/(x + b3))",
    "MGH17": "b1 + b2*exp(-x*b4) + b3*exp(-x*b5)",
    "Misra1a": _RISE,
    "Misra1b": "b1*(1 - (1 + b2*x/2)**(-2))",
    "Misra1c": "b1*(1 - (1 + 2*b2*x)**(-0.5))",
    "Misra1d": "b1*b2*x*((1 + b2*x)**(-1))",
    "Nelson": "b1 - b2*x1*exp(-b3*x2)",
    "Rat42": "b1/(1 + exp(b2 - b3*x))",
    "Rat43": "b1/((1 + exp(b2 - b3*x))**(1/b4))",
    "Roszman1": "b1 - b2*x - arctan(b3/(x - b4))/pi",
    "Thurber": _CUBIC,
}

ERRATA = {"Rat43": 11}
"""Degrees of freedom that a file has wrong: its 9 disagree with 15 rows, 4 parameters, and its standard deviations."""

RESPONSES: dict[str, Callable[[FloatArray], FloatArray]] = {"Nelson": np.log}
"""What is fitted instead of y itself."""


def _polynomial(degree: int) -> Callable[[FloatArray], FloatArray]:
    return lambda X: np.asarray(np.vander(X[:, 0], degree + 1, increasing=True))


def _with_intercept(X: FloatArray) -> FloatArray:
    return np.column_stack([np.ones(len(X)), X])


LINEAR: dict[str, Callable[[FloatArray], FloatArray]] = {
    "Filip": _polynomial(10),
    "Longley": _with_intercept,
    "NoInt1": np.asarray,
    "NoInt2": np.asarray,
    "Norris": _with_intercept,
    "Pontius": _polynomial(2),
    **dict.fromkeys(("Wampler1", "Wampler2", "Wampler3", "Wampler4", "Wampler5"), _polynomial(5)),
}


@dataclass(frozen=True)
class Certified:
    """What NIST certifies of the minimum; arrays of shape (p,)."""

    parameters: FloatArray
    standard_deviations: FloatArray
    residual_sum_of_squares: float
    residual_standard_deviation: float
    degrees_of_freedom: int


@dataclass(frozen=True)
class Nonlinear:
    """y = f(b1, ..., bp; columns) + e."""

    name: str
    text: str
    level: str
    """NIST's opinion of its difficulty: Lower, Average or Higher."""
    columns: dict[str, FloatArray]
    response: FloatArray
    starts: tuple[FloatArray, FloatArray]
    """Start 1, far from the solution, and start 2, near it."""
    certified: Certified

    digits = 11

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"b{k + 1}" for k in range(len(self.certified.parameters)))

    def start(self, which: int) -> dict[str, float]:
        """Start 1 or 2 by parameter name."""
        return dict(zip(self.names, self.starts[which - 1].tolist(), strict=True))

    def model(self, which: int) -> Expression:
        """The sum of squares, from start 1 or 2."""
        return Expression.parse(self.text, data=self.columns, response=self.response, start=self.start(which))


@dataclass(frozen=True)
class Linear:
    """y = X b + e, with X (N, p) of full rank."""

    name: str
    level: str
    design: FloatArray
    response: FloatArray
    certified: Certified

    digits = 15

    def model(self) -> LeastSquares:
        return LeastSquares(self.design, self.response)


@cache
def nonlinear(name: str) -> Nonlinear:
    """The problem of that name; KeyError if NIST has none."""
    text = NONLINEAR[name]
    lines = _lines("nonlinear", name)
    rows = np.array([_numbers(m[1]) for m in map(_PARAMETER.fullmatch, lines) if m])
    header, table = _table(lines)
    return Nonlinear(
        name=name,
        text=text,
        level=_level(lines),
        columns=dict(zip(header[1:], table[:, 1:].T.copy(), strict=True)),
        response=RESPONSES.get(name, np.asarray)(table[:, 0].copy()),
        starts=(rows[:, 0], rows[:, 1]),
        certified=Certified(
            parameters=rows[:, 2],
            standard_deviations=rows[:, 3],
            residual_sum_of_squares=_after("Residual Sum of Squares:", lines),
            residual_standard_deviation=_after("Residual Standard Deviation:", lines),
            degrees_of_freedom=ERRATA.get(name, int(_after("Degrees of Freedom:", lines))),
        ),
    )


@cache
def linear(name: str) -> Linear:
    """The problem of that name; KeyError if NIST has none."""
    columns = LINEAR[name]
    lines = _lines("linear", name)
    rows = np.array([_numbers(m[1]) for m in map(_ESTIMATE.fullmatch, lines) if m])
    freedom, squares, _ = next(_numbers(m[1]) for m in map(_RESIDUAL_ROW.fullmatch, lines) if m)
    _, table = _table(lines)
    return Linear(
        name=name,
        level=_level(lines),
        design=columns(table[:, 1:]),
        response=table[:, 0].copy(),
        certified=Certified(
            parameters=rows[:, 0],
            standard_deviations=rows[:, 1],
            residual_sum_of_squares=squares,
            residual_standard_deviation=_after("Standard Deviation", lines),
            degrees_of_freedom=int(freedom),
        ),
    )


def lre(found: ArrayLike, certified: ArrayLike, digits: int = 11) -> float:
    """The number of correct digits of the worst entry (log relative error), between 0 and `digits`.

    -log10 |found - certified| / |certified|, without the denominator where the certified value is 0 (McCullough 1998).
    An answer with NaN or infinity has none.
    """
    x, c = np.asarray(found, dtype=np.float64), np.asarray(certified, dtype=np.float64)
    if x.shape != c.shape:
        raise ValueError(f"found has shape {x.shape}, certified {c.shape}")
    error = np.abs(x - c) / np.where(c == 0.0, 1.0, np.abs(c))
    if not np.isfinite(error).all():
        return 0.0
    worst = float(error.max())
    return float(digits) if worst == 0.0 else float(np.clip(-np.log10(worst), 0.0, digits))


_PARAMETER = re.compile(r"\s*b\d+\s*=((?:\s+\S+){4})\s*")
_ESTIMATE = re.compile(r"\s*B\d+((?:\s+[-+.\dE]+){2})\s*")
_RESIDUAL_ROW = re.compile(r"Residual((?:\s+[-+.\dE]+){3})\s*")


def _lines(kind: str, name: str) -> list[str]:
    """The file's lines; some files end theirs as DOS does."""
    return (FOLDER / kind / f"{name}.dat").read_text(encoding="ascii").splitlines()


def _numbers(text: str) -> list[float]:
    return [float(word) for word in text.split()]


def _after(label: str, lines: list[str]) -> float:
    found = (re.fullmatch(rf"\s*{label}\s+([-+.\dE]+)\s*", line) for line in lines)
    return next(float(m[1]) for m in found if m)


def _level(lines: list[str]) -> str:
    return next(line.split()[0] for line in lines if line.strip().endswith("Level of Difficulty"))


def _table(lines: list[str]) -> tuple[list[str], NDArray[Any]]:
    """The names of the columns, and the rows beneath them: what stands after the last `Data:`."""
    begin = max(k for k, line in enumerate(lines) if line.startswith("Data:"))
    rows = [_numbers(line) for line in lines[begin + 1 :] if line.strip()]
    return lines[begin].split()[1:], np.array(rows)
