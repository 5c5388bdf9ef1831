"""The strong Wolfe search: its two conditions, on many functions, and what it does where they cannot be met."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nablad.solvers import Armijo, Bounds, Wolfe
from nablad.solvers.methods.line_search import Ray, Search, backtrack, strong_wolfe
from solvers import objectives as o

Scalar = Callable[[float], float]


def on_a_line(phi: Scalar, slope: Scalar) -> o.Smooth:
    """phi as an objective of one parameter, asked for its value and gradient only."""
    return o.Smooth(f=lambda t: phi(float(t[0])), g=lambda t: [slope(float(t[0]))], H=lambda t: t, size=1)


def search(problem: o.Smooth, first: float, wolfe: Wolfe, longest: float = math.inf, start: float = 0.0) -> Search:
    theta = np.array([start])
    value, gradient = problem.value_and_gradient(theta)
    problem.seen.clear()
    return strong_wolfe(problem, Ray(theta, np.ones(1), value, float(gradient[0])), first, wolfe, longest)


def assert_wolfe(phi: Scalar, slope: Scalar, found: Search, wolfe: Wolfe) -> None:
    assert found.trial is not None
    a = found.trial.step
    assert a > 0.0
    assert found.trial.value == phi(a)
    assert found.trial.gradient[0] == slope(a)
    assert abs(slope(a)) <= -wolfe.curvature * slope(0.0)
    assert phi(a) <= phi(0.0) + wolfe.sufficient_decrease * a * slope(0.0)


def yanai(beta1: float, beta2: float) -> tuple[Scalar, Scalar]:
    """More and Thuente 1994, (5.4): slopes of very different size at both ends."""
    g1, g2 = (math.sqrt(1.0 + b * b) - b for b in (beta1, beta2))
    return (
        lambda a: g1 * math.hypot(1.0 - a, beta2) + g2 * math.hypot(a, beta1),
        lambda a: g1 * (a - 1.0) / math.hypot(1.0 - a, beta2) + g2 * a / math.hypot(a, beta1),
    )


MORE_THUENTE: dict[str, tuple[Scalar, Scalar]] = {
    "5.1": (lambda a: -a / (a * a + 2.0), lambda a: (a * a - 2.0) / (a * a + 2.0) ** 2),
    "5.2": (
        lambda a: (a + 0.004) ** 5 - 2.0 * (a + 0.004) ** 4,
        lambda a: 5.0 * (a + 0.004) ** 4 - 8.0 * (a + 0.004) ** 3,
    ),
    "5.4": yanai(0.001, 0.001),
    "5.5": yanai(0.01, 0.001),
    "5.6": yanai(0.001, 0.01),
}


@pytest.mark.parametrize("name", MORE_THUENTE)
@pytest.mark.parametrize("first", [1e-3, 1e-1, 1e1, 1e3])
@pytest.mark.parametrize("wolfe", [Wolfe(), Wolfe(curvature=0.1), Wolfe(sufficient_decrease=1e-3, curvature=1.1e-3)])
def test_the_functions_of_more_and_thuente(name: str, first: float, wolfe: Wolfe) -> None:
    """First steps of six orders of magnitude; 5.2 is so flat at 0 that each of its searches is an exact one."""
    phi, slope = MORE_THUENTE[name]
    found = search(on_a_line(phi, slope), first, wolfe)
    assert_wolfe(phi, slope, found, wolfe)
    assert found.trials <= (22 if name == "5.2" else 12)


WAVES = st.lists(st.tuples(st.floats(-3, 3), st.floats(0.1, 5), st.floats(-3, 3)), max_size=4)


@settings(max_examples=300, deadline=None)
@given(
    waves=WAVES,
    bowl=st.floats(1e-3, 10),
    tilt=st.floats(0.01, 10),
    log_first=st.floats(-6, 6),
    curvature=st.sampled_from([0.9, 0.5, 0.1, 0.01]),
    log_scale=st.floats(-12, 12),
)
def test_the_conditions_hold_on_every_accepted_step(
    waves: list[tuple[float, float, float]],
    bowl: float,
    tilt: float,
    log_first: float,
    curvature: float,
    log_scale: float,
) -> None:
    """Bowls with waves on them: many minima, any first step, any scale of f."""
    c = 10.0**log_scale
    downhill = -tilt - sum(h * w * math.cos(s) for h, w, s in waves)

    def phi(a: float) -> float:
        return c * (downhill * a + bowl * a * a + sum(h * math.sin(w * a + s) for h, w, s in waves))

    def slope(a: float) -> float:
        return c * (downhill + 2.0 * bowl * a + sum(h * w * math.cos(w * a + s) for h, w, s in waves))

    wolfe = Wolfe(curvature=curvature)
    if slope(0.0) < -1e-3 * c:
        found = search(on_a_line(phi, slope), 10.0**log_first, wolfe)
        assert_wolfe(phi, slope, found, wolfe)
        assert found.trials <= 30


@settings(max_examples=100, deadline=None)
@given(lowest=st.floats(0.3, 0.8), beyond=st.floats(0.5, 20), scale=st.sampled_from([1.0, 2.0**40, 1e-200, 1e200]))
def test_a_cubic_is_solved_by_the_second_trial(lowest: float, beyond: float, scale: float) -> None:
    """Slope -(lowest - a) (a + beyond): a minimum at `lowest`, inside the first trial's 1."""

    def slope(a: float) -> float:
        return scale * (a - lowest) * (a + beyond)

    def phi(a: float) -> float:
        return scale * (a**3 / 3.0 + 0.5 * (beyond - lowest) * a * a - lowest * beyond * a)

    found = search(on_a_line(phi, slope), 1.0, Wolfe(curvature=1e-3))
    assert found.trial is not None
    assert found.trials == 2
    assert found.trial.step == pytest.approx(lowest, rel=1e-9)


def test_a_first_step_that_is_too_short_grows_to_the_cubics_minimum() -> None:
    def phi(a: float) -> float:
        return (a - 5.0) ** 2

    found = search(on_a_line(phi, lambda a: 2.0 * (a - 5.0)), 1.0, Wolfe(curvature=0.1))
    assert found.trial is not None
    assert (found.trials, found.trial.step) == (2, pytest.approx(5.0))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["value", "slope"])
@pytest.mark.parametrize("wall", [1e-9, 0.5, 0.999])
def test_a_wall_of_nonfinite_trials_is_kept_off(bad: float, where: str, wall: float) -> None:
    """The minimum of a - log a at 1 lies before the wall or beyond it: an acceptable step, or just a lower one."""

    def phi(a: float) -> float:
        return (a - wall / 2.0) ** 2 if a < wall or where == "slope" else bad

    def slope(a: float) -> float:
        return 2.0 * (a - wall / 2.0) if a < wall or where == "value" else bad

    wolfe = Wolfe(curvature=0.1)
    found = search(on_a_line(phi, slope), 1.0, wolfe)
    assert_wolfe(phi, slope, found, wolfe)
    assert found.nonfinite > 0


def test_a_steep_fall_to_a_wall_ends_within_the_trials_and_lower() -> None:
    """-a until it is NaN at 1: the second condition cannot be met, the first can."""
    problem = on_a_line(lambda a: -a if a < 1.0 else math.nan, lambda a: -1.0)
    found = search(problem, 1e-3, Wolfe(max_trials=12))
    assert found.trial is not None
    assert 0.5 < found.trial.step < 1.0
    assert found.trials == len(problem.seen) == 12


def test_nothing_finite_is_a_failure_within_the_trials() -> None:
    problem = on_a_line(lambda a: 0.0 if a == 0.0 else math.nan, lambda a: -1.0)
    found = search(problem, 1.0, Wolfe(max_trials=25))
    assert (found.trial, found.trials, found.nonfinite, len(problem.seen)) == (None, 25, 25, 25)


def test_minus_infinity_is_told() -> None:
    found = search(on_a_line(lambda a: -a if a < 100.0 else -math.inf, lambda a: -1.0), 1.0, Wolfe())
    assert found.plunged
    assert found.trial is None


def test_a_gradient_that_lies_ends_soon() -> None:
    """phi rises where its slope says that it falls (stan #189: backtracking without end)."""
    problem = on_a_line(lambda a: 1.0 + a, lambda a: -1.0)
    found = search(problem, 1.0, Wolfe())
    assert found.trial is None or found.trial.value <= 1.0 + 1e-13
    assert len(problem.seen) <= Wolfe().max_trials


@pytest.mark.parametrize("shift", [1e-9, 1e-6])
@pytest.mark.parametrize("first", [0.1, 1.0, 1.9])
def test_near_a_minimum_the_slope_decides(shift: float, first: float) -> None:
    """1e8 + (a - 1)^2 shift^2: differences of phi are all roundoff, and an Armijo test would be a game of chance."""

    def phi(a: float) -> float:
        return 1e8 + (shift * (a - 1.0)) ** 2

    def slope(a: float) -> float:
        return 2.0 * shift**2 * (a - 1.0)

    wolfe = Wolfe(curvature=0.1)
    found = search(on_a_line(phi, slope), first, wolfe)
    assert found.trial is not None
    assert abs(slope(found.trial.step)) <= -wolfe.curvature * slope(0.0)
    assert found.trials <= 3


def test_no_room_between_two_numbers_is_a_failure_without_a_trial() -> None:
    problem = on_a_line(lambda a: -a, lambda a: -1.0)
    found = search(problem, 1e-17, Wolfe(), start=1.0)
    assert (found.trial, found.trials, problem.seen) == (None, 0, [])


@pytest.mark.parametrize("longest", [0.25, 1.0, 3.0])
def test_no_trial_is_longer_than_the_longest(longest: float) -> None:
    problem = on_a_line(lambda a: (a - 10.0) ** 2, lambda a: 2.0 * (a - 10.0))
    found = search(problem, 2.0, Wolfe(curvature=0.1), longest)
    assert found.trial is not None
    assert found.trial.step == longest
    assert max(float(t[0]) for t in problem.seen) == longest


def test_every_trial_lies_within_the_bounds() -> None:
    """0.1 * 3 rounds beyond 0.3: the ray may leave the box by rounding, the trial may not."""
    problem = o.linear((-1.0, -2.0))
    problem.bounds = Bounds(np.zeros(2), np.array([0.3, 1.0]))
    ray = Ray(np.zeros(2), np.array([0.1, 0.1]), 0.0, -0.3)
    found = strong_wolfe(problem, ray, 1.0, Wolfe(), longest=3.0)
    assert found.trial is not None
    assert found.trial.step == 3.0
    assert all(problem.bounds.contains(t) for t in problem.seen)
    problem.seen.clear()
    assert backtrack(problem, ray, 3.0, Armijo()).trial is not None
    assert all(problem.bounds.contains(t) for t in problem.seen)


@pytest.mark.parametrize("exponent", [-200, 61, 200])
def test_scaling_by_powers_of_two_changes_no_decision(exponent: int) -> None:
    phi, slope = MORE_THUENTE["5.4"]
    c = 2.0**exponent
    plain = search(on_a_line(phi, slope), 10.0, Wolfe(curvature=0.01))
    scaled = search(on_a_line(lambda a: c * phi(a), lambda a: c * slope(a)), 10.0, Wolfe(curvature=0.01))
    assert plain.trial is not None
    assert scaled.trial is not None
    assert (plain.trial.step, plain.trials) == (scaled.trial.step, scaled.trials)


@pytest.mark.parametrize(
    ("settings_", "name"),
    [
        ({"initial": 0.0}, "initial"),
        ({"initial": math.inf}, "initial"),
        ({"initial": math.nan}, "initial"),
        ({"sufficient_decrease": 0.0}, "sufficient_decrease"),
        ({"sufficient_decrease": 0.5}, "sufficient_decrease"),
        ({"curvature": 1.0}, "curvature"),
        ({"sufficient_decrease": 0.3, "curvature": 0.2}, "curvature"),
        ({"max_trials": 0}, "max_trials"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings_: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Wolfe(**settings_)
