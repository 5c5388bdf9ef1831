"""Moré, Garbow and Hillstrom's functions: what is solved, from where, at what cost, and what is claimed falsely.

Solved is a final value within 1e-8, relatively, of a minimum that is known (1e-12 absolutely of one that is zero); the
next column counts those at the lowest one known. A success claimed anywhere else counts as false, for whoever claims
it. Costs are in function-equivalents (contenders.py). scipy's `minimize` stops at a gradient of 1e-9 (L-BFGS-B at no
decrease, too), trust-exact may take steps of any length; `least_squares` scales its variables by the Jacobian and
stops at 1e-15 in all of its three tolerances. nablad's methods run as they are by default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

import nablad.solvers as nablad
from benchmarks.contenders import Contender, Counted, Outcome, least_squares, minimize, own
from benchmarks.problems.more import FACTORS, PROBLEMS, Problem
from benchmarks.timing import table

Results = dict[tuple[str, float], Outcome]

GRADIENT = 1e-9
"""Where scipy's minimize stops, in its one absolute tolerance."""

SCALAR: dict[str, Contender] = {
    "Newton()": own(nablad.Newton()),
    "BFGS()": own(nablad.BFGS()),
    "LBFGS()": own(nablad.LBFGS()),
    "scipy trust-exact": minimize(
        "trust-exact", lambda f, x: {"gtol": GRADIENT, "maxiter": 2_000, "max_trust_radius": 1e10}, second=True
    ),
    "scipy BFGS": minimize("BFGS", lambda f, x: {"gtol": GRADIENT, "maxiter": 5_000}),
    "scipy L-BFGS-B": minimize(
        "L-BFGS-B", lambda f, x: {"gtol": GRADIENT, "ftol": 0.0, "maxiter": 20_000, "maxfun": 50_000}
    ),
}
"""Those that are told the function only."""
RESIDUAL: dict[str, Contender] = {
    "Newton()": own(nablad.Newton()),
    "LevenbergMarquardt()": own(nablad.LevenbergMarquardt()),
    "scipy trf": least_squares("trf"),
}
"""Those that are told the residual."""


def runs(problem: Problem, contender: Contender, residual: bool) -> Results:
    """One method on one problem, from each of its starts."""
    model = problem.squares() if residual else problem.scalar()
    ended = {}
    for factor, start in problem.starts.items():
        ended[problem.name, factor] = contender(Counted(model.objective(), problem.solved), start)
    return ended


def campaign(contenders: Mapping[str, Contender], residual: bool) -> dict[str, Results]:
    results: dict[str, Results] = {}
    for name, contender in contenders.items():
        results[name] = {}
        for problem in PROBLEMS.values():
            results[name] |= runs(problem, contender, residual)
    return results


def summary(results: Mapping[str, Results]) -> str:
    """Solved counts by start, false successes, and the cost on the runs that all of them solve."""

    def solved(key: tuple[str, float], outcome: Outcome) -> bool:
        return PROBLEMS[key[0]].solved(outcome.value)

    keys = next(iter(results.values())).keys()
    common = [key for key in keys if all(solved(key, ended[key]) for ended in results.values())]
    rows = []
    for name, ended in results.items():
        good = [key for key, outcome in ended.items() if solved(key, outcome)]
        false = sum(outcome.claimed and key not in good for key, outcome in ended.items())
        first = [outcome.first or math.nan for outcome in (ended[key] for key in common)]
        rows.append(
            [
                name,
                *[str(sum(factor == key[1] for key in good)) for factor in FACTORS],
                str(len(good)),
                str(sum(PROBLEMS[key[0]].lowest(ended[key].value) for key in good)),
                str(false),
                f"{median(first):g}",
                f"{median([ended[key].total for key in common]):g}",
            ]
        )
    counts = [sum(key[1] == factor for key in keys) for factor in FACTORS]
    starts = [f"{factor:g}x of {count}" for factor, count in zip(FACTORS, counts, strict=True)]
    head = ["method", *starts, f"all of {len(keys)}", "at the lowest", "false successes", "cost to find", "cost to end"]
    return (
        f"{table(head, rows)}\n\nCosts are medians of function-equivalents over the {len(common)} runs that all solve."
    )


def unsolved(results: Mapping[str, Results]) -> str:
    """Which runs the project's own methods did not solve, and how they ended."""
    rows = [
        [name, problem, f"{factor:g}x", f"{outcome.value:.6g}", outcome.ended]
        for name, ended in results.items()
        if not name.startswith("scipy")
        for (problem, factor), outcome in ended.items()
        if not PROBLEMS[problem].solved(outcome.value)
    ]
    return table(["method", "problem", "start", "f", "ended"], rows) if rows else "None."


def main() -> str:
    parts: list[Any] = [(__doc__ or "").split("\n\n", 1)[1].strip()]
    for title, contenders, residual in (
        ("As a scalar function", SCALAR, False),
        ("As a residual whose squares are summed", RESIDUAL, True),
    ):
        results = campaign(contenders, residual)
        parts += [f"### {title}", summary(results), "Not solved by nablad:", unsolved(results)]
    return "\n\n".join(parts)


if __name__ == "__main__":
    print(main())
