"""Linear least squares of many rows: normal equations where the condition allows, as good as QR, and QR beyond."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from solvers.methods.test_newton_affine import exact_solution

from nablad.solvers import GaussNewton, LeastSquares, LevenbergMarquardt, Newton, Report, solve
from nablad.solvers.autodiff.objective import GraphObjective
from nablad.solvers.methods import newton_affine

EPS = np.finfo(np.float64).eps
METHODS = (Newton(), GaussNewton(), LevenbergMarquardt())


@pytest.fixture
def all_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small problems, for which there are exact oracles, go the way of large ones."""
    monkeypatch.setattr(newton_affine, "CHEAP_ENTRIES", 0)


def with_condition(rng: np.random.Generator, rows: int, columns: int, condition: float) -> np.ndarray:
    U, _ = np.linalg.qr(rng.standard_normal((rows, columns)))
    V, _ = np.linalg.qr(rng.standard_normal((columns, columns)))
    return np.asarray(U * np.geomspace(1.0, 1.0 / condition, columns) @ V.T)


def fitted(X: Any, y: Any, method: Any = None, threads: int = 1, start: Any = None, **options: Any) -> Report:
    model = LeastSquares(X, y, **options)
    return solve(model.objective(threads=threads), method or Newton(), model.start(start))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(6, 40),
    columns=st.integers(1, 5),
    digits=st.floats(0.0, 8.0),
    noise=st.sampled_from([0.0, 1e-6, 1e-2, 1.0, 1e3]),
    spread=st.integers(0, 60),
    far=st.sampled_from([0.0, 1.0, 1e6]),
)
@example(seed=1, rows=30, columns=5, digits=5.5, noise=1.0, spread=0, far=0.0)
def test_within_a_few_times_the_bound_of_qr(
    all_large: None, seed: int, rows: int, columns: int, digits: float, noise: float, spread: int, far: float
) -> None:
    rng = np.random.default_rng(seed)
    units = 10.0 ** rng.integers(-spread, spread + 1, columns)
    A = with_condition(rng, rows, columns, 10.0**digits)
    X = A * units
    b = A @ rng.standard_normal(columns)
    y = b + noise * np.linalg.norm(b) / np.sqrt(rows) * rng.standard_normal(rows)
    report = fitted(X, y, start=far * rng.standard_normal(columns) / units)
    assert report.success, report.message
    exact = exact_solution(X, y)
    lengths = np.linalg.norm(X, axis=0)
    condition = float(np.linalg.cond(X / lengths))
    size = np.linalg.norm(lengths * exact)
    # Wedin's bound for an equilibrated J (Higham 2002, theorem 20.1), with a modest factor for the sums.
    residual = np.linalg.norm(y - X @ exact)
    bound = EPS * condition * (size + np.linalg.norm(y) + condition * residual)
    error = np.linalg.norm(lengths * (report.theta - exact))
    assert error <= 4 * columns * bound


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_three_passes_at_most_and_no_qr(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("no QR and no refined gradient is needed here")

    monkeypatch.setattr(GraphObjective, "tsqr", refuse)
    monkeypatch.setattr(GraphObjective, "refined_gradient", refuse)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4_000, 30))
    y = X @ rng.standard_normal(30) + rng.standard_normal(4_000)
    report = fitted(X, y, method)
    assert report.success
    assert report.evidence.verdict == "minimum"
    # The second iteration is a correction, which is left out where it would change no digit.
    assert report.iterations in (1, 2)
    assert (report.counts.value, report.counts.gradient, report.counts.jacobian) == (*[report.iterations] * 2, 1)
    np.testing.assert_allclose(report.theta, np.linalg.lstsq(X, y, rcond=None)[0], rtol=0, atol=1e-14)
    # The values told are those of the true residual.
    r = y - X @ report.theta
    assert report.value == pytest.approx(r @ r, rel=1e-14)
    extremes = 2.0 * np.linalg.svd(X, compute_uv=False)[[-1, 0]] ** 2
    assert [report.evidence.smallest_curvature, report.evidence.largest_curvature] == pytest.approx(extremes, rel=1e-12)


@pytest.mark.parametrize("condition", [1e1, 1e3, 1e5, 1e7, 1e9])
@pytest.mark.parametrize("noise", [0.0, 1e-3, 1.0])
def test_digits_of_qr_at_every_condition(condition: float, noise: float) -> None:
    rng = np.random.default_rng(3)
    X = with_condition(rng, 3_000, 40, condition)
    theta = rng.standard_normal(40)
    b = X @ theta
    e = rng.standard_normal(3_000)
    e -= X @ np.linalg.lstsq(X, e, rcond=None)[0]
    y = b + noise * np.linalg.norm(b) / np.linalg.norm(e) * e
    report = fitted(X, y)
    assert report.success
    # Without noise the minimizer is theta itself, but for the rounding of b; with it, but for what is left of X'e.
    Q, R = np.linalg.qr(X)
    plain = scipy.linalg.solve_triangular(R, Q.T @ y)
    bound = EPS * condition * (np.linalg.norm(theta) + np.linalg.norm(y) * (1 + condition * noise))
    assert np.linalg.norm(report.theta - plain) <= 8 * bound


def test_the_bits_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((9_000, 20)), rng.standard_normal(9_000)
    reports = [fitted(X, y, threads=threads) for threads in (1, 2, 3)]
    for report in reports[1:]:
        assert report.theta.tobytes() == reports[0].theta.tobytes()
        assert report.gradient.tobytes() == reports[0].gradient.tobytes()
        assert report.value == reports[0].value


@pytest.mark.parametrize(
    "options",
    [
        {"intercept": True},
        {"ridge": 0.3},
        {"reduction": "mean"},
        {"weights": True},
        {"weights": True, "intercept": True, "ridge": 0.3, "reduction": "mean"},
    ],
    ids=lambda o: "-".join(o),
)
def test_every_option_agrees_with_qr(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((2_500, 50)), rng.standard_normal(2_500)
    if "weights" in options:
        options = options | {"weights": rng.uniform(0.0, 2.0, 2_500)}
    fast = fitted(X, y, **options)
    monkeypatch.setattr(newton_affine, "CHEAP_ENTRIES", 10**9)
    refined = fitted(X, y, **options)
    assert fast.counts.jacobian == 1
    assert refined.counts.jacobian > 1
    np.testing.assert_allclose(fast.theta, refined.theta, rtol=0, atol=1e-14)
    assert fast.value == pytest.approx(refined.value, rel=1e-14)


def test_data_that_is_not_contiguous() -> None:
    rng = np.random.default_rng(4)
    wide = rng.standard_normal((60, 5_000))
    y = rng.standard_normal(10_000)[::2]
    report = fitted(wide.T[:, ::2], y[::-1])
    expected = fitted(np.ascontiguousarray(wide.T[:, ::2]), np.ascontiguousarray(y[::-1]))
    assert report.theta.tobytes() == expected.theta.tobytes()


def test_without_full_rank_it_is_the_shortest_minimizer() -> None:
    rng = np.random.default_rng(5)
    X = rng.standard_normal((3_000, 40))
    X[:, 7] = X[:, 3] + X[:, 30]
    X[:, 12] = 0.0
    y = rng.standard_normal(3_000)
    report = fitted(X, y)
    assert report.evidence.rank == 38
    np.testing.assert_allclose(report.theta, np.linalg.lstsq(X, y, rcond=None)[0], rtol=0, atol=1e-13)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 5)])
def test_a_few_rows(all_large: None, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(6)
    X, y = rng.standard_normal(shape), rng.standard_normal(shape[0])
    report = fitted(X, y)
    assert report.success
    np.testing.assert_allclose(report.theta, np.linalg.lstsq(X, y, rcond=None)[0], rtol=0, atol=1e-13)


@pytest.mark.parametrize("unit", [1e-170, 1e-140, 1e140, 1e160])
def test_columns_in_any_units(unit: float) -> None:
    rng = np.random.default_rng(7)
    X, y = rng.standard_normal((3_000, 40)), rng.standard_normal(3_000)
    expected = fitted(X, y).theta
    scaled = X.copy()
    scaled[:, ::3] *= unit
    with np.errstate(all="ignore"):
        report = fitted(scaled, y)
    found = report.theta.copy()
    found[::3] *= unit
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_single_precision_goes_by_qr() -> None:
    rng = np.random.default_rng(8)
    X, y = rng.standard_normal((3_000, 40)).astype(np.float32), rng.standard_normal(3_000).astype(np.float32)
    report = fitted(X, y)
    assert report.success
    exact = np.linalg.lstsq(X.astype(np.float64), y.astype(np.float64), rcond=None)[0]
    np.testing.assert_allclose(report.theta, exact, rtol=0, atol=1e-7)


@pytest.mark.parametrize("start", [0.0, 1e8])
def test_from_anywhere_and_from_the_answer(start: float) -> None:
    rng = np.random.default_rng(9)
    X, y = rng.standard_normal((3_000, 40)), rng.standard_normal(3_000)
    first = fitted(X, y, start=np.full(40, start))
    np.testing.assert_allclose(first.theta, np.linalg.lstsq(X, y, rcond=None)[0], rtol=0, atol=1e-14)
    again = fitted(X, y, start=first.theta)
    assert again.success
    np.testing.assert_allclose(again.theta, first.theta, rtol=0, atol=1e-15)
