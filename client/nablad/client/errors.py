"""What can go wrong, as types with one root; each one's `str()` is a plain line that says what to do next.

NabladError
    InvalidRequest       an argument is wrong (a ValueError too); `violations` names each field and says why
    ServerUnavailable    nobody answers, or the connection was lost for good
    Unauthenticated      the token is missing or wrong
    NotFound             no such job or dataset
    Conflict             the resource's state does not allow it: a running job cannot be deleted, for instance
    LimitExceeded        the server's queue, memory or another limit is full
    JobFailed            the job ended without a result
    ServerError          the server is at fault, or its answer cannot be read
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from nablad.v1 import method_pb2
from nablad.wire.errors import ErrorDetails, FieldViolation

__all__ = [
    "Conflict",
    "FieldViolation",
    "InvalidRequest",
    "JobFailed",
    "LimitExceeded",
    "NabladError",
    "NotFound",
    "ServerError",
    "ServerUnavailable",
    "Unauthenticated",
]


class NabladError(Exception):
    """The root of all errors of nablad.client."""


class InvalidRequest(NabladError, ValueError):
    """An argument is wrong. `violations`: (field, description) pairs, fields in the caller's own argument names."""

    def __init__(self, violations: Sequence[FieldViolation], *, message: str = "") -> None:
        self.violations = tuple(violations)
        if self.violations:
            field, description = self.violations[0]
            message = f"{field}: {description}" if field else description
            if len(self.violations) > 1:
                message += f" (and {len(self.violations) - 1} more: see .violations)"
        super().__init__(message)


def invalid(argument: str, description: str) -> InvalidRequest:
    """One argument is wrong."""
    return InvalidRequest([FieldViolation(argument, description)])


class ServerUnavailable(NabladError):
    """Nobody answers at the address, or the connection was lost and could not be had again.

    `job` and `after_seq` tell where a broken stream can be taken up: `client.job(job).watch(after_seq=after_seq)`.
    """

    def __init__(self, message: str, *, job: str = "", after_seq: int = 0) -> None:
        super().__init__(message)
        self.job = job
        self.after_seq = after_seq


class Unauthenticated(NabladError):
    """The token is missing or wrong."""


class NotFound(NabladError):
    """There is no such job or dataset."""


class Conflict(NabladError):
    """The resource's state does not allow the call."""


class LimitExceeded(NabladError):
    """A limit of the server's is reached. `retry_delay` is in seconds, None where waiting does not help."""

    def __init__(self, message: str, *, retry_delay: float | None = None) -> None:
        super().__init__(message)
        self.retry_delay = retry_delay


class JobFailed(NabladError):
    """The job ended without a result, as `state` says."""

    def __init__(self, message: str, *, job: str, state: str) -> None:
        super().__init__(message)
        self.job = job
        self.state = state


class ServerError(NabladError):
    """The server is at fault, or its answer cannot be read. `code` is the gRPC status."""

    def __init__(self, message: str, *, code: str = "INTERNAL") -> None:
        super().__init__(message)
        self.code = code


# The wire's paths in the words of the arguments of solve, LeastSquares, GradientDescent, ...
_ARGUMENTS = (
    (re.compile(r"^spec\."), ""),
    (re.compile(r"^subject\.solve_job\b"), "model"),
    (re.compile(r"^subject\."), ""),
    (re.compile(r"^model\.expression\.graph\b"), "model"),
    (re.compile(r"^model\.(least_squares|network|expression)\b"), "model"),
    (re.compile(rf"^method\.({'|'.join(field.name for field in method_pb2.Method.DESCRIPTOR.fields)})\b"), "method"),
    (re.compile(r"^method\.constant(\.step_size)?"), "method.step"),
    (re.compile(r"^method\.(armijo|wolfe|barzilai_borwein|exact)\b"), "method.step"),
    (re.compile(r"^method\.schedule\.warmup_epochs\b"), "method.warmup_epochs"),
    (re.compile(r"^method\.schedule\.(inverse_time|exponential|cosine)_"), "method.schedule."),
    (re.compile(r"^method\.schedule\.step_decay\b"), "method.schedule"),
    (re.compile(r"^interval\.kind\b"), "interval"),
    (re.compile(r"^interval\.level\b"), "level"),
    (re.compile(r"^(inputs|data)\b"), "X"),
)


# Arrays which the wire lists and the caller names.
_LISTED = re.compile(r"^(model\.parameters|model\.data|X)\[(\d+)\](\.value|\.name)?")

Names = Mapping[str, Sequence[str]]
"""What the caller calls the arrays in a list, in order: {"model.data": ["model.data.x"], ...}."""


def argument_name(path: str, names: Names | None = None) -> str:
    """`spec.model.network.layers[1].width` is the caller's `model.layers[1].width`; with the names of an expression's
    arrays, `spec.model.expression.parameters[0].value` is `model.start.b1`.
    """
    for pattern, replacement in _ARGUMENTS:
        path = pattern.sub(replacement, path)
    found = _LISTED.match(path)
    listed = names.get(found[1], ()) if found and names else ()
    if found and int(found[2]) < len(listed):
        return f"{listed[int(found[2])]}{path[found.end() :]}"
    return path


METHODS = {field.name: field.message_type.name for field in method_pb2.Method.DESCRIPTOR.fields if field.message_type}
"""The wire's names of methods, and those of this library."""


def _described(violation: FieldViolation) -> str:
    """What is wrong with a method, with the methods' names as they are typed."""
    if not violation.field.startswith(("spec.method", "spec.stopping")):
        return violation.description
    return re.sub(r"\w+", lambda word: METHODS.get(word[0], word[0]), violation.description)


def from_details(details: ErrorDetails, target: str, names: Names | None = None) -> NabladError:
    """The exception for an error that came over the wire from `target`."""
    message = details.message or details.code
    if details.code in ("INVALID_ARGUMENT", "OUT_OF_RANGE"):
        violations = [FieldViolation(argument_name(v.field, names), _described(v)) for v in details.violations]
        return InvalidRequest(violations, message=message)
    if details.code == "UNAVAILABLE":
        if details.reason:
            return ServerUnavailable(f"the server at {target} is not ready: {message}")
        return ServerUnavailable(f"no server answers at {target}: start one with `nablad serve`, or check the address")
    if details.code == "DEADLINE_EXCEEDED":
        return ServerUnavailable(f"the server at {target} did not answer in time: try again, or give a longer timeout")
    if details.code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return Unauthenticated(f"{target} refused the call: {message}; connect with token=...")
    if details.code == "NOT_FOUND":
        return NotFound(message)
    if details.code in ("FAILED_PRECONDITION", "ALREADY_EXISTS", "ABORTED"):
        return Conflict(message)
    if details.code == "RESOURCE_EXHAUSTED" and details.reason:
        return LimitExceeded(message, retry_delay=details.retry_delay)
    if details.code == "UNIMPLEMENTED":
        return ServerError(f"{target} does not offer this: {message}; is it a nablad server?", code=details.code)
    return ServerError(f"the server at {target} failed ({details.code}): {message}", code=details.code)
