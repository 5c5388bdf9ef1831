"""The bytes of iterates, written by array operations, are those that protobuf writes; and how few frames they take."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nablad import solvers
from nablad.server.frames import Frame, Kind
from nablad.server.worker import emitter, iterates
from nablad.server.worker.emitter import Emitter
from nablad.server.worker.iterates import FEW, MAX_EVENT_BYTES, Rows
from nablad.v1 import event_pb2, tensor_pb2

COUNTS = st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1))
NUMBERS = st.one_of(st.sampled_from([0.0, -0.0]), st.floats(allow_nan=True, allow_infinity=True))
ITERATES = st.builds(
    solvers.Iterate,
    COUNTS,
    *[NUMBERS] * 4,
    *[COUNTS] * 4,
    theta=st.none(),
    accepted=st.booleans(),
)
MOMENTS = st.one_of(st.integers(0, 2**62), st.integers(0, 2**33).map(lambda seconds: seconds * 10**9))


def by_protobuf(seq: int, time_ns: int, iterate: solvers.Iterate) -> event_pb2.SolveEvent:
    event = event_pb2.SolveEvent(seq=seq, iterate=iterates.message(iterate))
    event.time.seconds, event.time.nanos = divmod(time_ns, 10**9)
    return event


@given(st.lists(st.tuples(COUNTS, MOMENTS, ITERATES), min_size=1, max_size=2 * FEW))
def test_rows_are_encoded_as_protobuf_encodes_them(events: list[tuple[int, int, solvers.Iterate]]) -> None:
    rows = Rows(2 * FEW)
    for event in events:
        rows.append(*event)
    expected = event_pb2.SolveEventBlock(events=[by_protobuf(*event) for event in events]).SerializeToString()
    assert rows.take() == expected
    assert rows.take() == b""


def test_the_longest_row_fits_its_bound() -> None:
    longest = 2**63 - 1
    iterate = solvers.Iterate(longest, *[1.0] * 4, *[longest] * 4, None, True)
    rows = Rows(FEW + 1)
    for _ in range(FEW + 1):
        rows.append(longest, 2**63 - 1, iterate)
    assert len(rows.take()) <= (FEW + 1) * MAX_EVENT_BYTES


class Silent:
    """A flusher that leaves the blocks to the emitter."""

    def follow(self, emitter: Emitter | None) -> None:
        """Never."""


def iterate(k: int) -> solvers.Iterate:
    return solvers.Iterate(k, 1.0 / (k + 1), 2.0 / (k + 1), 0.5, 1e-4 * k, k + 1, k + 1, 0, 1, None, True)


def emitted(count: int, between: bool = False) -> list[Frame]:
    """The frames of so many iterates, with a warning after every seventh and a recorded theta in every ninth."""
    sent: list[Frame] = []
    theta = tensor_pb2.Tensor(fill=1.0)
    with Emitter(sent.append, 3, 11, Silent()) as sending:  # type: ignore[arg-type]
        for k in range(count):
            recorded = theta if between and k % 9 == 0 else None
            sending.iterate(iterate(k), recorded=recorded, is_best=True)
            if between and k % 7 == 0:
                sending.add(event_pb2.SolveEvent(warning=event_pb2.Warning(code="odd", iteration=k)))
    return sent


def test_blocks_hold_every_event_once_and_in_order() -> None:
    frames = emitted(2_000, between=True)
    seq = 11
    iterations = []
    for frame in frames:
        block = event_pb2.SolveEventBlock.FromString(frame.parts[0])
        assert block.SerializeToString() == frame.parts[0]
        assert (frame.kind, frame.epoch, frame.first_seq, frame.last_seq) == (Kind.EVENTS, 3, seq, block.last_seq)
        for event in block.events:
            assert event.seq == seq
            seq += 1
            if event.HasField("iterate"):
                assert event.iterate.HasField("theta") == (event.iterate.iteration % 9 == 0)
                iterations.append(event.iterate.iteration)
                event.iterate.ClearField("theta")
                assert event.iterate == iterates.message(iterate(event.iterate.iteration))
        assert seq == block.last_seq + 1
    assert iterations == list(range(2_000))


def test_a_cheap_iterate_costs_few_bytes_and_few_writes() -> None:
    frames = emitted(10_001)
    assert len(event_pb2.SolveEventBlock.FromString(frames[0].parts[0]).events) == 1, "the first event leaves at once"
    assert all(len(frame.parts[0]) <= emitter.FLUSH_BYTES for frame in frames)
    # 32 of 67 bytes are four doubles.
    assert sum(len(frame.parts[0]) for frame in frames) <= 70 * 10_001
    assert len(frames) <= 2 + 10_000 * MAX_EVENT_BYTES / emitter.FLUSH_BYTES


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_iterates(count: int) -> None:
    frames = emitted(count)
    assert [frame.first_seq for frame in frames] == list(range(11, 11 + count))


def test_a_row_is_packed_without_its_theta() -> None:
    with pytest.raises(struct.error):
        Rows(1).append(1, 1, iterate(0)._replace(value="no number"))  # type: ignore[arg-type]
