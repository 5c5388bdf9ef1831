"""NIST's certified regressions: correct digits by nablad's methods, beside scipy's and numpy's.

The digits of a run are those of its worst parameter (LRE), at most the 11 (nonlinear) or 15 (linear) that are
certified. A success claimed with fewer than four digits counts as false, for whoever claims it, though the point may be
a minimum that is not the certified one. Costs are in function-equivalents: a value 1, a gradient 2, a Hessian 2p, a
product with it 4, a Jacobian 2p. Peers get the same derivatives. scipy's `least_squares` scales its variables by the
Jacobian and stops at 1e-15 in all of its three tolerances; `minimize` stops at a gradient of 1e-12 of the start's, and
trust-exact may take steps of any length. nablad's methods run as they are by default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

import nablad.solvers as nablad
from benchmarks.contenders import Contender, Counted, Outcome, least_squares, minimize, own
from benchmarks.machine import describe
from benchmarks.problems.nist import LINEAR, NONLINEAR, Linear, linear, lre, nonlinear
from benchmarks.timing import table

FALSE_BELOW = 4.0
STARTS = (1, 2)

CONTENDERS: dict[str, Contender] = {
    "Newton()": own(nablad.Newton()),
    'Newton(curvature="exact")': own(nablad.Newton(curvature="exact")),
    "LevenbergMarquardt()": own(nablad.LevenbergMarquardt()),
    "BFGS()": own(nablad.BFGS()),
    "scipy lm": least_squares("lm"),
    "scipy trf": least_squares("trf"),
    "scipy trust-exact": minimize(
        "trust-exact",
        lambda f, x: {"gtol": 1e-12 * float(np.linalg.norm(f.gradient(x))), "maxiter": 2_000, "max_trust_radius": 1e10},
        second=True,
    ),
    "scipy BFGS": minimize(
        "BFGS", lambda f, x: {"gtol": 1e-12 * float(np.linalg.norm(f.gradient(x))), "maxiter": 5_000}
    ),
}

FloatArray = NDArray[Any]

Results = dict[tuple[str, int], tuple[float, Outcome]]
"""Digits and outcome by problem and start."""


def runs(contender: Contender) -> Results:
    """All 54."""
    results: Results = {}
    for name in NONLINEAR:
        problem = nonlinear(name)
        for which in STARTS:
            model = problem.model(which)
            outcome = contender(Counted(model.objective(), lambda value: False), model.initial())
            results[name, which] = lre(outcome.theta, problem.certified.parameters), outcome
    return results


def summary(results: Mapping[str, Results]) -> str:
    rows = []
    for name, ended in results.items():
        digits = [d for d, _ in ended.values()]
        rows.append(
            [
                name,
                str(sum(d >= 4.0 for d in digits)),
                str(sum(d >= 6.0 for d in digits)),
                f"{median(digits):.1f}",
                f"{min(digits):.1f}",
                str(sum(outcome.claimed for _, outcome in ended.values())),
                str(sum(outcome.claimed and d < FALSE_BELOW for d, outcome in ended.values())),
                f"{median(outcome.total for _, outcome in ended.values()):g}",
            ]
        )
    head = ["method", "4 digits", "6 digits", "median", "worst", "successes claimed", "of them false", "median cost"]
    return table(head, rows)


def by_problem(results: Mapping[str, Results]) -> str:
    """Digits from start 1 and start 2."""

    def cell(name: str, ended: Results) -> str:
        return " / ".join(f"{ended[name, which][0]:.1f}" for which in STARTS)

    rows = [[name, nonlinear(name).level, *[cell(name, ended) for ended in results.values()]] for name in NONLINEAR]
    return table(["problem", "level", *results], rows)


def newton(problem: Linear) -> FloatArray:
    model = problem.model()
    return nablad.solve(model.objective(), nablad.Newton(), model.initial()).theta


def exact(problem: Linear) -> FloatArray:
    """The solution for the numbers as float64 holds them, in rational arithmetic: nobody can do better."""
    X, y = (np.vectorize(Fraction, otypes=[object])(a) for a in (problem.design, problem.response))
    A = np.concatenate([X.T @ X, (X.T @ y)[:, None]], axis=1)
    for k in range(len(A)):
        A[k] = A[k] / A[k, k]
        for i in range(len(A)):
            if i != k:
                A[i] = A[i] - A[i, k] * A[k]
    return np.array(A[:, -1], dtype=np.float64)


LINEAR_CONTENDERS: dict[str, Callable[[Linear], FloatArray]] = {
    "LeastSquares + Newton()": newton,
    "numpy lstsq": lambda problem: np.asarray(np.linalg.lstsq(problem.design, problem.response, rcond=None)[0]),
    "exact arithmetic": exact,
    "scipy pivoted QR (gelsy)": lambda problem: linalg.lstsq(problem.design, problem.response, lapack_driver="gelsy")[
        0
    ],
}


def linear_sets() -> str:
    rows = []
    for name in LINEAR:
        problem = linear(name)
        digits = [
            lre(solver(problem), problem.certified.parameters, problem.digits) for solver in LINEAR_CONTENDERS.values()
        ]
        rows.append([name, problem.level, *[f"{d:.1f}" for d in digits]])
    return table(["problem", "level", *LINEAR_CONTENDERS], rows)


def main() -> str:
    results = {name: runs(contender) for name, contender in CONTENDERS.items()}
    return "\n\n".join(
        [
            describe("numpy", "scipy"),
            (__doc__ or "").split("\n\n", 1)[1].strip(),
            f"### Linear: correct digits\n\n{linear_sets()}",
            f"### Nonlinear: 54 runs\n\n{summary(results)}",
            f"### Nonlinear: correct digits, start 1 / start 2\n\n{by_problem(results)}",
        ]
    )


if __name__ == "__main__":
    print(main())
