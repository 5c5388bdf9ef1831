"""The kernel of sums in twice the precision against exact fractions, and against numpy's way."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nablad.solvers import LeastSquares
from nablad.solvers.autodiff import twofold
from nablad.solvers.autodiff.kernels.native import available
from nablad.solvers.autodiff.twofold import TwofoldFold, native_parts, numpy_parts

pytestmark = pytest.mark.skipif(not available(), reason="this process has no kernels")

UNIT = Fraction(2) ** -53
LEAST = Fraction(2) ** -1074
"""What an underflow loses at most."""

Layout = Callable[[np.ndarray], np.ndarray]


def _among(J: np.ndarray, step: int) -> np.ndarray:
    """The same numbers within a larger array, whose others are NaN."""
    m, p = J.shape
    larger = np.full((step * m + 2, p + 3), np.nan)
    place = larger[1 : 1 + step * m : step, 2 : 2 + p]
    place[...] = J
    return place.T


def _unaligned(J: np.ndarray) -> np.ndarray:
    place = np.zeros(J.nbytes + 1, np.uint8)[1:].view(np.float64).reshape(J.shape)
    place[...] = J
    return place.T


LAYOUTS: dict[str, Layout] = {
    "rows": lambda J: J.T,
    "columns": lambda J: np.ascontiguousarray(J.T),
    "rows of a larger array": lambda J: _among(J, 1),
    "every third row": lambda J: _among(J, 3),
    "rows upside down": lambda J: np.ascontiguousarray(J[::-1])[::-1].T,
    "columns backwards": lambda J: np.ascontiguousarray(J[:, ::-1])[:, ::-1].T,
    "other bytes": lambda J: J.astype(J.dtype.newbyteorder()).T,
    "not aligned": _unaligned,
}


def drawn(seed: int, m: int, p: int, spread: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """J, r_0 and theta, of magnitudes up to 10^spread and down to its inverse."""
    rng = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape) * 10.0 ** rng.uniform(-spread, spread, shape)

    return numbers(m, p), numbers(m), numbers(p)


def exact(J: np.ndarray, r: np.ndarray, theta: np.ndarray) -> list[tuple[Fraction, Fraction]]:
    """J'(r + J theta), and how far from it twice the precision may be."""
    m, p = J.shape
    X, t = [[Fraction(x) for x in row] for row in J.tolist()], [Fraction(x) for x in theta.tolist()]
    terms = [[Fraction(c), *(a * b for a, b in zip(row, t, strict=True))] for row, c in zip(X, r.tolist(), strict=True)]
    residuals, sizes = [sum(row) for row in terms], [sum(map(abs, row)) for row in terms]
    found = []
    for j in range(p):
        value = sum((row[j] * e for row, e in zip(X, residuals, strict=True)), Fraction(0))
        size = sum((abs(row[j]) * e for row, e in zip(X, sizes, strict=True)), Fraction(0))
        lost = sum((abs(row[j]) for row in X), Fraction(1)) * (m + p + 2) * LEAST
        found.append((value, (m + p + 8) * UNIT**2 * size + lost))
    return found


def native_sum(transposed: np.ndarray, r: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    (part,) = native_parts(theta)(transposed, r)
    return part


def numpy_sum(transposed: np.ndarray, r: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    (part,) = numpy_parts(theta)(transposed, r)
    return part


def assert_close(pair: tuple[np.ndarray, np.ndarray], expected: list[tuple[Fraction, Fraction]]) -> None:
    for high, low, (value, error) in zip(*(x.tolist() for x in pair), expected, strict=True):
        assert abs(Fraction(high) + Fraction(low) - value) <= error


SHAPES = {"seed": st.integers(0, 2**32 - 1), "m": st.integers(0, 30), "p": st.integers(1, 20)}


@settings(max_examples=80, deadline=None)
@given(**SHAPES, spread=st.integers(0, 12), layout=st.sampled_from(sorted(LAYOUTS)))
@example(seed=0, m=0, p=3, spread=0, layout="rows")
@example(seed=0, m=1, p=1, spread=0, layout="columns")
@example(seed=1, m=5, p=8, spread=3, layout="rows of a larger array")
@example(seed=2, m=4, p=16, spread=3, layout="every third row")
@example(seed=3, m=7, p=17, spread=3, layout="rows")
def test_sums_have_twice_the_digits(seed: int, m: int, p: int, spread: int, layout: str) -> None:
    J, r, theta = drawn(seed, m, p, spread)
    transposed = LAYOUTS[layout](J)
    expected = exact(J, r, theta)
    found = native_sum(transposed, r, theta)
    assert_close(found, expected)
    if m:
        assert_close(numpy_sum(transposed, r, theta), expected)
    fold = TwofoldFold(theta, 0)
    fold.add(0, transposed, r)
    for value, (sum_, error) in zip(fold.result().tolist(), expected, strict=True):
        assert abs(Fraction(value) - sum_) <= UNIT * abs(sum_) * (1 + UNIT) + 2 * error


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("shape", [(1, 1), (3, 9), (4, 8), (70, 1000), (9000, 5)])
def test_bits_do_not_depend_on_how_rows_lie(shape: tuple[int, int], layout: str) -> None:
    """And nothing of what lies between them is read. The two largest are copied by chunks."""
    J, r, theta = drawn(5, *shape, 3)
    expected = native_sum(J.T, r, theta)
    found = native_sum(LAYOUTS[layout](J), np.repeat(r, 2)[::2], np.repeat(theta, 2)[::2])
    assert np.array_equal(np.stack(found), np.stack(expected))
    single = J.astype(np.float32)
    widened = native_sum(single.astype(np.float64).T, r, theta)
    assert np.array_equal(np.stack(native_sum(single.T, r.astype(np.float64), theta)), np.stack(widened))


def cancelling(seed: int, count: int, condition: float) -> tuple[np.ndarray, np.ndarray]:
    """a and b whose products sum to about one part in `condition` of their magnitudes' sum."""
    rng = np.random.default_rng(seed)
    a, b = (rng.standard_normal(count) * 10.0 ** rng.uniform(-3, 3, count) for _ in range(2))
    products = [Fraction(x) * Fraction(y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    rest, goal = sum(products), sum(map(abs, products)) / Fraction(condition)
    more = []
    while abs(rest) > 100 * goal:
        more.append(-float(rest - goal))
        rest += Fraction(more[-1])
    order = rng.permutation(count + len(more))
    return np.concatenate([a, more])[order], np.concatenate([b, np.ones(len(more))])[order]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("condition", [1e10, 1e13, 1e20, 1e25])
@pytest.mark.parametrize("over", ["rows", "columns"])
def test_where_plain_sums_have_no_digit(over: str, condition: float, seed: int) -> None:
    """Up to a condition of 1e13 one unit of the last place; beyond, what twice the precision has left of 32 digits."""
    a, b = cancelling(seed, 150, condition)
    true = sum(Fraction(x) * Fraction(y) for x, y in zip(a.tolist(), b.tolist(), strict=True))
    if over == "rows":
        J, r, theta = a[:, None], b, np.zeros(1)
    else:
        J, r, theta = np.stack([np.append(a, 1.0)]), np.zeros(1), np.append(b, 0.0)
    fold = TwofoldFold(theta, 0)
    fold.add(0, J.T, r)
    value = float(fold.result()[-1])
    if condition <= 1e13:
        assert abs(Fraction(value) - true) <= Fraction(math.ulp(float(true)))
    else:
        assert abs(float(np.dot(a, b)) - float(true)) > abs(float(true))
        assert abs(Fraction(value) - true) <= abs(true) * Fraction(condition) * 20 * UNIT**2


@settings(max_examples=80, deadline=None)
@given(
    **SHAPES,
    place=st.sampled_from(["J", "r", "theta"]),
    bad=st.sampled_from([math.nan, math.inf, -math.inf]),
    layout=st.sampled_from(sorted(LAYOUTS)),
)
def test_nothing_finite_comes_of_nan_and_infinity(
    seed: int, m: int, p: int, place: str, bad: float, layout: str
) -> None:
    J, r, theta = drawn(seed, m + 1, p, 2)
    array = {"J": J, "r": r, "theta": theta}[place].reshape(-1)
    array[seed % array.size] = bad
    fold = TwofoldFold(theta, 0)
    with np.errstate(all="ignore"):
        fold.add(0, LAYOUTS[layout](J), r)
        assert not np.isfinite(fold.result()).any()


@settings(max_examples=80, deadline=None)
@given(**SHAPES, spread=st.integers(50, 155))
def test_what_is_finite_after_an_overflow_or_underflow_is_right(seed: int, m: int, p: int, spread: int) -> None:
    J, r, theta = drawn(seed, m, p, spread)
    fold = TwofoldFold(theta, 0)
    with np.errstate(all="ignore"):
        fold.add(0, J.T, r)
        found = fold.result().tolist()
    for value, (true, error) in zip(found, exact(J, r, theta), strict=True):
        if math.isfinite(value):
            assert abs(Fraction(value) - true) <= UNIT * abs(true) * (1 + UNIT) + 2 * error + LEAST
        else:
            # Less than all of the range is not given up.
            assert abs(true) + error / UNIT**2 > Fraction(1e300)


def test_products_that_halves_cannot_hold_are_summed() -> None:
    """Splitting 2^1010 overflows, a fused multiply-add of it does not."""
    transposed, r, theta = np.array([[2.0**1010, 1.0]]), np.array([-(2.0**980), 1.0]), np.array([2.0**-30])
    high, low = native_sum(transposed, r, theta)
    assert (high[0], low[0]) == (1.0 + 2.0**-30, 0.0)
    with np.errstate(all="ignore"):
        assert np.isnan(numpy_sum(transposed, r, theta)[0]).all()


def test_bits_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(7)
    X, y, theta = rng.standard_normal((60_001, 11)), rng.standard_normal(60_001), rng.standard_normal(11)
    found = [LeastSquares(X, y).objective(threads=threads).refined_gradient(theta) for threads in (1, 2)]
    assert found[0] is not None
    assert found[1] is not None
    assert np.array_equal(found[0], found[1])


def test_both_ways_agree_in_an_objective(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    X, w = rng.standard_normal((3000, 6)), rng.random(3000)
    y = X @ rng.standard_normal(6) + rng.standard_normal(3000)
    objective = LeastSquares(X, y, weights=w, intercept=True, ridge=0.1).objective()
    theta = rng.standard_normal(7)
    native = objective.refined_gradient(theta)
    monkeypatch.setattr(twofold, "available", lambda: False)
    plain = objective.refined_gradient(theta)
    assert native is not None
    assert plain is not None
    assert np.allclose(native, plain, rtol=3e-16, atol=0.0)


def test_shapes_are_looked_at_before_the_kernel_reads() -> None:
    fold = TwofoldFold(np.zeros(3), 0)
    for transposed, residual in ((np.zeros((2, 5)), np.zeros(5)), (np.zeros((3, 5)), np.zeros(6))):
        with pytest.raises(ValueError, match="is not that of 3 parameters"):
            fold.add(0, transposed, residual)


def test_no_parameters_and_no_rows() -> None:
    empty, nothing = TwofoldFold(np.zeros(0), 1), TwofoldFold(np.ones(2), 1)
    empty.add(1, np.zeros((0, 4)), np.ones(4))
    nothing.add(0, np.zeros((2, 0)), np.zeros(0))
    assert empty.result().shape == (0,)
    assert nothing.result().tolist() == [0.0, 0.0]
