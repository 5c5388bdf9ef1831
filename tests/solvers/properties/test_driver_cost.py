"""What the driver itself costs an iteration, in calls: counted, since times depend on the machine's mood."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from nablad.solvers import Constant, GradientDescent, Iterate, Stopping, run
from nablad.solvers.methods.base import State, fields_of, state_of
from nablad.solvers.methods.descent_state import DescentState
from nablad.solvers.methods.table import METHODS
from nablad.solvers.objective import Capabilities, Counters
from nablad.solvers.quiet import quiet


class Bowl:
    """f = sum d_i theta_i^2, by hand: what it costs itself is known."""

    def __init__(self) -> None:
        self.d = np.logspace(0.0, -3.0, 10)
        self.size, self.rows, self.dtype = 10, 0, np.dtype(np.float64)
        self.capabilities, self.counters, self.bounds = Capabilities(), Counters(), None
        self.evaluating = False

    def value_and_gradient(self, theta: Any) -> tuple[float, Any]:
        self.evaluating = True
        self.counters.value += 1
        self.counters.gradient += 1
        scaled = self.d * theta
        answer = float(theta.dot(scaled)), 2.0 * scaled
        self.evaluating = False
        return answer

    def value(self, theta: Any) -> float:
        return self.value_and_gradient(theta)[0]

    def gradient(self, theta: Any) -> Any:
        return self.value_and_gradient(theta)[1]

    def hvp(self, theta: Any, v: Any) -> Any:
        self.counters.hvp += 1
        return 2.0 * self.d * v


def calls_an_iteration(method: GradientDescent, iterations: int = 200) -> tuple[float, Counter[str]]:
    """Calls of Python and C functions between two iterates, evaluation apart, and by whom they are of."""
    bowl = Bowl()
    stopping = Stopping(max_iterations=2 * iterations, relative_gradient_tolerance=0.0)
    events = run(bowl, method, np.ones(10), stopping)  # type: ignore[arg-type]
    counted: Counter[str] = Counter()

    def count(frame: Any, kind: str, argument: Any) -> None:
        if kind in ("call", "c_call") and not bowl.evaluating:
            counted[frame.f_code.co_name if kind == "call" else argument.__name__] += 1

    seen = 0
    for event in events:
        if isinstance(event, Iterate) and event.iteration == 10:
            break
    sys.setprofile(count)
    try:
        for event in events:
            seen += isinstance(event, Iterate)
            if seen == iterations:
                break
    finally:
        sys.setprofile(None)
    events.close()  # type: ignore[attr-defined]
    return counted.total() / iterations, counted


@pytest.mark.parametrize(
    ("method", "most"),
    [
        (GradientDescent(Constant(0.4)), 90),
        (GradientDescent(Constant(0.4), momentum=0.5), 90),
        (GradientDescent(), 125),
    ],
)
def test_an_iteration_takes_few_calls(method: GradientDescent, most: int) -> None:
    calls, by_name = calls_an_iteration(method)
    assert calls <= most, by_name.most_common(20)
    assert not {"asdict", "fields", "deepcopy", "__setattr__"} & set(by_name)


def all_states(kind: type[State] = State) -> set[type[State]]:
    return {kind}.union(*(all_states(below) for below in kind.__subclasses__()))


def test_a_state_made_quickly_is_the_state() -> None:
    assert METHODS  # which import all kinds of states
    for kind in all_states():
        needed = [field.name for field in fields(kind) if field.default is field.default_factory]
        known = {name: float(index) for index, name in enumerate(needed)}
        quick, usual = state_of(kind, **known), kind(**known)
        assert quick == usual
        assert fields_of(quick) == fields_of(usual)
    with pytest.raises(AttributeError):
        state_of(DescentState, theta=0.0).theta = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("by_context", [True, False])
def test_quiet_calls_leave_numpy_loud_outside(by_context: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if by_context and int(np.__version__.partition(".")[0]) < 2:
        pytest.skip("before numpy 2 it is no context variable")
    monkeypatch.setattr("nablad.solvers.quiet._BY_CONTEXT", by_context)
    before = np.geterr()
    quietly = quiet()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert quietly(np.divide, np.ones(1), np.zeros(1))[0] == np.inf
        assert np.geterr() == before
        with np.errstate(all="raise"):
            assert quietly(np.log, np.zeros(1))[0] == -np.inf
            with pytest.raises(FloatingPointError):
                np.log(np.zeros(1))
    assert np.geterr() == before


def test_numpy_is_as_loud_as_before_between_two_iterates() -> None:
    before = np.geterr()
    events = run(Bowl(), GradientDescent(Constant(0.4)), np.ones(10), Stopping(max_iterations=3))  # type: ignore[arg-type]
    assert all(np.geterr() == before for _ in events)
