"""What a report says of its point: no success that is none, on functions written as anybody would; and its words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nablad.solvers import (
    BFGS,
    LBFGS,
    Adam,
    BarzilaiBorwein,
    Bounds,
    Constant,
    Expression,
    Family,
    GradientDescent,
    Layer,
    LeastSquares,
    LevenbergMarquardt,
    Network,
    Newton,
    NonlinearConjugateGradient,
    Report,
    Status,
    StochasticGradientDescent,
    Stopping,
    solve,
)
from nablad.solvers.order import convergence_order
from solvers import objectives as o

METHODS: dict[str, Any] = {
    "newton": Newton(),
    "lbfgs": LBFGS(),
    "bfgs": BFGS(),
    "conjugate gradients": NonlinearConjugateGradient(),
    "barzilai-borwein": GradientDescent(BarzilaiBorwein()),
}
MANY = Stopping(max_iterations=3000)


def run(text: str, start: dict[str, float], method: Any, stopping: Stopping | None = MANY, **more: Any) -> Report:
    model = Expression.parse(text, start=start)
    return solve(model.objective(), method, model.start(), stopping, **more)


MINIMA: dict[str, tuple[str, dict[str, float], float]] = {
    "himmelblau": ("(x**2+y-11)**2+(x+y**2-7)**2", {"x": 0.0, "y": 0.0}, 0.0),
    "matyas": ("0.26*(x**2+y**2)-0.48*x*y", {"x": 5.0, "y": -7.0}, 0.0),
    "easom": ("-cos(x)*cos(y)*exp(-(x-pi)**2-(y-pi)**2)", {"x": 2.5, "y": 3.5}, -1.0),
    "logcosh": ("log(cosh(x-3))+log(cosh(2*y+1))", {"x": -20.0, "y": 30.0}, 0.0),
    "roots": ("sqrt(1+x**2)+sqrt(1+y**2)", {"x": 100.0, "y": -3.0}, 2.0),
    "quartic": ("x**4+y**4+x**2*y**2", {"x": 2.0, "y": -1.0}, 0.0),
    "sixth power": ("(x-3)**6+(y+1)**2", {"x": 0.0, "y": 0.0}, 0.0),
    "eighth power": ("(x-y)**8+(x+y-2)**2", {"x": 4.0, "y": 0.0}, 0.0),
    "line": ("(x+y-2)**2", {"x": 4.0, "y": 0.0}, 0.0),
    "circle": ("(x**2+y**2-1)**2", {"x": 3.0, "y": 0.5}, 0.0),
    "cosh of a sum": ("exp(x+y)+exp(-x-y)", {"x": 3.0, "y": 0.5}, 2.0),
    "a large constant": ("1e6+(x-1)**2+(y-2)**4", {"x": 0.0, "y": 0.0}, 1e6),
    "tiny rosenbrock": ("1e-20*((x-1)**2+100*(y-x**2)**2)", {"x": -1.2, "y": 1.0}, 0.0),
    "hinge": ("maximum(0,1-x)**2+y**2", {"x": -5.0, "y": 1.0}, 0.0),
    "gaussian well": ("-exp(-x**2-y**2)", {"x": 1.0, "y": 1.0}, -1.0),
    "cancellation": ("20+x**2-10*cos(2*pi*x)+y**2-10*cos(2*pi*y)", {"x": 0.2, "y": -0.1}, 0.0),
}


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("name", list(MINIMA))
def test_a_success_is_at_a_minimum(name: str, method: str) -> None:
    """Within 1e-8 of it relatively, 1e-12 where it is zero: never more is claimed; and those of speed get there."""
    text, start, minimum = MINIMA[name]
    report = run(text, start, METHODS[method])
    near = abs(report.value - minimum) <= (1e-8 * abs(minimum) if minimum else 1e-12)
    assert near or not report.success, report.message
    assert report.evidence.verdict in ("minimum", "flat", "unverified")
    if method in ("newton", "bfgs"):
        assert report.success, report.message


AT_INFINITY: dict[str, tuple[str, dict[str, float]]] = {
    "exponential": ("exp(-x)", {"x": 0.0}),
    "above a constant": ("1+exp(-x)", {"x": 0.0}),
    "reciprocal": ("1/x+(y-1)**2", {"x": 1.0, "y": 0.0}),
    "bell": ("1/(1+x**2)+y**2", {"x": 2.0, "y": 1.0}),
    "arctangent": ("arctan(x)+y**2", {"x": 1.0, "y": 1.0}),
    "hyperbolic tangent": ("tanh(x)+y**2", {"x": 1.0, "y": 1.0}),
    "beside a minimum": ("exp(-x)+(y-1)**2", {"x": 1.0, "y": 0.0}),
    "soft plus": ("log(1+exp(x))+log(1+exp(-x))+0.5*log(1+exp(y))", {"x": 3.0, "y": 0.0}),
    "a ratio": ("exp(-x)*(1+y**2)", {"x": 1.0, "y": 1.0}),
    "hyperbola": ("(1-x*y)**2+x**2", {"x": 1.0, "y": 1.0}),
}


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("name", list(AT_INFINITY))
def test_a_minimum_at_infinity_is_no_success(name: str, method: str) -> None:
    report = run(*AT_INFINITY[name], METHODS[method])
    assert report.status.family is not Family.CONVERGED, report.message
    if report.status is Status.RECEDING:
        assert report.evidence.verdict == "unverified"
        assert "penalty" in report.message
        assert "bounds" in report.message


@pytest.mark.parametrize("method", ["lbfgs", "bfgs", "conjugate gradients"])
@pytest.mark.parametrize("name", ["exponential", "above a constant", "bell"])
def test_first_order_says_that_it_recedes(name: str, method: str) -> None:
    assert run(*AT_INFINITY[name], METHODS[method]).status is Status.RECEDING


@pytest.mark.parametrize("method", list(METHODS))
def test_separable_classes_recede(method: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 2))
    labels = (X @ np.array([1.0, 2.0]) > 0.0).astype(float)
    model = Network(X, labels, [Layer(2)], loss="softmax_cross_entropy")
    report = solve(model.objective(), METHODS[method], model.start(), MANY)
    assert report.status.family is not Family.CONVERGED, report.message
    held = Network(X, labels, [Layer(2)], loss="softmax_cross_entropy", ridge=0.1)
    report = solve(held.objective(), METHODS[method], held.start(), MANY)
    assert report.success, report.message


NO_MINIMA: dict[str, tuple[str, dict[str, float]]] = {
    "cube at its inflection": ("x**3", {"x": 0.0}),
    "cube from above": ("(x-1)**3", {"x": 2.0}),
    "cube beside a square": ("x**3+y**2", {"x": 1.0, "y": 1.0}),
    "monkey saddle": ("x**3-3*x*y**2", {"x": 0.0, "y": 0.0}),
    "monkey saddle, aimed at": ("x**3-3*x*y**2", {"x": 1.0, "y": 0.0}),
    "falls like a fourth power": ("1+x**2-y**4", {"x": 0.0, "y": 0.0}),
    "falls along no line": ("(x-y**2)*(x-2*y**2)", {"x": 0.0, "y": 0.0}),
    "saddle": ("x*y", {"x": 0.0, "y": 0.0}),
    "maximum": ("-x**2-y**2", {"x": 0.0, "y": 0.0}),
}


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("name", list(NO_MINIMA))
def test_what_is_no_minimum_is_no_success(name: str, method: str) -> None:
    report = run(*NO_MINIMA[name], METHODS[method])
    assert report.status in (Status.SADDLE, Status.UNBOUNDED, Status.MAX_ITERATIONS), report.message


def test_merged_terms_are_no_minimum() -> None:
    """b1 exp(-b2 x) + b3 exp(-b4 x) with b2 = b4: flat, and stationary, and to be left by pulling them apart."""
    x = np.linspace(0.0, 2.0, 24)
    y = 0.9 * np.exp(-x) + 1.6 * np.exp(-5.0 * x)
    one = Expression.parse("b1*exp(-b2*x)", data={"x": x}, response=y, start={"b1": 1.0, "b2": 1.0})
    a, b = solve(one.objective(), Newton(), one.start()).theta
    model = Expression.parse(
        "b1*exp(-b2*x)+b3*exp(-b4*x)", data={"x": x}, response=y, start={"b1": -0.02, "b2": b, "b3": a + 0.02, "b4": b}
    )
    report = solve(model.objective(), LBFGS(), model.start())
    assert report.value < 1e-12 or report.status is Status.SADDLE, report.message


def test_a_flat_start_is_no_fall_without_end() -> None:
    """From exp(-128) f falls by fifty orders of magnitude, and stops at -1."""
    report = run("-exp(-x**2-y**2)", {"x": 8.0, "y": 8.0}, GradientDescent())
    assert report.status is not Status.UNBOUNDED


# --- whose rule it is --------------------------------------------------------------------------------------------


def test_by_default_a_small_gradient_is_verified() -> None:
    """||g|| <= 1e-6 ||g_0|| leaves Rosenbrock's function at 1e-7."""
    start, objective = np.array([-1.2, 1.0]), o.rosenbrock()
    trusted = solve(objective, GradientDescent(momentum=0.8), start, Stopping(relative_gradient_tolerance=1e-6))
    assert trusted.status is Status.GRADIENT
    assert trusted.value > 1e-12
    assert trusted.counts.hessian == 1
    assert trusted.evidence.decrement == pytest.approx(trusted.value, rel=0.1)
    assert "promises a decrease" in trusted.message
    verified = solve(objective, GradientDescent(momentum=0.8), start, Stopping(max_iterations=50_000))
    assert verified.success
    assert verified.value < 1e-15


def test_a_large_problem_is_put_to_a_few_products() -> None:
    """No Hessian of 1,000 parameters is computed, and a gradient that is small by the rule alone is seen through."""
    p = 1000
    spectrum = np.logspace(0.0, -7.0, p)
    problem = o.Smooth(
        f=lambda t: float(1.0 + 0.5 * spectrum @ (t - 1.0) ** 2),
        g=lambda t: spectrum * (t - 1.0),
        H=lambda t: np.diag(spectrum),
        size=p,
    )
    report = solve(problem, GradientDescent(), np.zeros(p), Stopping(max_iterations=3000))
    assert report.counts.hessian == 0
    assert report.counts.hvp > 0
    assert not report.success or report.value - 1.0 < 1e-7
    assert report.evidence.verdict == "unverified"


def test_large_and_well_conditioned_is_a_success_that_says_unverified() -> None:
    p = 600
    problem = o.Smooth(
        f=lambda t: float(1.0 + 0.5 * (t - 1.0) @ (t - 1.0)), g=lambda t: t - 1.0, H=lambda t: np.eye(p), size=p
    )
    report = solve(problem, LBFGS(), np.zeros(p))
    assert report.success
    assert report.evidence.verdict == "unverified"
    assert "600 parameters" in report.message


def _products(size: int) -> o.Smooth:
    half = size // 2
    H = np.roll(np.eye(size), half, axis=0)
    return o.Smooth(f=lambda t: t[:half] @ t[half:], g=lambda t: H @ t, H=lambda t: H, size=size)


@pytest.mark.parametrize("method", [Newton(linear_solver="dense"), Newton(linear_solver="cg"), LBFGS()])
@pytest.mark.parametrize("size", [2, 100, 600])
def test_a_minimum_at_many_corners_stalls_nothing(size: int, method: Any) -> None:
    """sum x_i y_i in the orthant: negative curvature leads out of it, and no step is better than none."""
    box = Bounds(np.zeros(size), np.full(size, np.inf))
    report = solve(_products(size), method, np.zeros(size), bounds=box)
    assert report.success, report.message
    assert report.evidence.verdict in ("flat", "unverified")
    assert "gradient is the objective's own" not in report.message


@pytest.mark.parametrize("method", [Newton(linear_solver="dense"), Newton(linear_solver="cg")])
def test_a_saddle_at_many_corners_is_left(method: Any) -> None:
    """-sum x_i y_i falls into the orthant."""
    f, box = o.rescaled(_products(100), -1.0), Bounds(np.zeros(100), np.ones(100))
    assert solve(f, method, np.zeros(100), bounds=box).value == pytest.approx(-50.0)


# --- whose step is too long ----------------------------------------------------------------------------------------


LONG_STEPS: dict[str, tuple[str, dict[str, float], float, Stopping]] = {
    "thrown far away": ("(sqrt(x)-3)**2+1/x", {"x": 1e-3}, 0.1, MANY),
    "beyond 2 / L": ("(x-3)**2+10*(y-1)**2", {"x": 0.0, "y": 0.0}, 0.11, Stopping(max_iterations=200)),
}


@pytest.mark.parametrize("name", list(LONG_STEPS))
def test_steps_that_never_get_below_the_start_diverge(name: str) -> None:
    text, start, step, stopping = LONG_STEPS[name]
    report = run(text, start, GradientDescent(Constant(step)), stopping)
    assert report.status is Status.DIVERGED, report.message
    assert report.iteration == 0
    assert report.evidence.verdict == "unverified"
    assert "Lower the step" in report.message
    assert "minimum" not in report.message


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
@pytest.mark.parametrize("method", [Adam(1e-2, batch_size=8), StochasticGradientDescent(1e-2, batch_size=1)])
def test_estimates_may_rise_from_a_good_start(method: Any, limit: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3))
    y = X @ np.arange(1.0, 4.0) + (0.0 if method.batch_size > 1 else 0.1) * rng.standard_normal(40)
    solution = np.linalg.lstsq(X, y, rcond=None)[0]
    report = solve(LeastSquares(X, y).objective(), method, 1.0001 * solution, Stopping(max_iterations=limit))
    assert report.iteration == 0
    assert report.status is Status.MAX_ITERATIONS, report.message
    assert "lower the learning rate" in report.message


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("value", [0.0, 1e-9, 1.0])
def test_momentum_may_rise_at_first(value: float, limit: int) -> None:
    """A step of 3 / L is stable with a momentum of 0.9, and f goes up fourfold before it goes down."""
    stopping = Stopping(max_iterations=limit)
    report = run(f"x**2+{value}", {"x": 1e-3}, GradientDescent(Constant(1.5), momentum=0.9), stopping)
    assert report.status is Status.MAX_ITERATIONS, report.message


def test_a_learning_rate_that_is_too_high_is_told() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3))
    model = LeastSquares(X, X @ np.arange(3.0) + 0.1 * rng.standard_normal(40))
    report = solve(
        model.objective(), StochasticGradientDescent(0.5, batch_size=8), model.start(), Stopping(max_iterations=3)
    )
    assert report.status is Status.MAX_ITERATIONS, report.message
    assert report.iteration == 0
    assert "lower the learning rate" in report.message


SWINGING: dict[str, tuple[str, dict[str, float], float]] = {
    "exactly 2 / L": ("(x-3)**2+10*(y-1)**2", {"x": 0.0, "y": 0.0}, 0.1),
    "a hyperbola": ("sqrt(1+x**2)", {"x": 1.0}, 5.0),
}


@pytest.mark.parametrize("name", list(SWINGING))
def test_steps_that_swing_are_told_to_be_too_long(name: str) -> None:
    text, start, step = SWINGING[name]
    report = run(text, start, GradientDescent(Constant(step)), None)
    assert report.status is Status.NO_PROGRESS, report.message
    assert report.evidence.verdict == "unverified"
    assert "shorten the step" in report.message
    assert "roundoff lets" not in report.message


def test_a_kink_is_not_as_low_as_can_be_seen() -> None:
    """Where Newton's products see no curvature the run may end beside the kink: it says so."""
    report = run("abs(x)+3*abs(y-2)", {"x": 1.3, "y": 0.2}, Newton(linear_solver="cg"), None)
    assert report.success or report.value < 1e-6 or "kink" in report.message
    assert "roundoff lets" not in report.message
    assert report.success or report.evidence.verdict == "unverified"


# --- bounds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [LBFGS(), GradientDescent(), Newton()], ids=lambda m: m.name)
def test_within_bounds_the_evidence_is_of_the_free(method: Any) -> None:
    """min (x - 2)^2 + (y + 1)^2 + x y - 5 z^2 with x <= 1, |z| <= 1: x and z are held, and y's curvature is 2."""
    if not method.bounded:
        pytest.skip("keeps no bounds")
    model = Expression.parse("(x-2)**2+(y+1)**2+x*y-5*z**2", start={"x": 0.0, "y": 0.0, "z": 0.5})
    box = Bounds(np.array([-9.0, -9.0, -1.0]), np.array([1.0, 9.0, 1.0]))
    report = solve(model.objective(), method, model.start(), MANY, bounds=box)
    assert report.success, report.message
    assert np.allclose(report.theta, [1.0, -1.5, 1.0], atol=1e-7)
    found = report.evidence
    assert (found.verdict, found.active_bounds, found.rank) == ("minimum", 2, 1)
    assert found.smallest_curvature == pytest.approx(2.0)
    assert found.condition == pytest.approx(1.0)
    assert found.gradient_norm < 1e-6 < np.linalg.norm(report.gradient)


@pytest.mark.parametrize(
    "method",
    [LBFGS(), GradientDescent(), Newton(), Newton(linear_solver="cg")],
    ids=["lbfgs", "gradient_descent", "newton", "newton cg"],
)
@pytest.mark.parametrize("y", [0.0, 2.0])
def test_a_maximum_on_a_bound_is_left_or_called_a_saddle(method: Any, y: float) -> None:
    """-(x - 1)^2 + (y - 2)^2 with x <= 1, from x = 1: no slope presses x against its bound, and f falls inwards."""
    box = Bounds(np.array([0.0, -np.inf]), np.array([1.0, np.inf]))
    report = run("-(x-1)**2+(y-2)**2", {"x": 1.0, "y": y}, method, bounds=box)
    if report.success:
        assert report.value == pytest.approx(-1.0)
    else:
        assert report.status is Status.SADDLE, report.message


def test_bounds_hold_what_would_recede() -> None:
    model = Expression.parse("exp(-x)+(y-1)**2", start={"x": 0.0, "y": 0.0})
    box = Bounds(np.array([-10.0, -10.0]), np.array([5.0, 10.0]))
    report = solve(model.objective(), LBFGS(), model.start(), bounds=box)
    assert report.success, report.message
    assert report.evidence.active_bounds == 1
    assert np.allclose(report.theta, [5.0, 1.0])


# --- order, scale, names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lengths", "order"),
    [
        ([1.0, 0.3, 1e-1, 1e-2, 1e-4, 1e-8, 1e-16], 2.0),
        ([2.0**-k for k in range(12)], 1.0),
        ([10.0 ** -(1.6**k) for k in range(6)], 1.6),
        ([0.5**k * (1.5 if k % 2 else 1.0) for k in range(12)], 1.0),
        ([1.0, 1e-17], None),
        ([1.0, 0.9, 1.1, 0.95, 1.0, 1.05, 0.9, 1.0, 1.0, 0.9], None),
        ([math.inf, 1.0, 0.5], None),
        ([0.0, 0.0, 0.0, 0.0, 0.0], None),
    ],
)
def test_convergence_order(lengths: list[float], order: float | None) -> None:
    found = convergence_order(lengths, 1e-15)
    assert found is None if order is None else found == pytest.approx(order, rel=0.05)


def test_newton_is_quadratic_and_steepest_descent_linear() -> None:
    """On a valley whose curvature changes with the place."""
    text, start = "log(cosh(x-1))+log(cosh(x+2*y))+exp(0.3*x)", {"x": 0.3, "y": 0.5}
    newton = run(text, start, Newton()).evidence.convergence_order
    assert newton is not None
    assert newton > 1.6
    descent = run(text, start, GradientDescent(Constant(0.05))).evidence.convergence_order
    assert descent == pytest.approx(1.0, abs=0.05)


def test_the_worst_scaled_parameter_is_named() -> None:
    report = run("(a-1)**2+(b-1)**2+(1e6*c-1)**2", {"a": 0.0, "b": 0.0, "c": 0.0}, Newton())
    assert report.evidence.worst_scaled_parameter == "c"
    assert report.evidence.worst_scale == pytest.approx(1e12)
    stalled = run("(a-1)**2+(b-1)**2+(1e6*c-1)**2", {"a": 0.0, "b": 0.0, "c": 0.0}, GradientDescent())
    assert not stalled.success
    assert "along c is 1.0e+12" in stalled.message


@pytest.mark.parametrize("method", [Newton(), LevenbergMarquardt(), LBFGS()], ids=lambda m: m.name)
def test_undetermined_parameters_are_named(method: Any) -> None:
    x = np.linspace(0.0, 1.0, 20)
    model = Expression.parse(
        "a*exp(b+c*x)", data={"x": x}, response=2.0 * np.exp(0.5 * x) + 0.1, start={"a": 1.0, "b": 0.1, "c": 0.0}
    )
    report = solve(model.objective(), method, model.start())
    assert report.success, report.message
    assert report.evidence.verdict == "flat"
    assert method.order == 1 or report.evidence.rank == 2
    assert "does not determine a, b." in report.message


@pytest.mark.parametrize("seed", range(6))
def test_a_flat_point_is_not_of_full_rank(seed: int) -> None:
    """Ridge lets units die, whose biases nothing determines any more."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((20, 1))
    model = Network(X, np.exp(-X[:, 0]), [Layer(3, "tanh"), Layer(1)], ridge=0.5, seed=seed)
    report = solve(model.objective(), Newton(), model.start())
    flat = report.evidence.verdict == "flat"
    assert flat == (report.evidence.rank is not None and report.evidence.rank < model.size)


def test_the_limit_says_how_far_it_is() -> None:
    report = run("(x-1)**2+1e4*(y-x**2)**2", {"x": -1.2, "y": 1.0}, GradientDescent(), Stopping(max_iterations=300))
    assert report.status is Status.MAX_ITERATIONS
    assert "has not converged" in report.message
    assert "Newton" in report.message


@pytest.mark.parametrize("method", [Newton(), GradientDescent()], ids=lambda m: m.name)
def test_advice_fits_method_and_point(method: Any) -> None:
    """Nobody who runs Newton is sent to Newton, and a gradient of zero has no more digits."""
    report = run("(x-1)**2+1e-9*(y-1)**2", {"x": 1.0, "y": 1.0}, method)
    assert report.status is Status.GRADIENT
    assert "digits" not in report.message
    rough = run("exp(x)-x+exp(1e-6*y)-1e-6*y", {"x": 3.0, "y": 2.0}, method, Stopping(gradient_tolerance=1e-1))
    assert rough.status is Status.GRADIENT
    assert "ask for a smaller gradient tolerance" in rough.message
    limited = run("exp(x)-x+exp(1e-6*y)-1e-6*y", {"x": 3.0, "y": 2.0}, method, Stopping(max_iterations=0))
    assert all(("use Newton" in r.message) <= (method.order == 1) for r in (rough, limited))


@pytest.mark.parametrize("method", [Newton(), BFGS(), GradientDescent()], ids=lambda m: m.name)
@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("exp(-x)+(y-1)**2", {"y": 3.0, "x": 0.0}),
        ("exp(-1e-6*x)+1e6*(y-1)**2", {"y": 1.001, "x": 0.0}),
        ("(y-1)**2-x**3", {"y": 3.0, "x": 1.0}),
    ],
)
def test_what_runs_away_is_named(text: str, start: dict[str, float], method: Any) -> None:
    """In any units, and not what merely found its minimum."""
    report = run(text, start, method)
    assert report.status in (Status.RECEDING, Status.UNBOUNDED, Status.MAX_ITERATIONS), report.message
    if report.status is not Status.MAX_ITERATIONS:
        assert "What runs away: x from" in report.message
        assert "y from" not in report.message


def test_limits_tell_their_numbers() -> None:
    start = {"x": -1.2, "y": 1.0}
    text = "(x-1)**2+100*(y-x**2)**2"
    assert "The limit of 7 evaluations" in run(text, start, Newton(), Stopping(max_evaluations=7)).message
    assert "The time limit of 1e-06 s" in run(text, start, Newton(), Stopping(max_seconds=1e-6)).message


def test_at_the_origin_a_step_has_no_relative_length() -> None:
    report = run("(x-1)**2+(y-2)**4", {"x": 0.0, "y": 0.0}, GradientDescent(), Stopping(gradient_tolerance=100.0))
    assert report.status is Status.GRADIENT
    assert "inf" not in report.message
    assert "Newton's step from here promises a decrease" in report.message


def test_in_a_box_that_holds_all_parameters_no_curvature_is_told() -> None:
    bounds = Bounds(np.full(2, -1.0), np.full(2, 2.0))
    report = run("-x**2-y**2", {"x": 1.0, "y": 0.5}, Newton(), bounds=bounds)
    assert report.success, report.message
    assert "Bounds hold every parameter: a minimum among the points within them." in report.message
    assert "curvature" not in report.message


# --- what was not finite -----------------------------------------------------------------------------------------


def test_a_start_outside_the_domain_names_the_node() -> None:
    report = run("log(x)+y**2", {"x": -1.0, "y": 1.0}, Newton())
    assert report.status is Status.NONFINITE_START
    assert "log(x)" in report.message


def test_a_run_that_diverges_names_iteration_and_node() -> None:
    report = run("exp(x**2)+y**2", {"x": 2.0, "y": 1.0}, GradientDescent(Constant(1.0)))
    assert report.status is Status.DIVERGED
    assert "in iteration 1, at evaluation 2" in report.message
    assert "exp(x ** 2)" in report.message or "exp(x**2)" in report.message


def test_a_gradient_that_is_not_finite_names_its_parameters() -> None:
    """sqrt has no slope at 0, where its value is as good as any."""
    report = run("sqrt(b)+sqrt(a)+c**2", {"a": 0.0, "b": 1.0, "c": 1.0}, GradientDescent())
    assert report.status is Status.NONFINITE_START
    assert "a" in report.message


def test_a_label_that_stands_for_two_ops_is_told_once() -> None:
    """The squared error is computed from the error, and both are the loss."""
    model = Network(np.ones((3, 1)), np.full((3, 1), 1e200), [Layer(1)])
    report = solve(model.objective(), Newton(), model.start())
    assert report.status is Status.NONFINITE_START
    assert report.message.count("the loss (squared_error)") == 1, report.message


def test_layers_and_names_of_a_network() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((10, 2)), rng.standard_normal((10, 1))
    model = Network(X, y, [Layer(3, "tanh"), Layer(1)])
    objective = model.objective()
    assert objective.parameter_name(0) == "A_0[0,0]"
    assert objective.parameter_name(6) == "b_0[0]"
    assert objective.parameter_name(model.size - 1) == "b_1[0]"
    linear = LeastSquares(X, y[:, 0], intercept=True)
    assert linear.objective().parameter_name(2) == "intercept"


def test_probes_stay_within_bounds() -> None:
    seen: list[NDArray[Any]] = []
    problem = o.Smooth(
        f=lambda t: t[0] ** 3, g=lambda t: np.array([3.0 * t[0] ** 2]), H=lambda t: np.array([[6.0 * t[0]]]), size=1
    )
    problem.seen = seen
    box = Bounds(np.zeros(1), np.ones(1))
    report = solve(problem, LBFGS(), np.ones(1), bounds=box)
    assert report.value < 1e-24
    assert all(box.contains(theta) for theta in seen)
