"""However the connection breaks, the events come once, in order, without a gap."""

from __future__ import annotations

from typing import Any

import pytest
from client.simulation import JOB, Server, journal
from hypothesis import given
from hypothesis import strategies as st

from nablad.client.core.retry import Backoff
from nablad.client.core.session import Session
from nablad.client.core.watch import Watch
from nablad.client.errors import InvalidRequest, NotFound, ServerError, ServerUnavailable
from nablad.client.events import Done, StateChange
from nablad.client.iterates import Iterate
from nablad.v1 import event_pb2, solver_pb2
from nablad.wire.errors import ErrorDetails, FieldViolation


def session(tries: int = 10, reached: bool = True) -> Session:
    made = Session("there:1", 10.0, Backoff(tries=tries, uniform=lambda low, high: high))
    made.reached = reached
    return made


def solving(made: Session) -> Watch:
    return Watch(made, solve=solver_pb2.SolveRequest(request_id="r1"))


def read_all(server: Server, watch: Watch) -> list[Any]:
    events = []
    while server.run(watch.fill()):
        while watch.buffer:
            events.append(watch.take())
    return events


@given(
    iterates=st.integers(0, 12),
    cuts=st.lists(st.integers(0, 5), max_size=9),
    block=st.integers(1, 5),
    overlap=st.integers(0, 4),
    heartbeats=st.booleans(),
    ends_early=st.booleans(),
    by_solve=st.booleans(),
)
def test_one_unbroken_sequence(
    iterates: int, cuts: list[int], block: int, overlap: int, heartbeats: bool, ends_early: bool, by_solve: bool
) -> None:
    server = Server(journal(iterates), cuts, block=block, overlap=overlap, heartbeats=heartbeats, ends_early=ends_early)
    watch = solving(session()) if by_solve else Watch(session(), job=JOB)
    if by_solve:
        server.run(watch.start())
    events = read_all(server, watch)
    assert [e.seq for e in events] == [e.seq for e in server.events]
    assert [e.iteration for e in events if isinstance(e, Iterate)] == list(range(iterates))
    assert watch.state == "SUCCEEDED"
    assert watch.finished
    assert server.run(watch.outcome()).history == tuple(e for e in events if isinstance(e, Iterate))
    solves = [r for r in server.requests if isinstance(r, solver_pb2.SolveRequest)]
    assert {r.request_id for r in solves} <= {"r1"}
    # Once the job is known it is never made again.
    assert all(isinstance(r, solver_pb2.WatchSolveJobRequest) for r in server.requests[len(solves) :])


@given(st.integers(0, 20), st.integers(1, 5))
def test_a_watch_begins_after_the_given_seq(after_seq: int, block: int) -> None:
    server = Server(journal(10), block=block, overlap=100)
    events = read_all(server, Watch(session(), job=JOB, after_seq=after_seq))
    assert [e.seq for e in events] == [e.seq for e in server.events if e.seq > after_seq]


def test_the_result_is_there_even_if_its_event_was_before() -> None:
    watch = Watch(session(), job=JOB, after_seq=14)
    result = Server(journal(10)).run(watch.outcome())
    assert result.status == "CONVERGED_GRADIENT"
    assert result.job == JOB


def test_tries_are_bounded_and_the_error_says_where_to_go_on() -> None:
    server = Server(journal(10), [2, *[0] * 50], block=2)
    watch = Watch(session(tries=4), job=JOB)
    assert [server.run(watch.fill()), len(watch.buffer)] == [True, 2]
    with pytest.raises(ServerUnavailable) as caught:
        read_all(server, watch)
    assert (caught.value.job, caught.value.after_seq) == (JOB, 4)
    assert "client.job('solveJobs/a1').watch(after_seq=4)" in str(caught.value)
    assert server.slept == [0.1, 0.2, 0.4, 0.8]
    assert [r.after_seq for r in server.requests] == [0, 4, 4, 4, 4]


def test_progress_forgives_failures() -> None:
    server = Server(journal(40), [1] * 13, block=3)
    assert len(read_all(server, Watch(session(tries=2), job=JOB))) == 44
    assert server.slept == [0.1] * 13


def test_a_server_that_stops_says_when_to_come_back() -> None:
    hint = ErrorDetails("UNAVAILABLE", "stopping", reason="STOPPING", retry_delay=2.5)
    server = Server(journal(10), [1], failure=hint)
    assert len(read_all(server, Watch(session(), job=JOB))) == 14
    assert server.slept == [2.5]


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (ErrorDetails("NOT_FOUND", "there is no solveJobs/a1", reason="NOT_FOUND"), NotFound),
        (ErrorDetails("INTERNAL", "a fault", reason="INTERNAL"), ServerError),
        (ErrorDetails("UNKNOWN", "Unexpected error"), ServerError),
        (
            ErrorDetails("INVALID_ARGUMENT", "x", "INVALID_FIELD", violations=(FieldViolation("after_seq", "x"),)),
            InvalidRequest,
        ),
    ],
)
def test_what_will_not_pass_is_not_tried_again(failure: ErrorDetails, error: type[Exception]) -> None:
    server = Server(journal(10), [1], failure=failure)
    with pytest.raises(error):
        read_all(server, Watch(session(), job=JOB))
    assert server.slept == []


def test_a_server_that_was_never_reached_is_reported_at_once() -> None:
    server = Server(journal(10), [0])
    with pytest.raises(ServerUnavailable, match="no server answers at there:1: start one with `nablad serve`"):
        server.run(solving(session(reached=False)).start())
    assert server.slept == []


def test_a_solve_that_is_refused_says_why_in_the_callers_words() -> None:
    violation = FieldViolation("spec.model.network.layers[1].width", "is 0; at least 1 is needed")
    server = Server(journal(1), [0], ErrorDetails("INVALID_ARGUMENT", "", "INVALID_FIELD", violations=(violation,)))
    with pytest.raises(InvalidRequest, match=r"^model.layers\[1\].width: is 0; at least 1 is needed$"):
        server.run(solving(session()).start())


def test_an_interrupted_read_loses_nothing() -> None:
    server = Server(journal(10), block=2)
    watch = Watch(session(), job=JOB)
    seqs = []
    for _ in range(7):
        operation = watch.fill()
        with pytest.raises(KeyboardInterrupt):
            interrupt_in_receive(server, operation)
        assert server.run(watch.fill())
        while watch.buffer:
            seqs.append(watch.take().seq)
    assert seqs == list(range(1, 15))


def interrupt_in_receive(server: Server, operation: Any) -> None:
    effect = next(operation)
    while type(effect).__name__ != "Receive":
        effect = operation.send(server.perform(effect))
    server.perform(effect)  # received, and lost
    effect = operation.throw(KeyboardInterrupt())
    while True:
        effect = operation.send(server.perform(effect))


def test_heartbeats_move_the_point_of_return_and_tell_the_queue() -> None:
    server = Server(journal(4), [2], block=2)
    beat = event_pb2.SolveEventBlock(last_seq=5, queue_position=3).SerializeToString()
    watch = Watch(session(), job=JOB)
    server.run(watch.fill())
    watch.buffer.clear()
    watch._stream.blocks.insert(0, beat)  # type: ignore[union-attr,attr-defined]
    operation = watch._receive()
    server.run(operation)
    assert (watch.last_seq, watch.queue_position) == (5, 3)


def test_skipped_iterates_are_counted() -> None:
    blocks = [event_pb2.SolveEventBlock(events=[e], skipped=2).SerializeToString() for e in journal(1)]
    server = Server(journal(1))
    watch = Watch(session(), job=JOB)
    server.open = lambda effect: type("S", (), {"blocks": blocks, "failure": None})()  # type: ignore[method-assign]
    assert len(read_all(server, watch)) == 5
    assert watch.skipped == 10


def test_events_of_each_kind() -> None:
    events = read_all(Server(journal(2)), Watch(session(), job=JOB))
    kinds = [StateChange, StateChange, Iterate, Iterate, Done, StateChange]
    assert [type(e) for e in events] == kinds
    assert [e.state for e in events if isinstance(e, StateChange)] == ["QUEUED", "RUNNING", "SUCCEEDED"]
