"""Error-free transformations against exact fractions, and the refined gradient against fifty digits."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from nablad.solvers import Expression, LeastSquares
from nablad.solvers.autodiff import twofold
from nablad.solvers.autodiff.kernels.native import available
from nablad.solvers.autodiff.twofold import TwofoldFold, total, two_product, two_sum

RNG = np.random.default_rng(4)
A = RNG.standard_normal(200) * 10.0 ** RNG.integers(-20, 20, 200)
B = RNG.standard_normal(200) * 10.0 ** RNG.integers(-20, 20, 200)


@pytest.fixture(
    params=[
        "numpy",
        pytest.param("native", marks=pytest.mark.skipif(not available(), reason="this process has no kernels")),
    ],
    autouse=True,
)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to sum."""
    monkeypatch.setattr(twofold, "available", lambda: request.param == "native")


def exact_gradient(design: np.ndarray, response: np.ndarray, theta: np.ndarray) -> list[Fraction]:
    """2 X'(X theta - y)."""
    X = [[Fraction(x) for x in row] for row in design.tolist()]
    t, y = [Fraction(x) for x in theta.tolist()], [Fraction(x) for x in response.tolist()]
    r = [sum((a * b for a, b in zip(row, t, strict=True)), -c) for row, c in zip(X, y, strict=True)]
    return [2 * sum(row[j] * e for row, e in zip(X, r, strict=True)) for j in range(len(t))]


def test_transformations_are_free_of_error() -> None:
    for pair, exact in ((two_sum(A, B), lambda a, b: a + b), (two_product(A, B), lambda a, b: a * b)):
        for s, e, a, b in zip(*pair, A, B, strict=True):
            assert Fraction(s) + Fraction(e) == exact(Fraction(a), Fraction(b))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 100])
def test_totals_have_twice_the_digits(count: int) -> None:
    x = np.concatenate([A[:count], -A[:count][::-1], [1e-30]])
    high, low = total(x.copy(), np.zeros_like(x))
    exact = sum(map(Fraction, x.tolist()), Fraction(0))
    size = sum(map(abs, map(Fraction, x.tolist())), Fraction(0))
    assert abs(Fraction(float(high)) + Fraction(float(low)) - exact) <= Fraction(1e-29) * size


@pytest.mark.parametrize("rows", [1, 5, 3000])
def test_refined_gradient_is_right_to_its_last_digit(rows: int) -> None:
    """At a least-squares solution, where the plain gradient is roundoff."""
    X = np.vander(np.linspace(-3.0, 2.0, rows), 4)
    y = X @ np.array([1.0, -2.0, 3.0, 0.1]) + np.sin(np.arange(rows))
    theta = np.linalg.lstsq(X, y, rcond=None)[0]
    objective = LeastSquares(X, y).objective()
    found = objective.refined_gradient(theta)
    assert found is not None
    for value, exact in zip(found, exact_gradient(X, y, theta), strict=True):
        assert abs(Fraction(float(value)) - exact) <= Fraction(2.0**-52) * abs(exact) + Fraction(1e-24)


def test_blocks_and_stripes_change_nothing_to_speak_of() -> None:
    J, r, theta = RNG.standard_normal((3, 40)), RNG.standard_normal(40), RNG.standard_normal(3)
    whole, parts = TwofoldFold(theta, 0), TwofoldFold(theta, 2)
    whole.add(0, J, r)
    for stripe, start in enumerate((0, 13, 14)):
        stop = (13, 14, 40)[stripe]
        parts.add(stripe, J[:, start:stop], r[start:stop])
    assert np.allclose(whole.result(), parts.result(), rtol=4e-16)


def test_single_precision_is_widened() -> None:
    X, y = RNG.standard_normal((20, 2)).astype(np.float32), RNG.standard_normal(20).astype(np.float32)
    theta = np.linalg.lstsq(X, y, rcond=None)[0]
    found = LeastSquares(X, y).objective().refined_gradient(theta)
    assert found is not None
    expected = [float(g) for g in exact_gradient(X.astype(float), y.astype(float), theta.astype(float))]
    assert found.dtype == np.float64
    assert np.allclose(found, expected, rtol=1e-6)


def test_none_where_it_cannot_be_had() -> None:
    curved = Expression.parse("exp(b*x)", data={"x": np.arange(3.0)}, response=np.ones(3), start={"b": 1.0})
    assert curved.objective().refined_gradient(np.ones(1)) is None
    assert LeastSquares(np.full((2, 1), 1e300), np.ones(2)).objective().refined_gradient(np.ones(1)) is None


def test_intercept_weights_and_ridge_are_in_it() -> None:
    X, y, w = RNG.standard_normal((30, 2)), RNG.standard_normal(30), RNG.random(30)
    objective = LeastSquares(X, y, weights=w, intercept=True, ridge=0.3).objective()
    theta = RNG.standard_normal(3)
    found = objective.refined_gradient(theta)
    assert found is not None
    assert np.allclose(found, objective.gradient(theta), rtol=1e-13)
