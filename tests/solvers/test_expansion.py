"""Evaluation from J'J about a reference: exact enough, true wherever something is decided or told, and few passes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solvers.properties.events import trace

from nablad.solvers import (
    BFGS,
    LBFGS,
    Checkpoint,
    Constant,
    GradientDescent,
    LeastSquares,
    NonlinearConjugateGradient,
    Status,
    Stopping,
    expansion,
    run,
    solve,
)
from nablad.solvers.autodiff.objective import GraphObjective
from nablad.solvers.bounds import Bounds
from nablad.solvers.expansion import Expanded

EPS = np.finfo(np.float64).eps
METHODS = (GradientDescent(), BFGS(), LBFGS(), NonlinearConjugateGradient())


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "LEAST_ENTRIES", 0)
    monkeypatch.setattr(expansion, "ROWS_PER_PARAMETER", 0)


def line(rows: int = 400, size: int = 8, noise: float = 1.0, seed: int = 0, **options: Any) -> LeastSquares:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, size)) @ (np.eye(size) + 0.5)
    return LeastSquares(X, X @ rng.standard_normal(size) + noise * rng.standard_normal(rows), **options)


def exactly(X: np.ndarray, y: np.ndarray, theta: np.ndarray) -> tuple[float, np.ndarray]:
    """f and its gradient in fractions, rounded once."""
    rows = [[Fraction(a) for a in row] for row in X.tolist()]
    point = [Fraction(a) for a in theta.tolist()]
    r = [
        sum((a * t for a, t in zip(row, point, strict=True)), -Fraction(b))
        for row, b in zip(rows, y.tolist(), strict=True)
    ]
    gradient = [2 * sum(row[k] * e for row, e in zip(rows, r, strict=True)) for k in range(len(point))]
    return float(sum(e * e for e in r)), np.array([float(g) for g in gradient])


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 25),
    size=st.integers(1, 4),
    noise=st.sampled_from([0.0, 1e-4, 1.0]),
    spread=st.integers(0, 40),
    far=st.sampled_from([0.0, 1.0, 1e8]),
)
def test_a_walk_agrees_with_exact_arithmetic(
    seed: int, rows: int, size: int, noise: float, spread: int, far: float
) -> None:
    rng = np.random.default_rng(seed)
    units = 10.0 ** rng.integers(-spread, spread + 1, size)
    X = rng.standard_normal((rows, size)) * units
    end = rng.standard_normal(size) / units
    y = X @ end + noise * rng.standard_normal(rows)
    objective = Expanded(LeastSquares(X, y).objective())
    theta = far * rng.standard_normal(size) / units
    lengths = np.linalg.norm(X, axis=0)
    for shrink in (1.0, 0.9, 0.5, 0.5, 0.9, 0.1, 1e-2, 1.0, 1e-4, 1e-6):
        theta = end + shrink * (theta - end)
        value, gradient = objective.value_and_gradient(theta)
        assert objective.value(theta) == value
        f, g = exactly(X, y, theta)
        known = np.linalg.norm(y) + lengths @ np.abs(theta)
        # Of a pass: every residual is off by some roundings of y and of the products; here a few times as much.
        off = 8 * (rows + size) * EPS * known
        assert abs(value - f) <= off * (2 * np.sqrt(f) + off) + 64 * (rows + size) * EPS * f
        assert np.all(np.abs(gradient - g) <= 8 * lengths * off)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
@pytest.mark.parametrize("noise", [0.0, 1e-3, 1.0])
def test_what_is_reported_is_of_true_passes(method: Any, noise: float, always: None) -> None:
    model = line(noise=noise)
    report = solve(model.objective(), method, model.start())
    assert report.success, report.message
    assert report.evidence.verdict == "minimum"
    assert report.counts.cached > 0
    value, gradient = model.objective().value_and_gradient(report.theta)
    assert report.value == pytest.approx(value, rel=1e-15, abs=0)
    assert report.gradient.tobytes() == gradient.tobytes()
    best = np.linalg.lstsq(model.features, model.targets, rcond=None)[0]
    np.testing.assert_allclose(report.theta, best, rtol=0, atol=1e-6)


@pytest.mark.parametrize("options", [{"ridge": 0.5}, {"intercept": True}, {"reduction": "mean"}, {"weights": True}])
def test_every_option_ends_where_passes_end(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    if "weights" in options:
        options = {"weights": np.random.default_rng(1).uniform(0.0, 2.0, 400)}
    model = line(**options)
    plain = solve(model.objective(), BFGS(), model.start())
    monkeypatch.setattr(expansion, "LEAST_ENTRIES", 0)
    expanded = solve(model.objective(), BFGS(), model.start())
    assert plain.counts.cached == 0
    assert expanded.counts.cached > 0
    np.testing.assert_allclose(expanded.theta, plain.theta, rtol=0, atol=1e-6)
    assert expanded.value == pytest.approx(plain.value, rel=1e-12)


def passes(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often the data are read, by question."""
    seen: dict[str, int] = {}
    for name in ("value", "gradient", "value_and_gradient", "hvp", "gram", "tsqr", "column_norms", "hessian"):
        plain = getattr(GraphObjective, name)

        def counted(self: Any, *given: Any, name: str = name, plain: Any = plain) -> Any:
            seen[name] = seen.get(name, 0) + 1
            return plain(self, *given)

        monkeypatch.setattr(GraphObjective, name, counted)
    return seen


@pytest.mark.parametrize("rows", [500, 5_000])
@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_few_passes_however_many_iterations(
    method: Any, rows: int, always: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for J'J, one at the end, and one for each sixteenth that f falls to."""
    model = line(rows=rows, noise=1.0)
    seen = passes(monkeypatch)
    report = solve(model.objective(), method, model.start())
    assert report.iterations >= 6
    falls = np.log(float(np.asarray(model.targets) @ np.asarray(model.targets)) / report.value) / np.log(16.0)
    assert seen.pop("gram") == 1
    assert seen.pop("value_and_gradient") <= 3 + falls
    assert seen == {}
    counts = report.counts
    assert counts.cached >= 2 * report.iterations - 4


def test_constant_steps_read_the_data_three_times(always: None, monkeypatch: pytest.MonkeyPatch) -> None:
    model = line(rows=2_000, noise=30.0)
    step = 0.5 / float(np.linalg.norm(np.asarray(model.features), 2) ** 2)
    seen = passes(monkeypatch)
    stopping = Stopping(max_iterations=300, relative_gradient_tolerance=0.0)
    report = solve(model.objective(), GradientDescent(Constant(step)), model.start(), stopping)
    assert report.status is Status.MAX_ITERATIONS
    assert sum(seen.values()) <= 4
    assert report.value == model.objective().value_and_gradient(report.theta)[0]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_resume_equals_uninterrupted(method: Any, noise: float, always: None) -> None:
    """Bit for bit, from every checkpoint, counts included."""
    model, stopping = line(noise=noise), Stopping(max_iterations=9)
    whole = list(run(model.objective(), method, model.start(), stopping, checkpoint_every=1))
    expected = trace(whole)
    for point in [e for e in whole if isinstance(e, Checkpoint)]:
        again = list(run(model.objective(), method, model.start(), stopping, resume=point.state, checkpoint_every=1))
        assert trace(again) == expected[point.iteration + 1 :]
        first, second = whole[-1].report, again[-1].report
        assert first.theta.tobytes() == second.theta.tobytes()
        assert (first.value, first.message, first.counts) == (second.value, second.message, second.counts)


@pytest.mark.parametrize("most", [3, 5, 8])
def test_resume_after_a_limit(most: int, always: None) -> None:
    model, stopping = line(), Stopping(max_iterations=12)
    expected = trace(run(model.objective(), GradientDescent(), model.start(), stopping))
    cut = list(
        run(model.objective(), GradientDescent(), model.start(), Stopping(max_evaluations=most), checkpoint_every=100)
    )
    state = next(e for e in cut if isinstance(e, Checkpoint)).state
    rest = trace(run(model.objective(), GradientDescent(), model.start(), stopping, resume=state))
    assert [row[:4] for row in trace(cut)] + [row[:4] for row in rest] == [row[:4] for row in expected]


def test_the_bits_do_not_depend_on_threads() -> None:
    model = line(rows=20_000)
    reports = [solve(model.objective(threads=k), LBFGS(), model.start()) for k in (1, 2, 3)]
    assert all(r.counts.cached for r in reports)
    assert len({r.theta.tobytes() for r in reports}) == 1


@pytest.mark.parametrize("unit", [0.0, 1e-170, 1e170])
def test_data_that_j_j_does_not_tell_is_read_each_time(unit: float, always: None) -> None:
    model = line()
    X = np.array(model.features)
    X[:, 2] *= unit
    report = solve(LeastSquares(X, model.targets).objective(), LBFGS(), model.start(), Stopping(max_iterations=5))
    assert report.counts.cached == 0


def test_large_models_wait_until_it_pays(always: None) -> None:
    model = line(rows=1_500, size=300)
    objective = Expanded(model.objective())
    theta = model.start()
    for _ in range(3):
        objective.value_and_gradient(theta)
        assert objective.counters.jacobian == 0
        theta = theta + 1e-3
    for _ in range(3):
        objective.value_and_gradient(theta)
        assert objective.counters.jacobian == 1
        theta = theta + 1e-3
    assert objective.counters.cached == 4


def test_within_bounds(always: None) -> None:
    model = line()
    bounds = Bounds(np.zeros(8), np.full(8, np.inf))
    report = solve(model.objective(), LBFGS(), np.ones(8), bounds=bounds)
    assert report.success, report.message
    assert report.counts.cached > 0
    g = model.objective().gradient(report.theta)
    assert np.all(g[report.theta > 0.0] ** 2 <= 1e-12 * report.value**2)
    assert np.all(g[report.theta == 0.0] >= 0.0)


def test_the_triangle_from_j_j_is_that_of_qr() -> None:
    model = line()
    objective, theta = Expanded(model.objective()), np.full(8, 0.3)
    objective.value_and_gradient(np.zeros(8))
    told, plain = objective.tsqr(theta), model.objective().tsqr(theta)
    np.testing.assert_allclose(told.r.T @ told.r, plain.r.T @ plain.r, rtol=1e-12)
    np.testing.assert_allclose(told.r.T @ told.qtr, plain.r.T @ plain.qtr, rtol=1e-11)
    assert told.rest == pytest.approx(plain.rest, rel=1e-11)
    assert objective.hvp(theta, theta) == pytest.approx(2.0 * plain.r.T @ (plain.r @ theta), rel=1e-12)
    np.testing.assert_allclose(objective.hessian(theta), model.objective().hessian(theta), rtol=1e-12)
