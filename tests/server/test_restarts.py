"""Jobs outlive their server: killed or stopped, the next one on the same directory goes on where it was."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from server.running import (
    COMMAND,
    TIMEOUT,
    Running,
    data,
    endless,
    iterates_of,
    quick,
    refused,
    result_of,
    serving,
    wait_for,
)

from nablad.v1 import event_pb2, method_pb2, model_pb2, solver_pb2, termination_pb2
from nablad.wire.tensors import encode

QUEUED, RUNNING = event_pb2.JOB_STATE_QUEUED, event_pb2.JOB_STATE_RUNNING
SUCCEEDED, CANCELLED = event_pb2.JOB_STATE_SUCCEEDED, event_pb2.JOB_STATE_CANCELLED


def on(directory: Path, **settings: Any) -> Any:
    """A server that keeps its jobs in a directory."""
    return serving("--data-dir", str(directory), workers=1, **settings)


def kill(server: Running) -> None:
    server.process.kill()
    server.process.wait()


def network(rows: int, **fields: Any) -> solver_pb2.SolveSpec:
    inputs, targets = data(rows, 3, seed=3)
    layers = [model_pb2.Layer(width=8, activation="tanh"), model_pb2.Layer(width=1)]
    net = model_pb2.Network(inputs=encode(inputs), targets=encode(targets), layers=layers, seed=5)
    return solver_pb2.SolveSpec(model=model_pb2.Model(network=net), **fields)


def patient(**stopping: Any) -> method_pb2.Stopping:
    return method_pb2.Stopping(relative_gradient_tolerance=0.0, **stopping)


# Each takes some seconds, whose iterations depend on all that came before: on the random order of the rows, on what a
# line search remembers.
LONG = {
    "minibatches": network(
        2000,
        method=method_pb2.Method(
            stochastic_gradient_descent=method_pb2.StochasticGradientDescent(
                learning_rate=1e-6, momentum=0.5, batch_size=20, seed=11
            )
        ),
        stopping=patient(max_iterations=200),
    ),
    "line search": network(
        300,
        method=method_pb2.Method(gradient_descent=method_pb2.GradientDescent(wolfe=method_pb2.WolfeSearch())),
        stopping=patient(max_iterations=10_000),
    ),
}


def without_clock(iterate: event_pb2.Iterate) -> bytes:
    copy = event_pb2.Iterate()
    copy.CopyFrom(iterate)
    copy.seconds = 0.0
    return copy.SerializeToString(deterministic=True)


def outcome(result: event_pb2.SolveResult) -> tuple[Any, ...]:
    return (
        result.termination.status,
        result.loss,
        result.iterations,
        result.best_iteration,
        result.theta.SerializeToString(deterministic=True),
        [getattr(result.counts, field) for field in ("values", "gradients", "hessians")],
    )


@pytest.fixture(scope="module")
def undisturbed() -> Iterator[Callable[[str], list[event_pb2.SolveEvent]]]:
    """The events of a long job that nothing befell."""
    known: dict[str, list[event_pb2.SolveEvent]] = {}
    with serving(workers=1) as server:

        def run(which: str) -> list[event_pb2.SolveEvent]:
            if which not in known:
                known[which] = server.solve(LONG[which])
            return known[which]

        yield run


def has_begun(event: event_pb2.SolveEvent) -> bool:
    return event.iterate.iteration >= 3


def is_a_checkpoint(event: event_pb2.SolveEvent) -> bool:
    return event.WhichOneof("event") == "checkpoint"


def is_some_way_after_one(event: event_pb2.SolveEvent) -> bool:
    return event.iterate.seconds > 1.5


@pytest.mark.parametrize(
    ("which", "moments"),
    [
        ("minibatches", [has_begun, is_a_checkpoint]),
        ("line search", [is_some_way_after_one]),
    ],
)
def test_a_killed_server_goes_on_to_the_same_end(
    tmp_path: Path,
    undisturbed: Callable[[str], list[event_pb2.SolveEvent]],
    which: str,
    moments: list[Callable[[event_pb2.SolveEvent], bool]],
) -> None:
    seen: list[event_pb2.SolveEvent] = []
    name = ""
    for is_the_moment in moments:
        with on(tmp_path) as server:
            name = name or server.create(LONG[which]).name
            for block in server.watch(name, seen[-1].seq if seen else 0):
                seen += block.events
                if any(is_the_moment(event) for event in block.events):
                    break
            kill(server)
    with on(tmp_path) as server:
        seen += server.events(name, seen[-1].seq)
        assert server.events(name) == seen, "what was shown is not what is kept"
        job = server.get(name)
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    expected = undisturbed(which)
    assert [without_clock(i) for i in iterates_of(seen)] == [without_clock(i) for i in iterates_of(expected)]
    assert outcome(result_of(seen)) == outcome(result_of(expected))
    assert job.result == result_of(seen)
    changes = [event.state_change for event in seen if event.WhichOneof("event") == "state_change"]
    assert [change.state for change in changes] == [QUEUED, RUNNING, *([QUEUED, RUNNING] * len(moments)), SUCCEEDED]
    assert "restarted; the job goes on from" in changes[2].message


def test_what_has_ended_is_kept(tmp_path: Path) -> None:
    request_id = str(uuid.uuid4())
    with on(tmp_path) as server:
        name = server.create(quick(title="kept"), request_id=request_id).name
        events = server.events(name)
        job = server.get(name)
        kill(server)
    with on(tmp_path) as server:
        assert server.get(name) == job
        assert server.events(name) == events
        assert server.create(quick(title="kept"), request_id=request_id).name == name
        assert refused(lambda: server.create(quick(), request_id=request_id)).reason == "REQUEST_ID_TAKEN"
        listed = server.solver.ListSolveJobs(solver_pb2.ListSolveJobsRequest(), timeout=TIMEOUT).solve_jobs
        assert [row.name for row in listed] == [name]
        prediction = solver_pb2.PredictRequest(solve_job=name, inputs=encode(data()[0]))
        assert server.solver.Predict(prediction, timeout=TIMEOUT).outputs.shape == [60]
        server.solver.DeleteSolveJob(solver_pb2.DeleteSolveJobRequest(name=name), timeout=TIMEOUT)
    with on(tmp_path) as server:
        assert refused(lambda: server.get(name)).code == "NOT_FOUND"


def test_a_stopped_server_leaves_its_jobs_to_the_next(tmp_path: Path) -> None:
    with on(tmp_path) as server:
        running, queued = server.create(endless()), server.create(quick())
        server.wait_until_it_iterates(running.name)
        told: dict[str, Any] = {}
        readers = [
            threading.Thread(target=lambda n=name: told.update({n: refused(lambda: server.events(n))}))
            for name in (running.name, queued.name)
        ]
        for reader in readers:
            reader.start()
        time.sleep(0.3)
        started = time.monotonic()
        server.process.terminate()
        assert server.process.wait(10) == 0
        assert time.monotonic() - started < 5.0
        for reader in readers:
            reader.join()
        assert {(details.code, details.reason) for details in told.values()} == {("UNAVAILABLE", "SHUTTING_DOWN")}
        after = int(told[running.name].metadata["after_seq"])
        assert after > 2
        assert server.logged("server stopped")[0]["jobs_left"] == 2
    with on(tmp_path) as server:
        stream = server.watch(running.name, after)
        assert next(event.seq for block in stream for event in block.events) == after + 1
        stream.cancel()
        assert server.get(queued.name).state == QUEUED
        server.cancel(running.name)
        assert server.wait_until(running.name, CANCELLED).result.HasField("theta")
        assert server.wait_until(queued.name, SUCCEEDED).result.termination.success


def test_the_death_of_a_server_is_not_held_against_its_jobs(tmp_path: Path) -> None:
    with on(tmp_path, max_deaths=1) as server:
        name = server.create(endless()).name
        server.wait_until_it_iterates(name)
        kill(server)
    with on(tmp_path, max_deaths=1) as server:
        (started,) = wait_for(lambda: server.logged("job started"), "the job to start")
        assert (started["job"], started["epoch"]) == (name, 2)
        server.cancel(name)
        assert server.wait_until(name, CANCELLED).result.HasField("theta")


def test_a_cancel_is_not_forgotten(tmp_path: Path) -> None:
    with on(tmp_path) as server:
        name = server.create(endless()).name
        server.wait_until_it_iterates(name)
        worker = server.worker_of(name)
        os.kill(worker, signal.SIGSTOP)
        assert server.cancel(name).cancel_requested
        kill(server)
        os.kill(worker, signal.SIGKILL)
    with on(tmp_path) as server:
        ended = server.wait_until(name, CANCELLED)
        assert ended.result.termination.status == termination_pb2.STATUS_USER_CANCELLED


def test_a_job_that_wants_to_be_watched_waits_for_its_watcher_and_no_longer(tmp_path: Path) -> None:
    with on(tmp_path) as server:
        name = server.create(endless(cancel_when_unwatched=True)).name
        server.wait_until_it_iterates(name)
        kill(server)
    with on(tmp_path, unwatched_seconds=0.5) as server:
        server.wait_until(name, CANCELLED)


def test_a_job_waits_while_the_disk_is_full(tmp_path: Path) -> None:
    with on(tmp_path) as server:
        name = server.create(endless()).name
        server.wait_until_it_iterates(name)
        _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (4096, hard))
        try:
            wait_for(lambda: server.logged("store unavailable") or server.get(name).state != RUNNING, "a full disk")
            reached = server.get(name)
            assert reached.state == RUNNING
            details = refused(lambda: server.create(quick()))
            assert details.code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED")
            assert details.retry_delay
        finally:
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        server.wait_until_it_iterates(name, reached.last_iterate.iteration + 100)
        server.cancel(name)
        server.wait_until(name, CANCELLED)
        events = server.events(name)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert [i.iteration for i in iterates_of(events)] == list(range(len(iterates_of(events))))
        assert not server.logged("job failed inside the server")


def test_the_oldest_are_forgotten_by_the_next_server_too(tmp_path: Path) -> None:
    with on(tmp_path) as server:
        names = [server.create(quick()).name for _ in range(4)]
        for name in names:
            server.wait_until(name, SUCCEEDED)
    with on(tmp_path, limits={"finished_jobs": 2}) as server:
        listed = server.solver.ListSolveJobs(solver_pb2.ListSolveJobsRequest(), timeout=TIMEOUT).solve_jobs
        assert [row.name for row in listed] == names[:1:-1]


def test_a_directory_of_a_newer_server_is_told_in_one_line(tmp_path: Path) -> None:
    with on(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    command = [*COMMAND, "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "newer nablad" in line
    assert str(tmp_path) in line
