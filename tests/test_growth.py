"""The arithmetic of benchmarks/growth: fitted orders, the lines drawn beside curves, and the picture's file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.growth.curves import Curve, Panel, fit, upper_half
from benchmarks.growth.picture import APART, SECONDS, beside, draw, in_units, power

SIZES = (4.0, 16.0, 64.0, 256.0, 1024.0)


@given(st.floats(-2.0, 3.0), st.floats(1e-9, 1e3))
def test_a_power_law_has_its_own_order(exponent: float, factor: float) -> None:
    order = fit(SIZES, [factor * size**exponent for size in SIZES])
    assert order.exponent == pytest.approx(exponent, abs=1e-10)
    assert order.error == pytest.approx(0.0, abs=1e-6)


@given(st.lists(st.floats(1e-6, 1e3), min_size=5, max_size=5))
def test_a_fit_is_numpys_line_through_the_logarithms_of_the_upper_half(values: list[float]) -> None:
    x, y = np.log(SIZES[2:]), np.log(values[2:])
    (slope, _), covariance = np.polyfit(x, y, 1, cov=True)
    order = fit(SIZES, values)
    assert order.exponent == pytest.approx(slope, rel=1e-8, abs=1e-8)
    assert order.error == pytest.approx(math.sqrt(covariance[0, 0]), rel=1e-5, abs=1e-7)


def test_the_upper_half_begins_at_the_geometric_middle() -> None:
    assert upper_half((1, 10, 100, 300, 1000)) == [2, 3, 4]
    assert upper_half((2, 4, 8, 16, 32, 64, 128)) == [3, 4, 5, 6]
    assert math.isnan(fit((1.0, 2.0, 4.0), (1.0, 2.0, 3.0)).error)
    with pytest.raises(ValueError, match="two sizes"):
        fit((1.0, 2.0), (1.0, 2.0))


@given(st.lists(st.floats(1e-6, 1e3), min_size=5, max_size=5), st.sampled_from((0.0, 1.0, 2.0)), st.booleans())
def test_an_expected_order_touches_its_curve_nowhere(values: list[float], order: float, below: bool) -> None:
    curve = Curve("", order, SIZES, tuple(values), below=below)
    sizes, line = beside(curve)
    ratios = [expected / value for expected, value in zip(line, values[2:], strict=True)]
    assert fit(sizes, line).exponent == pytest.approx(order, abs=1e-9)
    if below:
        assert max(ratios) == pytest.approx(1.0 / APART)
    else:
        assert min(ratios) == pytest.approx(APART)


def test_numbers_and_orders_are_written_as_people_write_them() -> None:
    assert [in_units(t, SECONDS) for t in (1e-10, 1e-6, 2.5e-3, 10.0, 1e4)] == [
        "0.1 ns",
        "1 µs",
        "2.5 ms",
        "10 s",
        "10,000 s",
    ]
    assert [power("N", order) for order in (0.0, 1.0, 2.0)] == ["constant", r"$\propto N$", r"$\propto N^{2}$"]


def test_a_picture_is_written_and_is_the_same_again(tmp_path: Path) -> None:
    curves = tuple(Curve(f"order {k}", float(k), SIZES, tuple(1e-3 * size**k for size in SIZES)) for k in range(3))
    panels = [Panel("Rows", "data rows N", "N", curves), Panel("Depth", "layers K", "K", curves[:1])]
    for name in ("a.png", "b.png"):
        draw(tmp_path / name, panels, "time", SECONDS)
    drawn = (tmp_path / "a.png").read_bytes()
    assert drawn.startswith(b"\x89PNG")
    assert drawn == (tmp_path / "b.png").read_bytes()
