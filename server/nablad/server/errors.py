"""Everything that a client may be told has gone wrong: one root, raised where the knowledge is.

Each carries the google.rpc.Status that the client will get; services/boundary.py is the one place where it leaves.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.rpc import status_pb2

from nablad.wire import errors as wire


class ServiceError(wire.StatusError):
    """Root of the errors that a client is told as they are."""


class Refused(ServiceError):
    """A worker refused a request, with a status of its own."""


class InvalidRequest(ServiceError):
    """The request is wrong whatever the server's state."""

    def __init__(self, violations: Iterable[tuple[str, str]], *, reason: str = "INVALID_FIELD") -> None:
        super().__init__(wire.invalid_argument(violations, reason=reason))


class ResourceNotFound(ServiceError):
    """There is no such job or dataset."""

    def __init__(self, name: str, message: str = "") -> None:
        super().__init__(wire.not_found(name, message=message))


class RequestIdTaken(ServiceError):
    """The request_id has made another job already."""

    def __init__(self, request_id: str, job: str) -> None:
        message = f"request_id: {request_id!r} made {job} from another spec; a new request needs a new id"
        super().__init__(wire.already_exists(job, message, reason="REQUEST_ID_TAKEN"))


class WrongState(ServiceError):
    """The resource is not in a state that allows this."""

    def __init__(self, message: str, reason: str, resource: str) -> None:
        super().__init__(wire.failed_precondition(message, reason=reason, resource=resource))


class LimitReached(ServiceError):
    """Something is full; the same call may work later."""

    def __init__(self, message: str, reason: str, subject: str, retry_delay: float | None = 5.0) -> None:
        super().__init__(wire.resource_exhausted(message, reason=reason, subject=subject, retry_delay=retry_delay))


class Unavailable(ServiceError):
    """The server cannot answer now."""

    def __init__(
        self, message: str, reason: str, retry_delay: float = 1.0, metadata: dict[str, str] | None = None
    ) -> None:
        super().__init__(wire.unavailable(message, reason=reason, retry_delay=retry_delay, metadata=metadata))


class Unauthenticated(ServiceError):
    """No token, or a wrong one."""

    def __init__(self) -> None:
        super().__init__(wire.unauthenticated("this server wants `authorization: Bearer <token>` with its own token"))


def from_bytes(data: bytes) -> Refused:
    """The error that a worker wrote as a serialized Status."""
    return Refused(status_pb2.Status.FromString(data))
