"""Performing effects over grpc.aio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar, cast

import grpc

from nablad.client.core.effects import (
    Call,
    CallFailed,
    Cancel,
    Effect,
    Metadata,
    Open,
    Operation,
    Receive,
    Send,
    Sleep,
    StreamHandle,
)
from nablad.client.errors import NabladError
from nablad.client.transport import call_metadata, check_target
from nablad.wire import rpc
from nablad.wire.errors import ErrorDetails

T = TypeVar("T")


class AioTransport:
    """A channel to one server, in the running event loop."""

    def __init__(self, target: str, token: str | None) -> None:
        self._metadata = call_metadata(token)
        # Bytes in, bytes out: the core reads and writes the messages.
        self._channel: Any = grpc.aio.insecure_channel(check_target(target), options=rpc.CLIENT_OPTIONS)
        self._closed = False

    async def run(self, operation: Operation[T]) -> T:
        """Performs an operation's effects, and gives its value."""
        try:
            effect = next(operation)
            while True:
                try:
                    value = await self._perform(effect)
                except BaseException as error:
                    effect = operation.throw(error)
                else:
                    effect = operation.send(value)
        except StopIteration as stop:
            return cast(T, stop.value)

    async def close(self) -> None:
        """Ends the channel, and with it every stream."""
        self._closed = True
        await self._channel.close()

    async def _perform(self, effect: Effect) -> Any:
        if self._closed and not isinstance(effect, Cancel):
            raise NabladError("the client is closed")
        try:
            return await _PERFORM[type(effect)](self, effect)
        except grpc.RpcError as error:
            raise CallFailed(rpc.parse(error)) from error

    async def _call(self, effect: Call) -> Any:
        return await self._channel.unary_unary(effect.rpc.path)(
            effect.request, timeout=effect.timeout, metadata=self._metadata
        )

    async def _send(self, effect: Send) -> Any:
        failed: list[Exception] = []

        async def parts() -> AsyncIterator[bytes]:
            requests = iter(effect.requests)
            try:
                # In a thread: a part is checksummed, copied, and may have to wait for the hash of all.
                while (part := await asyncio.to_thread(next, requests, None)) is not None:
                    yield part
            except Exception as error:
                failed.append(error)
                raise

        try:
            return await self._channel.stream_unary(effect.rpc.path)(parts(), metadata=self._metadata)
        except asyncio.CancelledError:
            # grpc cancels a call whose parts cannot be had, and does not say why.
            if failed:
                raise failed[0] from None
            raise

    async def _open(self, effect: Open) -> StreamHandle:
        call = self._channel.unary_stream(effect.rpc.path)(
            effect.request, timeout=effect.timeout, metadata=self._metadata
        )
        return StreamHandle(call)

    async def _initial_metadata(self, effect: Metadata) -> dict[str, str]:
        call: Any = effect.stream
        # In grpcio 1.71 its keys() gives pairs, and dict() alone would stumble.
        return dict(tuple(await call.initial_metadata()))

    async def _receive(self, effect: Receive) -> Any:
        call: Any = effect.stream
        try:
            reply = await call.read()
        except asyncio.CancelledError:
            # Either this task is cancelled, or only the call is: `close` from another task.
            task = asyncio.current_task()
            if call.cancelled() and not (task and task.cancelling()):
                raise CallFailed(ErrorDetails("CANCELLED", "the call was cancelled")) from None
            raise
        return None if reply is grpc.aio.EOF else reply

    async def _cancel(self, effect: Cancel) -> None:
        call: Any = effect.stream
        call.cancel()

    async def _sleep(self, effect: Sleep) -> None:
        await asyncio.sleep(effect.seconds)


_PERFORM: dict[type, Callable[[AioTransport, Any], Awaitable[Any]]] = {
    Call: AioTransport._call,
    Send: AioTransport._send,
    Open: AioTransport._open,
    Metadata: AioTransport._initial_metadata,
    Receive: AioTransport._receive,
    Cancel: AioTransport._cancel,
    Sleep: AioTransport._sleep,
}
