"""LeastSquares against numpy's own linear algebra and the lecture's formulas."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from nablad.solvers.models import InvalidModel, LeastSquares

RNG = np.random.default_rng(20251028)
N, D = 1537, 4
PHI, Y, W = RNG.normal(size=(N, D)), RNG.normal(size=N), RNG.uniform(0, 2, N)
VARIANTS = [
    dict(zip(("weights", "intercept", "ridge", "reduction"), v, strict=True))
    for v in product([None, W], [False, True], [0.0, 0.3], ["sum", "mean"])
]


def stacked(settings: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(A, b) with f = ||b - A theta||^2, written with numpy alone."""
    root = np.ones(N) if settings["weights"] is None else np.sqrt(W)
    if settings["reduction"] == "mean":
        root = root / np.sqrt(N)
    design = np.c_[PHI, np.ones(N)] if settings["intercept"] else PHI
    penalty = np.sqrt(settings["ridge"]) * np.eye(D, design.shape[1])
    return np.vstack([root[:, None] * design, penalty]), np.r_[root * Y, np.zeros(D)]


def test_gradient_is_the_lectures_row() -> None:
    theta = RNG.normal(size=D)
    gradient = LeastSquares(PHI, Y).objective().gradient(theta)
    np.testing.assert_allclose(gradient, -2 * (Y - theta @ PHI.T) @ PHI, rtol=1e-12)


@pytest.mark.parametrize("settings", VARIANTS)
def test_objective_answers(settings: dict[str, Any]) -> None:
    model = LeastSquares(PHI, Y, **settings)
    objective = model.objective()
    A, b = stacked(settings)
    theta, v = RNG.normal(size=(2, model.size))
    r = b - A @ theta
    assert objective.capabilities.affine
    assert objective.capabilities.quadratic
    assert objective.capabilities.separable
    close = {"rtol": 1e-11, "atol": 1e-11}
    np.testing.assert_allclose(objective.value(theta), r @ r, **close)
    np.testing.assert_allclose(objective.gradient(theta), -2 * A.T @ r, **close)
    np.testing.assert_allclose(objective.hessian(theta), 2 * A.T @ A, **close)
    np.testing.assert_allclose(objective.hvp(theta, v), 2 * A.T @ (A @ v), **close)
    residual, jacobian = objective.residual(theta), objective.jacobian(theta)
    np.testing.assert_allclose(residual @ residual, r @ r, **close)
    np.testing.assert_allclose(jacobian.T @ residual, -A.T @ r, **close)
    gram, tsqr = objective.gram(theta), objective.tsqr(theta)
    np.testing.assert_allclose(gram.jtj, A.T @ A, **close)
    np.testing.assert_allclose(gram.jtr, -A.T @ r, **close)
    np.testing.assert_allclose(gram.rtr, r @ r, **close)
    np.testing.assert_allclose(np.abs(tsqr.r), np.abs(np.linalg.qr(A, mode="r")), **close)
    np.testing.assert_allclose(tsqr.r.T @ tsqr.qtr, -A.T @ r, **close)
    np.testing.assert_allclose(tsqr.qtr @ tsqr.qtr + tsqr.rest, r @ r, **close)


def test_one_qr_step_is_lstsq() -> None:
    objective = LeastSquares(PHI, Y, intercept=True).objective()
    theta = np.zeros(D + 1)
    tsqr = objective.tsqr(theta)
    step = np.linalg.solve(tsqr.r, -tsqr.qtr)
    expected, (rss,), *_ = np.linalg.lstsq(np.c_[PHI, np.ones(N)], Y, rcond=None)
    np.testing.assert_allclose(step, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(tsqr.rest, rss, rtol=1e-12)


@pytest.mark.parametrize("rows", [1, 3, 700])
def test_fewer_rows_than_columns(rows: int) -> None:
    features = RNG.normal(size=(rows, 650))
    objective = LeastSquares(features, np.ones(rows)).objective()
    tsqr = objective.tsqr(np.zeros(650))
    assert tsqr.r.shape == (min(rows, 650), 650)
    np.testing.assert_allclose(tsqr.r.T @ tsqr.r, features.T @ features, atol=1e-9)


def test_memory_mapped_features_are_attached(tmp_path: Any) -> None:
    path = tmp_path / "features.npy"
    np.save(path, PHI)
    mapped = np.load(path, mmap_mode="r")
    model = LeastSquares(mapped, Y)
    assert np.shares_memory(model.data["features"], mapped)
    theta = RNG.normal(size=D)
    assert model.objective().value(theta) == LeastSquares(PHI, Y).objective().value(theta)


@pytest.mark.parametrize(
    "features", [np.asfortranarray(PHI), np.c_[PHI, PHI][:, :D], PHI[::-1][::-1], PHI.tolist()], ids=range(4)
)
def test_any_memory_order_gives_the_same_bits(features: Any) -> None:
    theta = RNG.normal(size=D)
    ours = LeastSquares(features, Y).objective().gradient(theta)
    np.testing.assert_array_equal(ours, LeastSquares(PHI, Y).objective().gradient(theta))


def test_answers_are_fresh_arrays() -> None:
    objective = LeastSquares(PHI, Y).objective()
    theta = RNG.normal(size=D)
    for question in (objective.gradient, objective.hessian, objective.residual, objective.jacobian):
        first = question(theta)
        kept = first.copy()
        question(theta + 1.0)
        np.testing.assert_array_equal(first, kept)
        first += 1.0
        np.testing.assert_array_equal(question(theta), kept)


def test_evaluations_are_counted() -> None:
    objective = LeastSquares(PHI, Y).objective()
    theta = np.zeros(D)
    objective.value(theta)
    objective.value_and_gradient(theta)
    objective.hvp(theta, theta)
    objective.hessian(theta)
    objective.tsqr(theta)
    counted = objective.counters
    assert (counted.value, counted.gradient, counted.hvp, counted.hessian) == (2, 1, 1, 1)
    assert (counted.residual, counted.jacobian) == (1, 1)


def test_float32_stays_float32() -> None:
    model = LeastSquares(PHI.astype(np.float32), Y, intercept=True, ridge=0.1, reduction="mean")
    objective = model.objective()
    theta = RNG.normal(size=D + 1)
    value, gradient = objective.value_and_gradient(theta)
    reference = LeastSquares(PHI, Y, intercept=True, ridge=0.1, reduction="mean").objective()
    assert gradient.dtype == objective.hessian(theta).dtype == np.float32
    np.testing.assert_allclose(value, reference.value(theta), rtol=1e-5)
    np.testing.assert_allclose(gradient, reference.gradient(theta), rtol=1e-4, atol=1e-5)


def test_nonfinite_theta_gives_nonfinite_answers_quietly() -> None:
    objective = LeastSquares(PHI, Y).objective()
    assert np.isnan(objective.value(np.full(D, np.nan)))
    assert np.isinf(objective.value(np.full(D, 1e200)))
    assert objective.first_nonfinite(np.full(D, 1e200)).node.op == "square"  # type: ignore[union-attr]


def test_named_parameters_and_prediction() -> None:
    model = LeastSquares(PHI, Y, intercept=True)
    theta = RNG.normal(size=D + 1)
    named = model.parameters(theta)
    assert model.names == ("theta", "intercept")
    assert named["theta"].shape == (D,)
    assert named["intercept"].shape == ()
    np.testing.assert_array_equal(model.flatten(named), theta)
    np.testing.assert_array_equal(model.start(named), theta)
    np.testing.assert_allclose(model.predict(theta, PHI[:7]), PHI[:7] @ theta[:D] + theta[D], rtol=1e-13)
    assert model.start().tolist() == [0.0] * (D + 1)


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("features", {"features": PHI[0]}),
    ("features", {"features": np.empty((0, 3))}),
    ("features", {"features": [["a"]]}),
    ("features[3, 2]", {"features": np.where(np.arange(N * D).reshape(N, D) == 3 * D + 2, np.nan, PHI)}),
    ("targets", {"targets": Y[:-1]}),
    ("targets", {"targets": PHI}),
    ("targets[1536]", {"targets": np.r_[Y[:-1], np.inf]}),
    ("weights", {"weights": W[1:]}),
    ("weights[7]", {"weights": np.where(np.arange(N) == 7, -1.0, W)}),
    ("weights", {"weights": np.zeros(N)}),
    ("ridge", {"ridge": -1.0}),
    ("ridge", {"ridge": "much"}),
    ("reduction", {"reduction": "median"}),
]


@pytest.mark.parametrize(("field", "change"), WRONG)
def test_faults_are_named(field: str, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidModel) as caught:
        LeastSquares(**{"features": PHI, "targets": Y, **change})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("start", "field"), [(np.zeros(3), "start"), ({"theta": np.zeros(3)}, "start.theta"), ({"A": 1.0}, "start.A")]
)
def test_bad_starts_are_named(start: Any, field: str) -> None:
    with pytest.raises(InvalidModel) as caught:
        LeastSquares(PHI, Y).start(start)
    assert caught.value.field == field


def test_models_of_one_form_share_what_is_compiled() -> None:
    rng = np.random.default_rng(0)
    first, second = (LeastSquares(rng.standard_normal((n, 3)), rng.standard_normal(n)) for n in (5, 9))
    other = LeastSquares(rng.standard_normal((5, 4)), rng.standard_normal(5))
    assert first.compiled is second.compiled
    assert first.compiled is not other.compiled
