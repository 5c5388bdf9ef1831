"""The table of ways a run can end.

On the wire a status's name carries its family: STATUS_CONVERGED_GRADIENT is "CONVERGED_GRADIENT" of family "CONVERGED".
The solvers call it by the last column of `_ROWS`; a test holds their table, this one and the enum together.
"""

from __future__ import annotations

from typing import NamedTuple

from nablad.v1 import event_pb2, termination_pb2


class StatusRow(NamedTuple):
    """One way to end: its name and number on the wire, its family, the solvers' name, and whether it is a success."""

    name: str
    number: termination_pb2.Status.ValueType
    family: str
    family_number: termination_pb2.StatusFamily.ValueType
    solver_name: str
    success: bool


_ROWS = {
    "CONVERGED_GRADIENT": "GRADIENT",
    "CONVERGED_DECREMENT": "DECREMENT",
    "CONVERGED_STEP": "STEP",
    "CONVERGED_TARGET": "TARGET",
    "CONVERGED_ROUNDOFF": "ROUNDOFF",
    "STALLED_LINE_SEARCH": "LINE_SEARCH_STALLED",
    "STALLED_NO_PROGRESS": "NO_PROGRESS",
    "STALLED_SADDLE": "SADDLE",
    "STALLED_RECEDING": "RECEDING",
    "LIMIT_ITERATIONS": "MAX_ITERATIONS",
    "LIMIT_EVALUATIONS": "MAX_EVALUATIONS",
    "LIMIT_TIME": "MAX_TIME",
    "USER_CANCELLED": "CANCELLED",
    "FAILED_NONFINITE_START": "NONFINITE_START",
    "FAILED_NONFINITE": "NONFINITE",
    "FAILED_DIVERGED": "DIVERGED",
    "FAILED_UNBOUNDED": "UNBOUNDED",
    "FAILED_WORKER_LOST": "WORKER_LOST",
    "FAILED_OUT_OF_MEMORY": "OUT_OF_MEMORY",
    "FAILED_INTERNAL": "INTERNAL",
}


def _row(name: str, solver_name: str) -> StatusRow:
    family = name.partition("_")[0]
    return StatusRow(
        name,
        termination_pb2.Status.Value(f"STATUS_{name}"),
        family,
        termination_pb2.StatusFamily.Value(f"STATUS_FAMILY_{family}"),
        solver_name,
        family == "CONVERGED",
    )


STATUSES = {name: _row(name, solver_name) for name, solver_name in _ROWS.items()}
BY_SOLVER_NAME = {row.solver_name: row for row in STATUSES.values()}


def status_name(number: int) -> str:
    """The short name of a status, such as "CONVERGED_GRADIENT".

    0 is "UNSPECIFIED", and a number that only a newer server knows is "STATUS_123".
    """
    return _short(termination_pb2.Status, number, "STATUS_")


def family_name(number: int) -> str:
    """One of "CONVERGED", "STALLED", "LIMIT", "USER" and "FAILED"."""
    return _short(termination_pb2.StatusFamily, number, "STATUS_FAMILY_")


def verdict_name(number: int) -> str:
    """One of "minimum", "saddle", "flat", "maximum" and "unverified"."""
    return _short(termination_pb2.Verdict, number, "VERDICT_").lower()


def state_name(number: int) -> str:
    """One of "QUEUED", "RUNNING", "SUCCEEDED", "FAILED" and "CANCELLED"."""
    return _short(event_pb2.JobState, number, "JOB_STATE_")


def verdict_number(name: str) -> termination_pb2.Verdict.ValueType:
    """The way back of `verdict_name`. ValueError if there is none."""
    return termination_pb2.Verdict.Value(f"VERDICT_{name.upper()}")


def state_number(name: str) -> event_pb2.JobState.ValueType:
    """The way back of `state_name`. ValueError if there is none."""
    return event_pb2.JobState.Value(f"JOB_STATE_{name.upper()}")


def _short(enum: object, number: int, prefix: str) -> str:
    try:
        return str(enum.Name(number)).removeprefix(prefix)  # type: ignore[attr-defined]
    except ValueError:
        return f"{prefix}{number}"


STATES = tuple(state_name(n) for n in event_pb2.JobState.values() if n)
TERMINAL_STATES = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
