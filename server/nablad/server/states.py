"""The life of a job, as a table: where it may go from each state, and how a status family ends it.

QUEUED -> RUNNING -> SUCCEEDED | FAILED | CANCELLED;    RUNNING -> QUEUED where its worker died, or its server
"""

from __future__ import annotations

from nablad.v1 import event_pb2, termination_pb2

QUEUED = event_pb2.JOB_STATE_QUEUED
RUNNING = event_pb2.JOB_STATE_RUNNING
SUCCEEDED = event_pb2.JOB_STATE_SUCCEEDED
FAILED = event_pb2.JOB_STATE_FAILED
CANCELLED = event_pb2.JOB_STATE_CANCELLED

TRANSITIONS: dict[event_pb2.JobState.ValueType, frozenset[event_pb2.JobState.ValueType]] = {
    QUEUED: frozenset({RUNNING, FAILED, CANCELLED}),
    RUNNING: frozenset({QUEUED, SUCCEEDED, FAILED, CANCELLED}),
    SUCCEEDED: frozenset(),
    FAILED: frozenset(),
    CANCELLED: frozenset(),
}

FINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)
UNFINISHED = frozenset(TRANSITIONS) - FINAL

STATE_OF_FAMILY: dict[termination_pb2.StatusFamily.ValueType, event_pb2.JobState.ValueType] = {
    termination_pb2.STATUS_FAMILY_CONVERGED: SUCCEEDED,
    termination_pb2.STATUS_FAMILY_STALLED: SUCCEEDED,
    termination_pb2.STATUS_FAMILY_LIMIT: SUCCEEDED,
    termination_pb2.STATUS_FAMILY_USER: CANCELLED,
    termination_pb2.STATUS_FAMILY_FAILED: FAILED,
}


def check(before: event_pb2.JobState.ValueType, after: event_pb2.JobState.ValueType) -> None:
    """RuntimeError on a way that the table does not have: a fault of the server's own."""
    if after not in TRANSITIONS[before]:
        names = [event_pb2.JobState.Name(state) for state in (before, after)]
        raise RuntimeError(f"a job cannot go from {names[0]} to {names[1]}")
