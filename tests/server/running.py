"""A real server in a process of its own, and requests to send to it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message

from nablad.v1 import (
    dataset_pb2,
    dataset_pb2_grpc,
    derivative_pb2_grpc,
    event_pb2,
    method_pb2,
    model_pb2,
    solver_pb2,
    solver_pb2_grpc,
)
from nablad.wire import chunks, rpc
from nablad.wire.tensors import AnyArray, element_of, encode

COMMAND = [sys.executable, "-m", "nablad.server"]
TIMEOUT = 30.0


class Running:
    """A server process with its log and a channel to it."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self.process = process
        self._log = log
        self.address = self._wait_for_address()
        self.channel = grpc.insecure_channel(self.address, options=rpc.CLIENT_OPTIONS)
        self.solver: Any = solver_pb2_grpc.SolverServiceStub(self.channel)
        self.datasets: Any = dataset_pb2_grpc.DatasetServiceStub(self.channel)
        self.derivatives: Any = derivative_pb2_grpc.DerivativeServiceStub(self.channel)

    def _wait_for_address(self) -> str:
        (line,) = wait_for(lambda: self.logged("server started"), "the server to start", while_alive=self.process)
        return str(line["address"])

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log's lines of this event."""
        self._log.seek(0)
        lines = [json.loads(line) for line in self._log.read().decode().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def log_text(self) -> str:
        self._log.seek(0)
        return self._log.read().decode()

    def worker_of(self, job: str) -> int:
        """The process that runs a job."""
        return int(
            wait_for(lambda: [row for row in self.logged("job started") if row["job"] == job], "a worker")[-1]["worker"]
        )

    def get(self, name: str) -> solver_pb2.SolveJob:
        return self.solver.GetSolveJob(solver_pb2.GetSolveJobRequest(name=name), timeout=TIMEOUT)

    def create(self, spec: solver_pb2.SolveSpec, **fields: Any) -> solver_pb2.SolveJob:
        return self.solver.CreateSolveJob(solver_pb2.CreateSolveJobRequest(spec=spec, **fields), timeout=TIMEOUT)

    def cancel(self, name: str) -> solver_pb2.SolveJob:
        return self.solver.CancelSolveJob(solver_pb2.CancelSolveJobRequest(name=name), timeout=TIMEOUT)

    def watch(self, name: str, after_seq: int = 0, thinning: solver_pb2.Thinning | None = None) -> Any:
        request = solver_pb2.WatchSolveJobRequest(name=name, after_seq=after_seq, thinning=thinning)
        return self.solver.WatchSolveJob(request, timeout=TIMEOUT)

    def events(
        self, name: str, after_seq: int = 0, thinning: solver_pb2.Thinning | None = None
    ) -> list[event_pb2.SolveEvent]:
        return events_of(self.watch(name, after_seq, thinning))

    def solve(self, spec: solver_pb2.SolveSpec, **fields: Any) -> list[event_pb2.SolveEvent]:
        return events_of(self.solver.Solve(solver_pb2.SolveRequest(spec=spec, **fields), timeout=TIMEOUT))

    def upload(self, array: AnyArray, **header: Any) -> dataset_pb2.Dataset:
        return self.datasets.UploadDataset(iter(upload_of(array, **header)), timeout=TIMEOUT)

    def wait_until(self, name: str, state: event_pb2.JobState.ValueType) -> solver_pb2.SolveJob:
        return wait_for(lambda: (job := self.get(name)).state == state and job, f"{name} in state {state}")

    def wait_until_it_iterates(self, name: str, iteration: int = 5) -> solver_pb2.SolveJob:
        return wait_for(lambda: (job := self.get(name)).last_iterate.iteration >= iteration and job, f"{name} to run")


@contextmanager
def serving(
    *arguments: str,
    file_bytes: int | None = None,
    environment: dict[str, str] | None = None,
    **settings: Any,
) -> Iterator[Running]:
    """A server with these settings; killed at the end if it has not ended by then.

    `file_bytes` limits the files that it may write, as a full disk would.
    """
    # The shell sets the limit: a preexec_fn would run Python between fork and exec, beside gRPC's threads.
    limited = ["bash", "-c", f'ulimit -f {file_bytes // 1024}; exec "$@"', "bash"] if file_bytes else []
    command = [*limited, *COMMAND, "--listen", "127.0.0.1:0", "--log-format", "json", *arguments]
    if settings:
        command += ["--settings", json.dumps(settings)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, env=os.environ | (environment or {}))
        server = None
        try:
            server = Running(process, log)
            yield server
        finally:
            if server is not None:
                server.channel.close()
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(5)
                process.kill()
            process.wait()


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 20.0, while_alive: Any = None) -> Any:
    """The condition's value once it is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        assert while_alive is None or while_alive.poll() is None, f"the process ended before {what}"
        time.sleep(0.02)
    return value


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    except OSError:
        return True


def descendants(pid: int) -> set[int]:
    """The process's children, their children, and so on."""
    found: set[int] = set()
    pending = [pid]
    while pending:
        new = children(pending.pop()) - found
        found |= new
        pending += new
    return found


def children(pid: int) -> set[int]:
    """The processes that a process has started."""
    found: set[int] = set()
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found |= {int(child) for child in (task / "children").read_text().split()}
    return found


def events_of(stream: Iterable[event_pb2.SolveEventBlock]) -> list[event_pb2.SolveEvent]:
    return [event for block in stream for event in block.events]


def iterates_of(events: Iterable[event_pb2.SolveEvent]) -> list[event_pb2.Iterate]:
    return [event.iterate for event in events if event.WhichOneof("event") == "iterate"]


def result_of(events: Iterable[event_pb2.SolveEvent]) -> event_pb2.SolveResult:
    (done,) = [event.done for event in events if event.WhichOneof("event") == "done"]
    return done.result


def array_of(tensor: Any) -> AnyArray:
    from nablad.wire.tensors import decode

    return decode(tensor)


def data(rows: int = 60, columns: int = 3, seed: int = 0) -> tuple[AnyArray, AnyArray]:
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(rows, columns))
    return features, features @ np.arange(1.0, columns + 1) + 0.1 * generator.normal(size=rows)


def least_squares(features: AnyArray, targets: AnyArray, **fields: Any) -> model_pb2.Model:
    return model_pb2.Model(
        least_squares=model_pb2.LeastSquares(features=encode(features), targets=encode(targets), **fields)
    )


def quick(**fields: Any) -> solver_pb2.SolveSpec:
    """Newton on a small least-squares problem."""
    return solver_pb2.SolveSpec(model=least_squares(*data()), **fields)


def descent(step_size: float, **stopping: Any) -> dict[str, Any]:
    """Gradient descent with a constant step, as fields of a spec."""
    constant = method_pb2.ConstantStep(step_size=step_size)
    return {
        "method": method_pb2.Method(gradient_descent=method_pb2.GradientDescent(constant=constant)),
        "stopping": method_pb2.Stopping(**stopping),
    }


def endless(**fields: Any) -> solver_pb2.SolveSpec:
    """A job that goes on for minutes, improving all the time."""
    return solver_pb2.SolveSpec(
        model=least_squares(*data()), **descent(1e-12, max_iterations=10**7, relative_gradient_tolerance=0.0), **fields
    )


def upload_of(array: AnyArray, chunk_bytes: int = 1 << 16, **header: Any) -> list[dataset_pb2.UploadDatasetRequest]:
    first = dataset_pb2.DatasetHeader(dtype=element_of(array.dtype).data_type, shape=array.shape, **header)
    return [
        dataset_pb2.UploadDatasetRequest(header=first),
        *(dataset_pb2.UploadDatasetRequest(chunk=chunk) for chunk in chunks.split(array, chunk_bytes=chunk_bytes)),
    ]


def refused(call: Callable[[], Any]) -> Any:
    """The ErrorDetails of a call that must fail, and fail as the contract says: with an ErrorInfo."""
    with pytest.raises(grpc.RpcError) as caught:
        _exhaust(call())
    details = rpc.parse(caught.value)
    assert details.reason, f"an error without ErrorInfo: {caught.value}"
    assert details.code not in ("UNKNOWN", "INTERNAL"), details
    return details


def _exhaust(outcome: Any) -> None:
    if not isinstance(outcome, Message):
        list(outcome)


def free_port() -> int:
    """One that nobody listens on, for a server that is to be found again where it was."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def port_of(address: str) -> int:
    (port,) = re.findall(r":(\d+)$", address)
    return int(port)


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
