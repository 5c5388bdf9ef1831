"""The gRPC side of the wire: a google.rpc.Status into and out of a call, and what both ends must agree on.

grpc carries a Status in the trailing metadata `grpc-status-details-bin`. The options are from measurements: a message
limit above the 1 MiB that any tensor may have inline; `grpc.http2.ping_timeout_ms` finds a dead peer in seconds where
the keepalive timeout does not; the server must allow pings that often, or it drops its clients for too_many_pings.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from nablad.wire import errors

JOB_METADATA = "nablad-job"
"""Initial metadata of Solve: the new job's name."""
AUTHORIZATION_METADATA = "authorization"
"""Request metadata: `Bearer <token>`."""
DETAILS_METADATA = "grpc-status-details-bin"

MESSAGE_LIMIT = 16 << 20

_COMMON_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
)
CLIENT_OPTIONS: tuple[tuple[str, Any], ...] = (
    *_COMMON_OPTIONS,
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.enable_retries", 0),  # the client's own retry policy knows what may be sent twice
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
SERVER_OPTIONS: tuple[tuple[str, Any], ...] = (
    *_COMMON_OPTIONS,
    ("grpc.so_reuseport", 0),  # else two servers bind one port silently
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
)

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def code_of(status: status_pb2.Status) -> grpc.StatusCode:
    """The status code as grpc has it."""
    return _CODES.get(status.code, grpc.StatusCode.UNKNOWN)


def trailing_metadata(status: status_pb2.Status) -> tuple[tuple[str, bytes], ...]:
    """What carries the Status beside code and message."""
    return ((DETAILS_METADATA, status.SerializeToString()),)


async def abort(context: grpc.aio.ServicerContext[Any, Any], status: status_pb2.Status) -> None:
    """Ends the call with the Status. Never returns."""
    await context.abort(code_of(status), status.message, trailing_metadata(status))


def parse(error: grpc.RpcError) -> errors.ErrorDetails:
    """What an error of a call says, of a synchronous or an aio call, with details or without."""
    code = error.code()
    for key, value in _metadata(error):
        if key == DETAILS_METADATA and isinstance(value, bytes):
            try:
                details = errors.details(status_pb2.Status.FromString(value))
            except DecodeError:
                break
            if details.code == code.name:
                return details
    return errors.ErrorDetails(code=code.name, message=error.details() or "")


def _metadata(error: grpc.RpcError) -> Iterable[tuple[str, str | bytes]]:
    # Calls and aio calls hand out different types, both iterable pairs.
    trailing: Any = error.trailing_metadata()
    return () if trailing is None else ((key, value) for key, value in trailing)
