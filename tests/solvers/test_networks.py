"""Networks trained, in small: what `python -m benchmarks networks` does at length and beside scikit-learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.networks import GOAL, Classification, tanh_network, train_nablad
from nablad.solvers import (
    LBFGS,
    Adam,
    GradientDescent,
    Layer,
    LevenbergMarquardt,
    Network,
    Newton,
    Stopping,
    solve,
)


def prototypes(rows: int, held: int, seed: int = 3) -> Classification:
    """Images of 64 pixels: each of ten classes has two shapes, and every image is one of them with noise."""
    generator = np.random.default_rng(seed)
    shapes = generator.random((10, 2, 64))
    classes, which = generator.integers(0, 10, rows + held), generator.integers(0, 2, rows + held)
    images = shapes[classes, which] + 0.35 * generator.standard_normal((rows + held, 64))
    return Classification(images[:rows], classes[:rows], images[rows:], classes[rows:])


@pytest.mark.parametrize("seed", [0, 1])
def test_adam_trains_a_classifier(seed: int) -> None:
    training = train_nablad(prototypes(700, 300), 32, Adam(5e-3, batch_size=32, seed=seed), 12)
    assert len(training.accuracies) == 12
    assert training.epochs_to(GOAL) is not None
    assert training.accuracies[-1] >= GOAL
    assert training.accuracies[0] < GOAL


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_newton_ends_at_a_verified_minimum_far_beyond_gradient_descent(seed: int) -> None:
    model = replace(tanh_network((5,), 80), seed=seed)
    objective = model.objective()
    report = solve(objective, Newton(), model.start(), Stopping(max_iterations=1_000))
    assert report.success, report.message
    assert report.evidence.verdict == "minimum"
    assert report.evidence.relative_gradient_norm <= 1e-8
    assert report.evidence.smallest_curvature is not None
    assert report.evidence.smallest_curvature > 0.0
    spectrum = np.linalg.eigvalsh(objective.hessian(report.theta))
    assert spectrum[0] == pytest.approx(report.evidence.smallest_curvature, rel=1e-4)
    # Gradients of the same cost: an iteration of Newton's is at most 3 p of them.
    most = Stopping(max_iterations=10**9, max_evaluations=min(3 * model.size * report.iterations, 1_500))
    slow = solve(objective, GradientDescent(), model.start(), most)
    assert slow.evidence.relative_gradient_norm > 1e3 * report.evidence.relative_gradient_norm


@pytest.mark.parametrize("method", [Newton(), LevenbergMarquardt(), LBFGS()], ids=lambda m: m.name)
@pytest.mark.parametrize("seed", [0, 3, 4, 7, 8])
def test_a_dead_units_bias_is_not_determined(seed: int, method: Any) -> None:
    """A penalty takes a unit's weights to zero: its bias then has curvature 1e-20, and any value."""
    rng = np.random.default_rng(seed)
    inputs = rng.uniform(-2.0, 2.0, (40, 1))
    targets = np.tanh(2.0 * inputs) + 0.05 * rng.standard_normal((40, 1))
    model = Network(inputs, targets, [Layer(4, "tanh"), Layer(1)], seed=seed, ridge=0.1)
    objective = model.objective()
    report = solve(objective, method, model.start(), Stopping(max_iterations=400))
    found = report.evidence
    for j in range(model.size):
        moved = report.theta.copy()
        moved[j] = model.start()[j] + 1.0
        if report.success and abs(objective.value(moved) - report.value) <= 1e-15 * report.value:
            assert found.verdict == "flat", report.message
            assert found.rank is not None
            assert found.rank < model.size
            assert objective.parameter_name(j) in report.message.partition("does not determine")[2]
