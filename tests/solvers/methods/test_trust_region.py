"""The trust region's inner loop: what it takes, how far it lets the next step go, and that it always ends."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from nablad.solvers.methods.trust_region import (
    GROWTH,
    LEAP,
    MAX_TRIALS,
    Proposal,
    Refused,
    TrustRegion,
    failure,
    radius_after,
    ratio_of,
    search,
)
from nablad.solvers.status import Status
from solvers import objectives as o

EPS = float(np.finfo(float).eps)


def downhill(theta: np.ndarray, gradient: np.ndarray, curvature: float) -> Callable[[float, Refused | None], Proposal]:
    """The minimizer along -g of the model f + g's + curvature s's / 2, within the radius."""
    size = float(np.linalg.norm(gradient))

    def propose(radius: float, refused: Refused | None) -> Proposal:
        length = min(radius, size / curvature)
        step = -(length / size) * gradient
        predicted = size * length - 0.5 * curvature * length * length
        return Proposal(theta + step, (theta + step) - theta, length, predicted, length == radius)

    return propose


def at(problem: o.Smooth, theta: np.ndarray) -> tuple[float, np.ndarray]:
    value, gradient = problem.value_and_gradient(theta)
    return value, gradient


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e100])
def test_a_true_model_is_taken_at_once_and_the_radius_leaps_at_the_edge_only(scale: float) -> None:
    problem = o.quadratic([scale, scale])
    theta = np.array([3.0, 0.0])
    value, gradient = at(problem, theta)
    short = search(problem, value, gradient, downhill(theta, gradient, scale), 0.5)
    assert short.arrival is not None
    assert short.arrival.ratio == pytest.approx(1.0, abs=1e-6)
    assert (short.trials, short.radius) == (1, LEAP * 0.5)
    whole = search(problem, value, gradient, downhill(theta, gradient, scale), 100.0)
    assert whole.arrival is not None
    assert (whole.trials, whole.radius) == (1, 100.0)
    assert np.allclose(whole.arrival.proposal.theta, 1.0)
    assert np.array_equal(whole.arrival.gradient, problem.g(whole.arrival.proposal.theta))


@pytest.mark.parametrize(
    ("ratio", "at_edge", "grown"),
    [
        (1.0, True, LEAP),
        (0.97, True, LEAP),
        (1.04, True, LEAP),
        (0.9, True, GROWTH),
        (1.3, True, GROWTH),
        (1.0, False, GROWTH),
        (0.5, True, 1.0),
        (0.5, False, 1.0),
    ],
)
def test_the_radius_grows_by_how_true_the_model_was(ratio: float, at_edge: bool, grown: float) -> None:
    step = np.array([2.0, 0.0])
    proposal = Proposal(step, step, 2.0, 1.0, at_edge)
    assert radius_after(2.0, proposal, ratio, -1.0, ratio) == grown * 2.0
    assert radius_after(1e6, proposal, ratio, -1.0, ratio) == 1e6


def test_an_overestimated_step_shrinks_by_its_own_length() -> None:
    """The curvature is a thousand times the model's: first steps rise, and the radius, though vast, is forgotten."""
    problem = o.quadratic([1e3, 1e3])
    theta = np.array([3.0, 0.0])
    value, gradient = at(problem, theta)
    found = search(problem, value, gradient, downhill(theta, gradient, 1.0), 1e9)
    assert found.arrival is not None
    assert found.arrival.value < value
    assert found.trials <= 5
    assert found.radius < 10.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("eager", [True, False])
def test_a_wall_of_nonfinite_values_does_not_freeze_the_radius(bad: float, eager: bool) -> None:
    """(scipy #12503)"""
    inner = o.quadratic([1.0, 1.0])
    problem = o.Smooth(f=lambda t: inner.f(t) if t[0] > 2.99 else bad, g=inner.g, H=inner.H, size=2)
    theta = np.array([3.0, 1.0])
    value, gradient = at(problem, theta)
    found = search(problem, value, gradient, downhill(theta, gradient, 1.0), 1e6, eager=eager)
    assert found.arrival is not None
    assert found.nonfinite == found.trials - 1 == 3
    assert 0.0 < found.radius < 0.01


def test_a_gradient_that_is_not_finite_refuses_the_trial() -> None:
    inner = o.quadratic([1.0, 1.0])
    problem = o.Smooth(f=inner.f, g=lambda t: inner.g(t) * (1.0 if t[0] > 2.5 else math.nan), H=inner.H, size=2)
    theta = np.array([3.0, 1.0])
    value, gradient = at(problem, theta)
    found = search(problem, value, gradient, downhill(theta, gradient, 1.0), 1e6)
    assert found.arrival is not None
    assert found.arrival.proposal.theta[0] > 2.5
    assert found.nonfinite > 0


@pytest.mark.parametrize(
    ("f", "status"),
    [
        (lambda t: math.nan, Status.NONFINITE),
        (lambda t: -math.inf, Status.UNBOUNDED),
        (lambda t: 10.0 + 1e3 * abs(t[0] - 3.0), Status.LINE_SEARCH_STALLED),
    ],
)
def test_the_search_ends_and_says_why(f: Callable[[np.ndarray], float], status: Status) -> None:
    inner = o.quadratic([1.0, 1.0])
    problem = o.Smooth(f=f, g=inner.g, H=inner.H, size=2)
    theta = np.array([3.0, 1.0])
    found = search(problem, 10.0, inner.g(theta), downhill(theta, inner.g(theta), 1.0), 1.0)
    assert found.arrival is None
    assert found.trials <= MAX_TRIALS
    assert found.trials == problem.counters.value
    assert failure(found, 1.0)[0] is status


def test_where_values_drown_the_slopes_decide() -> None:
    """f is 1e12 + a parabola whose decrease is far below f's roundoff; the same with the model's sign wrong."""
    inner = o.quadratic([1e-6, 1e-6])
    problem = o.Smooth(f=lambda t: 1e12 + inner.f(t), g=inner.g, H=inner.H, size=2)
    theta = np.array([3.0, 1.0])
    value, gradient = at(problem, theta)
    found = search(problem, value, gradient, downhill(theta, gradient, 1e-6), 100.0)
    assert found.arrival is not None
    assert found.arrival.ratio == pytest.approx(1.0)
    lost = search(problem, value, -gradient, downhill(theta, -gradient, 1e-6), 100.0)
    assert lost.arrival is None


def test_the_parts() -> None:
    assert ratio_of(2.0, 4.0, 0.0) == 0.5
    assert ratio_of(-math.inf, 4.0, 1e9) == -math.inf
    assert math.isnan(ratio_of(1e-17, 1e-17, 1e-14))
    assert ratio_of(-1.0, 1e-17, 1e-14) < -1e16
    theta = np.zeros(1)
    edge = Proposal(theta, theta, 2.0, 1.0, True)
    inside = Proposal(theta, theta, 2.0, 1.0, False)
    assert radius_after(2.0, edge, 0.9, -1.0, 0.9) == 4.0
    assert radius_after(8.0, inside, 0.9, -1.0, 0.9) == 8.0
    assert radius_after(8.0, inside, 0.5, -1.0, 0.5) == 8.0
    assert radius_after(8.0, inside, -math.inf, -1.0, -math.inf) == pytest.approx(0.2)
    # The parabola with slope -1 that is 3 higher at 1 has its minimum at 1/8.
    assert radius_after(8.0, inside, -3.0, -1.0, -3.0) == pytest.approx(2.0 / 8.0)
    assert radius_after(8.0, inside, 0.1, -1.0, 0.1) == pytest.approx(1.0)


@pytest.mark.parametrize("radius", [0.0, -1.0, math.inf, math.nan])
def test_settings_are_checked(radius: float) -> None:
    with pytest.raises(ValueError, match="initial_radius"):
        TrustRegion(radius)
