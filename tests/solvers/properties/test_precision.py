"""float32 stays float32, nothing at all is a problem too, and what the data do not determine is told by its rank."""

from __future__ import annotations

import numpy as np
import pytest
from solvers.properties import problems as p
from solvers.properties.variants import LONG, NOISY, SEARCHES, Problem, every, pairs

from nablad.solvers import Done, Iterate, RecordTheta, Stopping, Warning, run, solve
from solvers import objectives as o

RNG = np.random.default_rng(1)
A = RNG.standard_normal((30, 3)).astype(np.float32)
A /= np.linalg.norm(A, axis=0)
B = A @ np.ones(3, dtype=np.float32) + np.float32(0.1)


def single() -> Problem:
    return Problem(o.affine(A, B), np.zeros(3))


@pairs(every(SEARCHES), {"single": single})
def test_float32_converges(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, LONG)
    assert report.success, report.message
    assert np.allclose(report.theta, np.linalg.lstsq(A.astype(float), B.astype(float), rcond=None)[0], atol=2e-3)


@pairs(every(), {"single": single})
def test_float32_stays_float32(variant, problem) -> None:
    problem = problem()
    events = run(problem.f, variant.method, problem.start, Stopping(max_iterations=5), record_theta=RecordTheta.each())
    for event in events:
        if isinstance(event, Iterate):
            assert event.theta is not None
            assert event.theta.dtype == np.float32
        if isinstance(event, Done):
            assert event.report.theta.dtype == event.report.gradient.dtype == np.float32
    assert {theta.dtype for theta in problem.f.asked} == {np.dtype(np.float32)}


@pairs(every(), {"nothing": lambda: Problem(o.affine(np.zeros((3, 0)), np.ones(3)), np.zeros(0), 3.0)})
def test_no_parameters(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start)
    assert report.success
    assert report.value == 3.0


@pairs(every(), {"one": lambda: Problem(o.affine(np.full((1, 1), 2.0), np.array([3.0])), np.zeros(1))})
def test_one_parameter_and_one_row(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start)
    assert report.value < 9.0
    assert np.isfinite(report.theta).all()


@pairs(every(but=[NOISY]), {**p.named(p.deficient), "float32": lambda: p.deficient(np.float32)})
def test_rank(variant, problem) -> None:
    problem = problem()
    events = list(run(problem.f, variant.method, problem.start, LONG))
    report = events[-1].report
    assert report.success, report.message
    assert report.value == pytest.approx(problem.minimum, rel=1e-5)
    assert (report.evidence.rank, report.evidence.verdict) == (1, "flat")
    warnings = [e for e in events if isinstance(e, Warning)]
    assert "rank_deficient" in {warning.code for warning in warnings}


def curved_deficient() -> Problem:
    """(t0 + t1 - 2)^2 + ((t0 + t1)^2 - 4)^2: a line of minima, the shortest at (1, 1)."""
    ones = np.ones((2, 2))

    def r(t):
        u = t[0] + t[1]
        return np.array([u - 2.0, u * u - 4.0])

    return Problem(
        o.sum_of_squares(
            r,
            lambda t: np.array([[1.0, 1.0], [2.0 * (t[0] + t[1])] * 2]),
            lambda t: 2.0 * ((t[0] + t[1]) ** 2 - 4.0) * ones,
            2,
            rows=2,
        ),
        np.array([3.0, 2.0]),
    )


@pairs(every(SEARCHES), {"curved": curved_deficient})
def test_rank_of_a_nonlinear_residual(variant, problem) -> None:
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, LONG)
    assert report.success, report.message
    assert report.value < 1e-9
    assert report.theta.sum() == pytest.approx(2.0, abs=1e-4)
    assert (report.evidence.rank, report.evidence.verdict) == (1, "flat")
