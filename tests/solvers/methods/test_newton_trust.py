"""Newton's trust region: valleys, the two curvatures of a sum of squares, boxes, units, and what it costs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.optimize

from nablad.solvers import (
    Armijo,
    Bounds,
    Checkpoint,
    Done,
    Expression,
    Iterate,
    Newton,
    RecordTheta,
    Status,
    Stopping,
    TrustRegion,
    run,
    solve,
)
from nablad.solvers.methods.newton_state import GAUSS_NEWTON, HESSIAN, NewtonState
from nablad.solvers.progress import restore
from solvers import objectives as o


def misra(start: tuple[float, float] = (500.0, 1e-4)) -> Any:
    """NIST's Misra1a: a monomolecular rise, from its far start."""
    x = np.array([77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0])
    y = [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.4, 75.47, 81.78]
    given = dict(zip(("b1", "b2"), start, strict=True))
    model = Expression.parse("b1*(1 - exp(-b2*x))", data={"x": x}, response=np.array(y), start=given)
    return model.objective(), np.array(start)


MISRA = np.array([2.3894212918e02, 5.5015643181e-04])


def test_misra_from_its_far_start() -> None:
    """A line search took 109 iterations."""
    objective, start = misra()
    report = solve(objective, Newton(), start)
    assert report.success
    assert report.iterations <= 25
    assert np.allclose(report.theta, MISRA, rtol=1e-9)


def bent_valley(steepness: float) -> o.SumOfSquares:
    """steepness (y - x^2) and x - 1: the floor is a parabola, the steeper the walls the narrower."""
    k = steepness
    return o.sum_of_squares(
        lambda t: np.array([k * (t[1] - t[0] ** 2), t[0] - 1.0]),
        lambda t: np.array([[-2.0 * k * t[0], k], [1.0, 0.0]]),
        lambda t: np.array([[-2.0 * k * k * (t[1] - t[0] ** 2), 0.0], [0.0, 0.0]]),
        2,
    )


@pytest.mark.parametrize("curvature", ["blend", "exact"])
def test_a_narrow_bent_valley_is_followed(curvature: str) -> None:
    """Steps along the tangent alone rise by steepness^2 length^4: without corrections it took 680 of them."""
    report = solve(bent_valley(1e3), Newton(curvature=curvature), np.array([-5.0, 25.0]), Stopping(max_iterations=300))
    assert report.success, report.message
    assert np.allclose(report.theta, 1.0, rtol=1e-6)


def last_state(objective: Any, method: Newton, start: np.ndarray) -> NewtonState:
    events = list(run(objective, method, start, checkpoint_every=1))
    point = [e for e in events if isinstance(e, Checkpoint)][-1]
    state = restore(point.state, method, objective).state
    assert isinstance(state, NewtonState)
    return state


def test_the_state_tells_which_curvature_was_used() -> None:
    blended = last_state(o.exponential_fit(), Newton(), np.array([1.0, 0.5]))
    assert blended.gauss_newton_steps > 0
    exact = last_state(o.exponential_fit(), Newton(curvature="exact"), np.array([1.0, 0.5]))
    assert (exact.model, exact.gauss_newton_steps) == (HESSIAN, 0)
    assert GAUSS_NEWTON != HESSIAN


def test_the_hessian_waits_for_the_end_where_the_residual_vanishes() -> None:
    """A fit without noise converges quadratically by 2 J'J alone: what remains for the Hessian is to verify it."""
    start = np.array([3.0, 9.5])
    report = solve(bent_valley(10.0), Newton(), start)
    assert report.success, report.message
    assert report.evidence.verdict == "minimum"
    assert report.counts.hessian <= 2 < report.iterations
    exact = solve(bent_valley(10.0), Newton(curvature="exact"), start)
    assert exact.counts.hessian >= exact.iterations


def large_residual() -> o.SumOfSquares:
    """One residual is 3 or more at the minimum and bends the other way: Gauss-Newton's steps shrink by a half at best.

    r = (t, 3 - t^2 / 2), f = 9 - 2 t^2 + t^4 / 4, minima at +-2.
    """
    return o.sum_of_squares(
        lambda t: np.array([t[0], 3.0 - 0.5 * t[0] ** 2]),
        lambda t: np.array([[1.0], [-t[0]]]),
        lambda t: np.array([[-(3.0 - 0.5 * t[0] ** 2)]]),
        1,
    )


@pytest.mark.parametrize("start", [0.0, 1e-3, 1.0, 10.0])
def test_a_large_residual_converges_quadratically_and_its_maximum_is_left(start: float) -> None:
    events = list(run(large_residual(), Newton(), np.array([start]), record_theta=RecordTheta.each()))
    report = events[-1].report if isinstance(events[-1], Done) else None
    assert report is not None
    assert report.success, report.message
    assert abs(report.theta[0]) == pytest.approx(2.0, rel=1e-12)
    errors = [abs(abs(e.theta[0]) - 2.0) for e in events if isinstance(e, Iterate) and e.theta is not None]
    late = [(a, b) for a, b in itertools.pairwise(errors) if 1e-7 < a < 1e-3]
    assert all(b <= 2.0 * a * a for a, b in late)


BOXES: dict[str, tuple[Any, np.ndarray, np.ndarray, np.ndarray]] = {
    "rosenbrock, held": (o.rosenbrock, np.array([-1.2, 1.0]), np.array([-2.0, -2.0]), np.array([0.5, 2.0])),
    "rosenbrock, free": (o.rosenbrock, np.array([-1.2, 1.0]), np.array([-2.0, -2.0]), np.array([2.0, 2.0])),
    "beale, at a corner": (o.beale, np.array([1.0, 0.8]), np.array([0.5, 0.0]), np.array([1.0, 1.0])),
    "hill": (o.hill, np.array([0.0, 0.0, 0.0]), np.array([-0.5, -2.0, 0.0]), np.array([0.25, 0.5, 3.0])),
    "a fit": (o.exponential_fit, np.array([1.0, 0.5]), np.array([0.0, 0.2]), np.array([2.0, 9.0])),
    "one fixed": (o.exponential_fit, np.array([1.0, 0.5]), np.array([-9.0, 0.5]), np.array([9.0, 0.5])),
    "a wall of nan": (o.barrier, np.array([3.0, 0.1]), np.array([1e-3, 1e-3]), np.array([3.5, 9.0])),
}


@pytest.mark.parametrize("solver", ["dense", "cg"])
@pytest.mark.parametrize("name", list(BOXES))
def test_boxes(name: str, solver: str) -> None:
    """Every point evaluated lies inside, and the answer is a minimum beside L-BFGS-B's."""
    make, start, lower, upper = BOXES[name]
    problem, box = make(), Bounds(lower, upper)
    report = solve(problem, Newton(linear_solver=solver), start, bounds=box)
    assert report.success, report.message
    assert all(box.contains(theta) for theta in problem.seen)
    peer = make()
    found = scipy.optimize.minimize(
        peer.f, start, jac=peer.g, method="L-BFGS-B", bounds=scipy.optimize.Bounds(lower, upper), options={"ftol": 0.0}
    )
    if name != "hill":
        assert report.value <= found.fun * (1.0 + 1e-9) + 1e-15
    gradient = box.projected(report.theta, problem.g(report.theta))
    assert np.abs(gradient).max() <= 1e-6 * max(1.0, float(np.abs(problem.g(start)).max()))
    free = box.free(report.theta, problem.g(report.theta))
    if free.any():
        assert np.linalg.eigvalsh(problem.H(report.theta)[np.ix_(free, free)])[0] > 0.0


@pytest.mark.parametrize("units", [np.array([1e6, 1e-5]), np.array([2.0**30, 2.0**-40])])
@pytest.mark.parametrize("solver", ["dense", "cg"])
def test_each_parameters_own_unit_changes_no_decision(units: np.ndarray, solver: str) -> None:
    inner, start = o.exponential_fit(), np.array([1.0, 0.5])
    scaled = o.SumOfSquares(
        f=lambda t: inner.f(t / units),
        g=lambda t: inner.g(t / units) / units,
        H=lambda t: inner.H(t / units) / units / units[:, None],
        size=2,
        capabilities=inner.capabilities,
        r=lambda t: inner.r(t / units),
        J=lambda t: inner.J(t / units) / units,
    )
    method = Newton(linear_solver=solver)
    plain, other = solve(inner, method, start), solve(scaled, method, units * start)
    assert other.iterations == plain.iterations
    assert np.allclose(other.theta / units, plain.theta, rtol=1e-10)


def test_the_first_radius_bounds_the_first_step() -> None:
    start = np.array([-1.2, 1.0])
    for share in (1e-3, 1e-2):
        events = run(o.rosenbrock(), Newton(TrustRegion(share)), start, record_theta=RecordTheta.each())
        first = [e.theta for e in events if isinstance(e, Iterate)][1]
        assert first is not None
        D = np.sqrt(np.diagonal(o.rosenbrock().H(start)))
        assert np.linalg.norm(D * (first - start)) <= share * np.linalg.norm(D * start) * (1.0 + 1e-9)


def test_one_hessian_an_iteration_and_nothing_evaluated_twice() -> None:
    for method in (Newton(), Newton(curvature="exact")):
        problem = o.beale()
        report = solve(problem, method, np.array([1.0, 0.8]))
        assert report.counts.hessian <= report.iterations + 1
        points = {theta.tobytes() for theta in problem.seen}
        assert len(points) == len(problem.seen)


@pytest.mark.parametrize(
    "bad",
    [
        {"curvature": "gauss"},
        {"linear_solver": "qr"},
        {"linear_solver": "cg", "globalization": Armijo()},
    ],
)
def test_settings_are_checked(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"curvature|linear_solver"):
        Newton(**bad)


def test_stationary_points_of_products_alone() -> None:
    """A saddle and a maximum, where conjugate gradients have no gradient to start from."""
    for problem, size, best in ((o.saddle(), 2, -1.0), (o.hill(), 3, -0.75)):
        report = solve(problem, Newton(linear_solver="cg"), np.zeros(size))
        assert report.success, report.message
        assert report.value == pytest.approx(best)
        assert report.counts.hessian <= 1


def test_many_parameters_take_products_by_themselves() -> None:
    """2,000 parameters, a chain of Rosenbrock's valleys: no Hessian is formed, and the minimum is found."""
    p = 2000

    def f(t: np.ndarray) -> float:
        return float(np.sum(25.0 * (t[1:] - t[:-1] ** 2) ** 2 + (1.0 - t[:-1]) ** 2))

    def g(t: np.ndarray) -> np.ndarray:
        w = t[1:] - t[:-1] ** 2
        out = np.zeros(p)
        out[1:] += 50.0 * w
        out[:-1] += -100.0 * t[:-1] * w - 2.0 * (1.0 - t[:-1])
        return out

    class Chain(o.Smooth):
        def hvp(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
            self.counters.hvp += 1
            w = theta[1:] - theta[:-1] ** 2
            dw = v[1:] - 2.0 * theta[:-1] * v[:-1]
            out = np.zeros(p)
            out[1:] += 50.0 * dw
            out[:-1] += -100.0 * (v[:-1] * w + theta[:-1] * dw) + 2.0 * v[:-1]
            return out

    problem = Chain(f=f, g=g, H=lambda t: 1 / 0, size=p)
    report = solve(problem, Newton(), np.full(p, 0.7), Stopping(max_iterations=60))
    assert report.success, report.message
    assert np.allclose(report.theta, 1.0, atol=1e-6)
    assert report.counts.hessian == 0
    assert report.counts.hvp < 2000


@pytest.mark.parametrize("rule", [Stopping(step_tolerance=1e-2), Stopping(decrement_tolerance=1e-2)])
def test_a_tolerance_of_the_users_ends_a_run_that_has_seen_no_hessian(rule: Stopping) -> None:
    start = np.array([1.0, 0.5])
    early, whole = solve(o.exponential_fit(), Newton(), start, rule), solve(o.exponential_fit(), Newton(), start)
    assert early.success, early.message
    assert early.status in (Status.STEP, Status.DECREMENT)
    assert early.iterations < whole.iterations


def test_passes_over_the_jacobian_pay_for_a_verdict() -> None:
    """A run by 2 J'J makes no gradients, and has cost as much as some Hessians all the same."""
    rng = np.random.default_rng(2)
    A, t = rng.standard_normal((300, 100)) / 10.0, rng.standard_normal(100)
    y = np.tanh(A @ t)
    model = Expression.trace(lambda p, d: np.tanh(d["A"] @ p), start=np.zeros(100), data={"A": A}, response=y)
    report = solve(model.objective(), Newton(), model.start(), Stopping(target_value=1e-9))
    assert report.status is Status.TARGET
    assert report.counts.jacobian > 2
    assert "cost more than the run" not in report.message


def test_an_infimum_at_infinity_is_not_followed_until_f_underflows() -> None:
    rng = np.random.default_rng(3)
    A = rng.standard_normal((40, 3))
    side = np.sign(A @ np.array([1.0, 2.0, -1.0]))
    separable = Expression.trace(lambda w: np.sum(np.log1p(np.exp(-(A @ w) * side))), start=np.zeros(3))
    report = solve(separable.objective(), Newton(), separable.start())
    assert report.status is Status.RECEDING
    assert report.iterations <= 100
    # cosh falls as exp does, for seven hundred iterations, and has its minimum.
    far = Expression.trace(lambda t: np.sum(np.cosh(t)), start=np.array([700.0, -700.0]))
    report = solve(far.objective(), Newton(), far.start())
    assert report.success, report.message
    assert report.value == pytest.approx(2.0, rel=1e-12)
