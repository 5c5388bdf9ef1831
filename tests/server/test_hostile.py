"""What a hostile or careless client does: requests that would swell, streams that are never read, replies too large."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
from server.running import (
    TIMEOUT,
    Running,
    array_of,
    data,
    descent,
    end,
    endless,
    least_squares,
    quick,
    refused,
    result_of,
    serving,
    wait_for,
)

from nablad.v1 import dataset_pb2, event_pb2, model_pb2, solver_pb2, tensor_pb2
from nablad.wire import references
from nablad.wire.tensors import encode

FLOAT64 = tensor_pb2.DATA_TYPE_FLOAT64
ENDED = (event_pb2.JOB_STATE_SUCCEEDED, event_pb2.JOB_STATE_FAILED, event_pb2.JOB_STATE_CANCELLED)


@pytest.fixture(scope="module")
def small() -> Iterator[Running]:
    """A server with narrow bounds, whose jobs end with their first worker."""
    limits = {"unfinished_bytes": 10_000, "prediction_bytes": 10_000}
    with serving(workers=2, max_deaths=1, limits=limits) as running:
        yield running


def filled(*shape: int, value: float = 1.0) -> tensor_pb2.Tensor:
    return tensor_pb2.Tensor(dtype=FLOAT64, shape=shape, fill=value)


def nested(tag: int, inner: bytes) -> bytes:
    """A submessage as protobuf writes it."""
    length, prefix = len(inner), bytearray([tag << 3 | 2])
    while length > 127:
        prefix.append(length & 127 | 128)
        length >>= 7
    return bytes([*prefix, length]) + inner


def test_millions_of_layers_are_refused_before_they_are_looked_at(server: Running) -> None:
    features, targets = data()
    network = model_pb2.Network(inputs=encode(features), targets=encode(targets)).SerializeToString()
    network += b"\x1a\x00" * 3_000_000
    request = nested(1, nested(1, nested(2, network)))
    method: Any = server.channel.unary_stream("/nablad.v1.SolverService/Solve")
    started = time.monotonic()
    details = refused(lambda: method(request, timeout=TIMEOUT))
    assert [row.field for row in details.violations] == ["spec.model.network.layers"]
    assert time.monotonic() - started < 10
    server.solve(quick())


def test_a_state_that_no_job_can_be_in_is_named(server: Running) -> None:
    request = solver_pb2.ListSolveJobsRequest(states=[event_pb2.JOB_STATE_QUEUED, 99])  # type: ignore[list-item]
    details = refused(lambda: server.solver.ListSolveJobs(request, timeout=TIMEOUT))
    assert [row.field for row in details.violations] == ["states[1]"]


def test_a_result_larger_than_a_message_arrives(server: Running) -> None:
    """Each matrix fits into a message; all of them together do not."""
    layers = [model_pb2.Layer(width=340, activation="tanh") for _ in range(20)]
    network = model_pb2.Network(inputs=filled(2, 340), targets=filled(2, 340), layers=layers)
    spec = solver_pb2.SolveSpec(model=model_pb2.Model(network=network), **descent(1e-9, max_iterations=1))
    result = result_of(server.solve(spec))
    assert len(result.parameters) == 40
    assert result.ByteSize() < 8 << 20
    size = sum(np.prod(tuple(row.value.shape)) for row in result.parameters)
    assert result.theta.shape == [size]


def test_small_tensors_are_readable_and_lists_leave_them_out(server: Running) -> None:
    events = server.solve(quick(title="readable"))
    result = result_of(events)
    assert result.theta.WhichOneof("encoding") == "values"
    assert len(result.theta.values.float64) == 3
    (job, *_) = server.solver.ListSolveJobs(solver_pb2.ListSolveJobsRequest(page_size=1), timeout=TIMEOUT).solve_jobs
    assert job.spec.title == "readable"
    assert all(tensor.WhichOneof("encoding") is None for _, tensor in references.tensors_in(job))
    assert len(list(references.tensors_in(job))) >= 4


def test_skipped_iterates_add_up_over_broken_streams(server: Running) -> None:
    job = server.create(endless()).name
    server.wait_until_it_iterates(job)
    thinning = solver_pb2.Thinning(every=10**9)
    seen = skipped = after = 0
    for round_ in count():
        if round_ == 4:
            server.cancel(job)
        stream = server.watch(job, after, thinning)
        for block in stream:
            seen += len(block.events)
            skipped += block.skipped
            after = block.last_seq
            if not block.events and round_ < 4:  # a heartbeat: what it told of is settled
                break
        stream.cancel()
        if round_ >= 4:
            break
    assert seen + skipped == after == server.get(job).last_seq
    assert skipped > seen


def test_a_client_that_vanishes_at_any_moment_leaves_no_job_unwatched(server: Running) -> None:
    calls = []
    for delay in np.linspace(0, 0.03, 24):
        request = solver_pb2.SolveRequest(spec=endless(cancel_when_unwatched=True, title="vanishing"))
        calls.append(server.solver.Solve(request, timeout=TIMEOUT))
        time.sleep(delay)
        calls[-1].cancel()

    def all_ended() -> bool:
        jobs = server.solver.ListSolveJobs(solver_pb2.ListSolveJobsRequest(), timeout=TIMEOUT).solve_jobs
        return all(job.state in ENDED for job in jobs if job.spec.title == "vanishing")

    time.sleep(0.3)  # the last request is with the server
    wait_for(all_ended, "the jobs to be cancelled")


def test_predictions_are_bounded(small: Running) -> None:
    job = small.create(quick()).name
    small.wait_until(job, event_pb2.JOB_STATE_SUCCEEDED)
    request = solver_pb2.PredictRequest(solve_job=job, inputs=filled(10**6, 3))
    details = refused(lambda: small.solver.Predict(request, timeout=TIMEOUT))
    assert [row.field for row in details.violations] == ["inputs"]


def test_inline_data_of_waiting_jobs_is_bounded(small: Running) -> None:
    jobs: list[str] = []
    details = refused(lambda: jobs.extend(small.create(endless()).name for _ in range(10)))
    assert details.code == "RESOURCE_EXHAUSTED"
    assert 1 <= len(jobs) <= 5
    for job in jobs:
        small.cancel(job)
        wait_for(lambda job=job: small.get(job).state in ENDED, "its end")
    small.solve(quick())


def test_a_large_best_point_outlives_its_worker_and_is_one_dataset(small: Running) -> None:
    width = 140_000
    spec = solver_pb2.SolveSpec(
        model=model_pb2.Model(least_squares=model_pb2.LeastSquares(features=filled(2, width), targets=filled(2))),
        **descent(1e-12, max_iterations=10**6, relative_gradient_tolerance=0.0),
    )
    job = small.create(spec).name
    small.wait_until_it_iterates(job)
    time.sleep(2.5)  # some points have gone out
    end(small.worker_of(job))
    result = wait_for(lambda: small.get(job).result if small.get(job).state in ENDED else None, "the end")
    assert result.theta.WhichOneof("encoding") == "dataset"
    listed = small.datasets.ListDatasets(dataset_pb2.ListDatasetsRequest(), timeout=TIMEOUT).datasets
    assert [dataset.name for dataset in listed] == [result.theta.dataset]
    assert listed[0].shape == [width]


def test_one_request_id_at_once_from_many_is_one_job(server: Running) -> None:
    identifier = "0b6f4c1e-55a8-4f0e-9a53-6f2d5c0e7a11"
    request = solver_pb2.CreateSolveJobRequest(spec=quick(), request_id=identifier)
    futures = [server.solver.CreateSolveJob.future(request, timeout=TIMEOUT) for _ in range(12)]
    assert len({future.result().name for future in futures}) == 1


def test_two_cancels_at_once_and_one_afterwards(server: Running) -> None:
    job = server.create(endless()).name
    request = solver_pb2.CancelSolveJobRequest(name=job)
    for future in [server.solver.CancelSolveJob.future(request, timeout=TIMEOUT) for _ in range(8)]:
        future.result()
    events = server.events(job)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert sum(event.WhichOneof("event") == "done" for event in events) == 1
    before = server.get(job)
    assert server.cancel(job) == before


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.005, 0.01, 0.02])
def test_a_cancel_at_any_moment_of_a_short_job_ends_it_once(server: Running, delay: float) -> None:
    job = server.create(quick()).name
    time.sleep(delay)
    server.cancel(job)
    events = server.events(job)
    states = [event.state_change.state for event in events if event.WhichOneof("event") == "state_change"]
    assert states[-1] in ENDED
    assert sum(state in ENDED for state in states) == 1
    assert np.isfinite(array_of(result_of(events).theta)).all() or states[-1] == event_pb2.JOB_STATE_CANCELLED


def test_many_jobs_on_two_workers_all_end_and_keep_their_order(server: Running) -> None:
    features, targets = data(40, 2, seed=5)
    spec = solver_pb2.SolveSpec(model=least_squares(features, targets))
    futures = [
        server.solver.CreateSolveJob.future(solver_pb2.CreateSolveJobRequest(spec=spec), timeout=TIMEOUT)
        for _ in range(50)
    ]
    names = [future.result().name for future in futures]
    results = [result_of(server.events(name)) for name in names]
    assert len({result.theta.SerializeToString() for result in results}) == 1
