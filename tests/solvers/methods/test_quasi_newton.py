"""BFGS and L-BFGS against the textbook's formulas, quadratics, and a peer."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from nablad.solvers import BFGS, LBFGS, Control, Expression, Iterate, Status, Stopping, Wolfe, run, solve
from nablad.solvers.control import Limits
from nablad.solvers.linalg.limited_memory import Pairs
from nablad.solvers.methods.bfgs import BFGSState
from solvers import objectives as o

METHODS: dict[str, Any] = {"bfgs": BFGS(), "lbfgs": LBFGS()}
EXACT = Wolfe(sufficient_decrease=1e-10, curvature=1e-9)


def states(problem: o.Smooth, method: Any, start: np.ndarray, steps: int) -> list[Any]:
    """The first states of a run, made by hand."""
    limits = Limits(Control(), problem.counters)
    found = [method.init(problem, start, limits)]
    for _ in range(steps):
        found.append(method.step(problem, found[-1], limits))
    return found


def inverse(state: BFGSState) -> np.ndarray:
    return state.scale * state.factor @ state.factor.T


def updated(H: np.ndarray, s: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Nocedal and Wright 2006, (6.17)."""
    rho = 1.0 / (y @ s)
    V = np.eye(s.size) - rho * np.outer(y, s)
    return V.T @ H @ V + rho * np.outer(s, s)


@pytest.mark.parametrize(
    ("problem", "start"),
    [
        (o.rosenbrock(), np.array([-1.2, 1.0])),
        (o.logistic(), np.zeros(4)),
        (o.quadratic([1e-3, 1.0, 40.0, 1e4]), np.zeros(4)),
    ],
    ids=["rosenbrock", "logistic", "quadratic"],
)
def test_the_product_form_is_the_textbooks_update(problem: o.Smooth, start: np.ndarray) -> None:
    path = states(problem, BFGS(), start, 8)
    for k, (old, new) in enumerate(pairwise(path)):
        s, y = new.theta - old.theta, new.gradient - old.gradient
        before = inverse(old) if k else (y @ s) / (y @ y) * np.eye(s.size)
        expected = updated(before, s, y)
        assert np.allclose(inverse(new), expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())
        assert np.allclose(inverse(new) @ y, s, rtol=1e-7, atol=1e-9 * np.abs(s).max())


@pytest.mark.parametrize("spectrum", [[1.0, 2.0, 3.0], [1e-2, 1.0, 5.0, 1e2], [1.0, 3.0, 7.0, 20.0, 50.0]])
def test_an_exact_search_ends_a_quadratic_in_as_many_steps_as_parameters(spectrum: list[float]) -> None:
    """And H is then the inverse Hessian (Nocedal and Wright 2006, theorem 6.4)."""
    problem, p = o.quadratic(spectrum, seed=2), len(spectrum)
    path = states(problem, BFGS(EXACT), np.linspace(-3.0, 2.0, p), p)
    assert path[-1].gradient_norm <= 1e-7 * path[0].gradient_norm
    assert np.allclose(inverse(path[-1]) @ problem.hessian(path[-1].theta), np.eye(p), atol=1e-6)


@pytest.mark.parametrize("k", [0, 1, 4, 9])
def test_two_loops_and_the_compact_form_are_the_same_matrix(k: int) -> None:
    rng = np.random.default_rng(k)
    p, scale = 6, 0.37
    A = rng.standard_normal((p, p))
    A = A @ A.T + np.eye(p)
    pairs, H = Pairs.none(np.zeros(p), scale), scale * np.eye(p)
    for _ in range(k):
        s = rng.standard_normal(p)
        y = A @ s + 0.1 * np.linalg.norm(s) * rng.standard_normal(p)
        if y @ s > 0.0:
            pairs, H = pairs.pushed(s, y, float(y @ s), scale, 20), updated(H, s, y)
    assert np.allclose([pairs.inverse_times(e) for e in np.eye(p)], H, rtol=1e-9, atol=1e-9 * np.abs(H).max())
    W, M_inverse = pairs.compact()
    B = (np.eye(p) - W @ np.linalg.solve(M_inverse, W.T)) / scale
    assert np.allclose(B @ H, np.eye(p), atol=1e-7)


def test_the_oldest_pair_is_forgotten_first() -> None:
    pairs = Pairs.none(np.zeros(2), 1.0)
    for i in range(1, 6):
        pairs = pairs.pushed(np.full(2, float(i)), np.ones(2), 2.0 * i, 0.5, memory=3)
    assert pairs.steps[:, 0].tolist() == [3.0, 4.0, 5.0]
    assert pairs.products.tolist() == [6.0, 8.0, 10.0]


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_convergence_is_superlinear_or_nearly(method: Any) -> None:
    """On a strictly convex function each gradient is, in the end, a smaller share of the last."""
    events = run(o.logistic(), method, np.zeros(4), Stopping(relative_gradient_tolerance=1e-10))
    norms = [e.gradient_norm for e in events if isinstance(e, Iterate)]
    assert len(norms) <= 22
    assert norms[-1] / norms[-4] < 1e-3


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize(("c", "x"), [(2.0**-61, 1.0), (2.0**301, 1.0), (1.0, 2.0**-31), (2.0**-61, 2.0**33)])
def test_powers_of_two_change_no_bit_of_the_path(method: Any, c: float, x: float) -> None:
    """Odd powers, too, whose roots are not exact: no root of a unit is taken."""
    start = np.array([-1.2, 1.0])
    plain, scaled = solve(o.rosenbrock(), method, start), solve(o.rescaled(o.rosenbrock(), c, x), method, x * start)
    assert scaled.success
    assert (scaled.iterations, scaled.counts) == (plain.iterations, plain.counts)
    assert np.array_equal(scaled.theta, x * plain.theta)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("condition", [1e3, 1e6])
def test_ill_conditioned_quadratics_end_at_the_roundoff_floor(method: Any, condition: float) -> None:
    problem = o.quadratic(np.geomspace(1.0, condition, 8).tolist(), seed=5)
    report = solve(problem, method, np.zeros(8), Stopping(relative_gradient_tolerance=0.0, max_iterations=3000))
    assert report.success, report.message
    assert report.value == pytest.approx(3.0, rel=1e-12)
    assert report.evidence.verdict == "minimum"


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_gradient_that_lies_ends_stalled_after_a_restart(method: Any) -> None:
    """From the fifth evaluation on its sign is wrong."""
    problem = o.rosenbrock()
    inner = problem.g
    problem.g = lambda t: inner(t) if problem.counters.gradient < 5 else -inner(t)
    report = solve(problem, method, np.array([-1.2, 1.0]))
    assert report.status is Status.LINE_SEARCH_STALLED, report.message
    assert report.counts.value <= 10 + 2 * Wolfe().max_trials


def test_no_curvature_along_the_way_is_no_lesson() -> None:
    """A line has y = 0: no pair counts, and H grows until the fall is seen to have no end."""
    for state in states(o.linear(), LBFGS(), np.zeros(2), 2):
        assert len(state.steps) == 0
    assert solve(o.linear(), BFGS(), np.zeros(2)).status is Status.UNBOUNDED


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_an_initial_step_is_the_first_trial(method: Any) -> None:
    problem, start = o.rosenbrock(), np.array([-1.2, 1.0])
    chosen = type(method)(line_search=Wolfe(initial=3e-4))
    solve(problem, chosen, start, Stopping(max_iterations=1))
    assert np.array_equal(problem.seen[1], start - 3e-4 * problem.gradient(start))


def test_memory_must_be_positive() -> None:
    with pytest.raises(ValueError, match="memory"):
        LBFGS(memory=0)


@pytest.mark.parametrize(
    ("method", "theirs", "options"),
    [(BFGS(), "BFGS", {"gtol": 1e-9}), (LBFGS(), "L-BFGS-B", {"gtol": 1e-9, "ftol": 0.0})],
    ids=METHODS,
)
def test_about_as_many_evaluations_as_a_peer_on_easy_functions(
    method: Any, theirs: str, options: dict[str, float]
) -> None:
    """Value and gradient cost 3, a product 4; until f is within 1e-8 of the minimum; in the median of these.

    Where ten evaluations suffice the first product is a tenth of all; it pays where units or starts are bad.
    """
    cases: list[tuple[Any, list[float]]] = [
        (o.rosenbrock, [-1.2, 1.0]),
        (o.beale, [1.0, 0.8]),
        (o.beale, [2.0, -0.5]),
        (o.exponential_fit, [1.0, 0.5]),
        (o.logistic, [0.0] * 4),
        (o.logistic, [3.0] * 4),
        (o.hill, [0.1, -0.2, 3.0]),
        (lambda: o.quadratic(np.geomspace(1, 1e4, 10).tolist()), [0.0] * 10),
        (lambda: o.quadratic(np.geomspace(1e-2, 1.0, 10).tolist()), [0.0] * 10),
    ]
    shares = []
    for make, start in cases:
        ours, peer = make(), make()
        report = solve(ours, method, np.array(start), Stopping(relative_gradient_tolerance=1e-10))
        minimize(peer.value_and_gradient, np.array(start), jac=True, method=theirs, options=options)
        lowest = min(ours.f(t) for t in ours.seen + peer.seen)
        goal = lowest + max(1e-12, 1e-8 * abs(lowest))
        shares.append((3 * arrived(ours, goal) + 4 * report.counts.hvp) / (3 * arrived(peer, goal)))
    assert np.median(shares) <= 1.25, shares


def arrived(problem: o.Smooth, goal: float) -> int:
    """How many evaluations until f was at the goal."""
    return next(i for i, theta in enumerate(problem.seen, start=1) if problem.f(theta) <= goal)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize(("name", "f"), [("exp", lambda t: np.exp(-t)), ("inverse", lambda t: 1.0 / t)])
def test_an_infimum_at_infinity_is_seen_before_f_has_vanished(method: Any, name: str, f: Any) -> None:
    """The method's own model always promises all that is left of f: looks may not be put off for long."""
    model = Expression.trace(lambda t: f(t[0]) + t[1] ** 2, start=np.array([1.0, 1.0]))
    report = solve(model.objective(), method, model.start())
    assert report.status is Status.RECEDING
    assert report.iterations <= 250


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("start", [15.0, 20.0, 26.0])
def test_a_gradient_that_grows_beyond_all_squares(method: Any, start: float) -> None:
    """From the far flat of a well the gradient grows by more than 1e154 in a step."""
    model = Expression.trace(lambda t: 1.0 - np.mean(np.exp(-((t - 1.3) ** 2))), start=np.full(2, start))
    report = solve(model.objective(), method, model.start())
    assert report.status is not Status.INTERNAL, report.message


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_no_decrement_is_told_that_no_hessian_has_shown(method: Any) -> None:
    problem = o.quadratic(np.geomspace(1.0, 1e3, 600))
    report = solve(problem, method, np.full(600, 2.0), Stopping(max_iterations=6))
    assert report.evidence.decrement is None
