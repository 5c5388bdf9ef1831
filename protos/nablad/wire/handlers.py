"""A gRPC method handler taken apart and put together again, whichever of the four kinds it is: for interceptors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import grpc

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_MAKERS: dict[tuple[bool, bool], Callable[..., Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def behaviour_of(handler: Handler) -> Any:
    """What the handler calls."""
    return handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream


def remade(handler: Handler, behaviour: Any, **parts: Any) -> Handler:
    """The handler with another behaviour, and with other (de)serializers where they are given."""
    kept = {
        "request_deserializer": handler.request_deserializer,
        "response_serializer": handler.response_serializer,
    }
    return _MAKERS[handler.request_streaming, handler.response_streaming](behaviour, **kept | parts)
