"""A server small enough to reason about: performs a watch's effects on a journal in memory, and cuts where it is told.

It knows a journal of events and answers Solve and WatchSolveJob from it, in blocks, with heartbeats and with repeated
events if asked; nothing of it looks into the client. So the client's decisions are tested without time or network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nablad.client.core.effects import Call, CallFailed, Cancel, Metadata, Open, Operation, Receive, Sleep
from nablad.v1 import event_pb2, solver_pb2, termination_pb2
from nablad.wire import tensors
from nablad.wire.errors import ErrorDetails

JOB = "solveJobs/a1"
CUT = ErrorDetails("UNAVAILABLE", "Socket closed")


def journal(iterates: int, state: Any = event_pb2.JOB_STATE_SUCCEEDED) -> list[event_pb2.SolveEvent]:
    """QUEUED, RUNNING, the iterates, Done and the final state."""
    events = [
        event_pb2.SolveEvent(state_change=event_pb2.StateChange(state=event_pb2.JOB_STATE_QUEUED, queue_position=0)),
        event_pb2.SolveEvent(state_change=event_pb2.StateChange(state=event_pb2.JOB_STATE_RUNNING)),
    ]
    iterates_only = [event_pb2.Iterate(iteration=k, loss=1.0 / (k + 1)) for k in range(iterates)]
    events += [event_pb2.SolveEvent(iterate=iterate) for iterate in iterates_only]
    result = event_pb2.SolveResult(loss=0.5, iterations=iterates)
    result.theta.CopyFrom(tensors.encode(np.array([1.0, 2.0])))
    result.termination.status = termination_pb2.STATUS_CONVERGED_GRADIENT
    result.termination.family = termination_pb2.STATUS_FAMILY_CONVERGED
    result.termination.success = True
    events.append(event_pb2.SolveEvent(done=event_pb2.Done(result=result)))
    events.append(event_pb2.SolveEvent(state_change=event_pb2.StateChange(state=state)))
    for seq, event in enumerate(events, start=1):
        event.seq = seq
    return events


@dataclass
class Stream:
    blocks: list[bytes]
    failure: ErrorDetails | None


@dataclass
class Server:
    """Serves one job. `cuts[i]` is how many blocks the i-th stream gives before it breaks; later ones are whole."""

    events: Sequence[event_pb2.SolveEvent]
    cuts: Sequence[int] = ()
    failure: ErrorDetails = CUT
    block: int = 3
    overlap: int = 0
    heartbeats: bool = False
    ends_early: bool = False
    """A cut is a clean end of the stream."""
    requests: list[Any] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    cancelled: int = 0
    opened: int = 0

    def run(self, operation: Operation[Any]) -> Any:
        try:
            effect = next(operation)
            while True:
                try:
                    value = self.perform(effect)
                except Exception as error:
                    effect = operation.throw(error)
                else:
                    effect = operation.send(value)
        except StopIteration as stop:
            return stop.value

    def perform(self, effect: Any) -> Any:
        if isinstance(effect, Open):
            return self.open(effect)
        if isinstance(effect, Metadata):
            stream: Any = effect.stream
            return {"nablad-job": JOB} if stream.blocks else {}
        if isinstance(effect, Receive):
            stream = effect.stream
            if stream.blocks:
                return stream.blocks.pop(0)
            if stream.failure is not None:
                raise CallFailed(stream.failure)
            return None
        if isinstance(effect, Sleep):
            self.slept.append(effect.seconds)
            return None
        if isinstance(effect, Cancel):
            self.cancelled += 1
            return None
        assert isinstance(effect, Call)
        assert effect.rpc.path.endswith("/GetSolveJob")
        last = self.events[-1]
        return solver_pb2.SolveJob(
            name=JOB, state=last.state_change.state, last_seq=last.seq, result=self.events[-2].done.result
        ).SerializeToString()

    def open(self, effect: Open) -> Stream:
        if effect.rpc.path.endswith("/Solve"):
            self.requests.append(solver_pb2.SolveRequest.FromString(effect.request))
            after = 0
        else:
            request = solver_pb2.WatchSolveJobRequest.FromString(effect.request)
            assert request.name == JOB
            self.requests.append(request)
            after = max(0, request.after_seq - self.overlap)
        blocks = []
        rest = [e for e in self.events if e.seq > after]
        for start in range(0, len(rest), self.block):
            part = rest[start : start + self.block]
            blocks.append(event_pb2.SolveEventBlock(events=part, last_seq=part[-1].seq).SerializeToString())
            if self.heartbeats:
                blocks.append(event_pb2.SolveEventBlock(last_seq=part[-1].seq).SerializeToString())
        cut = self.cuts[self.opened] if self.opened < len(self.cuts) else None
        self.opened += 1
        if cut is None or cut >= len(blocks):
            return Stream(blocks, None)
        return Stream(blocks[:cut], None if self.ends_early else self.failure)
