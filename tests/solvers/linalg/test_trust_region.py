"""The trust-region subproblem against its optimality conditions, and against bisection in sixty digits."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from nablad.solvers.linalg.trust_region import NEAR_EDGE, NEAR_OPTIMUM, Ball, ModelStep, by_factors, spectrum

EPS = float(np.finfo(float).eps)


def symmetric(values: list[float] | np.ndarray, seed: int = 0) -> np.ndarray:
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))
    H = Q @ np.diag(values) @ Q.T
    return np.asarray(0.5 * (H + H.T))


def decrease(H: np.ndarray, g: np.ndarray, s: np.ndarray) -> float:
    """-(g's + s'H s / 2), in sixty digits."""
    with mpmath.workdps(60):
        A, b, x = mpmath.matrix(H.tolist()), mpmath.matrix(g.tolist()), mpmath.matrix(s.tolist())
        return float(-((b.T * x)[0] + (x.T * A * x)[0] / 2))


def greatest_decrease(H: np.ndarray, g: np.ndarray, radius: float) -> float:
    """By the spectrum and bisection on lambda in sixty digits; the hard case is its limit."""
    with mpmath.workdps(60):
        values, V = mpmath.eigsy(mpmath.matrix(H.tolist()))
        h = V.T * mpmath.matrix(g.tolist())
        p, r = len(values), mpmath.mpf(radius)

        def length(shift: mpmath.mpf) -> mpmath.mpf:
            return mpmath.sqrt(sum((h[i] / (values[i] + shift)) ** 2 for i in range(p) if h[i] != 0))

        lowest = min(values)
        scale = max(max(abs(v) for v in values), mpmath.norm(h) / r)
        if lowest > 0 and length(mpmath.mpf(0)) <= r:
            shift = mpmath.mpf(0)
        else:
            low, high = max(mpmath.mpf(0), -lowest), max(mpmath.mpf(0), -lowest) + 2 * scale
            for _ in range(400):
                middle = (low + high) / 2
                low, high = (middle, high) if length(middle) > r else (low, middle)
            shift = high
        total = sum(h[i] ** 2 / (values[i] + shift) for i in range(p) if h[i] != 0)
        return float((total + shift * (r**2 if shift > 0 else 0)) / 2)


RNG = np.random.default_rng(5)
G = RNG.standard_normal(5)


def _orthogonal(H: np.ndarray, g: np.ndarray, rest: float = 0.0) -> np.ndarray:
    """g without its part along the eigenvector of the least eigenvalue, but for this share of it."""
    v = np.linalg.eigh(H)[1][:, 0]
    return np.asarray(g - (1.0 - rest) * (v @ g) * v)


DEFINITE = symmetric([1e-3, 0.1, 1.0, 7.0, 100.0])
INDEFINITE = symmetric([-3.0, -1.0, 0.5, 2.0, 10.0])
TWICE = symmetric([-2.0, -2.0, 1.0, 2.0, 3.0])
PROBLEMS: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "definite": (DEFINITE, G),
    "indefinite": (INDEFINITE, G),
    "negative definite": (symmetric([-5.0, -4.0, -3.0, -2.0, -1.0]), G),
    "hard": (np.diag([-3.0, -1.0, 0.5, 2.0, 10.0]), np.array([0.0, 1.0, 1.0, -1.0, 2.0])),
    "hard, turned": (INDEFINITE, _orthogonal(INDEFINITE, G)),
    "near-hard": (INDEFINITE, _orthogonal(INDEFINITE, G, 1e-8)),
    "very near-hard": (np.diag([-3.0, -1.0, 0.5, 2.0, 10.0]), np.array([1e-25, 1.0, 1.0, -1.0, 2.0])),
    "a double eigenvalue": (TWICE, G),
    "a saddle's own point": (INDEFINITE, np.zeros(5)),
    "no curvature": (np.zeros((5, 5)), G),
    "singular": (np.diag([0.0, 0.0, 1.0, 2.0, 3.0]), np.array([0.0, 1e-3, 1.0, 1.0, 1.0])),
    "ill-conditioned": (symmetric([1e-12, 1e-8, 1e-4, 1.0, 1e2]), G),
    "one parameter up": (np.array([[-2.0]]), np.array([0.7])),
    "one parameter down": (np.array([[2.0]]), np.array([-0.7])),
    "rosenbrock's start": (np.array([[1330.0, 480.0], [480.0, 200.0]]), np.array([-215.6, -88.0])),
}


def solutions(H: np.ndarray, g: np.ndarray, radius: float) -> list[tuple[ModelStep, float, float]]:
    """Each way's step, with how much it may miss of the radius and of the model's least value."""
    return [
        (spectrum(H, g).step(radius), 1e-12, 1e-11),
        (by_factors(H, g, radius), NEAR_EDGE, 2.0 * NEAR_EDGE + NEAR_OPTIMUM),
    ]


@pytest.mark.parametrize("radius", [1e-9, 0.3, 1.0, 50.0, 1e9])
@pytest.mark.parametrize("name", list(PROBLEMS))
def test_the_least_value_in_the_ball(name: str, radius: float) -> None:
    H, g = PROBLEMS[name]
    best = greatest_decrease(H, g, radius)
    for found, edge, share in solutions(H, g, radius):
        assert np.linalg.norm(found.step) <= radius * (1.0 + edge)
        true = decrease(H, g, found.step)
        assert true >= (1.0 - share) * best
        # The sizes whose difference the model's value is bound the roundoff of any of its evaluations.
        size = np.abs(g) @ np.abs(found.step) + np.abs(found.step) @ np.abs(H) @ np.abs(found.step)
        assert found.predicted == pytest.approx(true, rel=1e-6, abs=100 * EPS * size)
        assert found.multiplier >= 0.0
        assert found.at_edge == (found.multiplier > 0.0)


@pytest.mark.parametrize("scale", [1e-150, 1e-40, 1e40, 1e140])
@pytest.mark.parametrize("name", ["definite", "indefinite", "near-hard", "hard"])
def test_scales_of_the_function_and_of_the_parameters(name: str, scale: float) -> None:
    """f -> c f leaves the step, and x -> x / c multiplies it."""
    H, g = PROBLEMS[name]
    plain = spectrum(H, g).step(0.7).step
    assert np.allclose(spectrum(scale * H, scale * g).step(0.7).step, plain, rtol=1e-6, atol=1e-9)
    assert np.allclose(spectrum(H, scale * g).step(0.7 * scale).step / scale, plain, rtol=1e-6, atol=1e-9)


def test_a_direction_without_curvature_and_slope_is_left_alone() -> None:
    found = spectrum(np.diag([0.0, 1.0]), np.array([0.0, 3.0])).step(100.0)
    assert np.allclose(found.step, [0.0, -3.0])
    assert not found.at_edge


def test_many_parameters_by_both_ways() -> None:
    rng = np.random.default_rng(3)
    for p in (40, 150):
        A = rng.standard_normal((p, p))
        for H in (A @ A.T, A + A.T, A @ A.T - 0.3 * p * np.eye(p)):
            for radius in (1e-3, 1.0, 30.0):
                g = rng.standard_normal(p)
                exact, near = spectrum(H, g).step(radius), by_factors(H, g, radius)
                assert np.linalg.norm(near.step) <= radius * (1.0 + NEAR_EDGE)
                assert near.predicted >= (1.0 - 2.0 * NEAR_EDGE - NEAR_OPTIMUM) * exact.predicted


def test_no_parameters_and_single_precision() -> None:
    assert spectrum(np.zeros((0, 0)), np.zeros(0)).step(1.0).predicted == 0.0
    H, g = INDEFINITE.astype(np.float32), G.astype(np.float32)
    for found in (spectrum(H, g).step(1.0), by_factors(H, g, 1.0)):
        assert found.step.dtype == np.float32
        assert found.predicted == pytest.approx(greatest_decrease(INDEFINITE, G, 1.0), rel=0.3)


@pytest.mark.parametrize("radius", [1e-300, 1e-320, 5e-324, 0.0])
@pytest.mark.parametrize("name", ["no curvature", "definite", "indefinite"])
def test_a_ball_at_the_end_of_the_range_of_numbers(name: str, radius: float) -> None:
    """A run towards a kink at 0 shrinks the ball so far: ||g|| / radius is then infinite."""
    H, g = PROBLEMS[name]
    for found in (spectrum(H, g).step(radius), by_factors(H, g, radius)):
        assert np.isfinite(found.step).all()
        assert np.linalg.norm(found.step / radius if radius >= 1e-300 else found.step) <= max(2.0, 4.0 * radius)
        assert 0.0 <= found.predicted <= 2.0 * radius * np.linalg.norm(g)
        assert float(g @ found.step) <= 0.0


def test_a_slope_beside_the_curvature_is_no_roundoff() -> None:
    """w^2 - b: rounding b = 1e30 changes nothing in the slope along b."""
    H, g = np.diag([2.0, 0.0]), np.array([0.0, -1.0])
    found = Ball(H, g, np.array([1.0, 1e30]), flat=True).step(10.0)
    assert found.step == pytest.approx([0.0, 10.0])
    assert found.predicted == pytest.approx(10.0)


def test_a_slope_that_rounding_makes_is_none() -> None:
    """(w - b)^2 at w = b = 1e15, where w - b is known to an eighth."""
    H, g = 2.0 * np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array([0.1, 0.1])
    assert Ball(H, g, np.array([1e15, 1e15]), flat=True).step(10.0).predicted == 0.0
