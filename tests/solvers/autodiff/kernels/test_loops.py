"""The loops around kernels: exactly n numbers are written, wherever they begin; repeats; sums and maxima over rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from solvers.autodiff.kernels.calling import DTYPES, Array, call, computed

from nablad.expressions import OPS
from nablad.solvers.autodiff.kernels.native import available
from nablad.solvers.autodiff.kernels.table import KERNELS

pytestmark = pytest.mark.skipif(not available(), reason="this process has no kernels")

GUARD = 20
"""More than a vector of float32."""
LONG = 40


def _arity(name: str) -> int:
    return 2 if name == "fixed_power" else OPS[name].arity or 1


def _inputs(name: str, dtype: str) -> list[Array]:
    rng = np.random.default_rng(3)
    found = [rng.uniform(-2.0, 2.0, LONG).astype(dtype) for _ in range(_arity(name))]
    # One lane takes the path of the few, its neighbours must not notice.
    found[0][[3, 17, 39]] = 0.0, math.inf, -3e5
    for k in OPS[name].truths:
        found[k] = (found[k] > 0.0).astype(dtype)
    return found


def _guarded(values: Array, shift: int) -> tuple[Array, Array]:
    """(memory, the values in it), `shift` elements after the beginning of the guard."""
    memory = np.full(2 * GUARD + values.size, 7.25, values.dtype)
    inside = memory[GUARD - shift : GUARD - shift + values.size]
    inside[:] = values
    return memory, inside


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", KERNELS)
def test_what_an_element_becomes_depends_on_it_alone(name: str, dtype: str) -> None:
    """On lengths around the vector width, from any start, and over an operand: the same bits, and none beyond n."""
    inputs = _inputs(name, dtype)
    alone = np.concatenate([computed(name, *[x[k : k + 1].copy() for x in inputs]) for k in range(LONG)])
    for n in range(LONG + 1):
        given = [_guarded(x, n % 5 + k) for k, x in enumerate(inputs)]
        memory, out = _guarded(np.full(LONG, -1.5, dtype), n % 3)
        before = memory.copy()
        call(name, out, *[x for _, x in given], n=n)
        np.testing.assert_array_equal(out[:n].view(np.uint8), alone[:n].view(np.uint8))
        start = GUARD - n % 3
        np.testing.assert_array_equal(memory[:start], before[:start])
        np.testing.assert_array_equal(memory[start + n :], before[start + n :])
        for place in range(len(given)):
            copies = [x.copy() for _, x in given]
            call(name, copies[place], *copies, n=n)
            np.testing.assert_array_equal(copies[place][:n].view(np.uint8), alone[:n].view(np.uint8))
            np.testing.assert_array_equal(copies[place][n:], inputs[place][n:])


SIZES = (0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", SIZES)
def test_copy_fill_tile_and_expand_repeat(width: int, dtype: str) -> None:
    rng = np.random.default_rng(width)
    for count in (0, 1, 2, 5, 17):
        row, column = rng.normal(size=width).astype(dtype), rng.normal(size=max(count, 1)).astype(dtype)
        if width:
            row[width // 2] = math.nan
        for name, source, n, expected in (
            ("copy", row, width, row),
            ("fill", column[:1], width, np.full(width, column[0])),
            ("tile", row, count, np.tile(row, count)),
            ("expand", column, count, np.repeat(column[:count], width)),
        ):
            memory, out = _guarded(np.zeros(expected.size, dtype), 3)
            before = memory.copy()
            call(name, out, source, n=n, width=width)
            np.testing.assert_array_equal(out, expected)
            before[GUARD - 3 : GUARD - 3 + expected.size] = expected
            np.testing.assert_array_equal(memory, before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [*SIZES, 1000, 4097])
def test_sums_over_rows_are_within_the_bound_of_recursive_summation(width: int, dtype: str) -> None:
    rng = np.random.default_rng(width)
    unit = float(np.finfo(dtype).eps) / 2
    for count in (1, 2, 5):
        a = (rng.normal(size=(count, width)) * 10.0 ** rng.uniform(-6, 6, (count, width))).astype(dtype)
        memory, out = _guarded(np.zeros(count, dtype), 1)
        before = memory.copy()
        call("sum_rows", out, a, n=count, width=width)
        for row, total in zip(a.astype(float), out, strict=True):
            error = abs(float(total) - math.fsum(row))
            assert error <= max(width - 1, 0) * unit * 1.01 * math.fsum(abs(row))
        before[GUARD - 1 : GUARD - 1 + count] = out
        np.testing.assert_array_equal(memory, before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", SIZES[1:])
def test_rows_with_nan_and_infinities(width: int, dtype: str) -> None:
    rng = np.random.default_rng(width)
    a = rng.normal(size=(6, width)).astype(dtype) - 3.0
    a[1, width // 2] = math.nan
    a[2, 0] = math.inf
    a[3, -1] = -math.inf
    a[4, [0, -1]] = math.inf, -math.inf
    sums, largest = np.empty(6, dtype), np.empty(6, dtype)
    call("sum_rows", sums, a, n=6, width=width)
    call("max_rows", largest, a, n=6, width=width)
    np.testing.assert_array_equal(largest, a.max(1))
    with np.errstate(invalid="ignore"):
        expected = a.sum(1)
    for odd in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(odd(sums), odd(expected))
    call("sum_rows", sums, a, n=0, width=width)
    call("max_rows", largest, a[:, :0], n=6, width=0)
    np.testing.assert_array_equal(largest, np.full(6, -math.inf))
