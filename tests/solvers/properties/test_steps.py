"""Steps that are refused, of no length, without end, or of subproblems that are hard: each ends, and honestly."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from solvers.properties import problems as p
from solvers.properties.variants import NOISY, SEARCHES, Problem, every, pairs

from nablad.solvers import Done, Family, Iterate, RecordTheta, Status, Stopping, run, solve
from solvers import objectives as o

OF_A_STEP = (Status.STEP, Status.DECREMENT, Status.GRADIENT, Status.TARGET)


@pairs(every(), p.named(p.rosenbrock, p.steep, p.wells))
def test_no_test_passes_on_a_step_that_was_refused(variant, problem) -> None:
    """(ceres #116)"""
    problem = problem()
    events = list(run(problem.f, variant.method, problem.start, Stopping(max_iterations=500)))
    last = [e for e in events if isinstance(e, Iterate)][-1]
    assert isinstance(events[-1], Done)
    assert last.accepted or events[-1].report.status not in OF_A_STEP


@pairs(every(but=[NOISY]), p.named(p.rosenbrock, p.steep, p.exponential))
def test_a_refused_step_changes_nothing(variant, problem) -> None:
    problem = problem()
    events = run(
        problem.f, variant.method, problem.start, Stopping(max_iterations=300), record_theta=RecordTheta.each()
    )
    before = None
    for event in events:
        if not isinstance(event, Iterate):
            continue
        if not event.accepted:
            assert before is not None
            assert (event.value, event.theta.tobytes()) == (before.value, before.theta.tobytes())
        before = event


@pairs(every(SEARCHES), p.named(p.rosenbrock, p.beale, p.wells, p.steep))
def test_the_objective_of_a_search_does_not_run_away(variant, problem) -> None:
    problem = problem()
    events = run(problem.f, variant.method, problem.start, Stopping(max_iterations=300))
    values = [e.value for e in events if isinstance(e, Iterate)]
    assert max(values) == values[0]


def wrong_way() -> Problem:
    """A derivative with the wrong sign: no step along it lowers f."""
    f = o.sum_of_squares(lambda t: t + 1.0, lambda t: -np.eye(2), lambda t: np.zeros((2, 2)), 2, rows=2)
    return Problem(f, np.array([1.0, 2.0]))


@pairs(every(), {"wrong_way": wrong_way})
def test_backtracking_ends(variant, problem) -> None:
    """(stan #189)"""
    problem = problem()
    report = solve(problem.f, variant.method, problem.start, Stopping(max_iterations=200))
    assert not report.success, report.message
    assert report.counts.value <= 100 * max(1, report.iterations)
    assert report.value <= problem.f.value(problem.start)


def too_fine() -> Problem:
    """The minimizer lies between two neighbouring numbers: a step towards it is rounded away."""
    f = o.sum_of_squares(lambda t: (t - 2.0**53) - 0.375, lambda t: np.eye(2), lambda t: np.zeros((2, 2)), 2, rows=2)
    return Problem(f, np.full(2, 2.0**53))


@pairs(every(but=[NOISY]), {"too_fine": too_fine})
def test_steps_of_no_length_end(variant, problem) -> None:
    """(optimistix #195)"""
    problem = problem()
    report = solve(problem.f, variant.method, problem.start)
    assert report.iterations <= 100, report.message
    assert report.status.family in (Family.CONVERGED, Family.STALLED)
    assert (report.theta == problem.start).all()


def indefinite(seed: int, scale: float) -> Problem:
    """Quartic walls around a quadratic of hard spectra: zeros, equal and opposite eigenvalues, twelve decades."""
    rng = np.random.default_rng(seed)
    spectra = ([-1.0, -1.0, 0.0, 1.0, 1.0], [-1e-12, 0.0, 0.0, 1.0, 1e12], [-1e6, 1.0, 1.0, 1.0, 1e-6], [0.0] * 5)
    Q, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    A = Q @ np.diag(spectra[seed % 4]) @ Q.T
    A = 0.5 * (A + A.T)
    b = Q[:, 3] if seed % 2 else Q[:, 0] * 0.0
    wall = max(1.0, float(np.abs(A).max()))
    return Problem(
        o.Smooth(
            f=lambda t: scale * (0.5 * t @ A @ t + b @ t + wall * (t @ t) ** 2),
            g=lambda t: scale * (A @ t + b + 4.0 * wall * (t @ t) * t),
            H=lambda t: scale * (A + 4.0 * wall * (t @ t) * np.eye(5) + 8.0 * wall * np.outer(t, t)),
            size=5,
        ),
        np.where(np.arange(5) == seed % 5, 1e-3, 0.0),
    )


@pytest.mark.parametrize("scale", [1.0, 1e-150, 1e150])
@pytest.mark.parametrize("seed", range(8))
@pairs([v for v in every(SEARCHES) if v.order == 2], {"indefinite": lambda: indefinite(0, 1.0)})
def test_hard_subproblems_end(variant, problem, seed: int, scale: float) -> None:
    """(scipy #12513 hung here, #20244 used a wrong factor)"""
    problem = indefinite(seed, scale)
    begin = time.perf_counter()
    report = solve(problem.f, variant.method, problem.start, Stopping(max_iterations=500))
    assert time.perf_counter() - begin < 5.0
    assert math.isfinite(report.value)
    assert report.value <= problem.f.value(problem.start)
    if report.success and report.evidence.verdict == "minimum":
        assert np.linalg.eigvalsh(problem.f.hessian(report.theta) / scale)[0] > -1e-8
