"""Nonlinear conjugate gradients: the formulas, quadratics, descent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nablad.solvers import Control, NonlinearConjugateGradient, Stopping, Wolfe, solve
from nablad.solvers.control import Limits
from nablad.solvers.methods.nonlinear_conjugate_gradient import FORMULAS, hager_zhang
from solvers import objectives as o

EXACT = Wolfe(curvature=1e-6, sufficient_decrease=1e-7)


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("spectrum", [[1.0, 4.0], [1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 9.0, 9.0, 9.0, 9.0, 9.0]])
def test_on_a_quadratic_all_formulas_are_linear_conjugate_gradients(formula: str, spectrum: list[float]) -> None:
    """With an exact search: as many steps as distinct eigenvalues (Nocedal and Wright 2006, theorem 5.4)."""
    problem, start = o.quadratic(spectrum, seed=1), np.linspace(-2.0, 2.0, len(spectrum))
    method = NonlinearConjugateGradient(formula, EXACT)
    limits = Limits(Control(), problem.counters)
    state = method.init(problem, start, limits)
    first = state.gradient_norm
    for _ in range(len(set(spectrum))):
        state = method.step(problem, state, limits)
    assert state.gradient_norm <= 1e-5 * first


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 100_000), p=st.integers(1, 6), lean=st.floats(-3.0, 3.0))
def test_hager_and_zhangs_direction_descends_whatever_the_search(seed: int, p: int, lean: float) -> None:
    """d'g <= -7/8 g'g (Hager and Zhang 2005, theorem 1.1), for any g, g+ and descent direction d with d'y > 0."""
    rng = np.random.default_rng(seed)
    g, after = rng.standard_normal(p), 10.0**lean * rng.standard_normal(p)
    d = -g + 0.5 * rng.standard_normal(p)
    if d @ g < 0.0 and d @ (after - g) > 0.0:
        following = hager_zhang(d, g, after) * d - after
        assert following @ after <= -0.875 * (after @ after) * (1.0 - 1e-9)


def test_the_formulas_are_the_literatures() -> None:
    d, g, after = np.array([-1.0, -2.0, 0.5]), np.array([1.0, 2.5, -0.5]), np.array([0.25, -0.5, 0.75])
    y = after - g
    along = d @ y
    assert hager_zhang(d, g, after) == pytest.approx((y - 2.0 * d * (y @ y) / along) @ after / along)
    assert FORMULAS["polak_ribiere"].beta(d, g, after) == pytest.approx(after @ y / (g @ g))
    assert FORMULAS["fletcher_reeves"].beta(d, g, after) == pytest.approx(after @ after / (g @ g))
    assert FORMULAS["polak_ribiere"].beta(d, g, 0.5 * g) == 0.0


@pytest.mark.parametrize("formula", FORMULAS)
def test_far_fewer_steps_than_steepest_descent(formula: str) -> None:
    """Condition 1e4 on 40 parameters: a few times its root in steps, where steepest descent takes ten times itself."""
    problem = o.quadratic(np.geomspace(1.0, 1e4, 40).tolist(), seed=3)
    stopping = Stopping(relative_gradient_tolerance=1e-8)
    report = solve(problem, NonlinearConjugateGradient(formula), np.zeros(40), stopping)
    assert report.success, report.message
    assert report.iterations <= 800
    assert report.value == pytest.approx(3.0, rel=1e-10)


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("exponent", [-61, 301])
def test_powers_of_two_change_no_bit_of_the_path(formula: str, exponent: int) -> None:
    method, start = NonlinearConjugateGradient(formula), np.array([1.0, 0.8])
    plain, scaled = solve(o.beale(), method, start), solve(o.rescaled(o.beale(), 2.0**exponent), method, start)
    assert scaled.success
    assert scaled.counts == plain.counts
    assert scaled.theta.tobytes() == plain.theta.tobytes()


def test_an_unknown_formula_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="hager_zhang, polak_ribiere, fletcher_reeves"):
        NonlinearConjugateGradient("dai_yuan")
