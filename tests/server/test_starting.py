"""How a server starts, and what it says when it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from server.running import COMMAND, TIMEOUT, Running, port_of, quick, serving

from nablad.server import Settings


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=TIMEOUT)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a server that cannot start says."""
    assert done.returncode == 1, done
    (line,) = done.stderr.splitlines()
    assert line.startswith("nablad: ")
    return line


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.org:0"])
def test_only_loopback_without_the_flag(address: str) -> None:
    assert "--allow-remote-plaintext" in one_line(start("--listen", address))


def test_the_flag_opens_the_door() -> None:
    with serving("--listen", "0.0.0.0:0", "--allow-remote-plaintext", workers=1) as server:
        assert server.address.startswith("0.0.0.0:")


def test_a_port_in_use_is_told(server: Running) -> None:
    line = one_line(start("--listen", f"127.0.0.1:{port_of(server.address)}"))
    assert str(port_of(server.address)) in line


@pytest.mark.parametrize("listen", ["nowhere", "127.0.0.1:99999", ":1", "127.0.0.1:"])
def test_a_wrong_address_is_told(listen: str) -> None:
    assert "HOST:PORT" in one_line(start("--listen", listen))


def test_a_directory_that_cannot_be_used_is_told() -> None:
    assert "/dev/null" in one_line(start("--data-dir", "/dev/null/x"))


def test_the_front_imports_no_engine() -> None:
    probe = (
        "import sys, nablad.server.serving\n"
        "print([m for m in ('scipy', 'llvmlite', 'nablad.solvers', 'nablad.expressions') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_health_is_told_for_each_service(server: Running) -> None:
    stub: Any = health_pb2_grpc.HealthStub(server.channel)
    for service in ("", *(f"nablad.v1.{name}Service" for name in ("Solver", "Dataset", "Derivative"))):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
        stub.Check(health_pb2.HealthCheckRequest(service="nablad.v1.Nothing"), timeout=TIMEOUT)


def test_reflection_names_the_services(server: Running) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=TIMEOUT)
    names = {service.name for service in answer.list_services_response.service}
    ours = {f"nablad.v1.{name}Service" for name in ("Solver", "Dataset", "Derivative")}
    assert ours | {"grpc.health.v1.Health"} <= names


def test_the_log_is_one_line_an_event_and_holds_no_data(server: Running) -> None:
    server.solve(quick(title="a title"))
    lines = [json.loads(line) for line in server.log_text().splitlines()]
    assert {"server started", "job created", "job started", "job ended"} <= {line["event"] for line in lines}
    started = server.logged("server started")[0]
    assert (started["pid"], started["workers"]) == (server.process.pid, 2)
    assert server.logged("job ended")[-1]["status"].startswith("CONVERGED")


@pytest.mark.parametrize(
    ("listen", "loopback"),
    [("127.0.0.1:1", True), ("127.8.9.1:1", True), ("[::1]:1", True), ("localhost:1", True), ("10.0.0.1:1", False)],
)
def test_loopback_is_known(listen: str, loopback: bool) -> None:
    assert Settings(listen=listen).is_loopback is loopback


def test_cores_are_shared_out() -> None:
    cores = Settings().workers
    assert Settings().threads == 1
    assert Settings(workers=1).threads == cores
    assert Settings(workers=1000).threads == 1
