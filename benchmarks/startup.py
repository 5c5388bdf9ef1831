"""Startup: what importing costs, how soon the command answers, how soon a server serves and solves.

Each measurement is a process of its own, the processes take turns, and medians count. Bytecode is kept in a directory
that the first turn, which is not counted, fills: as after an installation, nothing is compiled, whatever the caller's
environment says. A server is timed from its start to the first
health check that says SERVING, and on to the answer of a first small solve; the client that asks is this process's, and
warm.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.machine import describe
from benchmarks.timing import pretty, table
from nablad.client import Client, Layer, LeastSquares, Network, Stopping

ROUNDS = 9
SERVERS = 7
FEW = Stopping(max_iterations=5)

BASE = "import numpy, grpc"
IMPORTS = {
    BASE: ["-c", BASE],
    "import nablad.client": ["-c", "import nablad.client"],
    "..., Client, LeastSquares, Newton": ["-c", "from nablad.client import Client, LeastSquares, Newton"],
    "..., all of its names": ["-c", "from nablad.client import *"],
    "nablad --help": ["-m", "nablad.cli", "--help"],
}


def environment(bytecode: str) -> dict[str, str]:
    """Ours, but with bytecode written to a directory and read from it."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": bytecode}


def seconds_of(arguments: list[str], variables: dict[str, str]) -> tuple[float, float]:
    """Of a Python process with these arguments: by the clock, and of processors, which a busy machine disturbs less."""
    began, used = time.perf_counter(), os.times()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=variables)
    now = os.times()
    processor = now.children_user - used.children_user + now.children_system - used.children_system
    return time.perf_counter() - began, processor


def imports(variables: dict[str, str]) -> str:
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in IMPORTS}
    for i in range(ROUNDS + 1):
        print(f"startup: imports, round {i} of {ROUNDS}", file=sys.stderr)
        for name, arguments in IMPORTS.items():
            seconds = seconds_of(arguments, variables)
            if i:
                turns[name].append(seconds)
    rows = []
    for name, seen in turns.items():
        clock, processor = (
            statistics.median(a[k] / b[k] for a, b in zip(seen, turns[BASE], strict=True)) for k in (0, 1)
        )
        medians = [pretty(statistics.median(turn[k] for turn in seen)) for k in (0, 1)]
        rows.append([name, *medians, f"{clock:.2f}", f"{processor:.2f}"])
    head = ["process", "by the clock", "processor time", f"of `{BASE}`", "by processor time"]
    return table(head, rows)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def served(variables: dict[str, str]) -> tuple[float, float, float]:
    """Seconds from a server's start until it serves, until a first solve is answered, and until a network's is."""
    port = free_port()
    generator = np.random.default_rng(0)
    features = generator.standard_normal((200, 4))
    targets = features.sum(axis=1)
    began = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", "nablad.cli", "serve", "--listen", f"127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=variables,
    )
    try:
        ready = _until_serving(port, server) - began
        with Client.connect(f"127.0.0.1:{port}") as client:
            client.solve(LeastSquares(features, targets)).result()
            solved = time.perf_counter() - began
            client.solve(Network(features, targets, [Layer(8, "tanh"), Layer(1)]), stopping=FEW).result()
            trained = time.perf_counter() - began
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    return ready, solved, trained


def _until_serving(port: int, server: subprocess.Popen[bytes]) -> float:
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_reconnect_backoff_ms", 50)]) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while server.poll() is None:
            try:
                reply = health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=30.0)
            except grpc.RpcError:
                continue
            if reply.status == health_pb2.HealthCheckResponse.SERVING:
                return time.perf_counter()
            time.sleep(0.002)
    raise RuntimeError("the server ended")


def servers(variables: dict[str, str]) -> str:
    seen = []
    for i in range(SERVERS + 1):
        print(f"startup: server {i} of {SERVERS}", file=sys.stderr)
        times = served(variables)
        if i:
            seen.append(times)
    names = ("serving", "least squares solved", "network trained")
    columns = list(zip(*seen, strict=True))
    rows = [
        [name, pretty(statistics.median(column)), pretty(min(column)), pretty(max(column))]
        for name, column in zip(names, columns, strict=True)
    ]
    return table(["`nablad serve`, from its start until", "median", "fastest", "slowest"], rows)


def main() -> str:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    with tempfile.TemporaryDirectory() as bytecode:
        variables = environment(bytecode)
        tables = [imports(variables), servers(variables)]
    return "\n\n".join([describe("numpy", "grpcio", "protobuf"), *tables])
