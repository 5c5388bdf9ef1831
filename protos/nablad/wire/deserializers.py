"""Malformed request bytes become INVALID_ARGUMENT.

grpc answers a request that its deserializer refuses with UNKNOWN (streams) or INTERNAL, and nobody learns that the
bytes were at fault. Here a deserializer never raises: it returns a mark, and the wrapped handler, which alone may
answer, aborts with a proper Status when it meets one. `MalformedRequests` does so for every service of an aio server.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from nablad.wire import errors, rpc
from nablad.wire.handlers import behaviour_of, remade


class _Malformed:
    """Stands for a request that could not be read."""


_MALFORMED = _Malformed()


def tolerant(deserializer: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """The deserializer, giving a mark in place of an exception."""

    def deserialize(data: bytes) -> Any:
        try:
            return deserializer(data)
        except (DecodeError, ValueError):
            return _MALFORMED

    return deserialize


async def _refuse(context: Any, method: str) -> None:
    message = f"the request of {method} is not a valid protocol buffer message"
    await rpc.abort(context, errors.invalid_argument([("", message)], reason="MALFORMED_REQUEST"))


def wrap(
    handler: grpc.RpcMethodHandler[Any, Any], method: str, reader: Callable[[bytes], Any] | None = None
) -> grpc.RpcMethodHandler[Any, Any]:
    """The handler, refusing malformed requests, and reading them by `reader` where there is one.

    Handlers that are not coroutines or async generators stay as they are.

    A handler of a request stream must read it through its iterator, not through `context.read`.
    """
    behaviour = behaviour_of(handler)
    generator = inspect.isasyncgenfunction(behaviour)
    if handler.request_deserializer is None or not (generator or inspect.iscoroutinefunction(behaviour)):
        return handler

    async def checked_stream(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            if request is _MALFORMED:
                await _refuse(context, method)
            yield request

    async def checked(request: Any, context: Any) -> Any:
        if request is _MALFORMED:
            await _refuse(context, method)
        return checked_stream(request, context) if handler.request_streaming else request

    async def answer(request: Any, context: Any) -> Any:
        return await behaviour(await checked(request, context), context)

    async def generate(request: Any, context: Any) -> AsyncIterator[Any]:
        async for response in behaviour(await checked(request, context), context):
            yield response

    return remade(
        handler,
        generate if generator else answer,
        request_deserializer=tolerant(reader or handler.request_deserializer),
    )


class MalformedRequests(grpc.aio.ServerInterceptor):
    """Give it to `grpc.aio.server(interceptors=[...])`, the last one, so that the others see a wrapped handler.

    `readers` are deserializers to take for some methods, by their full names, in place of the stubs' own.
    """

    def __init__(self, readers: Mapping[str, Callable[[bytes], Any]] | None = None) -> None:
        self._readers = readers or {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wraps the handler of each call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        return handler if handler is None else wrap(handler, method, self._readers.get(method))
