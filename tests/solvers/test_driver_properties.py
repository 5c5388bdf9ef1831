"""What every method must do, over the whole table of methods: one property a test.

The names in parentheses are the foreign bugs that a test keeps out.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest

from nablad.solvers import (
    BFGS,
    LBFGS,
    Armijo,
    BarzilaiBorwein,
    Checkpoint,
    Constant,
    Control,
    Counters,
    Done,
    Family,
    GradientDescent,
    Iterate,
    Newton,
    NonlinearConjugateGradient,
    Status,
    Stopping,
    Wolfe,
    run,
    solve,
)
from nablad.solvers.methods.table import METHODS
from solvers import objectives as o

VARIANTS: dict[str, Any] = {
    "newton": Newton(),
    "newton-short": Newton(Armijo(initial=0.7, sufficient_decrease=0.1)),
    "armijo": GradientDescent(),
    "armijo-momentum": GradientDescent(momentum=0.8),
    "armijo-slow": GradientDescent(Armijo(initial=1e-3, shrink=0.3, grow=3.0)),
    "wolfe": GradientDescent(Wolfe(curvature=0.5), momentum=0.6),
    "barzilai-borwein": GradientDescent(BarzilaiBorwein()),
    "nesterov": GradientDescent(nesterov=True),
    "bfgs": BFGS(),
    "lbfgs": LBFGS(),
    "lbfgs-short": LBFGS(memory=1, line_search=Wolfe(curvature=0.5)),
    "hager-zhang": NonlinearConjugateGradient(),
    "polak-ribiere": NonlinearConjugateGradient("polak_ribiere"),
    "fletcher-reeves": NonlinearConjugateGradient("fletcher_reeves"),
    "constant-nesterov": GradientDescent(Constant(5e-4), nesterov=True),
    "constant": GradientDescent(Constant(1e-3)),
    "constant-momentum": GradientDescent(Constant(5e-4), momentum=0.5),
}
SEARCHING = [name for name in VARIANTS if not name.startswith("constant")]
LONG = Stopping(max_iterations=50_000)


@pytest.fixture(params=list(VARIANTS))
def method(request: pytest.FixtureRequest) -> Any:
    return VARIANTS[request.param]


@pytest.fixture(params=SEARCHING)
def searching(request: pytest.FixtureRequest) -> Any:
    return VARIANTS[request.param]


def trace(events: list[Any]) -> list[Any]:
    """Iterates without the clock."""
    return [
        (
            e.iteration,
            e.value,
            e.gradient_norm,
            e.step_size,
            e.values,
            e.gradients,
            e.hessians,
            e.hvps,
            None if e.theta is None else e.theta.tobytes(),
            e.accepted,
        )
        for e in events
        if isinstance(e, Iterate)
    ]


def test_the_variants_cover_the_table() -> None:
    # Methods of minibatches see other objectives: test_minibatches.py.
    assert {type(v) for v in VARIANTS.values()} == {cls for cls in METHODS.values() if "separable" not in cls.needs}
    assert all(cls.name == name for name, cls in METHODS.items())


@pytest.mark.parametrize(
    ("problem", "start", "minimum"),
    [
        (o.quadratic([1.0, 5.0, 20.0]), np.zeros(3), 3.0),
        (o.exponential_fit(), np.array([1.0, 0.5]), 0.030861385),
        (o.hill(), np.array([0.1, -0.2, 3.0]), -0.75),
    ],
    ids=["quadratic", "exponential", "hill"],
)
def test_converges(method: Any, problem: Any, start: Any, minimum: float) -> None:
    report = solve(problem, method, start, LONG)
    assert report.success, report.message
    assert report.value == pytest.approx(minimum, abs=1e-6)
    assert report.evidence.verdict == "minimum"
    assert report.evidence.smallest_curvature is not None
    assert report.evidence.smallest_curvature > 0


def test_searches_converge_on_rosenbrock(searching: Any) -> None:
    report = solve(o.rosenbrock(), searching, np.array([-1.2, 1.0]), LONG)
    assert report.success, report.message
    assert np.allclose(report.theta, 1.0, atol=1e-3)


def test_iteration_limit(method: Any) -> None:
    report = solve(o.rosenbrock(), method, np.array([-1.2, 1.0]), Stopping(max_iterations=3))
    assert (report.status, report.iterations, report.success) == (Status.MAX_ITERATIONS, 3, False)
    assert "3" in report.message


def test_no_iterations_look_at_the_start_only(method: Any) -> None:
    report = solve(o.rosenbrock(), method, np.array([-1.2, 1.0]), Stopping(max_iterations=0))
    assert (report.status, report.iterations, report.counts.value) == (Status.MAX_ITERATIONS, 0, 1)


@pytest.mark.parametrize("most", [1, 2, 3, 5, 8, 13])
def test_evaluation_limit_holds_inside_searches(method: Any, most: int) -> None:
    """(scipy #12023)"""
    problem = o.rosenbrock()
    report = solve(problem, method, np.array([-1.2, 1.0]), Stopping(max_evaluations=most))
    assert report.status is Status.MAX_EVALUATIONS
    assert report.counts.value == len(problem.seen) == most
    assert math.isfinite(report.value)


def test_evaluation_limit_counts_this_run_only(method: Any) -> None:
    problem = o.rosenbrock()
    problem.counters.value = 1000
    assert solve(problem, method, np.array([-1.2, 1.0]), Stopping(max_evaluations=4)).counts.value == 4


def test_time_limit_is_seen_inside_an_evaluation(method: Any) -> None:
    control = Control()
    problem = o.rosenbrock()

    def slow() -> None:
        for _ in range(3):
            time.sleep(0.002)
            control.checkpoint()

    problem.before = slow
    begin = time.perf_counter()
    report = solve(problem, method, np.array([-1.2, 1.0]), Stopping(max_seconds=0.03), control=control)
    assert report.status is Status.MAX_TIME
    assert time.perf_counter() - begin < 0.3


@pytest.mark.parametrize("after", [0, 1, 7])
def test_cancel_keeps_the_best_point(method: Any, after: int) -> None:
    """(scipy #7306, #9412)"""
    control, values = Control(), []
    report = None
    for event in run(o.rosenbrock(), method, np.array([-1.2, 1.0]), control=control):
        if isinstance(event, Iterate):
            values.append(event.value)
            if event.iteration == after:
                control.cancel()
        if isinstance(event, Done):
            report = event.report
    assert report is not None
    assert report.status is Status.CANCELLED
    assert report.value == min(values)
    assert report.evidence.verdict == "unverified"


def test_cancel_before_anything(method: Any) -> None:
    control = Control()
    control.cancel()
    report = solve(o.rosenbrock(), method, np.array([-1.2, 1.0]), control=control)
    assert (report.status, report.success) == (Status.CANCELLED, False)
    assert np.array_equal(report.theta, [-1.2, 1.0])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_start_that_is_not_finite(method: Any, value: float) -> None:
    """(scipy #4793, ceres #988)"""
    report = solve(o.everywhere(value), method, np.ones(2))
    assert (report.status, report.success, report.iterations) == (Status.NONFINITE_START, False, 0)
    assert "2 of the gradient's 2" in report.message


def test_trials_that_are_not_finite_are_refused(searching: Any) -> None:
    """(scipy #12503)"""
    report = solve(o.barrier(), searching, np.array([8.0, 0.01]), LONG)
    assert report.success, report.message
    assert np.allclose(report.theta, 1.0, atol=1e-4)


@pytest.mark.parametrize("what", ["g", "H"])
def test_derivatives_that_are_not_finite(method: Any, what: str) -> None:
    """A finite value with NaN derivatives beyond a wall: never a success, never an endless loop."""
    problem = o.quadratic([1.0, 2.0])
    inner = getattr(problem, what)
    setattr(problem, what, lambda t: inner(t) * (math.nan if t[0] > 0.5 else 1.0))
    report = solve(problem, method, np.zeros(2))
    if what == "g" or method.order == 2:
        assert not report.success, report.message
        assert report.status in (Status.NONFINITE, Status.DIVERGED, Status.LINE_SEARCH_STALLED)
    assert np.isfinite(report.theta).all()
    assert math.isfinite(report.value)


@pytest.mark.parametrize("f_scale", [1e-12, 2.0**-60, 1e9])
def test_scaling_the_objective_changes_no_decision(searching: Any, f_scale: float) -> None:
    """Rosenbrock times 1e-12 is a success at its start for five scipy methods."""
    make = o.rosenbrock if searching.order == 2 else o.beale
    start = np.array([-1.2, 1.0]) if searching.order == 2 else np.array([1.0, 0.8])
    plain = solve(make(), searching, start, LONG)
    if searching is VARIANTS["armijo-slow"]:  # a step length has units, which the user scales
        searching = GradientDescent(Armijo(initial=1e-3 / f_scale, shrink=0.3, grow=3.0))
    scaled = solve(o.rescaled(make(), f_scale), searching, start, LONG)
    assert scaled.success
    assert scaled.iterations > 5
    assert np.allclose(scaled.theta, plain.theta, atol=1e-3)
    if math.frexp(f_scale)[0] == 0.5:
        assert (scaled.iterations, scaled.theta.tobytes()) == (plain.iterations, plain.theta.tobytes())


@pytest.mark.parametrize("x_scale", [1e-6, 2.0**20])
def test_scaling_the_parameters_changes_no_decision(x_scale: float) -> None:
    start = np.array([-1.2, 1.0])
    for method in (Newton(), GradientDescent(momentum=0.8)):
        scaled = solve(o.rescaled(o.rosenbrock(), 1.0, x_scale), method, x_scale * start, LONG)
        assert scaled.success
        assert np.allclose(scaled.theta / x_scale, 1.0, atol=1e-3)


def test_scaling_parameters_one_by_one_changes_nothing_for_newton() -> None:
    problem, scale = o.exponential_fit(), np.array([1e6, 1e-5])
    scaled = o.Smooth(
        f=lambda t: problem.f(t / scale),
        g=lambda t: problem.g(t / scale) / scale,
        H=lambda t: problem.H(t / scale) / scale / scale[:, None],
        size=2,
    )
    start = np.array([1.0, 0.5])
    plain, other = solve(problem, Newton(), start), solve(scaled, Newton(), scale * start)
    assert np.allclose(other.theta / scale, plain.theta, rtol=1e-10)
    assert other.evidence.verdict == plain.evidence.verdict == "minimum"


@pytest.mark.parametrize(("problem", "size"), [(o.saddle(), 2), (o.hill(), 3)], ids=["saddle", "maximum"])
def test_newton_leaves_saddles_and_maxima(problem: Any, size: int) -> None:
    for scale in (1.0, 1e-6, 1e4):
        report = solve(o.rescaled(problem, 1e-3, scale), Newton(), np.zeros(size))
        assert report.success, report.message
        assert report.evidence.verdict == "minimum"
        assert report.value == pytest.approx(-1e-3 if size == 2 else -0.75e-3, rel=1e-9)


def test_newton_leaves_a_saddle_that_it_was_aimed_at() -> None:
    report = solve(o.saddle(), Newton(), np.array([1.0, 0.0]))
    assert report.value == pytest.approx(-1.0)


@pytest.mark.parametrize(("problem", "size"), [(o.saddle(), 2), (o.hill(), 3)], ids=["saddle", "maximum"])
def test_a_stationary_point_without_a_minimum_is_no_success(method: Any, problem: Any, size: int) -> None:
    """(scipy #20213)"""
    report = solve(problem, method, np.zeros(size))
    if method.order == 1:
        assert (report.status, report.success) == (Status.SADDLE, False)
        assert report.evidence.verdict == ("saddle" if size == 2 else "maximum")


def test_unbounded_below(searching: Any) -> None:
    for problem in (o.linear(), o.unbounded_quartic()):
        report = solve(problem, searching, np.full(2, 0.5))
        assert report.status is Status.UNBOUNDED, report.message
        assert not report.success


def test_constant_objective(method: Any) -> None:
    """(optimistix #195)"""
    report = solve(o.constant(), method, np.ones(3))
    assert (report.status, report.iterations) == (Status.GRADIENT, 0)
    assert report.evidence.verdict == "flat"


@pytest.mark.parametrize(
    ("problem", "start"),
    [
        (o.exponential_fit(), np.array([1.0, 0.5])),
        (o.logistic(), np.zeros(4)),
        (o.rosenbrock(), np.array([-1.2, 1.0])),
        (o.affine(*o.longley()[:2]), np.zeros(7)),
    ],
    ids=["exponential", "logistic", "rosenbrock", "longley"],
)
def test_a_warm_start_at_the_answer_is_a_success_at_once(method: Any, problem: Any, start: Any) -> None:
    answer = solve(problem, Newton(), start).theta
    report = solve(problem, method, answer)
    assert report.success, report.message
    assert report.iterations <= 1


def test_best_point_is_returned(method: Any) -> None:
    problem = o.rosenbrock()
    values = []
    for event in run(problem, method, np.array([-1.2, 1.0]), Stopping(max_iterations=37)):
        if isinstance(event, Iterate):
            values.append(event.value)
        if isinstance(event, Done) and not event.report.success:
            assert event.report.value == min(values)
            assert problem.value(event.report.theta) == event.report.value


@pytest.mark.parametrize(
    ("problem", "start"),
    [
        (o.rosenbrock(), np.array([-1.2, 1.0])),
        (o.saddle(), np.array([0.3, 0.0])),
        (o.affine(*o.longley()[:2]), np.zeros(7)),
        (o.affine(np.ones((5, 3)), np.arange(5.0)), np.ones(3)),
        (o.affine(np.ones((5, 3), dtype=np.float32), np.arange(5, dtype=np.float32)), np.ones(3)),
    ],
    ids=["rosenbrock", "saddle", "longley", "deficient", "float32"],
)
def test_resume_equals_uninterrupted(method: Any, problem: Any, start: Any) -> None:
    """Bit for bit, from every checkpoint, counts included."""
    stopping = Stopping(max_iterations=30)
    problem.counters = Counters()
    whole = list(run(problem, method, start, stopping, checkpoint_every=1))
    expected = trace(whole)
    for point in [e for e in whole if isinstance(e, Checkpoint)]:
        again = list(run(problem, method, start, stopping, resume=point.state, checkpoint_every=1))
        assert trace(again) == expected[point.iteration + 1 :]
        first, second = whole[-1].report, again[-1].report
        assert first.theta.tobytes() == second.theta.tobytes()
        assert (first.status, first.message, first.evidence, first.counts, first.factorizations) == (
            second.status,
            second.message,
            second.evidence,
            second.counts,
            second.factorizations,
        )


@pytest.mark.parametrize("most", [4, 5, 6, 7])
def test_resume_after_a_limit_inside_a_search(method: Any, most: int) -> None:
    start = np.array([-1.2, 1.0])
    expected = trace(list(run(o.rosenbrock(), method, start, Stopping(max_iterations=12))))
    cut = list(run(o.rosenbrock(), method, start, Stopping(max_evaluations=most), checkpoint_every=100))
    state = next(e for e in cut if isinstance(e, Checkpoint))
    rest = trace(list(run(o.rosenbrock(), method, start, Stopping(max_iterations=12), resume=state.state)))
    strip = [row[:8] for row in expected]
    assert [row[:8] for row in trace(cut)] + [row[:8] for row in rest] == strip


def test_the_same_run_twice_has_the_same_bits(method: Any) -> None:
    start = np.array([-1.2, 1.0])
    first, second = (trace(list(run(o.rosenbrock(), method, start, Stopping(max_iterations=300)))) for _ in range(2))
    assert first == second


def test_settings_given_and_used_are_told(method: Any) -> None:
    report = solve(o.beale(), method, np.array([1.0, 0.8]), Stopping(max_iterations=5))
    assert report.stopping_given == {"max_iterations": 5}
    assert report.stopping_used["gradient_tolerance"] == 0.0
    assert report.method_settings["kind"] == type(method).__name__


def test_target_value(searching: Any) -> None:
    report = solve(o.rosenbrock(), searching, np.array([-1.2, 1.0]), Stopping(target_value=0.5))
    assert report.status is Status.TARGET
    assert report.value <= 0.5


def test_float32_runs_in_float32(searching: Any) -> None:
    A = np.random.default_rng(1).standard_normal((30, 3)).astype(np.float32)
    A /= np.linalg.norm(A, axis=0)
    problem = o.affine(A, A @ np.ones(3, dtype=np.float32) + np.float32(0.1))
    report = solve(problem, searching, np.zeros(3), LONG)
    assert report.success, report.message
    assert report.theta.dtype == np.float32
    assert np.allclose(report.theta, np.linalg.lstsq(A, A @ np.ones(3) + 0.1, rcond=None)[0], atol=2e-3)


def test_no_parameters(method: Any) -> None:
    problem = o.Smooth(f=lambda t: 1.0, g=lambda t: t, H=lambda t: np.zeros((0, 0)), size=0)
    report = solve(problem, method, np.zeros(0))
    assert report.success
    assert report.value == 1.0


def test_seconds_are_split(method: Any) -> None:
    problem = o.beale()
    problem.before = lambda: time.sleep(0.001)
    seconds = solve(problem, method, np.array([1.0, 0.8]), Stopping(max_iterations=5)).seconds
    assert 0.0 <= seconds.linear_algebra < seconds.total
    assert seconds.evaluation > 0.003
    assert seconds.evaluation + seconds.linear_algebra <= seconds.total


def test_success_is_the_converged_family_only() -> None:
    assert {s for s in Status if s.success} == {s for s in Status if s.family is Family.CONVERGED}
    assert all(s.advice.endswith(".") for s in Status)
