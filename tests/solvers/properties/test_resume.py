"""A run that is resumed, stopped or cancelled: the same bits as one that never was, and the best point kept."""

from __future__ import annotations

import numpy as np
import pytest
from solvers.properties import problems as p
from solvers.properties.events import trace
from solvers.properties.variants import Problem, every, pairs

from nablad.solvers import Checkpoint, Control, Done, Iterate, Status, Stopping, run, solve
from solvers import objectives as o

RESUMED = {
    **p.named(p.rosenbrock, p.deficient, p.exponential),
    "saddle": lambda: Problem(o.saddle(), np.array([0.3, 0.0])),
    "wells": lambda: Problem(o.wells(), np.array([0.3, 0.0])),
    "longley": lambda: Problem(o.affine(*o.longley()[:2]), np.zeros(7)),
    "float32": lambda: p.deficient(np.float32),
}


@pairs(every(), RESUMED)
def test_resume_equals_uninterrupted(variant, problem) -> None:
    """Bit for bit, from every checkpoint, counts included."""
    stopping = Stopping(max_iterations=9)
    start = problem().start
    whole = list(run(problem().f, variant.method, start, stopping, checkpoint_every=1))
    expected = trace(whole)
    for point in [e for e in whole if isinstance(e, Checkpoint)]:
        again = list(run(problem().f, variant.method, start, stopping, resume=point.state, checkpoint_every=1))
        assert trace(again) == expected[point.iteration + 1 :]
        first, second = whole[-1].report, again[-1].report
        assert first.theta.tobytes() == second.theta.tobytes()
        assert (first.status, first.message, first.evidence, first.counts, first.factorizations) == (
            second.status,
            second.message,
            second.evidence,
            second.counts,
            second.factorizations,
        )


@pytest.mark.parametrize("most", [4, 5, 6, 7])
@pairs(every(), p.named(p.long))
def test_resume_after_a_limit_inside_a_search(variant, problem, most: int) -> None:
    start, stopping = problem().start, Stopping(max_iterations=12)
    expected = trace(run(problem().f, variant.method, start, stopping))
    cut = list(run(problem().f, variant.method, start, Stopping(max_evaluations=most), checkpoint_every=100))
    state = next(e for e in cut if isinstance(e, Checkpoint)).state
    rest = trace(run(problem().f, variant.method, start, stopping, resume=state))
    assert [row[:8] for row in trace(cut)] + [row[:8] for row in rest] == [row[:8] for row in expected]


@pytest.mark.parametrize("after", [0, 1, 7])
@pairs(every(), p.named(p.long))
def test_cancel_keeps_the_best_point(variant, problem, after: int) -> None:
    """(scipy #7306, #9412)"""
    control, values, report = Control(), [], None
    for event in run(problem().f, variant.method, problem().start, control=control):
        if isinstance(event, Iterate):
            values.append(event.value)
            if event.iteration == after:
                control.cancel()
        if isinstance(event, Done):
            report = event.report
    assert report is not None
    assert report.status is Status.CANCELLED
    assert report.value == min(values)
    assert report.evidence.verdict == "unverified"


@pairs(every(), p.named(p.long))
def test_a_cancelled_run_goes_on_where_it_was(variant, problem) -> None:
    """(scipy #9412) What the consumer stopped at iteration 5 has the state of iteration 5."""
    start, stopping = problem().start, Stopping(max_iterations=12)
    expected = trace(run(problem().f, variant.method, start, stopping))
    control, state = Control(), None
    for event in run(problem().f, variant.method, start, stopping, control=control, checkpoint_every=100):
        if isinstance(event, Iterate) and event.iteration == 5:
            control.cancel()
        if isinstance(event, Checkpoint):
            state = event.state
    assert state is not None
    assert trace(run(problem().f, variant.method, start, stopping, resume=state)) == expected[6:]


@pairs(every(), p.named(p.long))
def test_leaving_a_run_early_costs_nothing_but_the_report(variant, problem) -> None:
    """(scipy #7306) A consumer that stops iterating leaves the objective as after any run."""
    problem = problem()
    events = run(problem.f, variant.method, problem.start)
    for event in events:
        if isinstance(event, Iterate) and event.iteration == 3:
            break
    events.close()
    assert problem.f.counters.value >= 1
    assert solve(problem.f, variant.method, problem.start, Stopping(max_iterations=2)).iterations == 2


@pairs(every(), p.named(p.long))
def test_cancel_before_anything(variant, problem) -> None:
    control = Control()
    control.cancel()
    report = solve(problem().f, variant.method, problem().start, control=control)
    assert (report.status, report.success) == (Status.CANCELLED, False)
    assert np.array_equal(report.theta, problem().start)


@pairs(every(), p.named(p.rosenbrock, p.wells, p.exponential))
def test_the_best_point_is_returned(variant, problem) -> None:
    problem = problem()
    values = []
    for event in run(problem.f, variant.method, problem.start, Stopping(max_iterations=37)):
        if isinstance(event, Iterate):
            values.append(event.value)
        if isinstance(event, Done) and not event.report.success:
            assert event.report.value == min(values)
            assert problem.f.value(event.report.theta) == event.report.value
