"""Retries, results and errors as a person meets them."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from client.simulation import JOB, journal
from hypothesis import given
from hypothesis import strategies as st

from nablad.client import (
    Evidence,
    InvalidRequest,
    JobFailed,
    Layer,
    LeastSquares,
    NabladError,
    Network,
    ServerError,
    ServerUnavailable,
    errors,
)
from nablad.client.core import decode
from nablad.client.core.retry import Backoff, worth_another_try
from nablad.v1 import dataset_pb2, event_pb2, solver_pb2, tensor_pb2, termination_pb2
from nablad.wire import tensors
from nablad.wire.errors import ErrorDetails, FieldViolation


@given(st.integers(1, 10_000), st.floats(0.0, 1e6) | st.none())
def test_waits_are_bounded_and_believe_the_server(failures: int, asked: float | None) -> None:
    backoff = Backoff()
    wait = backoff.delay(failures, asked)
    bound = min(backoff.first * 2.0 ** min(failures - 1, 60), backoff.longest)
    assert wait >= min(asked or 0.0, 60.0)
    assert bound / 2 <= wait <= max(bound, 60.0)


@pytest.mark.parametrize(
    ("code", "reason", "delay", "again"),
    [
        ("UNAVAILABLE", "", None, True),
        ("UNAVAILABLE", "STOPPING", None, True),
        ("CANCELLED", "", None, True),
        ("INTERNAL", "", None, True),
        ("INTERNAL", "INTERNAL", None, False),
        ("ABORTED", "SLOW_WATCHER", None, True),
        ("RESOURCE_EXHAUSTED", "QUEUE_FULL", 1.0, True),
        ("RESOURCE_EXHAUSTED", "TOO_LARGE", None, False),
        ("INVALID_ARGUMENT", "INVALID_FIELD", None, False),
        ("UNKNOWN", "", None, False),
        ("DEADLINE_EXCEEDED", "", None, False),
    ],
)
def test_what_is_tried_again(code: str, reason: str, delay: float | None, again: bool) -> None:
    assert worth_another_try(ErrorDetails(code, "m", reason, retry_delay=delay)) is again


CODES = ["CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "ABORTED"]
CODES += ["PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL"]
CODES += ["UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("reason", ["", "REASON"])
def test_every_code_is_one_plain_line(code: str, reason: str) -> None:
    error = errors.from_details(ErrorDetails(code, "it is so", reason), "here:1")
    assert isinstance(error, NabladError)
    assert str(error)
    assert "\n" not in str(error)


def test_an_invalid_request_is_a_value_error_and_counts_its_violations() -> None:
    violations = (FieldViolation("spec.start.shape", "is [3]"), FieldViolation("spec.method", "is missing"))
    error = errors.from_details(ErrorDetails("INVALID_ARGUMENT", "x", violations=violations), "here:1")
    assert isinstance(error, ValueError)
    assert isinstance(error, InvalidRequest)
    assert str(error) == "start.shape: is [3] (and 1 more: see .violations)"
    assert error.violations == (FieldViolation("start.shape", "is [3]"), FieldViolation("method", "is missing"))


def result_message() -> event_pb2.SolveResult:
    message = event_pb2.SolveResult(loss=1.5, iterations=5, best_iteration=4, settings_used={"a": "b"})
    message.theta.CopyFrom(tensors.encode(np.array([1.0, 2.0, 3.0])))
    message.gradient.CopyFrom(tensors.encode(np.zeros(3)))
    message.parameters.add(name="theta", value=tensors.encode(np.array([1.0, 2.0])))
    message.parameters.add(name="intercept", value=tensors.encode(np.array(3.0)))
    end = message.termination
    end.status, end.family = termination_pb2.STATUS_STALLED_LINE_SEARCH, termination_pb2.STATUS_FAMILY_STALLED
    end.message = "No step lowers f."
    end.evidence.gradient_norm = 0.25
    end.evidence.rank = 3
    end.evidence.smallest_curvature, end.evidence.largest_curvature = 1.0, 8.0
    end.evidence.verdict = termination_pb2.VERDICT_MINIMUM
    message.counts.hessians = 6
    message.times.total.FromMilliseconds(1500)
    return message


def test_a_result_says_everything_in_its_own_types() -> None:
    result = decode.result(result_message(), {}, JOB, tuple)
    assert (result.status, result.family, result.success) == ("STALLED_LINE_SEARCH", "STALLED", False)
    assert list(result.parameters) == ["theta", "intercept"]
    assert result.parameters["intercept"].shape == ()
    assert result.evidence.rank == 3
    assert result.evidence.condition is None
    assert result.evidence.verdict == "minimum"
    assert result.counts.hessians == 6
    assert result.times.total == 1.5
    assert result.settings_used == {"a": "b"}
    assert result.last_theta is None
    text = repr(result)
    for piece in ("STALLED_LINE_SEARCH after 5 iterations, the best at 4", "1.5", "rank 3 of 3", "No step lowers f."):
        assert piece in text
    assert max(map(len, text.splitlines())) < 100
    assert repr(Evidence(rank=2)).splitlines() == ["Evidence: unverified", "  rank                    2"]


def test_history_is_fetched_once_and_only_when_asked_for() -> None:
    calls = []
    result = decode.result(result_message(), {}, JOB, lambda: tuple(calls.append(1) or ()))  # type: ignore[func-returns-value]
    assert calls == []
    assert result.history == result.history == ()
    assert calls == [1]


def test_large_arrays_are_looked_up() -> None:
    message = result_message()
    message.theta.ClearField("raw")
    message.theta.dataset = "datasets/a"
    kept = np.array([7.0, 8.0, 9.0])
    assert decode.result(message, {"datasets/a": kept}, JOB, tuple).theta.tolist() == [7, 8, 9]


@pytest.mark.parametrize(
    "read",
    [
        lambda: decode.message(solver_pb2.SolveJob, b"\x0a\xff\xff"),
        lambda: decode.array(tensor_pb2.Tensor(), {}),
        lambda: decode.dataset(dataset_pb2.Dataset(dtype=tensor_pb2.DATA_TYPE_FLOAT64, shape=[-1])),
    ],
)
def test_an_answer_that_cannot_be_read_is_the_servers_fault(read: object) -> None:
    with pytest.raises(ServerError):
        read()  # type: ignore[operator]


def test_an_event_of_a_newer_server_is_skipped() -> None:
    assert decode.event(event_pb2.SolveEvent(seq=3), {}, JOB, tuple) is None


def test_iterates_and_errors_can_be_pickled_and_shown() -> None:
    iterate = decode.iterate(journal(1)[2].iterate, {}, 3)
    assert pickle.loads(pickle.dumps(iterate)).loss == iterate.loss
    assert repr(iterate) == "Iterate(0, loss=1, gradient_norm=0, seconds=0)"
    assert str(ServerUnavailable("gone", job=JOB, after_seq=3)) == "gone"


def test_models_print_in_one_line() -> None:
    X, y = np.ones((1000, 3)), np.ones(1000)
    least = LeastSquares(X, y, weights=y, intercept=True, ridge=0.5)
    assert repr(least) == (
        "LeastSquares(features: (1000, 3) float64, targets: (1000,) float64, weights: (1000,) float64, "
        "intercept=True, ridge=0.5)"
    )
    network = Network(X, np.arange(1000) % 2, [Layer(2)], loss="softmax_cross_entropy", seed=3)
    assert repr(network).startswith("Network(inputs: (1000, 3) float64, targets: (1000,) ")
    assert "layers=(Layer(width=2, " in repr(network)
    assert repr(network).endswith("loss='softmax_cross_entropy', seed=3)")


def test_the_client_needs_numpy_grpc_and_protobuf_only() -> None:
    heavy = ("scipy", "rich", "typer", "pydantic", "llvmlite", "matplotlib", "nablad.server", "nablad.solvers")
    probe = f"import sys, nablad.client; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_that_ended_before_it_had_a_point_says_so() -> None:
    """A worker that fails at once has no theta to send: that is not an unreadable array."""
    termination = termination_pb2.Termination(status=termination_pb2.STATUS_FAILED_INTERNAL, message="out of luck")
    with pytest.raises(JobFailed, match="out of luck"):
        decode.result(event_pb2.SolveResult(termination=termination), {}, JOB, tuple)
