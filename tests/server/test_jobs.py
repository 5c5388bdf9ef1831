"""Jobs as resources: made, watched from any seq, thinned, cancelled, listed, deleted."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

import grpc
import numpy as np
import pytest
from server.running import (
    TIMEOUT,
    Running,
    array_of,
    data,
    descent,
    endless,
    events_of,
    iterates_of,
    least_squares,
    quick,
    refused,
    result_of,
    wait_for,
)

from nablad.v1 import event_pb2, method_pb2, model_pb2, solver_pb2
from nablad.wire import rpc
from nablad.wire.tensors import encode


def kinds(events: list[event_pb2.SolveEvent]) -> list[str]:
    return [str(event.WhichOneof("event")) for event in events]


def without_clock(iterate: event_pb2.Iterate) -> bytes:
    copy = event_pb2.Iterate()
    copy.CopyFrom(iterate)
    copy.seconds = 0.0
    return copy.SerializeToString(deterministic=True)


def network(**fields: Any) -> solver_pb2.SolveSpec:
    inputs, targets = data(100, 2, seed=3)
    layers = [model_pb2.Layer(width=4, activation="tanh"), model_pb2.Layer(width=1)]
    net = model_pb2.Network(inputs=encode(inputs), targets=encode(targets), layers=layers, seed=5)
    return solver_pb2.SolveSpec(model=model_pb2.Model(network=net), **fields)


def test_solve_streams_a_whole_life(server: Running) -> None:
    call = server.solver.Solve(solver_pb2.SolveRequest(spec=quick()), timeout=TIMEOUT)
    events = events_of(call)
    name = dict(call.initial_metadata())[rpc.JOB_METADATA]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert kinds(events)[:3] == ["state_change", "state_change", "iterate"]
    assert kinds(events)[-2:] == ["done", "state_change"]
    assert events[0].state_change.state == event_pb2.JOB_STATE_QUEUED
    assert events[-1].state_change.state == event_pb2.JOB_STATE_SUCCEEDED
    result = result_of(events)
    assert result.termination.success
    features, targets = data()
    np.testing.assert_allclose(array_of(result.theta), np.linalg.lstsq(features, targets)[0], rtol=1e-10)
    job = server.get(name)
    assert job.result == result
    assert job.last_seq == events[-1].seq
    assert job.model_summary.parameters == 3
    assert [(row.name, list(row.shape)) for row in job.model_summary.layout] == [("theta", [3])]
    assert job.start_time.ToNanoseconds() <= job.end_time.ToNanoseconds()


@pytest.mark.parametrize("spec", [quick(), network(), network(**descent(1e-4, max_iterations=60))])
def test_the_same_request_gives_the_same_bits(server: Running, spec: solver_pb2.SolveSpec) -> None:
    spec.record_theta.every = 1
    one, two = server.solve(spec), server.solve(spec)
    assert [without_clock(i) for i in iterates_of(one)] == [without_clock(i) for i in iterates_of(two)]
    assert array_of(result_of(one).theta).tobytes() == array_of(result_of(two).theta).tobytes()
    assert len(iterates_of(one)) > 1


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (solver_pb2.RecordTheta(never=True), []),
        (solver_pb2.RecordTheta(every=10), [0, 10, 20, 25]),
        (solver_pb2.RecordTheta(best_and_final=True), [25]),
        (None, [25]),
    ],
)
def test_record_theta_says_which_iterates_carry_theta(server: Running, record: Any, expected: list[int]) -> None:
    spec = solver_pb2.SolveSpec(model=least_squares(*data()), record_theta=record, **descent(1e-4, max_iterations=25))
    events = server.solve(spec)
    assert [i.iteration for i in iterates_of(events) if i.HasField("theta")] == expected
    assert result_of(events).HasField("theta")


def test_a_journal_is_watched_from_any_seq(server: Running) -> None:
    job = server.create(solver_pb2.SolveSpec(model=least_squares(*data()), **descent(1e-4, max_iterations=300)))
    whole = server.events(job.name)
    for after in (0, 1, 2, 17, len(whole) - 1, len(whole)):
        assert server.events(job.name, after) == whole[after:]
    assert refused(lambda: server.watch(job.name, len(whole) + 1)).violations[0].field == "after_seq"
    assert refused(lambda: server.watch(job.name, -1)).violations[0].field == "after_seq"


def test_a_live_stream_and_its_replay_are_the_same(server: Running) -> None:
    job = server.create(endless())
    live: list[event_pb2.SolveEvent] = []
    reading = threading.Thread(target=lambda: live.extend(server.events(job.name)))
    reading.start()
    server.wait_until_it_iterates(job.name, 2000)
    server.cancel(job.name)
    reading.join()
    assert live == server.events(job.name)
    assert [event.seq for event in live] == list(range(1, len(live) + 1))


def test_two_watchers_have_their_own_thinning(server: Running) -> None:
    spec = solver_pb2.SolveSpec(
        model=least_squares(*data()), record_theta=solver_pb2.RecordTheta(every=1), **descent(1e-5, max_iterations=777)
    )
    job = server.create(spec)
    found: dict[str, list[event_pb2.SolveEventBlock]] = {}
    policies = {
        "every": solver_pb2.Thinning(every=100, omit_theta=True),
        "decade": solver_pb2.Thinning(per_decade=3),
        "all": solver_pb2.Thinning(),
    }
    threads = [
        threading.Thread(target=lambda n=name, t=thinning: found.update({n: list(server.watch(job.name, 0, t))}))
        for name, thinning in policies.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    iterations = {name: [i.iteration for i in iterates_of(events_of(blocks))] for name, blocks in found.items()}
    assert iterations["every"] == [0, 100, 200, 300, 400, 500, 600, 700, 777]
    assert iterations["decade"] == [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 777]
    assert iterations["all"] == list(range(778))
    assert sum(block.skipped for block in found["every"]) == 778 - 9
    assert not any(i.HasField("theta") for i in iterates_of(events_of(found["every"])))
    assert all(i.HasField("theta") for i in iterates_of(events_of(found["decade"])))


def test_cancel_keeps_the_best_point(server: Running) -> None:
    job = server.create(endless())
    server.wait_until_it_iterates(job.name)
    assert server.cancel(job.name).cancel_requested
    ended = server.wait_until(job.name, event_pb2.JOB_STATE_CANCELLED)
    result = ended.result
    assert result.termination.family == 4
    assert result.loss == ended.best_iterate.loss < iterates_of(server.events(job.name))[0].loss
    features, targets = data()
    assert np.sum((targets - features @ array_of(result.theta)) ** 2) == pytest.approx(result.loss)
    assert server.cancel(job.name).state == event_pb2.JOB_STATE_CANCELLED  # once more changes nothing


def test_jobs_queue_and_say_their_position(server: Running) -> None:
    running = [server.create(endless()) for _ in range(2)]
    for job in running:
        server.wait_until(job.name, event_pb2.JOB_STATE_RUNNING)
    queued = [server.create(endless(title=str(index))) for index in range(3)]
    assert [server.get(job.name).queue_position for job in queued] == [0, 1, 2]
    beats = server.watch(queued[2].name)
    assert events_of([next(beats)])[0].state_change.queue_position == 2
    assert next(beats).queue_position == 2
    ended = server.cancel(queued[0].name)
    assert ended.state == event_pb2.JOB_STATE_CANCELLED
    assert not ended.HasField("queue_position")
    assert kinds(server.events(queued[0].name)) == ["state_change", "done", "state_change"]
    wait_for(lambda: next(beats).queue_position == 1, "the queue to move up")
    beats.cancel()
    for job in (*queued[1:], *running):
        server.cancel(job.name)
    for job in (*queued, *running):
        server.wait_until(job.name, event_pb2.JOB_STATE_CANCELLED)


def test_a_request_id_makes_one_job(server: Running) -> None:
    request_id = str(uuid.uuid4())
    one = server.create(quick(), request_id=request_id)
    assert server.create(quick(), request_id=request_id).name == one.name
    call = server.solver.Solve(solver_pb2.SolveRequest(spec=quick(), request_id=request_id), timeout=TIMEOUT)
    assert result_of(events_of(call)).termination.success
    assert dict(call.initial_metadata())[rpc.JOB_METADATA] == one.name
    details = refused(lambda: server.create(quick(title="another"), request_id=request_id))
    assert details.code == "ALREADY_EXISTS"
    assert "request_id" in details.message
    assert details.resource == one.name
    assert refused(lambda: server.create(quick(), request_id="7")).violations[0].field == "request_id"


def test_validate_only_makes_nothing(server: Running) -> None:
    def names() -> list[str]:
        return [job.name for job in server.solver.ListSolveJobs(solver_pb2.ListSolveJobsRequest()).solve_jobs]

    before = names()
    draft = server.create(network(), validate_only=True)
    assert draft.name == ""
    assert draft.model_summary.parameters == 4 * 3 + 5
    assert draft.model_summary.rows == 100
    assert draft.model_summary.estimated_bytes > 0
    assert [row.name for row in draft.model_summary.layout] == ["A_0", "b_0", "A_1", "b_1"]
    assert names() == before


def test_a_job_that_wants_to_be_watched_ends_with_its_last_watcher(server: Running) -> None:
    call = server.solver.Solve(solver_pb2.SolveRequest(spec=endless(cancel_when_unwatched=True)), timeout=TIMEOUT)
    name = dict(call.initial_metadata())[rpc.JOB_METADATA]
    next(call)
    other = server.watch(name)
    next(other)
    call.cancel()
    time.sleep(0.8)
    assert server.get(name).state == event_pb2.JOB_STATE_RUNNING
    other.cancel()
    again = server.watch(name)  # in time
    next(again)
    time.sleep(0.8)
    assert server.get(name).state == event_pb2.JOB_STATE_RUNNING
    again.cancel()
    server.wait_until(name, event_pb2.JOB_STATE_CANCELLED)
    assert "nobody watched" in server.events(name)[-1].state_change.message


def test_a_client_that_leaves_cancels_nothing(server: Running) -> None:
    call = server.solver.Solve(solver_pb2.SolveRequest(spec=endless()), timeout=TIMEOUT)
    name = dict(call.initial_metadata())[rpc.JOB_METADATA]
    next(call)
    call.cancel()
    time.sleep(0.8)
    assert server.get(name).state == event_pb2.JOB_STATE_RUNNING
    server.cancel(name)
    server.wait_until(name, event_pb2.JOB_STATE_CANCELLED)


def test_lists_have_pages_that_stay(server: Running) -> None:
    made = [server.create(quick(title=f"page {index}")).name for index in range(5)]

    def page(**fields: Any) -> solver_pb2.ListSolveJobsResponse:
        return server.solver.ListSolveJobs(solver_pb2.ListSolveJobsRequest(page_size=2, **fields), timeout=TIMEOUT)

    first = page()
    assert [job.name for job in first.solve_jobs] == made[:-3:-1]
    server.create(quick())
    second = page(page_token=first.next_page_token)
    assert [job.name for job in second.solve_jobs] == made[2:0:-1]
    features = second.solve_jobs[0].spec.model.least_squares.features
    assert (list(features.shape), features.WhichOneof("encoding")) == ([60, 3], None)
    rest, token = [], second.next_page_token
    while token:
        more = page(page_token=token)
        rest += [job.name for job in more.solve_jobs]
        token = more.next_page_token
    assert rest[0] == made[0]
    assert len(set(rest)) == len(rest)
    assert refused(lambda: page(page_token="nonsense")).violations[0].field == "page_token"
    other = refused(lambda: page(page_token=first.next_page_token, states=[event_pb2.JOB_STATE_FAILED]))
    assert other.violations[0].field == "page_token"
    assert refused(lambda: server.solver.ListSolveJobs(solver_pb2.ListSolveJobsRequest(page_size=-1))).reason
    cancelled = solver_pb2.ListSolveJobsRequest(page_size=1000, states=[event_pb2.JOB_STATE_CANCELLED])
    jobs = server.solver.ListSolveJobs(cancelled, timeout=TIMEOUT).solve_jobs
    assert {job.state for job in jobs} <= {event_pb2.JOB_STATE_CANCELLED}


def test_only_a_job_that_has_ended_can_be_deleted(server: Running) -> None:
    def delete(name: str) -> Any:
        return server.solver.DeleteSolveJob(solver_pb2.DeleteSolveJobRequest(name=name), timeout=TIMEOUT)

    job = server.create(endless())
    details = refused(lambda: delete(job.name))
    assert (details.code, details.resource) == ("FAILED_PRECONDITION", job.name)
    assert "cancel it first" in details.message
    server.cancel(job.name)
    server.wait_until(job.name, event_pb2.JOB_STATE_CANCELLED)
    delete(job.name)
    for call in (lambda: server.get(job.name), lambda: delete(job.name), lambda: server.watch(job.name)):
        details = refused(call)
        assert (details.code, details.resource) == ("NOT_FOUND", job.name)
        assert job.name in details.message


def test_predict_uses_the_result(server: Running) -> None:
    name = dict((call := server.solver.Solve(solver_pb2.SolveRequest(spec=quick()))).initial_metadata())[
        rpc.JOB_METADATA
    ]
    theta = array_of(result_of(events_of(call)).theta)
    rows = np.random.default_rng(1).normal(size=(4, 3))

    def predict(job: str, inputs: Any) -> Any:
        return server.solver.Predict(solver_pb2.PredictRequest(solve_job=job, inputs=encode(inputs)), timeout=TIMEOUT)

    np.testing.assert_allclose(array_of(predict(name, rows).outputs), rows @ theta, rtol=1e-14)
    assert refused(lambda: predict(name, rows[:, :2])).violations[0].field.startswith("inputs")
    assert refused(lambda: predict("solveJobs/none", rows)).code == "NOT_FOUND"
    unfinished = server.create(endless())
    assert refused(lambda: predict(unfinished.name, rows)).code == "FAILED_PRECONDITION"
    server.cancel(unfinished.name)
    server.wait_until(unfinished.name, event_pb2.JOB_STATE_CANCELLED)


def test_a_prediction_does_not_wait_behind_solves(server: Running) -> None:
    busy = [server.create(endless()) for _ in range(3)]
    started = time.monotonic()
    server.create(quick(), validate_only=True)
    assert time.monotonic() - started < 2.0
    for job in busy:
        server.cancel(job.name)
        server.wait_until(job.name, event_pb2.JOB_STATE_CANCELLED)


def test_limits_and_failures_have_their_states(server: Running) -> None:
    limited = solver_pb2.SolveSpec(model=least_squares(*data()), **descent(1e-6, max_iterations=3))
    assert result_of(events := server.solve(limited)).termination.family == 3
    assert events[-1].state_change.state == event_pb2.JOB_STATE_SUCCEEDED
    features, targets = data()
    overflowing = solver_pb2.SolveSpec(
        model=least_squares(features, targets), start=encode(np.full(3, 1e200)), method=method_pb2.Method(newton={})
    )
    events = server.solve(overflowing)
    assert result_of(events).termination.family == 5
    assert events[-1].state_change.state == event_pb2.JOB_STATE_FAILED


def test_a_call_that_is_cancelled_leaves_the_server_in_order(server: Running) -> None:
    for _ in range(20):
        call = server.solver.CreateSolveJob.future(solver_pb2.CreateSolveJobRequest(spec=quick()))
        call.cancel()
    with pytest.raises(grpc.RpcError):
        server.solver.GetSolveJob(solver_pb2.GetSolveJobRequest(name="solveJobs/x"), timeout=1e-6)
    assert result_of(server.solve(quick())).termination.success
