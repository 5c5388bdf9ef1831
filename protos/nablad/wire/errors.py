"""Errors as google.rpc.Status, in one place: every error a client sees is built here, and read here on its way back.

A Status always carries an ErrorInfo (reason, a word for programs; domain "nablad"), and what fits of BadRequest
(violations with paths in the client's own field names), RetryInfo, QuotaFailure and ResourceInfo. It travels in the
trailing metadata, which gRPC cuts off at 8 KiB by replacing the whole error with RESOURCE_EXHAUSTED: so texts are cut,
and violations left out, until it fits. Nothing here imports grpc, so that a worker process may use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

DOMAIN = "nablad"
MAX_VIOLATIONS = 50
# The message travels twice, once percent-encoded (up to 3 bytes for one), and the Status in base64 (4 for 3).
MAX_MESSAGE_BYTES = 500
MAX_TEXT_BYTES = 400
MAX_STATUS_BYTES = 4500


class FieldViolation(NamedTuple):
    """What is wrong with one field of a request: its path, such as `spec.start.shape`, and a sentence."""

    field: str
    description: str


class StatusError(Exception):
    """A google.rpc.Status on its way out, as an exception. `str()` is its message."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


@dataclass(frozen=True)
class ErrorDetails:
    """A Status taken apart. `code` is its name, such as "NOT_FOUND"."""

    code: str
    message: str
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()
    retry_delay: float | None = None
    """Seconds to wait before the next try, where the server says so."""
    resource: str = ""
    """The name of the resource that it is about."""


def invalid_argument(
    violations: Iterable[FieldViolation | tuple[str, str]], *, reason: str = "INVALID_FIELD", message: str = ""
) -> status_pb2.Status:
    """The request is wrong whatever the server's state. The message is that of the first violation unless given."""
    rows = [FieldViolation(*v) for v in violations]
    if not message and rows:
        first = f"{rows[0].field}: {rows[0].description}" if rows[0].field else rows[0].description
        message = first if len(rows) == 1 else f"{first} (and {len(rows) - 1} more)"
    return _status(code_pb2.INVALID_ARGUMENT, message or "the request is not valid", reason, violations=rows)


def not_found(resource: str, *, reason: str = "NOT_FOUND", message: str = "") -> status_pb2.Status:
    """There is no such resource; `resource` is its name."""
    return _status(code_pb2.NOT_FOUND, message or f"there is no {resource}", reason, resource=resource)


def already_exists(resource: str, message: str, *, reason: str = "ALREADY_EXISTS") -> status_pb2.Status:
    """The resource is there already, and is another."""
    return _status(code_pb2.ALREADY_EXISTS, message, reason, resource=resource)


def failed_precondition(
    message: str, *, reason: str, resource: str = "", metadata: Mapping[str, str] | None = None
) -> status_pb2.Status:
    """The request is sound, but the resource's state does not allow it."""
    return _status(code_pb2.FAILED_PRECONDITION, message, reason, resource=resource, metadata=metadata)


def resource_exhausted(
    message: str, *, reason: str, subject: str = "", retry_delay: float | None = None
) -> status_pb2.Status:
    """A limit is reached; `subject` says of what, `retry_delay` is in seconds."""
    return _status(code_pb2.RESOURCE_EXHAUSTED, message, reason, quota=subject, retry_delay=retry_delay)


def unavailable(
    message: str, *, reason: str, retry_delay: float | None = None, metadata: Mapping[str, str] | None = None
) -> status_pb2.Status:
    """The server cannot answer now; the same call may work after `retry_delay` seconds."""
    return _status(code_pb2.UNAVAILABLE, message, reason, retry_delay=retry_delay, metadata=metadata)


def unauthenticated(message: str, *, reason: str = "UNAUTHENTICATED") -> status_pb2.Status:
    """The call carries no token, or a wrong one."""
    return _status(code_pb2.UNAUTHENTICATED, message, reason)


def unimplemented(message: str, *, reason: str = "UNIMPLEMENTED") -> status_pb2.Status:
    """The server does not offer this."""
    return _status(code_pb2.UNIMPLEMENTED, message, reason)


def aborted(message: str, *, reason: str) -> status_pb2.Status:
    """The call lost to something that happened meanwhile."""
    return _status(code_pb2.ABORTED, message, reason)


def internal(message: str, *, reason: str = "INTERNAL") -> status_pb2.Status:
    """A fault of the server's own: never for something that a client did."""
    return _status(code_pb2.INTERNAL, message, reason)


def details(status: status_pb2.Status) -> ErrorDetails:
    """Takes a Status apart. Details of an unknown type are skipped."""
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    resource = error_details_pb2.ResourceInfo()
    delay = None
    for packed in status.details:
        for message in (info, bad, retry, resource):
            if packed.Is(message.DESCRIPTOR):
                packed.Unpack(message)
                if message is retry:
                    delay = retry.retry_delay.seconds + retry.retry_delay.nanos * 1e-9
    return ErrorDetails(
        code=code_pb2.Code.Name(status.code) if status.code in code_pb2.Code.values() else "UNKNOWN",
        message=status.message,
        reason=info.reason,
        metadata=dict(info.metadata),
        violations=tuple(FieldViolation(v.field, v.description) for v in bad.field_violations),
        retry_delay=delay,
        resource=resource.resource_name,
    )


def cut(text: str, limit: int = MAX_TEXT_BYTES) -> str:
    """The text, ended by an ellipsis where it is longer than `limit` bytes of UTF-8."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode("utf-8")
    return data[: limit - 3].decode("utf-8", "ignore") + "…"


def _status(
    code: int,
    message: str,
    reason: str,
    *,
    violations: Iterable[FieldViolation] = (),
    retry_delay: float | None = None,
    quota: str = "",
    resource: str = "",
    metadata: Mapping[str, str] | None = None,
) -> status_pb2.Status:
    rows = list(violations)
    kept = [FieldViolation(cut(v.field), cut(v.description)) for v in rows[:MAX_VIOLATIONS]]
    while True:
        facts = {cut(k, 60): cut(v, 200) for k, v in (metadata or {}).items()}
        if len(kept) < len(rows):
            facts["omitted_violations"] = str(len(rows) - len(kept))
        status = status_pb2.Status(code=code, message=cut(message, MAX_MESSAGE_BYTES))
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=facts))
        if kept:
            bad = error_details_pb2.BadRequest()
            for violation in kept:
                bad.field_violations.add(field=violation.field, description=violation.description)
            status.details.add().Pack(bad)
        if retry_delay is not None:
            nanos = round(retry_delay * 1e9)
            duration = Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)
            status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=duration))
        if quota:
            failure = error_details_pb2.QuotaFailure()
            failure.violations.add(subject=cut(quota), description=cut(message))
            status.details.add().Pack(failure)
        if resource:
            kind = resource.partition("/")[0][:60]
            status.details.add().Pack(
                error_details_pb2.ResourceInfo(resource_type=kind, resource_name=cut(resource, 200))
            )
        if status.ByteSize() <= MAX_STATUS_BYTES or not kept:
            return status
        kept.pop()
