"""The Moré-Garbow-Hillstrom problems: code, derivatives and listed minima against formulas written twice, in mpmath."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest

from benchmarks.problems import more_residuals
from benchmarks.problems.more import PROBLEMS
from benchmarks.problems.nist import nonlinear
from solvers import more_formulas as formulas

POLISHED = [(name, k) for name, problem in PROBLEMS.items() for k in range(len(problem.minima))]
LARGE = 20
"""Above so many parameters the oracle is asked for values only."""


def terms(problem):
    return len(problem.residual(problem.start()))


@pytest.mark.parametrize("name", PROBLEMS)
def test_values_and_gradients_are_the_formulas(name):
    problem = PROBLEMS[name]
    rng = np.random.default_rng(problem.number)
    squares, scalar = problem.squares().objective(), problem.scalar().objective()
    assert (squares.capabilities.residual, scalar.capabilities.residual) == (True, False)
    start = problem.start()
    for x in (start, start + 0.1 * (1.0 + np.abs(start)) * rng.uniform(-1.0, 1.0, problem.size)):
        with mp.workdps(40):
            value = float(formulas.value(problem.number, x, terms(problem)))
            gradient = None
            if problem.size <= LARGE:
                gradient = np.array([float(v) for v in formulas.gradient(problem.number, x, terms(problem))])
        assert problem.value(x) == pytest.approx(value, rel=1e-13)
        for objective in (squares, scalar):
            assert objective.value(x) == pytest.approx(value, rel=1e-13)
            if gradient is not None:
                assert np.allclose(objective.gradient(x), gradient, rtol=0.0, atol=1e-12 * np.abs(gradient).max())
        assert np.allclose(squares.gradient(x), scalar.gradient(x), rtol=1e-11)


@pytest.mark.parametrize(("name", "k"), POLISHED)
def test_a_listed_minimum_is_one(name, k):
    """In 40 digits: Newton's step is no longer than what rounding the point explains, and the Hessian is positive.

    The Hessian is 2 J'J in many digits, plus the engine's sum of r_i d2r_i.
    """
    problem = PROBLEMS[name]
    minimum = problem.minima[k]
    x = np.array(minimum.point)
    if problem.size > LARGE:
        assert (problem.value(x), minimum.value) == (0.0, 0.0)
        return
    f = problem.squares().objective()
    second = f.hessian(x) - 2.0 * f.jacobian(x).T @ f.jacobian(x)
    with mp.workdps(40):
        r, J = formulas.jacobian(problem.number, x, terms(problem))
        H, g = 2 * (J.T * J) + mp.matrix(second.tolist()), 2 * (J.T * r)
        value = sum(v * v for v in r)
        if minimum.flat:
            assert max(abs(v) for v in g) <= mp.mpf(10) ** -13 * mp.norm(J) * mp.sqrt(value)
            decrement = 0.0
        else:
            mp.cholesky(H)  # raises if H is not positive definite
            step = mp.lu_solve(H, -g)
            assert all(abs(s) <= mp.mpf(10) ** -14 * max(abs(v), 1e-2) for s, v in zip(step, x, strict=True))
            decrement = float(-(g.T * step)[0] / 2)
        if minimum.value:
            assert decrement <= 1e-9 * minimum.value
            assert float(value) - decrement == pytest.approx(minimum.value, rel=1e-13)
        else:
            assert float(value) - decrement < 1e-20
    assert problem.solved(minimum.value)
    assert not problem.solved(minimum.value + 2e-8 * abs(minimum.value) + 2e-12)


def test_the_table_is_the_papers():
    assert {problem.number for problem in PROBLEMS.values()} == set(range(1, 36))
    for problem in PROBLEMS.values():
        assert list(problem.minima) == sorted(problem.minima, key=lambda minimum: minimum.value)
        assert {len(minimum.point) for minimum in problem.minima} == {problem.size}


def test_closed_forms_of_the_linear_ones():
    m = 20
    assert PROBLEMS["Linear, full rank 10"].minima[0].value == m - 10
    rank_1, zeros = PROBLEMS["Linear, rank 1, 10"].minima[0], PROBLEMS["Linear, rank 1, zeros, 10"].minima[0]
    assert rank_1.value == pytest.approx(m * (m - 1) / (2 * (2 * m + 1)), rel=1e-15)
    assert zeros.value == pytest.approx((m * m + 3 * m - 6) / (2 * (2 * m - 3)), rel=1e-15)


@pytest.mark.parametrize(
    ("ours", "theirs"), [("MEYER", "MGH10"), ("KOWALIK", "MGH09"), ("OSBORNE_1", "MGH17")], ids=str.lower
)
def test_data_that_nist_has_too(ours, theirs):
    assert (getattr(more_residuals, ours) == nonlinear(theirs).response).all()


def test_starts():
    assert PROBLEMS["Rosenbrock"].start(10.0).tolist() == [-12.0, 10.0]
    assert PROBLEMS["Watson 6"].start(100.0).tolist() == [100.0] * 6
    left_out = {name for name, problem in PROBLEMS.items() if set(problem.starts) != {1.0, 10.0, 100.0}}
    assert left_out == {"Jennrich-Sampson"}
    assert all(math.isfinite(p.value(x)) for p in PROBLEMS.values() for x in p.starts.values())
