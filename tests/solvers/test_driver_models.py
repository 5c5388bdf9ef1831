"""Methods on the project's own models, through the engine."""

from __future__ import annotations

import numpy as np
import pytest

from nablad.solvers import (
    Checkpoint,
    Control,
    GradientDescent,
    Iterate,
    Layer,
    LeastSquares,
    Network,
    Newton,
    Status,
    Stopping,
    run,
    solve,
)


def columns(rows: int = 200, size: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, size)) * np.logspace(-2, 2, size)
    return X, X @ rng.standard_normal(size) + 3.0 + rng.standard_normal(rows)


def network(seed: int = 0, ridge: float = 0.05) -> Network:
    rng = np.random.default_rng(7)
    X = rng.uniform(-2.0, 2.0, (60, 2))
    y = np.sin(X[:, :1]) * X[:, 1:] + 0.05 * rng.standard_normal((60, 1))
    return Network(X, y, [Layer(4, "tanh"), Layer(1)], ridge=ridge, seed=seed)


def test_least_squares_to_ten_digits_in_at_most_two_iterations() -> None:
    X, y = columns()
    A = np.column_stack([X, np.ones(len(y))])
    expected = float(np.sum((y - A @ np.linalg.lstsq(A, y, rcond=None)[0]) ** 2))
    model = LeastSquares(X, y, intercept=True)
    report = solve(model.objective(), Newton(), model.start())
    assert report.success
    assert report.iterations <= 2
    assert report.value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_newton_ends_at_a_verified_minimum_of_a_network(seed: int) -> None:
    model = network(seed)
    report = solve(model.objective(), Newton(), model.start())
    assert report.success, report.message
    assert report.evidence.relative_gradient_norm <= 1e-8
    curvatures = np.linalg.eigvalsh(model.objective().hessian(report.theta))
    assert report.evidence.smallest_curvature == pytest.approx(curvatures[0], rel=1e-6, abs=1e-13 * curvatures[-1])
    # A ridge may silence a unit, whose bias then decides nothing.
    assert report.evidence.verdict == ("minimum" if curvatures[0] > 1e-12 * curvatures[-1] else "flat")


def test_newton_goes_far_below_gradient_descent_on_a_network() -> None:
    model = network()
    newton = solve(model.objective(), Newton(), model.start())
    descent = solve(model.objective(), GradientDescent(), model.start(), Stopping(max_iterations=newton.iterations))
    assert newton.evidence.gradient_norm < 1e-4 * descent.evidence.gradient_norm


@pytest.mark.parametrize("method", [Newton(), GradientDescent(momentum=0.5)], ids=["newton", "momentum"])
def test_resume_is_exact_on_a_network(method: Newton | GradientDescent) -> None:
    model, stopping = network(), Stopping(max_iterations=12)
    whole = list(run(model.objective(), method, model.start(), stopping, checkpoint_every=5))
    state = next(e for e in whole if isinstance(e, Checkpoint))
    rest = run(model.objective(), method, model.start(), stopping, resume=state.state)
    values = [e.value for e in whole if isinstance(e, Iterate) and e.iteration > state.iteration]
    assert [e.value for e in rest if isinstance(e, Iterate)] == values


def test_cancel_is_seen_between_row_blocks() -> None:
    model, control = network(), Control()
    objective = model.objective(checkpoint=control.checkpoint)
    events = run(objective, GradientDescent(), model.start(), control=control)
    for _ in range(4):
        next(events)
    control.cancel()
    *_, done = events
    assert done.report.status is Status.CANCELLED
    assert np.isfinite(done.report.value)


def test_curvature_beyond_the_range_of_floats_is_infinite_not_an_error() -> None:
    rng = np.random.default_rng(5)
    features, targets = 1e160 * rng.standard_normal((20, 3)), rng.standard_normal(20)
    report = solve(LeastSquares(features, targets).objective(), Newton(), np.zeros(3))
    assert report.evidence.largest_curvature in (None, np.inf)
    assert np.isfinite(report.theta).all()
