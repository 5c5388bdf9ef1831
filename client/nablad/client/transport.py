"""Performing effects over grpc, blocking."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
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
from nablad.client.errors import NabladError, invalid
from nablad.wire import rpc
from nablad.wire.errors import ErrorDetails

T = TypeVar("T")


def call_metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    """What every call carries. InvalidRequest for a token that no header can hold."""
    if token is None:
        return ()
    if not token or not token.isascii() or not token.isprintable():
        raise invalid("token", "must be printable ASCII")
    return ((rpc.AUTHORIZATION_METADATA, f"Bearer {token}"),)


def check_target(target: str) -> str:
    """HOST:PORT, or one of grpc's own forms. InvalidRequest for a URL."""
    if not isinstance(target, str) or not target or target.startswith(("http://", "https://")):
        raise invalid("target", f"is {target!r}; HOST:PORT is needed, such as 'localhost:50051'")
    return target


class Transport:
    """A channel to one server."""

    def __init__(self, target: str, token: str | None) -> None:
        self._metadata = call_metadata(token)
        # Bytes in, bytes out: the core reads and writes the messages.
        self._channel: Any = grpc.insecure_channel(check_target(target), options=rpc.CLIENT_OPTIONS)
        self._closed = False

    def run(self, operation: Operation[T]) -> T:
        """Performs an operation's effects, and gives its value."""
        try:
            effect = next(operation)
            while True:
                try:
                    value = self._perform(effect)
                except BaseException as error:
                    effect = operation.throw(error)
                else:
                    effect = operation.send(value)
        except StopIteration as stop:
            return cast(T, stop.value)

    def close(self) -> None:
        """Ends the channel, and with it every stream."""
        self._closed = True
        self._channel.close()

    def _perform(self, effect: Effect) -> Any:
        if self._closed and not isinstance(effect, Cancel):
            raise NabladError("the client is closed")
        try:
            return _PERFORM[type(effect)](self, effect)
        except grpc.RpcError as error:
            raise CallFailed(rpc.parse(error)) from error

    def _call(self, effect: Call) -> Any:
        return self._channel.unary_unary(effect.rpc.path)(
            effect.request, timeout=effect.timeout, metadata=self._metadata
        )

    def _send(self, effect: Send) -> Any:
        failed: list[Exception] = []

        def parts() -> Iterator[bytes]:
            try:
                yield from effect.requests
            except Exception as error:
                failed.append(error)
                raise

        try:
            return self._channel.stream_unary(effect.rpc.path)(parts(), metadata=self._metadata)
        except grpc.RpcError:
            # Of an exception in the parts grpc says only that there was one.
            if failed:
                raise failed[0] from None
            raise

    def _open(self, effect: Open) -> StreamHandle:
        call = self._channel.unary_stream(effect.rpc.path)(
            effect.request, timeout=effect.timeout, metadata=self._metadata
        )
        return StreamHandle(call)

    def _initial_metadata(self, effect: Metadata) -> dict[str, str]:
        call: Any = effect.stream
        return dict(call.initial_metadata() or ())

    def _receive(self, effect: Receive) -> Any:
        call: Any = effect.stream
        try:
            return next(call)
        except StopIteration:
            return None
        except grpc.FutureCancelledError:
            raise CallFailed(ErrorDetails("CANCELLED", "the call was cancelled")) from None

    def _cancel(self, effect: Cancel) -> None:
        call: Any = effect.stream
        call.cancel()

    def _sleep(self, effect: Sleep) -> None:
        time.sleep(effect.seconds)


_PERFORM: dict[type, Callable[[Transport, Any], Any]] = {
    Call: Transport._call,
    Send: Transport._send,
    Open: Transport._open,
    Metadata: Transport._initial_metadata,
    Receive: Transport._receive,
    Cancel: Transport._cancel,
    Sleep: Transport._sleep,
}
