"""Linear least squares to the last digit: NIST's certified sets, exact fractions, and boxes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from scipy.optimize import lsq_linear, nnls

from benchmarks.problems import nist
from nablad.solvers import Expression, GaussNewton, LeastSquares, LevenbergMarquardt, Newton, solve
from nablad.solvers.bounds import Bounds

METHODS: dict[str, Any] = {
    "newton": Newton(),
    "levenberg_marquardt": LevenbergMarquardt(),
    "gauss_newton": GaussNewton(),
}
DIGITS = {
    "Filip": 7.8,
    "Longley": 14.5,
    "NoInt1": 14.5,
    "NoInt2": 14.9,
    "Norris": 14.0,
    "Pontius": 13.4,
    "Wampler1": 14.9,
    "Wampler2": 13.1,
    "Wampler3": 14.9,
    "Wampler4": 14.9,
    "Wampler5": 14.9,
}
"""What the rounding of the data leaves of the certified 15, but for a tenth."""


@pytest.fixture(params=list(METHODS))
def method(request: pytest.FixtureRequest) -> Any:
    return METHODS[request.param]


def digits(found: np.ndarray, exact: np.ndarray) -> float:
    """The fewest correct digits of any component, at most 15."""
    error = float(np.max(np.abs(found - exact) / np.where(exact == 0.0, 1.0, np.abs(exact))))
    return 15.0 if error <= 1e-15 else float(-np.log10(error))


def exact_solution(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The minimizer for the very numbers in memory, by Gauss and Jordan in fractions."""
    rows = [[Fraction(a) for a in row] for row in X.tolist()]
    b, p = [Fraction(a) for a in y.tolist()], X.shape[1]
    table = [
        [sum(r[i] * r[j] for r in rows) for j in range(p)] + [sum(r[i] * c for r, c in zip(rows, b, strict=True))]
        for i in range(p)
    ]
    for i in range(p):
        pivot = [a / table[i][i] for a in table[i]]
        table = [
            pivot if k == i else [a - row[i] * c for a, c in zip(row, pivot, strict=True)]
            for k, row in enumerate(table)
        ]
    return np.array([float(row[p]) for row in table])


@pytest.mark.parametrize("name", list(nist.LINEAR))
def test_nists_linear_sets(name: str, method: Any) -> None:
    problem = nist.linear(name)
    objective = problem.model().objective()
    report = solve(objective, method, np.zeros(objective.size))
    assert report.success, report.message
    assert digits(report.theta, problem.certified.parameters) >= DIGITS[name]
    assert report.iterations <= 2
    # From far away no digit is lost.
    far = solve(objective, method, 1e8 * np.ones(objective.size))
    assert digits(far.theta, problem.certified.parameters) >= DIGITS[name]


@pytest.mark.parametrize("name", ["Filip", "Longley", "Pontius", "Wampler1", "Wampler5"])
def test_the_answer_is_exact_for_the_numbers_in_memory(name: str) -> None:
    problem = nist.linear(name)
    report = solve(problem.model().objective(), Newton(), np.zeros(problem.design.shape[1]))
    exact = exact_solution(problem.design, problem.response)
    assert digits(report.theta, exact) >= 13.5
    # Column-pivoted QR of the same numbers, for comparison.
    Q, R, order = scipy.linalg.qr(problem.design, mode="economic", pivoting=True)
    plain = np.empty_like(exact)
    plain[order] = scipy.linalg.solve_triangular(R, Q.T @ problem.response)
    assert digits(plain, exact) < 13.0


def test_an_expression_is_refined_as_well() -> None:
    """Longley's regression written as a formula."""
    problem = nist.linear("Longley")
    names = [f"x{j}" for j in range(1, 7)]
    text = "b0 + " + " + ".join(f"b{j}*x{j}" for j in range(1, 7))
    data = {name: problem.design[:, j + 1] for j, name in enumerate(names)}
    model = Expression.parse(text, data=data, response=problem.response, start={f"b{j}": 0.0 for j in range(7)})
    report = solve(model.objective(), LevenbergMarquardt(), np.zeros(7))
    assert digits(report.theta, problem.certified.parameters) >= 14.5


def test_single_precision_is_right_to_single_precision(method: Any) -> None:
    problem = nist.linear("Wampler4")
    X, y = problem.design.astype(np.float32), problem.response.astype(np.float32)
    report = solve(LeastSquares(X, y).objective(), method, np.zeros(6, np.float32))
    assert report.theta.dtype == np.float32
    assert digits(report.theta.astype(float), exact_solution(X.astype(float), y.astype(float))) >= 6.0


@pytest.mark.parametrize("seed", range(8))
def test_boxes_are_solved_by_their_active_set(method: Any, seed: int) -> None:
    if not method.bounded:
        pytest.skip("cannot keep bounds")
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((60, 12)) * 10.0 ** rng.integers(-4, 5, 12)
    y = rng.standard_normal(60) + X @ (rng.standard_normal(12) / np.linalg.norm(X, axis=0))
    size = 0.2 / np.linalg.norm(X, axis=0)
    lower, upper = -size * rng.random(12), size * rng.random(12)
    lower[0], upper[1] = -np.inf, np.inf
    report = solve(LeastSquares(X, y).objective(), method, np.zeros(12), bounds=Bounds(lower, upper))
    assert report.success, report.message
    units = np.linalg.norm(X, axis=0)
    peer = lsq_linear(X / units, y, (lower * units, upper * units), method="bvls", tol=1e-15, max_iter=500).x / units
    assert np.allclose(units * report.theta, units * peer, atol=1e-11)
    # On the bound itself, or with no slope: nothing in between.
    slope = 2.0 * X.T @ (X @ report.theta - y)
    pressed = np.where(slope > 0, report.theta == lower, report.theta == upper)
    assert (pressed | (np.abs(slope) <= 1e-11 * units * np.linalg.norm(y))).all()


def test_nonnegative_least_squares(method: Any) -> None:
    if not method.bounded:
        pytest.skip("cannot keep bounds")
    rng = np.random.default_rng(9)
    X, y = rng.standard_normal((300, 40)), rng.standard_normal(300)
    bounds = Bounds(np.zeros(40), np.full(40, np.inf))
    report = solve(LeastSquares(X, y).objective(), method, np.ones(40), bounds=bounds)
    assert report.success, report.message
    assert np.allclose(report.theta, nnls(X, y)[0], atol=1e-12)
    assert report.iterations <= 2
