"""Which iterates a watcher sees: policies, and the hold-back that keeps the ends of a thinned curve true.

A policy looks at each iterate alone (its iteration and time), so that a watcher who comes back after any seq goes
on as the first stream would have; but an interval begins anew, and a budget spreads the rest of a run that has ended
in the meantime more evenly:

    every       iterations 0, n, 2n, ...
    interval    at most one in this time, by the events' own clock
    per_decade  the n-th parts of each power of ten: 1, 2, 5, 10, 20, 50, ... at 3
    budget B    stride 1 up to b = B/8 iterations, then doubled at b, 2b, 4b, ...: b + b/2 log2(N/b) iterates, at most
                B as long as N <= 2048 B (a million iterations at B = 500). Of a run that has ended, N is known, and the
                stride is N/B.

The first and the last iterate, the best, and the first ten that are not finite are always sent. Which is last or best
is known only at the end: so the newest skipped iterate and the best one are held back, and sent, in order of seq,
before the next event that is not an iterate; the best also before any later iterate that goes out, so that no seq ever
goes backwards. Checkpoints, which only a server can use, are left out of a thinned view; were they events like others,
each would let go of what is held back. Nothing else is ever left out: what was skipped between two events is the gap in
their seqs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from google.protobuf.duration_pb2 import Duration
from numpy.typing import NDArray

from nablad.server.columns import Columns
from nablad.v1 import event_pb2, solver_pb2
from nablad.wire.durations import nanoseconds

KEPT_NONFINITE = 10
MAX_PER_DECADE = 1_000

# Of iterations and nanoseconds, in order: which of them the policy keeps.
Policy = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]


def every(n: int) -> Policy:
    """Iterations 0, n, 2n, ..."""
    return lambda iteration, _: np.asarray(iteration % n == 0, bool)


def interval(nanoseconds: int) -> Policy:
    """One, and then none for so long."""
    last: int | None = None

    def keep(_: NDArray[np.int64], time: NDArray[np.int64]) -> NDArray[np.bool_]:
        nonlocal last
        kept = np.zeros(len(time), bool)
        for index, moment in enumerate(time.tolist()):
            if last is None or moment - last >= nanoseconds:
                kept[index] = True
                last = moment
        return kept

    return keep


def per_decade(n: int) -> Policy:
    """The iterations nearest to 10^(k/n), in as many digits as tell n numbers of a decade apart."""
    digits = 1 if n <= 3 else 1 + math.ceil(math.log10(n))
    marks = [0]

    def mark(k: int) -> int:
        return round(round(10 ** (k / n), digits - 1 - k // n))

    def keep(iteration: NDArray[np.int64], _: NDArray[np.int64]) -> NDArray[np.bool_]:
        newest = int(iteration.max(initial=0))
        while marks[-1] <= newest:
            marks.append(mark(len(marks) - 1))
        return np.asarray(np.isin(iteration, marks), bool)

    return keep


def budget(size: int, length: int | None = None) -> Policy:
    """About `size` of a run; `length` is its last iteration, where that is known."""
    if length is not None:
        return every(max(1, -(-(length + 1) // size)))
    base = max(1, size // 8)

    def keep(iteration: NDArray[np.int64], _: NDArray[np.int64]) -> NDArray[np.bool_]:
        doublings = np.frexp((iteration // base).astype(float))[1]  # 0 below base, 1 below 2 base, ...
        return np.asarray(iteration % (np.int64(1) << doublings.astype(np.int64)) == 0, bool)

    return keep


def violations(thinning: solver_pb2.Thinning) -> list[tuple[str, str]]:
    """What is wrong with a request's thinning: field and sentence."""
    kind = thinning.WhichOneof("policy")
    found: list[tuple[str, str]] = []
    if kind == "interval":
        found += [("thinning.interval", text) for text in _wrong_with(thinning.interval)]
    elif kind is not None:
        value = getattr(thinning, kind)
        if value < 1:
            found.append((f"thinning.{kind}", f"is {value}; it must be at least 1"))
        elif kind == "per_decade" and value > MAX_PER_DECADE:
            found.append(("thinning.per_decade", f"is {value}; at most {MAX_PER_DECADE} are possible"))
    return found


def _wrong_with(given: Duration) -> list[str]:
    try:
        positive = nanoseconds(given) > 0
    except ValueError as error:
        return [str(error)]
    return [] if positive else ["must be longer than 0 s; leave thinning out to see every iterate"]


def policy_of(thinning: solver_pb2.Thinning, length: int | None) -> Policy:
    """The policy that the message asks for; all iterates where it asks for none."""
    kind = thinning.WhichOneof("policy")
    return (
        _POLICIES[kind](thinning, length) if kind is not None else (lambda iteration, _: np.ones(len(iteration), bool))
    )


_POLICIES: dict[str, Callable[[solver_pb2.Thinning, int | None], Policy]] = {
    "every": lambda thinning, _: every(thinning.every),
    "interval": lambda thinning, _: interval(nanoseconds(thinning.interval)),
    "per_decade": lambda thinning, _: per_decade(thinning.per_decade),
    "budget": lambda thinning, length: budget(thinning.budget, length),
}


@dataclass
class Thinner:
    """One watcher's view of one journal: events go in in order of seq, and what it is to see comes out.

    Cost: some array operations a block, and a step of Python for each event that is kept.
    """

    keeps: Policy
    settled_seq: int = 0
    """Everything up to here has been sent or finally skipped: the seq from which the watcher may come back."""
    _best_loss: float = math.inf
    _nonfinite: int = 0
    # Skipped for now; the last and the best may be one and the same.
    _last: event_pb2.SolveEvent | None = None
    _best: event_pb2.SolveEvent | None = None

    def take(self, columns: Columns) -> list[event_pb2.SolveEvent]:
        """The events to send now."""
        if not len(columns.seq):
            return []
        newest_seq = int(columns.seq[-1])
        columns = columns.without_checkpoints()
        is_best = self._records(columns)
        bests = np.flatnonzero(is_best)
        out: list[event_pb2.SolveEvent] = []
        start = 0
        for sent in np.flatnonzero(self._kept(columns) | ~columns.is_iterate).tolist():
            self._hold(columns, bests, start, sent)
            if columns.is_iterate[sent]:
                held = {} if self._best is None or is_best[sent] else {self._best.seq: self._best}
            else:
                held = {event.seq: event for event in (self._best, self._last) if event is not None}
            self._best = self._last = None
            out += (*(held[seq] for seq in sorted(held)), columns.events[sent])
            start = sent + 1
        self._hold(columns, bests, start, len(columns.seq))
        held_seqs = [event.seq for event in (self._best, self._last) if event is not None]
        self.settled_seq = min(held_seqs) - 1 if held_seqs else newest_seq
        return out

    def _records(self, columns: Columns) -> NDArray[np.bool_]:
        """Which iterates are better than all before."""
        loss = np.where(columns.is_iterate, columns.loss, math.inf)
        best = np.fmin.accumulate(np.concatenate(([self._best_loss], loss)))
        self._best_loss = float(best[-1])
        records: NDArray[np.bool_] = loss < best[:-1]
        return records

    def _kept(self, columns: Columns) -> NDArray[np.bool_]:
        """Which iterates go out as they come."""
        where = np.flatnonzero(columns.is_iterate)
        kept = np.zeros(len(columns.seq), bool)
        kept[where] = self.keeps(columns.iteration[where], columns.time[where])
        nonfinite = np.flatnonzero(~columns.finite & columns.is_iterate)
        kept[nonfinite[: max(0, KEPT_NONFINITE - self._nonfinite)]] = True
        self._nonfinite += len(nonfinite)
        kept[where] |= columns.iteration[where] == 0
        return kept

    def _hold(self, columns: Columns, bests: NDArray[np.intp], start: int, stop: int) -> None:
        """Holds back what is last and best of iterates that do not go out."""
        if start == stop:
            return
        self._last = columns.events[stop - 1]
        newest = int(np.searchsorted(bests, stop)) - 1
        if newest >= 0 and bests[newest] >= start:
            self._best = columns.events[int(bests[newest])]
