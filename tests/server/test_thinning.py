"""Thinning, as properties of any sequence of losses under any policy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nablad.server import thinning
from nablad.server.columns import OpenBlocks, columns_of
from nablad.server.thinning import Policy, Thinner
from nablad.v1 import event_pb2, solver_pb2

STEP = 10_000_000  # nanoseconds between events

POLICIES = {
    "every": lambda: thinning.every(7),
    "interval": lambda: thinning.interval(5 * STEP),
    "per_decade": lambda: thinning.per_decade(3),
    "budget": lambda: thinning.budget(16),
    "none": lambda: lambda iteration, _time: np.zeros(len(iteration), bool),
}
losses = st.lists(st.one_of(st.floats(-100, 100), st.sampled_from([math.nan, math.inf])), min_size=1, max_size=120)
policies = st.sampled_from(sorted(POLICIES))


def journal(values: Iterable[float], warnings: frozenset[int] = frozenset()) -> list[event_pb2.SolveEvent]:
    events: list[event_pb2.SolveEvent] = []

    def add(event: event_pb2.SolveEvent) -> None:
        event.seq = len(events) + 1
        event.time.FromNanoseconds(event.seq * STEP)
        events.append(event)

    for iteration, loss in enumerate(values):
        add(event_pb2.SolveEvent(iterate=event_pb2.Iterate(iteration=iteration, loss=loss)))
        if iteration in warnings:
            add(event_pb2.SolveEvent(warning=event_pb2.Warning(iteration=iteration)))
    add(event_pb2.SolveEvent(done=event_pb2.Done()))
    add(event_pb2.SolveEvent(state_change=event_pb2.StateChange()))
    return events


def sent(thinner: Thinner, events: Sequence[event_pb2.SolveEvent], block: int = 1000) -> list[int]:
    blocks = [columns_of(events[start : start + block]) for start in range(0, len(events), block)]
    return [kept.seq for columns in blocks for kept in thinner.take(columns)]


@given(losses, st.frozensets(st.integers(0, 120), max_size=5), policies)
def test_ends_best_and_nonfinite_are_kept_in_order_and_the_rest_is_counted(
    values: list[float], warnings: frozenset[int], policy: str
) -> None:
    events = journal(values, warnings)
    thinner = Thinner(POLICIES[policy]())
    seqs = sent(thinner, events)
    assert seqs == sorted(set(seqs))
    by_iteration = {e.iterate.iteration: e.seq for e in events if e.WhichOneof("event") == "iterate"}
    must = {by_iteration[0], by_iteration[len(values) - 1]}
    must |= {e.seq for e in events if e.WhichOneof("event") != "iterate"}
    must |= {by_iteration[i] for i in [i for i, v in enumerate(values) if not math.isfinite(v)][:10]}
    finite = [v for v in values if not math.isnan(v)]
    if finite and min(finite) < math.inf:
        must.add(by_iteration[values.index(min(finite))])
    assert must <= set(seqs)
    assert thinner.settled_seq == len(events)


@given(losses, policies, st.integers(0, 120))
def test_a_watcher_may_come_back_after_what_is_settled_and_misses_nothing(
    values: list[float], policy: str, cut: int
) -> None:
    events = journal(values)
    cut = min(cut, len(events))
    thinner = Thinner(POLICIES[policy]())
    before = sent(thinner, events[:cut])
    after = thinner.settled_seq
    assert all(seq <= after or seq in before for seq in before)
    assert max(before, default=0) <= max(after, 0)
    again = sent(Thinner(POLICIES[policy](), settled_seq=after), events[after:])
    best = min((v for v in values if not math.isnan(v)), default=math.nan)
    together = {*before, *again}
    assert not set(before) & set(again)
    if best < math.inf:
        assert values.index(best) + 1 in together
    assert len(values) in together


@given(losses, st.frozensets(st.integers(0, 120), max_size=5), policies, st.integers(1, 9))
def test_how_a_journal_is_cut_into_blocks_changes_nothing(
    values: list[float], warnings: frozenset[int], policy: str, block: int
) -> None:
    events = journal(values, warnings)
    whole, cut = Thinner(POLICIES[policy]()), Thinner(POLICIES[policy]())
    assert sent(whole, events) == sent(cut, events, block)
    assert whole.settled_seq == cut.settled_seq


@given(losses, st.frozensets(st.integers(0, 120), max_size=9), st.sampled_from(["every", "per_decade", "budget"]))
def test_checkpoints_let_go_of_nothing_and_are_not_sent(
    values: list[float], checkpoints: frozenset[int], policy: str
) -> None:
    """A long run has a checkpoint every few seconds: a watcher's budget must not grow with them."""
    plain = journal(values)
    mixed: list[event_pb2.SolveEvent] = []
    for event in plain:
        mixed.append(event)
        if event.HasField("iterate") and event.iterate.iteration in checkpoints:
            mixed.append(event_pb2.SolveEvent(checkpoint=event_pb2.Checkpoint()))
    for seq, event in enumerate(mixed, start=1):
        event.seq = seq
    thinner = Thinner(POLICIES[policy]())
    kept = [mixed[seq - 1] for seq in sent(thinner, mixed, 7)]
    expected = [event for event in journal(values) if event.seq in sent(Thinner(POLICIES[policy]()), journal(values))]
    assert [e.iterate.iteration for e in kept] == [e.iterate.iteration for e in expected]
    assert not any(event.HasField("checkpoint") for event in kept)
    assert thinner.settled_seq == len(mixed)


@pytest.mark.parametrize(("size", "length"), [(500, 1_000_000), (100, 5_000), (8, 20), (16, 3)])
def test_a_budget_is_kept_and_evenly_spread(size: int, length: int) -> None:
    kept = kept_by(thinning.budget(size), length + 1)
    assert len(kept) <= max(size, 2 * math.log2(length + 2))
    gaps = [b - a for a, b in pairwise(kept)]
    assert max(gaps, default=1) <= max(1, 2 * length // max(1, size // 8))
    known = kept_by(thinning.budget(size, length), length + 1)
    assert size / 2 <= len(known) <= size or length < size
    assert len({b - a for a, b in pairwise(known)}) <= 1


def kept_by(policy: Policy, length: int) -> list[int]:
    iterations = np.arange(length)
    return np.flatnonzero(policy(iterations, iterations * STEP)).tolist()


def test_policies_keep_what_they_say() -> None:
    assert kept_by(thinning.every(4), 10) == [0, 4, 8]
    assert kept_by(thinning.interval(3 * STEP), 10) == [0, 3, 6, 9]
    assert kept_by(thinning.per_decade(3), 600) == [0, 1, 2, 5, 10, 20, 50, 100, 200, 500]
    assert kept_by(thinning.per_decade(1), 2000) == [0, 1, 10, 100, 1000]
    assert len(kept_by(thinning.per_decade(20), 10_001)) == pytest.approx(20 * 4, rel=0.2)


@pytest.mark.parametrize("field", ["every", "per_decade", "budget"])
def test_what_cannot_be_is_named(field: str) -> None:
    ((path, sentence),) = thinning.violations(solver_pb2.Thinning(**{field: 0}))
    assert path == f"thinning.{field}"
    assert "at least 1" in sentence


def test_blocks_are_opened_once_and_not_kept_for_ever() -> None:
    events = journal(range(40))
    blocks = [event_pb2.SolveEventBlock(events=[event]).SerializeToString() for event in events]
    kept = OpenBlocks(limit=sum(map(len, blocks[-10:])))
    opened = [kept.open(block) for block in blocks]
    assert [columns.events[0].seq for columns in opened] == [event.seq for event in events]
    assert all(kept.open(block) is columns for block, columns in zip(blocks[-10:], opened[-10:], strict=True))
    assert kept.open(blocks[0]) is not opened[0]
    alone = OpenBlocks(limit=1)
    assert alone.open(blocks[0]).after(0).events[0].seq == 1
