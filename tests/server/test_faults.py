"""Whatever dies, the rest goes on: workers, the front, parents, clients; each killed for real."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from server.running import (
    COMMAND,
    TIMEOUT,
    Running,
    array_of,
    children,
    data,
    descendants,
    descent,
    end,
    endless,
    events_of,
    is_alive,
    iterates_of,
    least_squares,
    quick,
    refused,
    result_of,
    serving,
    wait_for,
)

from nablad.v1 import event_pb2, method_pb2, solver_pb2, tensor_pb2, termination_pb2


@pytest.fixture(scope="module")
def hardy() -> Iterator[Running]:
    with serving(workers=2, heartbeat_seconds=0.2, unwatched_seconds=0.3) as running:
        yield running
        assert not running.logged("call failed inside the server"), running.log_text()


def sum_of_squares(theta: Any) -> float:
    features, targets = data()
    return float(np.sum((targets - features @ theta) ** 2))


def test_a_killed_worker_takes_nothing_with_it(hardy: Running) -> None:
    job, other = hardy.create(endless()), hardy.create(endless())
    stream = hardy.watch(job.name)
    live: list[event_pb2.SolveEvent] = []
    reading = threading.Thread(target=lambda: live.extend(events_of(stream)))
    reading.start()
    wait_for(lambda: hardy.get(job.name).last_iterate.seconds > 3.0, "a checkpoint")
    hardy.wait_until_it_iterates(other.name)
    victim = hardy.worker_of(job.name)
    end(victim)
    wait_for(lambda: len([r for r in hardy.logged("job started") if r["job"] == job.name]) == 2, "the second try")
    reached = hardy.get(job.name).last_iterate.iteration
    hardy.wait_until_it_iterates(job.name, reached + 100)
    assert hardy.get(other.name).state == event_pb2.JOB_STATE_RUNNING
    for name in (job.name, other.name):
        hardy.cancel(name)
        hardy.wait_until(name, event_pb2.JOB_STATE_CANCELLED)
    reading.join()
    assert [event.seq for event in live] == list(range(1, len(live) + 1))
    assert [i.iteration for i in iterates_of(live)] == list(range(len(iterates_of(live))))
    changes = [event.state_change for event in live if event.WhichOneof("event") == "state_change"]
    assert [change.state for change in changes] == [1, 2, 1, 2, 5]
    assert "goes on from iteration" in changes[2].message
    assert not is_alive(victim)
    undisturbed = hardy.events(other.name)
    together = zip(iterates_of(live), iterates_of(undisturbed), strict=False)
    assert all((a.loss, a.gradient_norm) == (b.loss, b.gradient_norm) for a, b in together)
    assert not hardy.get(job.name).queue_position


def test_a_job_that_kills_its_workers_is_given_up(hardy: Running) -> None:
    job = hardy.create(endless())
    for death in range(1, 4):
        wait_for(lambda n=death: len([r for r in hardy.logged("job started") if r["job"] == job.name]) == n, "a try")
        hardy.wait_until_it_iterates(job.name)
        end(hardy.worker_of(job.name))
        wait_for(
            lambda n=death: [r for r in hardy.logged("worker died") if r["job"] == job.name and r["deaths"] == n], "it"
        )
    ended = hardy.wait_until(job.name, event_pb2.JOB_STATE_FAILED)
    assert ended.result.termination.status == termination_pb2.STATUS_FAILED_WORKER_LOST
    assert "3 worker processes" in ended.result.termination.message
    assert sum_of_squares(array_of(ended.result.theta)) == pytest.approx(ended.result.loss)
    assert [row.name for row in ended.result.parameters] == ["theta"]
    assert result_of(hardy.solve(quick())).termination.success


def test_idle_and_reserved_workers_are_replaced(hardy: Running) -> None:
    assert result_of(hardy.solve(quick())).termination.success
    (template,) = children(hardy.process.pid)
    for pid in children(template):
        end(pid)
    wait_for(lambda: len(children(template)) == 3, "new workers")
    assert result_of(hardy.solve(quick())).termination.success
    for pid in (*children(template), template):
        end(pid)
    assert result_of(hardy.solve(quick())).termination.success
    wait_for(lambda: len(descendants(hardy.process.pid)) == 4, "a new template with its workers")


def test_calls_are_accepted_before_there_are_workers() -> None:
    with serving(workers=1) as server:
        (template,) = children(server.process.pid)
        os.kill(template, signal.SIGSTOP)
        for worker in children(template):  # where they were quick
            end(worker)
        solving = server.solver.Solve(solver_pb2.SolveRequest(spec=quick()), timeout=TIMEOUT)
        assert not server.solver.ListSolveJobs(solver_pb2.ListSolveJobsRequest(), timeout=TIMEOUT).solve_jobs
        os.kill(template, signal.SIGCONT)
        assert result_of(events_of(solving)).termination.success


def test_no_worker_outlives_its_front() -> None:
    with serving(workers=2) as server:
        server.wait_until_it_iterates(server.create(endless()).name)
        workers = descendants(server.process.pid)
        assert len(workers) == 4  # template, two workers, the reserved one
        server.process.kill()
        server.process.wait()
        wait_for(lambda: not any(is_alive(pid) for pid in workers), "the workers' end", 5.0)


PARENT = """
import json, subprocess, sys, time
command = [sys.executable, "-m", "nablad.server", "--embedded", "--workers", "1"]
child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdin.write(b"secret\\n"); child.stdin.flush()
print(json.dumps({"pid": child.pid, "port": json.loads(child.stdout.readline())["port"]}), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_embedded_server_ends_with_its_parent(number: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert parent.stdout is not None
    facts = json.loads(parent.stdout.readline())
    family = {facts["pid"], *descendants(facts["pid"])}
    assert len(family) == 4
    with grpc.insecure_channel(f"127.0.0.1:{facts['port']}") as channel:
        get = channel.unary_unary("/nablad.v1.SolverService/ListSolveJobs")
        for metadata in ((), (("authorization", "Bearer wrong"),), (("authorization", "secret"),)):
            details = refused(lambda m=metadata: get(b"", metadata=m, timeout=TIMEOUT))
            assert details.code == "UNAUTHENTICATED"
        health = channel.unary_unary("/grpc.health.v1.Health/Check")
        with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
            health(b"", timeout=TIMEOUT)
        assert get(b"", metadata=(("authorization", "Bearer secret"),), timeout=TIMEOUT) is not None
    parent.send_signal(number)
    parent.wait()
    wait_for(lambda: not any(is_alive(pid) for pid in family), "the family's end", 8.0)
    parent.stdout.close()


def test_embedded_needs_a_token() -> None:
    done = subprocess.run([*COMMAND, "--embedded"], stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT)
    assert done.returncode == 1
    assert b"token" in done.stderr


def test_sigterm_ends_everything_in_order() -> None:
    with serving(workers=1) as server:
        running, queued = server.create(endless()), server.create(endless())
        server.wait_until_it_iterates(running.name)
        seen: dict[str, list[event_pb2.SolveEvent]] = {}
        readers = [
            threading.Thread(target=lambda n=name: seen.update({n: server.events(n)}))
            for name in (running.name, queued.name)
        ]
        for reader in readers:
            reader.start()
        time.sleep(0.3)
        family = descendants(server.process.pid)
        started = time.monotonic()
        server.process.terminate()
        for reader in readers:
            reader.join()
        assert server.process.wait(15) == 0
        assert time.monotonic() - started < 5.0
        for events in seen.values():
            assert events[-1].state_change.state == event_pb2.JOB_STATE_CANCELLED
            assert "the server was stopped" in events[-1].state_change.message
        assert sum_of_squares(array_of(result_of(seen[running.name]).theta)) == pytest.approx(
            result_of(seen[running.name]).loss
        )
        assert not any(is_alive(pid) for pid in family)
        assert [line["event"] for line in map(json.loads, server.log_text().splitlines())][-1] == "server stopped"


def test_a_shutdown_is_bounded_and_tells_where_to_resume() -> None:
    with serving(workers=1, shutdown_seconds=0.5) as server:
        job = server.create(endless())
        server.wait_until_it_iterates(job.name)
        os.kill(server.worker_of(job.name), signal.SIGSTOP)
        time.sleep(0.2)
        stream = server.watch(job.name)
        next(stream)
        server.process.terminate()
        details = refused(lambda: list(stream))
        assert (details.code, details.reason) == ("UNAVAILABLE", "SHUTTING_DOWN")
        assert int(details.metadata["after_seq"]) >= 2
        assert details.retry_delay is not None
        assert server.process.wait(10) == 0


def test_a_second_signal_ends_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    with serving(workers=1, environment={"TMPDIR": str(tmp_path)}) as server:
        job = server.create(endless())
        server.wait_until_it_iterates(job.name)
        family = descendants(server.process.pid)
        os.kill(server.worker_of(job.name), signal.SIGSTOP)
        server.process.terminate()
        wait_for(lambda: server.logged("stopping"), "the first signal")
        assert list(tmp_path.glob("nablad-*"))
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(3) == 128 + signal.SIGINT
        assert not list(tmp_path.glob("nablad-*"))
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        wait_for(lambda: not any(is_alive(pid) for pid in family), "the workers' end", 5.0)


def test_new_jobs_are_refused_while_the_server_ends() -> None:
    with serving(workers=1, shutdown_seconds=3.0) as server:
        job = server.create(endless())
        server.wait_until_it_iterates(job.name)
        worker = server.worker_of(job.name)
        os.kill(worker, signal.SIGSTOP)
        server.process.terminate()
        wait_for(lambda: server.logged("stopping"), "the signal")
        time.sleep(0.1)
        assert refused(lambda: server.create(quick())).code == "UNAVAILABLE"
        os.kill(worker, signal.SIGCONT)
        assert server.process.wait(10) == 0


CLIENT = """
import sys, time, grpc
from nablad.v1 import solver_pb2, solver_pb2_grpc
stub = solver_pb2_grpc.SolverServiceStub(grpc.insecure_channel(sys.argv[1]))
call = stub.Solve(solver_pb2.SolveRequest.FromString(bytes.fromhex(sys.argv[2])))
print(dict(call.initial_metadata())["nablad-job"], flush=True)
for block in call: pass
"""


def test_a_client_that_is_killed_is_noticed(hardy: Running) -> None:
    request = solver_pb2.SolveRequest(spec=endless(cancel_when_unwatched=True)).SerializeToString().hex()
    client = subprocess.Popen([sys.executable, "-c", CLIENT, hardy.address, request], stdout=subprocess.PIPE)
    assert client.stdout is not None
    name = client.stdout.readline().decode().strip()
    hardy.wait_until_it_iterates(name)
    client.kill()
    client.wait()
    client.stdout.close()
    assert hardy.wait_until(name, event_pb2.JOB_STATE_CANCELLED).result.HasField("theta")


def test_a_watcher_that_does_not_read_is_told_where_to_resume() -> None:
    with serving(workers=1, stall_seconds=0.5) as server:
        features, targets = data(20, 1000)
        spec = solver_pb2.SolveSpec(
            model=least_squares(features, targets),
            record_theta=solver_pb2.RecordTheta(every=1),
            **descent(1e-13, max_iterations=40_000, relative_gradient_tolerance=0.0),
        )
        job = server.create(spec)
        stream = server.watch(job.name)
        seen = [event.seq for event in next(stream).events]
        wait_for(lambda: server.logged("watcher stalled"), "the stall to be noticed")
        assert server.cancel(job.name).cancel_requested
        server.wait_until(job.name, event_pb2.JOB_STATE_CANCELLED)
        details = refused(lambda: [seen.append(event.seq) for block in stream for event in block.events])
        assert details.reason == "WATCHER_STALLED"
        assert int(details.metadata["after_seq"]) <= seen[-1]
        rest = [event.seq for event in server.events(job.name, seen[-1])]
        assert [*seen, *rest] == list(range(1, server.get(job.name).last_seq + 1))


def test_a_worker_without_memory_is_told_apart() -> None:
    with serving(workers=1) as server:
        job = server.create(endless())
        server.wait_until_it_iterates(job.name)
        worker = server.worker_of(job.name)
        server.cancel(job.name)
        server.wait_until(job.name, event_pb2.JOB_STATE_CANCELLED)
        used = int(re.findall(r"VmSize:\s+(\d+) kB", Path(f"/proc/{worker}/status").read_text())[0]) * 1024
        resource.prlimit(worker, resource.RLIMIT_AS, (used + (40 << 20), used + (40 << 20)))
        features = np.random.default_rng(0).normal(size=(50, 2600))
        uploaded = server.upload(features)
        method = method_pb2.Method(bfgs=method_pb2.BFGS())  # with a p x p matrix
        spec = solver_pb2.SolveSpec(model=least_squares(features[:, :2], features[:, 0]), method=method)
        spec.model.least_squares.features.CopyFrom(
            tensor_pb2.Tensor(dtype=uploaded.dtype, shape=uploaded.shape, dataset=uploaded.name)
        )
        result = result_of(server.solve(spec))
        assert result.termination.status == termination_pb2.STATUS_FAILED_OUT_OF_MEMORY
        assert result_of(server.solve(quick())).termination.success
        assert not is_alive(worker)
