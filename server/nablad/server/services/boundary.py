"""What surrounds every call: who may make it, and how an error leaves.

Handlers raise; here, and only here, an exception becomes a google.rpc.Status. What is not an error of ours (errors.py)
is a fault: it is logged with its traceback, and the client hears INTERNAL. Messages that are bytes already, a
journal's blocks, go out as they are.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2

from nablad.server import logs
from nablad.server.datasets.catalog import disk_full
from nablad.server.errors import ResourceNotFound, ServiceError, Unauthenticated, Unavailable
from nablad.server.store import StoreFull, StoreUnavailable, UnknownJob
from nablad.wire import errors, rpc
from nablad.wire.handlers import Handler, behaviour_of, remade

Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"

ABORT_SECONDS = 5.0


def serialize(message: Message | bytes) -> bytes:
    """A message's bytes, or the bytes themselves."""
    return message if isinstance(message, bytes) else message.SerializeToString()


class Tokens(grpc.aio.ServerInterceptor):
    """Refuses every call, of whatever service, that does not carry the token."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Lets the call pass, or puts a refusal in its place."""
        handler = await continuation(handler_call_details)
        metadata = dict(handler_call_details.invocation_metadata or ())
        given = metadata.get(rpc.AUTHORIZATION_METADATA, "")
        given = given if isinstance(given, bytes) else given.encode()
        if handler is None or hmac.compare_digest(given, self._expected):
            return handler

        async def refuse(_request: Any, context: Any) -> None:
            await rpc.abort(context, Unauthenticated().status)

        return remade(handler, refuse)


class Boundary(grpc.aio.ServerInterceptor):
    """Turns what nablad's own handlers raise into a Status."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Wraps the handler of each call of nablad.v1."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith("/nablad."):
            return handler
        behaviour = behaviour_of(handler)

        async def guarded(request: Any, context: Any) -> Any:
            try:
                return await behaviour(request, context)
            except grpc.aio.AbortError:
                raise
            except grpc.aio.InternalError as error:
                raise asyncio.CancelledError from error  # a message could not be sent: the client is gone
            except Exception as error:
                status = status_of(error, method)
            with suppress(TimeoutError):  # an abort waits behind what the client does not read
                await asyncio.wait_for(rpc.abort(context, status), ABORT_SECONDS)
            raise asyncio.CancelledError

        return remade(handler, guarded, response_serializer=serialize)


def status_of(error: Exception, method: str) -> status_pb2.Status:
    """What a client is told of an error."""
    if isinstance(error, ServiceError):
        return error.status
    if isinstance(error, UnknownJob):
        return ResourceNotFound(str(error)).status
    if isinstance(error, StoreFull):
        return disk_full().status
    if isinstance(error, StoreUnavailable):
        logs.warning("store unavailable", reason=str(error))
        return Unavailable("the server cannot use its store now", "STORE_UNAVAILABLE").status
    logs.error("call failed inside the server", method=method)
    return errors.internal("a fault of the server's own; its log says more")
