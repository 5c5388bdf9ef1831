"""Malformed bytes sent to a real server, for each kind of call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from nablad.v1 import solver_pb2
from nablad.wire import errors, rpc
from nablad.wire.deserializers import MalformedRequests

GARBAGE = b"\x0a\xff\xff\xff\xff"
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


async def answer(request: solver_pb2.GetSolveJobRequest, context: Any) -> solver_pb2.SolveJob:
    if request.name == "none":
        await rpc.abort(context, errors.not_found("solveJobs/none"))
    return solver_pb2.SolveJob(name=request.name)


async def stream_out(request: solver_pb2.GetSolveJobRequest, context: Any) -> None:
    await context.write(await answer(request, context))


async def stream_in(requests: AsyncIterator[solver_pb2.GetSolveJobRequest], context: Any) -> solver_pb2.SolveJob:
    return solver_pb2.SolveJob(name="".join([r.name async for r in requests]))


async def stream_both(
    requests: AsyncIterator[solver_pb2.GetSolveJobRequest], context: Any
) -> AsyncIterator[solver_pb2.SolveJob]:
    async for request in requests:
        yield await answer(request, context)


@pytest_asyncio.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server(interceptors=[MalformedRequests()], options=rpc.SERVER_OPTIONS)
    codecs: dict[str, Any] = {
        "request_deserializer": solver_pb2.GetSolveJobRequest.FromString,
        "response_serializer": solver_pb2.SolveJob.SerializeToString,
    }
    handlers = {
        "unary_unary": grpc.unary_unary_rpc_method_handler(answer, **codecs),
        "unary_stream": grpc.unary_stream_rpc_method_handler(stream_out, **codecs),
        "stream_unary": grpc.stream_unary_rpc_method_handler(stream_in, **codecs),
        "stream_stream": grpc.stream_stream_rpc_method_handler(stream_both, **codecs),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=rpc.CLIENT_OPTIONS) as channel:
        yield channel
    await server.stop(0)


async def call(channel: grpc.aio.Channel, kind: str, requests: list[bytes]) -> list[str]:
    method = getattr(channel, kind)(f"/test/{kind}")

    async def feed() -> AsyncIterator[bytes]:
        for request in requests:
            yield request

    started = method(feed() if kind.startswith("stream") else requests[-1])
    replies = [r async for r in started] if kind.endswith("stream") else [await started]
    return [solver_pb2.SolveJob.FromString(r).name for r in replies]


@pytest.mark.parametrize("kind", KINDS)
async def test_malformed_bytes_are_invalid_argument(channel: grpc.aio.Channel, kind: str) -> None:
    good = solver_pb2.GetSolveJobRequest(name="a").SerializeToString()
    assert await call(channel, kind, [good]) == ["a"]
    with pytest.raises(grpc.RpcError) as caught:
        await call(channel, kind, [good, GARBAGE])
    details = rpc.parse(caught.value)
    assert details.code == "INVALID_ARGUMENT"
    assert details.reason == "MALFORMED_REQUEST"
    assert f"/test/{kind}" in details.message
    assert await call(channel, kind, [good]) == ["a"]


async def test_other_errors_pass_through(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        await call(channel, "unary_unary", [solver_pb2.GetSolveJobRequest(name="none").SerializeToString()])
    assert rpc.parse(caught.value).resource == "solveJobs/none"
    with pytest.raises(grpc.RpcError) as caught:
        await channel.unary_unary("/test/nothing")(b"")
    assert rpc.parse(caught.value).code == "UNIMPLEMENTED"


async def test_a_full_load_of_violations_arrives() -> None:
    server = grpc.aio.server()
    status = errors.invalid_argument([(f"field[{i}]" * 9, "é" * 300) for i in range(300)])

    async def refuse(request: bytes, context: Any) -> bytes:
        await rpc.abort(context, status)
        return b""

    handlers = {"refuse": grpc.unary_unary_rpc_method_handler(refuse)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as other:
        with pytest.raises(grpc.RpcError) as caught:
            await other.unary_unary("/test/refuse")(b"")
    assert rpc.parse(caught.value) == errors.details(status)
    await server.stop(0)
