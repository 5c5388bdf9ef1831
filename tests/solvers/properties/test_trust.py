"""Successes that must not be claimed, and those that must: through the project's own models where a model shows it."""

from __future__ import annotations

import numpy as np
import pytest
from solvers.properties.variants import SEARCHES, SHORTEST, Variant, over, plain

from benchmarks.problems.nist import Linear, linear, lre
from nablad.solvers import Constant, GradientDescent, Layer, LeastSquares, Network, Newton, Status, Stopping, solve
from solvers import objectives as o

EPS = float(np.finfo(float).eps)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((30, 4))
Y = X @ np.arange(1.0, 5.0) + 0.1 * RNG.standard_normal(30)

NORRIS = linear("Norris")
LONGLEY = linear("Longley")


def digits(found: np.ndarray, problem: Linear) -> float:
    return lre(found, problem.certified.parameters, problem.digits)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("start", [None, 1e6], ids=["zero", "far"])
@pytest.mark.parametrize(("problem", "least"), [(NORRIS, 11.5), (LONGLEY, 10.5)], ids=["norris", "longley"])
def test_newton_reaches_the_certified_values(
    problem: Linear, least: float, reduction: str, start: float | None
) -> None:
    model = LeastSquares(problem.design[:, 1:], problem.response, intercept=True, reduction=reduction)
    report = solve(model.objective(), Newton(), model.start(None if start is None else np.full(model.size, start)))
    assert report.success
    assert report.iterations <= 2
    assert digits(np.roll(report.theta, 1), problem) > least


def test_the_units_of_a_column_do_not_make_a_success() -> None:
    """On Norris one step brings ||g|| to 4e-7 of the start's, while the intercept has no digit yet."""
    model = LeastSquares(NORRIS.design[:, 1:], NORRIS.response, intercept=True)
    report = solve(model.objective(), GradientDescent(), model.start(), Stopping(max_iterations=300))
    assert report.evidence.relative_gradient_norm < 1e-6
    assert digits(np.roll(report.theta, 1), NORRIS) < 1.0
    assert report.status is Status.MAX_ITERATIONS


@over(plain(SEARCHES))
@pytest.mark.parametrize("scale", [1e150, 1e-150, 1e60, 1e-60])
@pytest.mark.parametrize("which", ["features", "targets", "both"])
def test_any_scale_that_numbers_have(variant: Variant, which: str, scale: float) -> None:
    features = X * (1.0 if which == "targets" else scale)
    targets = Y * (1.0 if which == "features" else scale)
    expected = np.linalg.lstsq(X, Y, rcond=None)[0] * {"features": 1.0 / scale, "targets": scale, "both": 1.0}[which]
    model = LeastSquares(features, targets)
    report = solve(model.objective(), variant.method, model.start())
    assert report.success, report.message
    assert np.allclose(report.theta / expected, 1.0, atol=1e-5)


@over(plain(SEARCHES))
@pytest.mark.parametrize("scale", [1e15, 1e-15])
def test_any_scale_that_single_precision_has(variant: Variant, scale: float) -> None:
    features, targets = (X * scale).astype(np.float32), (Y * scale).astype(np.float32)
    model = LeastSquares(features, targets)
    report = solve(model.objective(), variant.method, model.start())
    assert report.success, report.message
    assert np.allclose(report.theta, np.linalg.lstsq(X, Y, rcond=None)[0], atol=1e-3)


ONE_WEIGHT = np.eye(30)[3] * 2.0
DEGENERATE: dict[str, LeastSquares] = {
    "perfect fit": LeastSquares(X, X @ np.ones(4)),
    "no targets": LeastSquares(X, 0.0 * Y),
    "no features": LeastSquares(0.0 * X, Y, intercept=True),
    "nothing": LeastSquares(0.0 * X, 0.0 * Y),
    "equal targets": LeastSquares(X, np.full(30, 7.0), intercept=True),
    "columns twice": LeastSquares(np.hstack([X, X]), Y),
    "a constant column and an intercept": LeastSquares(np.hstack([X, np.ones((30, 1))]), Y, intercept=True),
    "fewer rows than columns": LeastSquares(X[:2], Y[:2]),
    "one row": LeastSquares(X[:1], Y[:1]),
    "one column": LeastSquares(X[:, :1], Y),
    "one number": LeastSquares(X[:1, :1], Y[:1]),
    "one row that weighs": LeastSquares(X, Y, weights=ONE_WEIGHT, intercept=True),
    "ridge": LeastSquares(X[:2], Y[:2], ridge=0.5, reduction="mean"),
}


@over(plain(SEARCHES))
@pytest.mark.parametrize("start", [0.0, 1.0])
@pytest.mark.parametrize("name", list(DEGENERATE))
def test_degenerate_data(variant: Variant, name: str, start: float) -> None:
    """The least value is reached, and by those who promise it the shortest theta that has it."""
    model = DEGENERATE[name]
    objective = model.objective()
    zero = np.zeros(model.size)
    J, r = objective.jacobian(zero), objective.residual(zero)
    shortest = -np.linalg.lstsq(J, r, rcond=None)[0]
    report = solve(objective, variant.method, np.full(model.size, start))
    assert report.success, report.message
    least = float(np.sum((r + J @ shortest) ** 2))
    assert report.value - least <= 1e-9 * (1.0 + float(r @ r))
    assert report.evidence.rank == np.linalg.matrix_rank(J)
    if SHORTEST in variant.promises and report.iterations:
        assert report.iterations <= 2
        assert np.allclose(report.theta, shortest, atol=1e-10)


def test_a_long_parameter_in_a_flat_direction_hides_no_gradient() -> None:
    """L ||theta|| eps is 2e-3 here, though nothing that is rounded has any effect of that size."""
    problem = o.Smooth(
        f=lambda t: (t[0] / 1e12 - 1.0) ** 2 + (t[1] - 1.0) ** 2,
        g=lambda t: np.array([2e-12 * (t[0] / 1e12 - 1.0), 2.0 * (t[1] - 1.0)]),
        H=lambda t: np.diag([2e-24, 2.0]),
        size=2,
    )
    report = solve(problem, GradientDescent(Constant(0.1)), np.array([1e12, 0.0]))
    assert report.success
    assert report.theta[1] == pytest.approx(1.0, abs=2e-6)


def test_slow_progress_is_progress() -> None:
    """The gradient falls by 0.05 % an iteration and f by less than its roundoff: the sum over fifty is seen."""
    inner = o.quadratic([1.0, 1.0])
    problem = o.Smooth(f=lambda t: 1e15 + inner.f(t), g=inner.g, H=inner.H, size=2)
    report = solve(problem, GradientDescent(Constant(5e-4)), np.zeros(2), Stopping(relative_gradient_tolerance=0.05))
    assert report.status is Status.GRADIENT
    assert np.allclose(report.theta, 1.0, atol=0.06)


@pytest.mark.parametrize("multiple", [2.0, 2.0001, 2.1, 1e3])
def test_a_constant_step_of_two_over_the_curvature_or_more_never_converges(multiple: float) -> None:
    curvature = 2.0 * np.linalg.eigvalsh(X.T @ X)[-1]
    model, stopping = LeastSquares(X, Y), Stopping(max_iterations=1500)
    report = solve(model.objective(), GradientDescent(Constant(multiple / curvature)), model.start(), stopping)
    assert not report.success
    assert np.isfinite(report.value)


@pytest.mark.parametrize("step", [None, Constant(0.5 / 20_000)], ids=["armijo", "constant"])
def test_the_residual_orthogonal_to_the_columns_is_a_success(step: Constant | None) -> None:
    """A fit of noise: ||r|| is a thousand times ||J theta||, so that rounding theta is not what blurs the gradient."""
    rng = np.random.default_rng(1)
    features = rng.standard_normal((20_000, 3))
    targets = features @ np.arange(1.0, 4.0) + 1e3 * rng.standard_normal(20_000)
    model = LeastSquares(features, targets)
    answer = np.linalg.lstsq(features, targets, rcond=None)[0]
    method = GradientDescent() if step is None else GradientDescent(step)
    report = solve(model.objective(), method, answer)
    residual = targets - features @ report.theta
    cosines = features.T @ residual / np.linalg.norm(features, axis=0) / np.linalg.norm(residual)
    assert report.success, report.message
    assert report.iterations <= 1
    assert np.max(np.abs(cosines)) <= 20.0 * EPS


@pytest.mark.parametrize("seed", range(3))
def test_descent_from_the_answer_stalls_there_and_says_success(seed: int) -> None:
    rng = np.random.default_rng(3)
    inputs = rng.uniform(-2.0, 2.0, (50, 2))
    model = Network(inputs, np.sin(inputs[:, :1]) * inputs[:, 1:], [Layer(3, "tanh"), Layer(1)], ridge=1e-3, seed=seed)
    answer = solve(model.objective(), Newton(), model.start()).theta
    report = solve(model.objective(), GradientDescent(), answer)
    assert report.status is Status.ROUNDOFF, report.message
    assert report.evidence.verdict == "minimum"
    decrement = report.evidence.decrement
    assert decrement is None or decrement <= 100.0 * EPS * report.value


def test_descent_that_stalls_elsewhere_says_no_success() -> None:
    """At twice the stable step every iterate has the same value, and no minimum is near."""
    problem = o.Smooth(f=lambda t: t @ t, g=lambda t: 2.0 * t, H=lambda t: 2.0 * np.eye(2), size=2)
    report = solve(problem, GradientDescent(Constant(1.0)), np.ones(2))
    assert report.status is Status.NO_PROGRESS
    assert report.evidence.decrement == pytest.approx(2.0)


@pytest.mark.parametrize("rows", [1, 5, 3000])
@pytest.mark.parametrize("scale", [1.0, 1e-170, 1e170])
def test_column_norms(rows: int, scale: float) -> None:
    rng = np.random.default_rng(rows)
    A = rng.standard_normal((rows, 3)) * scale
    A[:, 1] = 0.0
    objective = LeastSquares(A, np.ones(rows), intercept=True, ridge=0.25).objective()
    expected = np.hypot(np.append(scale * np.linalg.norm(A / scale, axis=0), np.sqrt(rows)), [0.5, 0.5, 0.5, 0.0])
    assert np.allclose(objective.column_norms(np.zeros(4)), expected, rtol=1e-13)
    assert LeastSquares(A, np.ones(rows)).objective().column_norms(np.zeros(3))[1] == 1.0


@pytest.mark.parametrize("condition", [1e3, 1e6, 1e9, 1e11, 1e13])
@pytest.mark.parametrize("seed", range(4))
def test_two_iterations_end_in_success_whatever_the_condition(seed: int, condition: float) -> None:
    """Where theta keeps few digits, the least value is had all the same, as by any backward stable method."""
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.standard_normal((rows, 7)))[0] for rows in (40, 7))
    A = U @ np.diag(np.geomspace(1.0, 1.0 / condition, 7)) @ V.T
    y = A @ rng.standard_normal(7) + 10.0 ** (2.0 - 3.0 * seed) * rng.standard_normal(40)
    model = LeastSquares(A, y)
    report = solve(model.objective(), Newton(), rng.standard_normal(7))
    assert report.success, report.message
    assert report.iterations <= 2
    least = np.linalg.norm(y - A @ np.linalg.lstsq(A, y, rcond=None)[0])
    rounding = 10.0 * EPS * (np.linalg.norm(y) + np.linalg.norm(A) * np.linalg.norm(report.theta))
    assert report.value <= (least + rounding) ** 2
