"""Minibatch methods: their recursions written out, their orders of rows, and the driver's contract over both."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest

from nablad.solvers import (
    Adam,
    Checkpoint,
    Control,
    Cosine,
    Exponential,
    Expression,
    InverseTime,
    Iterate,
    Layer,
    LeastSquares,
    Network,
    RecordTheta,
    Schedule,
    Status,
    StepDecay,
    StochasticGradientDescent,
    Stopping,
    UnsupportedObjective,
    run,
    solve,
)
from nablad.solvers.events import Done
from nablad.solvers.methods.minibatches import batches
from solvers import objectives as o

RNG = np.random.default_rng(12)
N, D = 50, 3
X = RNG.standard_normal((N, D))
Y = X @ np.array([1.0, -2.0, 0.5]) + 0.1 * RNG.standard_normal(N)
RIDGE = 0.05
MODEL = LeastSquares(X, Y, ridge=RIDGE, reduction="mean")
SGD = StochasticGradientDescent

METHODS: dict[str, Any] = {
    "sgd": SGD(0.02, batch_size=8),
    "momentum": SGD(0.01, momentum=0.8, batch_size=8),
    "nesterov": SGD(0.01, momentum=0.8, nesterov=True, batch_size=8),
    "adam": Adam(0.01, batch_size=8),
    "cosine": Adam(0.05, Schedule(Cosine(30), warmup_epochs=3), batch_size=8),
}


@pytest.fixture(params=list(METHODS))
def method(request: pytest.FixtureRequest) -> Any:
    return METHODS[request.param]


def epochs(model: Any, method: Any, count: int, start: Any = None) -> list[Iterate]:
    events = run(
        model.objective(), method, model.start(start), Stopping(max_iterations=count), record_theta=RecordTheta.each()
    )
    return [e for e in events if isinstance(e, Iterate)]


def trace(events: list[Any]) -> list[Any]:
    return [
        (e.iteration, e.value, e.gradient_norm, e.step_size, e.values, e.gradients, np.asarray(e.theta).tobytes())
        for e in events
        if isinstance(e, Iterate)
    ]


def estimate(theta: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The batch's gradient of the mean with its penalty."""
    return -2.0 / len(rows) * X[rows].T @ (Y[rows] - X[rows] @ theta) + 2.0 * RIDGE * theta


@pytest.mark.parametrize("seed", [0, 7, 2**63])
def test_an_epoch_is_every_row_once_in_an_order_of_its_own(seed: int) -> None:
    orders = []
    for epoch in range(3):
        parts = list(batches(N, 8, seed, epoch))
        assert [len(part) for part in parts] == [8] * 6 + [2]
        order = np.concatenate(parts)
        assert sorted(order.tolist()) == list(range(N))
        orders.append(order.tolist())
        assert order.tolist() == np.concatenate(list(batches(N, 13, seed, epoch))).tolist()
    assert orders[0] != orders[1] != orders[2]
    assert orders[0] != np.concatenate(list(batches(N, 8, seed + 1, 0))).tolist()


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_sgd_is_its_recursion(momentum: float, nesterov: bool) -> None:
    if nesterov and not momentum:
        return
    schedule = Schedule(InverseTime(0.5), warmup_epochs=1)
    method = SGD(0.03, schedule, momentum, nesterov, batch_size=8, seed=4)
    theta, v = np.zeros(D), np.zeros(D)
    for k, found in enumerate(epochs(MODEL, method, 4)):
        assert found.theta is not None
        assert np.allclose(found.theta, theta, rtol=1e-10, atol=1e-13)
        rate = 0.03 * (0.5, 1.0, 1.0, 1.0, 1.0)[k] / (1.0 + 0.5 * k)
        for rows in batches(N, 8, 4, k):
            g = estimate(theta, rows)
            v = momentum * v - g
            theta = theta + rate * (momentum * v - g if nesterov else v)


def test_adam_is_the_papers_algorithm() -> None:
    method = Adam(0.02, beta1=0.8, beta2=0.95, epsilon=1e-3, batch_size=8, seed=1)
    theta, m, v, t = np.zeros(D), np.zeros(D), np.zeros(D), 0
    for k, found in enumerate(epochs(MODEL, method, 4)):
        assert found.theta is not None
        assert np.allclose(found.theta, theta, rtol=1e-9, atol=1e-13)
        for rows in batches(N, 8, 1, k):
            g, t = estimate(theta, rows), t + 1
            m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g**2
            theta = theta - 0.02 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-3)


def test_one_batch_of_all_rows_is_gradient_descent() -> None:
    theta = np.zeros(D)
    objective = MODEL.objective()
    for found in epochs(MODEL, SGD(0.1, batch_size=1_000), 10):
        assert found.theta is not None
        assert np.allclose(found.theta, theta, rtol=1e-12, atol=1e-14)
        theta = theta - 0.1 * objective.gradient(theta)


def test_values_and_gradients_reported_are_the_whole_ones(method: Any) -> None:
    objective = MODEL.objective()
    for found in epochs(MODEL, method, 5):
        assert found.theta is not None
        value, gradient = objective.value_and_gradient(found.theta)
        assert found.value == value
        assert found.gradient_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-14)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_decaying_rate_converges_to_the_minimum(reduction: str) -> None:
    model = LeastSquares(X, Y, ridge=RIDGE * (N if reduction == "sum" else 1), reduction=reduction)
    scale = 1.0 / N if reduction == "sum" else 1.0
    exact = np.linalg.solve(X.T @ X / N + RIDGE * np.eye(D), X.T @ Y / N)
    decay, stopping = Schedule(InverseTime(0.2)), Stopping(relative_gradient_tolerance=1e-4)
    for each in (SGD(0.1 * scale, decay, batch_size=10), Adam(0.1, decay, batch_size=10)):
        report = solve(model.objective(), each, model.start(), stopping)
        assert report.status is Status.GRADIENT, report.message
        assert np.allclose(report.theta, exact, atol=1e-3)
        assert report.evidence.verdict == "minimum"


def test_rows_that_all_fit_need_no_decay() -> None:
    """Each batch's gradient vanishes at the minimum: no noise is left there."""
    model = LeastSquares(X, X @ np.array([1.0, -2.0, 0.5]), reduction="mean")
    report = solve(model.objective(), SGD(0.05, momentum=0.5, batch_size=10), model.start())
    assert report.status is Status.GRADIENT, report.message
    assert np.allclose(report.theta, [1.0, -2.0, 0.5], atol=1e-5)


def test_adam_does_not_see_the_objectives_units() -> None:
    mean = epochs(LeastSquares(X, Y, reduction="mean"), Adam(0.01, epsilon=1e-300, batch_size=8), 5)
    total = epochs(LeastSquares(X, Y, reduction="sum"), Adam(0.01, epsilon=1e-300, batch_size=8), 5)
    for a, b in zip(mean, total, strict=True):
        assert np.allclose(np.asarray(a.theta), np.asarray(b.theta), rtol=1e-10)


def test_a_network_learns_xor() -> None:
    x = RNG.uniform(-1.0, 1.0, (200, 2))
    model = Network(
        x,
        (x[:, 0] * x[:, 1] > 0).astype(float),
        (Layer(12, "tanh"), Layer(2)),
        loss="softmax_cross_entropy",
        reduction="mean",
    )
    for each in (Adam(0.02), SGD(0.5, momentum=0.9)):
        report = solve(model.objective(), each, model.start(), Stopping(max_iterations=60))
        assert report.value < 0.15
        assert report.value <= report.last_value


def test_schedules() -> None:
    table: list[tuple[Schedule, list[float]]] = [
        (Schedule(), [1.0, 1.0, 1.0, 1.0, 1.0]),
        (Schedule(InverseTime(0.5)), [1.0, 1 / 1.5, 0.5, 0.4, 1 / 3]),
        (Schedule(Exponential(0.5)), [1.0, 0.5, 0.25, 0.125, 0.0625]),
        (Schedule(Cosine(4)), [1.0, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 0.0]),
        (Schedule(StepDecay(2, 0.1)), [1.0, 1.0, 0.1, 0.1, 0.01]),
        (Schedule(warmup_epochs=3), [0.25, 0.5, 0.75, 1.0, 1.0]),
        (Schedule(StepDecay(2, 0.1), warmup_epochs=1), [0.5, 1.0, 0.1, 0.1, 0.01]),
    ]
    for schedule, expected in table:
        assert [schedule.share(k) for k in range(5)] == pytest.approx(expected, abs=1e-15)


def test_a_schedule_that_ends_ends_the_run() -> None:
    report = solve(MODEL.objective(), Adam(0.001, Schedule(Cosine(5)), batch_size=8), MODEL.start())
    assert "schedule more epochs" in report.message
    assert "max_iterations" not in report.message
    assert (report.status, report.iterations) == (Status.MAX_ITERATIONS, 5)
    assert "schedule ended with epoch 5" in report.message
    plain = solve(MODEL.objective(), SGD(1e-9), MODEL.start())
    assert (plain.status, plain.iterations) == (Status.MAX_ITERATIONS, 1_000)


def test_no_progress_waits_for_a_rate_that_is_not_zero() -> None:
    """Slow runs, each epoch a small share of f, are not stalled; one whose rate has vanished is."""
    slow = solve(MODEL.objective(), SGD(1e-7), MODEL.start(), Stopping(max_iterations=120))
    assert slow.status is Status.MAX_ITERATIONS
    stuck = solve(MODEL.objective(), SGD(0.01, Schedule(Exponential(0.1))), MODEL.start())
    assert stuck.status in (Status.NO_PROGRESS, Status.MAX_ITERATIONS)
    assert stuck.iterations < 200


def test_resume_equals_uninterrupted(method: Any) -> None:
    stopping = Stopping(max_iterations=6)
    for model in (MODEL, LeastSquares(X.astype(np.float32), Y.astype(np.float32), intercept=True)):
        objective, start = model.objective(), model.start()
        every = RecordTheta.each()
        whole = list(run(objective, method, start, stopping, checkpoint_every=1, record_theta=every))
        states = [e for e in whole if isinstance(e, Checkpoint)]
        assert len(states) == 6
        for point in states:
            again = run(objective, method, start, stopping, resume=point.state, checkpoint_every=1, record_theta=every)
            rest = list(again)
            assert trace(rest) == trace(whole)[point.iteration + 1 :]
            first, second = whole[-1].report, rest[-1].report
            assert first.theta.tobytes() == second.theta.tobytes()
            assert first.theta.dtype == model.dtype
            assert (first.status, first.message, first.counts) == (second.status, second.message, second.counts)


def test_the_seed_and_nothing_else_decides_the_bits(method: Any) -> None:
    network = Network(X, Y, (Layer(6, "tanh"), Layer(1)))
    other = type(method)(**{**vars(method), "seed": 1})
    runs = [trace(epochs(network, each, 4)) for each in (method, method, other)]
    assert runs[0] == runs[1] != runs[2]
    events = run(
        network.objective(threads=2),
        method,
        network.start(),
        Stopping(max_iterations=4),
        record_theta=RecordTheta.each(),
    )
    assert trace(list(events)) == runs[0]


@pytest.mark.parametrize(("most", "whole"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (8, 3)])
def test_evaluation_limit_counts_an_epochs_batches_as_one(method: Any, most: int, whole: int) -> None:
    """The start is one; an epoch is one for its batches and one for its report."""
    report = solve(MODEL.objective(), method, MODEL.start(), Stopping(max_evaluations=most))
    assert (report.status, report.iterations) == (Status.MAX_EVALUATIONS, whole)
    assert report.counts.value == report.counts.gradient == most
    assert math.isfinite(report.value)


def test_iteration_limit(method: Any) -> None:
    for most in (0, 1, 3):
        report = solve(MODEL.objective(), method, MODEL.start(), Stopping(max_iterations=most))
        assert (report.status, report.iterations) == (Status.MAX_ITERATIONS, most)
        assert report.counts.value == 1 + 2 * most


def test_cancel_and_time_are_seen_between_batches(method: Any) -> None:
    """One row a batch: an epoch of many batches is left in the middle, and the epoch before it stands."""
    method = type(method)(**{**vars(method), "batch_size": 1})
    control, calls = Control(), [0]

    def checkpoint() -> None:
        calls[0] += 1
        if calls[0] == N + 20:
            control.cancel()

    report = solve(MODEL.objective(checkpoint), method, MODEL.start(), control=control)
    assert (report.status, report.iterations) == (Status.CANCELLED, 0 if calls[0] < N + 3 else 1)
    assert calls[0] < 2 * N
    assert math.isfinite(report.value)

    def slow() -> None:
        time.sleep(0.001)

    begin = time.perf_counter()
    report = solve(MODEL.objective(slow), method, MODEL.start(), Stopping(max_seconds=0.03))
    assert report.status is Status.MAX_TIME
    assert time.perf_counter() - begin < 0.3


def test_the_best_epoch_is_reported(method: Any) -> None:
    rough = type(method)(**{**vars(method), "batch_size": 1, "learning_rate": 0.1, "schedule": Schedule()})
    events = list(run(MODEL.objective(), rough, MODEL.start(), Stopping(max_iterations=30)))
    values = [e.value for e in events if isinstance(e, Iterate)]
    done = events[-1]
    assert isinstance(done, Done)
    assert done.report.value == min(values)
    assert done.report.value < values[-1]


def test_a_rate_too_large_is_told_with_its_epoch_and_batch() -> None:
    report = solve(MODEL.objective(), SGD(1e3, batch_size=8), MODEL.start())
    assert report.status is Status.DIVERGED
    assert "epoch" in report.message
    assert "of 7" in report.message
    assert "1e+03" in report.message
    assert math.isfinite(report.value)
    assert np.isfinite(report.theta).all()


def test_a_batch_outside_the_models_domain_is_told() -> None:
    x = np.linspace(1.0, 2.0, N)
    model = Expression.parse("sum((y - log(b * x)) ** 2)", data={"x": x, "y": -5.0 - x}, start={"b": 1.0})
    report = solve(model.objective(), SGD(0.02, batch_size=8), model.start())
    assert report.status is Status.NONFINITE
    assert "epoch 1, batch" in report.message
    assert report.iterations == 1
    assert report.theta == pytest.approx([1.0])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_start_that_is_not_finite(method: Any, value: float) -> None:
    start = np.array([value, 0.0, 0.0])
    report = solve(MODEL.objective(), method, start)
    assert (report.status, report.success, report.iterations) == (Status.NONFINITE_START, False, 0)


def test_a_start_at_the_minimum_is_a_success(method: Any) -> None:
    theta = np.linalg.solve(X.T @ X / N + RIDGE * np.eye(D), X.T @ Y / N)
    exact = LeastSquares(np.eye(4), np.arange(4.0))
    assert solve(exact.objective(), method, np.arange(4.0)).status is Status.GRADIENT
    report = solve(MODEL.objective(), method, theta, Stopping(max_iterations=3))
    assert report.value == pytest.approx(MODEL.objective().value(theta), rel=1e-12)


def test_an_objective_without_rows_is_refused(method: Any) -> None:
    with pytest.raises(UnsupportedObjective, match="sum over data rows"):
        solve(o.quadratic([1.0, 2.0]), method, np.zeros(2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: SGD(0.0),
        lambda: SGD(math.nan),
        lambda: SGD(0.1, batch_size=0),
        lambda: SGD(0.1, seed=-1),
        lambda: SGD(0.1, momentum=1.0),
        lambda: SGD(0.1, nesterov=True),
        lambda: Adam(math.inf),
        lambda: Adam(beta1=1.0),
        lambda: Adam(beta2=-0.1),
        lambda: Adam(epsilon=0.0),
        lambda: Schedule(warmup_epochs=-1),
        lambda: InverseTime(0.0),
        lambda: Exponential(1.5),
        lambda: Cosine(0),
        lambda: StepDecay(0, 0.5),
        lambda: StepDecay(3, 0.0),
    ],
)
def test_settings_out_of_range_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="must"):
        make()
