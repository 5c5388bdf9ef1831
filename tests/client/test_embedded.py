"""Servers that belong to a client: they come up, they are alone, and they end with whoever made them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from nablad.client import AsyncClient, Client, GradientDescent, LeastSquares, NabladError, Stopping
from nablad.client.embedded import EmbeddedServer

MODEL = LeastSquares([[1.0], [2.0]], [2.0, 4.0])


def wait_for(condition: Any, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


def children_of(pid: int) -> list[int]:
    out = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, row.split())) for row in out.splitlines()]
    near = [child for child, parent in rows if parent == pid]
    return near + [grandchild for child in near for grandchild in children_of(child)]


def test_two_live_side_by_side_and_each_ends_alone() -> None:
    first, second = Client.embedded(workers=1), Client.embedded(workers=1)
    try:
        assert first.target != second.target
        server = first._server
        assert server is not None
        assert server.process.stdin is not None
        # No other process may hold the write end of its stdin, or it would never see the end.
        server.process.stdin.close()
        assert server.process.wait(5.0) == 0
        assert second.solve(MODEL).result().theta.tolist() == [2.0]
        assert second._server is not None
        pids = [second._server.process.pid, *children_of(second._server.process.pid)]
        assert len(pids) > 1
    finally:
        first.close()
        second.close()
    assert all(wait_for(lambda pid=pid: is_gone(pid)) for pid in pids)


def test_strangers_are_refused(server: EmbeddedServer) -> None:
    with grpc.insecure_channel(server.target) as channel:
        call: Any = channel.unary_unary("/nablad.v1.SolverService/ListSolveJobs")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=5)
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


PARENT = """
import sys, time
from nablad.client import Client, GradientDescent, LeastSquares
client = Client.embedded(workers=1)
run = client.solve(LeastSquares([[1.0, 2.0]], [1.0]), GradientDescent(step=1e-9))
next(iter(run))
print(client._server.process.pid, flush=True)
time.sleep(60)
"""


def test_a_server_dies_with_its_parent_under_kill_9() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    pids = [pid, *children_of(pid)]
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert all(wait_for(lambda pid=pid: is_gone(pid)) for pid in pids)


def test_without_the_server_extra() -> None:
    probe = (
        "import sys; sys.modules['pydantic'] = None\n"
        "from nablad.client import Client, NabladError\n"
        "try: Client.embedded()\n"
        "except NabladError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "the server is not installed: pip install 'nablad[server]'"


def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(NabladError, match=r"embedded server did not start: .*workers"):
        Client.embedded(workers=-3)


async def test_the_loop_goes_on_while_an_embedded_server_starts_and_ends() -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    task = asyncio.create_task(beat())
    async with AsyncClient.embedded(workers=1) as client:
        started = beats
        assert started > 10
        run = await client.solve(MODEL)
        assert [it.iteration async for it in run] == [0, 1]
        assert (await run.result()).theta.tolist() == [2.0]
        assert client._server is not None
        process = client._server.process
    assert process.poll() is not None
    assert beats > started
    task.cancel()


async def test_a_cancelled_task_cancels_its_job(server: EmbeddedServer) -> None:
    async with AsyncClient.connect(server.target, token=server.token) as client:
        run = await client.solve(
            LeastSquares([[1.0, 2.0]], [1.0]),
            GradientDescent(step=1e-9),
            stopping=Stopping(max_iterations=10**7, relative_gradient_tolerance=0.0),
        )

        async def work() -> None:
            async with run:
                async for _ in run:
                    pass

        task = asyncio.create_task(work())
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await run.result()).status == "USER_CANCELLED"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_an_address_must_be_one(kind: Any) -> None:
    for target in ("", "http://localhost:50051", 50051):
        with pytest.raises(NabladError, match="HOST:PORT"):
            kind.connect(target)


INTERRUPTED = """
import sys
import numpy as np
from nablad.client import Client, GradientDescent, LeastSquares, Stopping, Thinning
client = Client.connect(sys.argv[1], token=sys.argv[2])
run = client.solve(
    LeastSquares(np.ones((1000, 3)), np.ones(1000)),
    GradientDescent(step=1e-12),
    stopping=Stopping(max_iterations=10**7, relative_gradient_tolerance=0.0),
    thinning=Thinning.interval(3600.0),  # so that the signal comes while it waits for the network
)
try:
    with run:
        for it in run:
            print("running", flush=True)
except KeyboardInterrupt:
    print(run.result().status, run.job.state, flush=True)
"""


def test_ctrl_c_while_waiting_cancels_and_gives_the_best_point(server: EmbeddedServer) -> None:
    command = [sys.executable, "-c", INTERRUPTED, server.target, server.token]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "running\n"
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=15)
    assert (out, err) == ("USER_CANCELLED CANCELLED\n", "")
