"""Charts: scales, the raster, and what fits into a terminal of any size."""

from __future__ import annotations

import io
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nablad.cli.canvas import Canvas
from nablad.cli.chart import FEW, MANY, Chart, Curve, iteration_scale, loss_scale, tick_labels
from nablad.cli.curves import NARROW, draw
from nablad.cli.trace import Trace, excess_chart, loss_chart
from nablad.client import Iterate, StateChange

SLOW, FAST = MANY, FEW
positive = st.floats(min_value=1e-300, max_value=1e300)


def curve(losses: list[float], last: int | None = None) -> Curve:
    step = 1 if last is None else max(1, last // max(1, len(losses) - 1))
    return Curve("Newton", FAST, [i * step for i in range(len(losses))], losses)


@given(st.lists(positive, min_size=1, max_size=30), st.integers(0, 10**7))
def test_every_point_has_its_place_and_ticks_are_few_and_apart(losses: list[float], last: int) -> None:
    one = curve(losses, last)
    x, y = iteration_scale([one]), loss_scale([one])
    for iteration, loss in one.points():
        assert 0.0 <= x.position(iteration) <= 1.0
        assert y.low <= loss * (1 + 1e-9)
        assert loss <= y.high * (1 + 1e-9)
    for most in (3, 8):
        ticks = y.ticks(most)
        assert 2 <= len(ticks) <= max(most, 3)
        assert ticks == sorted(set(ticks))
        assert len(set(tick_labels(ticks))) == len(ticks)


@given(st.lists(st.integers(0, 10**7), min_size=2, max_size=20, unique=True))
def test_the_iteration_scale_keeps_the_order(iterations: list[int]) -> None:
    scale = iteration_scale([Curve("", FAST, sorted(iterations), [1.0] * len(iterations))])
    places = [scale.position(k) for k in sorted(iterations)]
    assert places == sorted(places)
    assert len(set(places)) == len(places)


@pytest.mark.parametrize(
    ("values", "labels", "in_ascii"),
    [
        ([20.0, 50.0, 200.0], ["20", "50", "200"], ["20", "50", "200"]),
        ([1e-6, 1.0, 1e6], ["10⁻⁶", "10⁰", "10⁶"], ["1e-6", "1e0", "1e6"]),
        ([2e5, 3e5], ["2·10⁵", "3·10⁵"], ["2e5", "3e5"]),
    ],
)
def test_tick_labels(values: list[float], labels: list[str], in_ascii: list[str]) -> None:
    assert tick_labels(values) == labels
    assert tick_labels(values, ascii_only=True) == in_ascii


@given(*[st.floats(0.0, 1.0)] * 4, st.booleans())
def test_a_segment_stays_on_the_canvas_and_reaches_both_ends(
    x0: float, y0: float, x1: float, y1: float, ascii_only: bool
) -> None:
    canvas = Canvas(20, 8, ascii_only)
    canvas.segment((x0, y0), (x1, y1), "red")
    cells = {(r, c) for r in range(8) for c, (character, _) in enumerate(canvas.row(r)) if character != " "}
    assert len(cells) >= max(abs(round(x1 * 19) - round(x0 * 19)), abs(round(y1 * 7) - round(y0 * 7)), 1) - 1
    marked = Canvas(20, 8, ascii_only)
    for x, y in ((x0, y0), (x1, y1)):
        marked.mark((x, y), "red", "o")
    assert {(r, c) for r in range(8) for c, (ch, _) in enumerate(marked.row(r)) if ch == "o"} <= cells


def text_of(chart: Chart, width: int, height: int, ascii_only: bool = False) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(draw(chart, width, height, ascii_only))
    return stream.getvalue()


def race() -> Chart:
    slow = Curve("gradient descent", SLOW, range(0, 5001, 10), [1e6 * math.exp(-k / 900) for k in range(0, 5001, 10)])
    fast = Curve("Newton", FAST, [0, 1, 2], [1e6, 1e-3, 1e-9])
    return Chart("A race", "loss", (slow, fast))


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("height", [3, 8, 12, 40])
@pytest.mark.parametrize("width", [20, 40, 59, 60, 80, 120, 200])
def test_a_chart_fits_and_says_what_it_shows(width: int, height: int, ascii_only: bool) -> None:
    text = text_of(race(), width, height, ascii_only)
    lines = text.splitlines()
    assert len(lines) <= max(height, 3)
    assert max(map(len, lines)) <= width
    assert text.isascii() == ascii_only
    for label in ("A race", "gradient", "Newton"):
        assert label in text
    if width >= NARROW and height >= 8:
        assert "iteration (log scale)" in text
        assert " loss " in text
        assert "1,000" in text
    elif height >= 8:
        assert "loss" in text.splitlines()[1]


def test_curves_differ_without_colour() -> None:
    text = text_of(race(), 80, 20)
    assert text.count("●") == 1 + 3  # the legend and Newton's three iterates
    chart = race()
    lonely = text_of(Chart(chart.title, chart.y_label, chart.curves[:1]), 80, 20)
    assert "●" not in lonely


@pytest.mark.parametrize("losses", [[], [math.nan], [0.0], [-1.0, -2.0], [1.0, math.inf, 2.0, math.nan], [5.0, 5.0]])
def test_whatever_the_losses_are_there_is_a_chart(losses: list[float]) -> None:
    for width in (40, 80):
        assert "Newton" in text_of(Chart("t", "loss", (curve(losses),)), width, 20)


def iterate(iteration: int, loss: float) -> Iterate:
    return Iterate(
        seq=iteration + 3,
        time=None,
        iteration=iteration,
        loss=loss,
        gradient_norm=1.0,
        step_size=None,
        seconds=0.1,
        values=1,
        gradients=1,
        hessians=0,
        hessian_vector_products=0,
        theta=None,
    )


def test_excess_is_above_the_lowest_of_all_and_ends_at_the_rounding() -> None:
    slow, fast = Trace("gradient descent", MANY), Trace("Newton", FEW)
    for k, loss in enumerate([100.0, 50.0, math.inf, 25.0]):
        slow.add(iterate(k, loss))
    for k, loss in enumerate([100.0, 10.0]):
        fast.add(iterate(k, loss))
    fast.add(iterate(1, 10.0))  # a stream taken up again
    chart = excess_chart("t")([slow, fast])
    assert list(chart.curves[0].losses) == [90.0, 40.0, math.inf, 15.0]
    assert list(chart.curves[1].losses) == [90.0, chart.floor]
    assert 1e-16 < chart.floor < 1e-14
    assert list(loss_chart("t")([slow]).curves[0].iterations) == [0, 1, 2, 3]


def test_before_the_first_iterate_no_loss_is_claimed() -> None:
    text = text_of(Chart("t", "loss", (curve([]),)), 80, 20)
    assert "iteration" in text
    assert "0.1" not in text


def test_a_run_that_waits_says_so() -> None:
    trace = Trace("Newton", FEW)
    now = datetime.now(UTC)
    for state, position, shown in (
        ("QUEUED", 2, "queued, 2 before it"),
        ("QUEUED", 0, "queued"),
        ("RUNNING", None, "starting"),
    ):
        trace.take(StateChange(seq=1, time=now, state=state, queue_position=position, message=""))
        assert trace.waiting == shown


def test_excess_before_the_first_iterate_is_an_empty_chart() -> None:
    assert not excess_chart("t")([Trace("Newton", FAST)]).curves[0].points()
