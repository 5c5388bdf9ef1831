"""Errors survive the way through a Status, and always fit the metadata that carries them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from nablad.wire import errors, rpc
from nablad.wire.errors import FieldViolation

BUILT = {
    "INVALID_ARGUMENT": errors.invalid_argument([("start.shape", "has 3 axes"), ("method", "is missing")]),
    "NOT_FOUND": errors.not_found("solveJobs/a1"),
    "ALREADY_EXISTS": errors.already_exists("solveJobs/a1", "another spec has this request_id"),
    "FAILED_PRECONDITION": errors.failed_precondition(
        "still runs", reason="JOB_RUNNING", metadata={"state": "RUNNING"}
    ),
    "RESOURCE_EXHAUSTED": errors.resource_exhausted("full", reason="QUEUE_FULL", subject="jobs", retry_delay=1.5),
    "UNAVAILABLE": errors.unavailable("stopping", reason="STOPPING", retry_delay=0.25, metadata={"after_seq": "7"}),
    "UNAUTHENTICATED": errors.unauthenticated("no token"),
    "UNIMPLEMENTED": errors.unimplemented("not yet"),
    "ABORTED": errors.aborted("lost", reason="FENCED"),
    "INTERNAL": errors.internal("a fault"),
}


@pytest.mark.parametrize(("code", "status"), BUILT.items(), ids=BUILT.keys())
def test_every_error_has_code_message_and_reason(code: str, status: status_pb2.Status) -> None:
    back = errors.details(status_pb2.Status.FromString(status.SerializeToString()))
    assert back.code == code
    assert rpc.code_of(status).name == code
    assert back.message == status.message != ""
    assert back.reason
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "nablad"


def test_details_come_back() -> None:
    assert errors.details(BUILT["INVALID_ARGUMENT"]).violations == (
        FieldViolation("start.shape", "has 3 axes"),
        FieldViolation("method", "is missing"),
    )
    assert BUILT["INVALID_ARGUMENT"].message == "start.shape: has 3 axes (and 1 more)"
    assert errors.details(BUILT["NOT_FOUND"]).resource == "solveJobs/a1"
    assert errors.details(BUILT["RESOURCE_EXHAUSTED"]).retry_delay == 1.5
    assert errors.details(BUILT["UNAVAILABLE"]).retry_delay == 0.25
    assert errors.details(BUILT["UNAVAILABLE"]).metadata == {"after_seq": "7"}
    assert errors.details(BUILT["NOT_FOUND"]).retry_delay is None


TEXTS = st.text(max_size=2000)


@given(
    st.lists(st.tuples(TEXTS, TEXTS), max_size=8), st.integers(1, 40), TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=3)
)
def test_every_error_fits_8_kib(
    rows: list[tuple[str, str]], times: int, message: str, metadata: dict[str, str]
) -> None:
    for status in (
        errors.invalid_argument(rows * times, message=message),
        errors.failed_precondition(message, reason="X", resource=message, metadata=metadata),
        errors.resource_exhausted(message, reason="X", subject=message, retry_delay=1.0),
    ):
        in_headers = 3 * len(status.message.encode()) + 4 * (status.ByteSize() + 2) // 3
        assert in_headers < 8000
        back = errors.details(status)
        assert len(back.violations) <= 50
        if status.code == 3 and len(back.violations) < len(rows) * times:
            assert int(back.metadata["omitted_violations"]) == len(rows) * times - len(back.violations)


@given(TEXTS, st.integers(3, 100))
def test_cut_never_splits_a_character(text: str, limit: int) -> None:
    short = errors.cut(text, limit)
    assert len(short.encode()) <= limit
    assert text.encode("utf-8", "replace").decode().startswith(short.removesuffix("…"))


def test_building_errors_needs_no_grpc() -> None:
    modules = "tensors, csr, chunks, references, names, statuses, errors"
    probe = f"import sys; from nablad.wire import {modules}; print('grpc' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
