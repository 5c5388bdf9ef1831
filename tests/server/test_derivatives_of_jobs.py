"""Derivatives at a job's result and at its iterates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from server.derivations import LINE, TARGETS, ask, at
from server.running import (
    TIMEOUT,
    Running,
    array_of,
    descent,
    endless,
    iterates_of,
    refused,
    wait_for,
)

from nablad.v1 import event_pb2, solver_pb2


def recording(**fields: Any) -> solver_pb2.SolveSpec:
    return solver_pb2.SolveSpec(model=LINE, **descent(1e-3, max_iterations=40), **fields)


def test_an_iteration_that_was_not_recorded_is_computed_again_to_the_same_bits(server: Running) -> None:
    recorded = server.solve(recording(record_theta=solver_pb2.RecordTheta(every=1)))
    job = server.create(recording(record_theta=solver_pb2.RecordTheta(never=True))).name
    losses = [it.loss for it in iterates_of(server.events(job))]
    for k in (0, 1, 17, 40):
        theta = array_of(iterates_of(recorded)[k].theta)
        reply = ask(server, "Gradient", at(solve_job=job, iteration=k))
        assert array_of(reply.theta).tobytes() == theta.tobytes()
        assert array_of(reply.value) == pytest.approx(losses[k], rel=1e-14)
    result = array_of(server.get(job).result.theta)
    np.testing.assert_array_equal(array_of(ask(server, "Value", at(solve_job=job)).theta), result)
    elsewhere = ask(server, "Value", at(solve_job=job, theta=np.zeros(3)))
    assert array_of(elsewhere.value) == pytest.approx(TARGETS @ TARGETS)


def test_a_recorded_iteration_is_taken_from_the_journal(server: Running) -> None:
    events = server.solve(recording(record_theta=solver_pb2.RecordTheta(every=1), title="recorded"))
    (job, *_) = server.solver.ListSolveJobs(solver_pb2.ListSolveJobsRequest(page_size=1), timeout=TIMEOUT).solve_jobs
    iterate = iterates_of(events)[23]
    reply = ask(server, "Value", at(solve_job=job.name, iteration=23))
    assert array_of(reply.theta).tobytes() == array_of(iterate.theta).tobytes()


def test_iterations_that_are_not_there(server: Running) -> None:
    job = server.create(recording()).name
    server.wait_until(job, event_pb2.JOB_STATE_SUCCEEDED)
    for k, word in ((41, "after iteration 40"), (-1, "first"), (2**62, "after iteration 40")):
        details = refused(lambda k=k: ask(server, "Value", at(solve_job=job, iteration=k)))
        assert [row.field for row in details.violations] == ["subject.iteration"]
        assert word in details.message
    running = server.create(endless()).name
    server.wait_until_it_iterates(running)
    details = refused(lambda: ask(server, "Value", at(solve_job=running, iteration=10**8)))
    assert (details.code, details.reason) == ("FAILED_PRECONDITION", "ITERATION_NOT_REACHED")
    assert refused(lambda: ask(server, "Value", at(solve_job=running))).reason == "JOB_NOT_ENDED"
    k = server.get(running).last_iterate.iteration
    assert np.isfinite(array_of(ask(server, "Gradient", at(solve_job=running, iteration=k)).gradient)).all()
    server.cancel(running)
    server.wait_until(running, event_pb2.JOB_STATE_CANCELLED)


def test_a_late_iteration_is_computed_from_the_nearest_checkpoint(server: Running) -> None:
    running = server.create(endless(record_theta=solver_pb2.RecordTheta(never=True))).name
    wait_for(lambda: any(e.HasField("checkpoint") for e in first_events(server, running)), "a checkpoint")
    k = server.wait_until_it_iterates(running, 2000).last_iterate.iteration
    reply = ask(server, "Value", at(solve_job=running, iteration=k))
    server.cancel(running)
    loss = next(it.loss for it in iterates_of(server.events(running)) if it.iteration == k)
    assert array_of(reply.value) == pytest.approx(loss, rel=1e-15)


def first_events(server: Running, job: str) -> list[event_pb2.SolveEvent]:
    """The journal as it is now."""
    last = server.get(job).last_seq
    events: list[event_pb2.SolveEvent] = []
    stream = server.watch(job)
    for block in stream:
        events += block.events
        if events and events[-1].seq >= last:
            break
    stream.cancel()
    return events


def test_the_graph_of_a_job_that_has_no_result_yet(server: Running) -> None:
    job = server.create(endless()).name
    server.wait_until_it_iterates(job)
    reply = ask(server, "DescribeGraph", at(solve_job=job))
    assert reply.nodes[reply.output].op == "sum"
    assert not any(node.HasField("value") for node in reply.nodes)
    assert any(node.HasField("value") for node in ask(server, "DescribeGraph", at(solve_job=job, iteration=3)).nodes)
    assert refused(lambda: ask(server, "Value", at(solve_job=job))).reason == "JOB_NOT_ENDED"
    server.cancel(job)
