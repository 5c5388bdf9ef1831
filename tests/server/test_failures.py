"""What a job says that failed, or whose statistics did, by a fault of the service's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nablad import solvers
from nablad.server.frames import Frame, Kind
from nablad.server.settings import Limits
from nablad.server.worker import outcome, process, solve
from nablad.server.worker.context import WorkerContext
from nablad.server.worker.emitter import Emitter
from nablad.v1 import event_pb2, model_pb2, solver_pb2
from nablad.wire.tensors import encode


class Silent:
    """A flusher that leaves the blocks to the emitter."""

    def follow(self, emitter: Emitter | None) -> None:
        pass


def test_a_failure_of_the_statistics_does_not_fail_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any, **more: Any) -> Any:
        raise ValueError("zero-size array")

    monkeypatch.setattr(solvers, "with_statistics", fail)
    x = np.linspace(0.0, 1.0, 9)
    model = model_pb2.LeastSquares(features=encode(x[:, None]), targets=encode(3.0 * x + 0.1 * x**2))
    spec = solver_pb2.SolveSpec(model=model_pb2.Model(least_squares=model))
    sent: list[Frame] = []
    context: Any = WorkerContext(None, Limits(), 1, lambda dataset: None)  # type: ignore[arg-type]
    frame = Frame(Kind.SOLVE, (spec.SerializeToString(), b"", b'{"replayed": 0, "best": null}'), 1, 1)
    with Emitter(sent.append, 1, 1, Silent()) as emitter:  # type: ignore[arg-type]
        solve.solve(frame, solvers.Control(), emitter, context)
    blocks = [event_pb2.SolveEventBlock.FromString(frame.parts[0]) for frame in sent]
    events = [event for block in blocks for event in block.events]
    result = events[-1].done.result
    assert result.termination.success
    assert not result.HasField("statistics")
    (warning,) = (event.warning for event in events if event.HasField("warning"))
    assert warning.code == "no_statistics"
    assert "zero-size array" in warning.message
    assert "report it" in warning.message


@pytest.mark.parametrize("iteration", [None, 0, 17])
def test_a_job_that_failed_says_where_and_what_to_do(iteration: int | None) -> None:
    words = process.failure(solvers.Status.INTERNAL, ZeroDivisionError("float division by zero"), iteration)
    assert "ZeroDivisionError: float division by zero" in words
    assert ("before its first iterate" if iteration is None else f"after iteration {iteration} ") in words
    assert words.endswith("please report it.")


def test_what_was_not_finite_is_told_once() -> None:
    model = solvers.Expression.parse("exp(x**2)+y**2", start={"x": 2.0, "y": 1.0})
    report = solvers.solve(model.objective(), solvers.GradientDescent(solvers.Constant(1.0)), model.start())
    message = outcome.termination(report).message
    assert message.count("in iteration 1, at evaluation 2") == 1
    model = solvers.Expression.parse("log(x)", start={"x": -1.0})
    report = solvers.solve(model.objective(), solvers.Newton(), model.start())
    message = outcome.termination(report).message
    assert message.startswith("The value is nan at the start")
    assert "in iteration 0" not in message


def test_a_limit_of_time_is_told_in_the_clients_name() -> None:
    """The solvers' rule is max_seconds, the wire's max_time; a parameter may be called as it likes."""
    model = solvers.Expression.parse("(max_seconds-1)**4", start={"max_seconds": 3.0})
    report = solvers.solve(model.objective(), solvers.LBFGS(), model.start(), solvers.Stopping(max_seconds=1e-9))
    assert report.status is solvers.Status.MAX_TIME
    assert "Raise max_seconds" in report.message
    assert "Raise max_time" in outcome.termination(report).message
