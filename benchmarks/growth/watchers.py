"""What watchers cost a server: processor seconds and memory of its front, with 1 to 1,000 streams on one job.

A real server with one worker. The worker is first kept busy, so that all watchers are there before the job begins; each
has a connection of its own, takes messages as they are, and must have every event of the job in the end. Processor
time is the front's alone, user and system, from before the first stream is opened until the last one has ended; memory
is the front's peak above what it held before. Each number of watchers has a server of its own.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from benchmarks.growth.curves import Curve, Panel
from nablad.client import AsyncClient, GradientDescent, Layer, LeastSquares, Network, Stopping, embedded
from nablad.client.core import rpcs
from nablad.client.transport import call_metadata
from nablad.v1 import event_pb2, solver_pb2
from nablad.wire import rpc

WATCHERS = (1, 10, 100, 300, 1_000)
ITERATIONS = 2_000
ROUNDS = 3
"""Few, for each starts a server; and it is processor time that counts, which other work on the machine moves little."""
TIMEOUT = 60.0
"""Seconds for one job with its watchers."""


@dataclass(frozen=True)
class Watched:
    """One job with its watchers."""

    cpu_seconds: float
    peak_bytes: float
    seconds: float
    """From the job's begin until the last watcher had its last event."""


def cpu_seconds(process: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_bytes(process: int, field: str) -> float:
    """VmRSS, what a process holds, or VmHWM, the most that it has held."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return float(rest.split()[0]) * 1024
    raise ValueError(f"the process table has no {field}")


async def stream(target: str, token: str, request: bytes, attached: asyncio.Semaphore) -> bytes:
    """Reads a job's events to their end; gives all of them as one serialized block. Says when the first has come."""
    options = (*rpc.CLIENT_OPTIONS, ("grpc.use_local_subchannel_pool", 1))
    channel: Any
    received: list[bytes] = []
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        call = channel.unary_stream(rpcs.WATCH_JOB.path)(request, metadata=call_metadata(token), wait_for_ready=True)
        async for message in call:
            if not received:
                attached.release()
            received.append(message)
    # Messages one after the other are the message that holds the events of all.
    return b"".join(received)


def quadratic() -> tuple[LeastSquares, GradientDescent]:
    """A job whose iterations are about as cheap as they get, so that events come fast."""
    rng = np.random.default_rng(9)
    features = rng.standard_normal((200, 10)) * np.logspace(0, -4, 10)
    targets = features @ np.ones(10) + rng.standard_normal(200)
    return LeastSquares(features, targets), GradientDescent(float(0.5 / np.linalg.norm(features, 2) ** 2))


def endless() -> tuple[Network, GradientDescent, Stopping]:
    """A job that says little and keeps the worker until it is cancelled."""
    x = np.random.default_rng(9).standard_normal((20_000, 32))
    return Network(x, x[:, 0], [Layer(32, "tanh"), Layer(1)]), GradientDescent(1e-12), Stopping(max_iterations=10**6)


async def watched(watchers: int) -> Watched:
    """A job with so many watchers, on a new server."""
    server = await asyncio.to_thread(embedded.start, 1)
    try:
        async with AsyncClient.connect(server.target, token=server.token) as client:
            model, method, stopping = endless()
            busy = await client.submit(model, method, stopping=stopping)
            enough = Stopping(max_iterations=ITERATIONS, relative_gradient_tolerance=0.0)
            job = await client.submit(*quadratic(), stopping=enough)
            await asyncio.sleep(0.3)  # the uploads are done with, and so is what follows a job's creation
            front = server.process.pid
            cpu, memory = cpu_seconds(front), memory_bytes(front, "VmRSS")
            request = solver_pb2.WatchSolveJobRequest(name=job.name).SerializeToString()
            attached = asyncio.Semaphore(0)
            async with asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as group:
                calls = (stream(server.target, server.token, request, attached) for _ in range(watchers))
                streams = [group.create_task(call) for call in calls]
                for _ in range(watchers):
                    await attached.acquire()
                began = time.perf_counter()
                await busy.cancel()
            seconds = time.perf_counter() - began
            used = Watched(cpu_seconds(front) - cpu, memory_bytes(front, "VmHWM") - memory, seconds)
            for done in streams:
                events = event_pb2.SolveEventBlock.FromString(done.result()).events
                assert [event.seq for event in events] == list(range(1, len(events) + 1))
                assert any(event.HasField("done") for event in events)
            return used
    finally:
        await asyncio.to_thread(server.stop)


def panels() -> tuple[Panel, Panel] | None:
    """Processor time, and memory, of the front against the number of watchers; None without a process table."""
    if not Path("/proc/self/status").exists():
        return None
    rounds = [[asyncio.run(watched(watchers)) for watchers in WATCHERS] for _ in range(ROUNDS)]

    def curve(name: str, of: Callable[[Watched], float], below: bool = False) -> Curve:
        taken = zip(*rounds, strict=True)
        values = tuple(statistics.median(map(of, column)) for column in taken)
        return Curve(name, 1.0, WATCHERS, values, below=below)

    time_of = Panel(
        "Watchers",
        "watchers w of one job",
        "w",
        (
            curve(f"front's processor time, {ITERATIONS:,} iterates", lambda taken: taken.cpu_seconds, below=True),
            curve("begin to end, on this machine", lambda taken: taken.seconds),
        ),
    )
    memory_of = Panel(
        "Watchers",
        "watchers w of one job",
        "w",
        (curve("front's peak, above what it held before", lambda taken: taken.peak_bytes),),
    )
    return time_of, memory_of
