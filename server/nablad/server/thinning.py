"""Which iterates a watcher sees: policies, and the hold-back that keeps the ends of a thinned curve true.

A policy is asked of each iterate alone (its iteration and time), so that a watcher who comes back after any seq goes
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
goes backwards. Nothing but iterates is ever left out: what was skipped between two events is the gap in their seqs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from nablad.v1 import event_pb2, solver_pb2

KEPT_NONFINITE = 10
MAX_PER_DECADE = 1_000

# Of iteration and nanoseconds: whether the policy keeps it.
Policy = Callable[[int, int], bool]


def every(n: int) -> Policy:
    """Iterations 0, n, 2n, ..."""
    return lambda iteration, _: iteration % n == 0


def interval(nanoseconds: int) -> Policy:
    """One, and then none for so long."""
    last: int | None = None

    def keep(_: int, time: int) -> bool:
        nonlocal last
        if last is not None and time - last < nanoseconds:
            return False
        last = time
        return True

    return keep


def per_decade(n: int) -> Policy:
    """The iterations nearest to 10^(k/n), in as many digits as tell n numbers of a decade apart."""
    digits = 1 if n <= 3 else 1 + math.ceil(math.log10(n))

    def mark(k: int) -> int:
        return round(round(10 ** (k / n), digits - 1 - k // n))

    def keep(iteration: int, _: int) -> bool:
        if iteration < 1:
            return iteration == 0
        nearest = round(n * math.log10(iteration))
        return any(mark(k) == iteration for k in range(max(0, nearest - 1), nearest + 2))

    return keep


def budget(size: int, length: int | None = None) -> Policy:
    """About `size` of a run; `length` is its last iteration, where that is known."""
    if length is not None:
        stride = max(1, -(-(length + 1) // size))
        return lambda iteration, _: iteration % stride == 0
    base = max(1, size // 8)

    def keep(iteration: int, _: int) -> bool:
        stride = 1 << max(0, (iteration // base).bit_length())
        return iteration % stride == 0 if iteration >= base else True

    return keep


def violations(thinning: solver_pb2.Thinning) -> list[tuple[str, str]]:
    """What is wrong with a request's thinning: field and sentence."""
    kind = thinning.WhichOneof("policy")
    found: list[tuple[str, str]] = []
    if kind == "interval":
        if nanoseconds(thinning) <= 0:
            found.append(("thinning.interval", "must be longer than 0 s; leave thinning out to see every iterate"))
    elif kind is not None:
        value = getattr(thinning, kind)
        if value < 1:
            found.append((f"thinning.{kind}", f"is {value}; it must be at least 1"))
        elif kind == "per_decade" and value > MAX_PER_DECADE:
            found.append(("thinning.per_decade", f"is {value}; at most {MAX_PER_DECADE} are possible"))
    return found


def nanoseconds(thinning: solver_pb2.Thinning) -> int:
    """The interval."""
    return thinning.interval.seconds * 10**9 + thinning.interval.nanos


def policy_of(thinning: solver_pb2.Thinning, length: int | None) -> Policy:
    """The policy that the message asks for; all iterates where it asks for none."""
    kind = thinning.WhichOneof("policy")
    return _POLICIES[kind](thinning, length) if kind is not None else (lambda _iteration, _time: True)


_POLICIES: dict[str, Callable[[solver_pb2.Thinning, int | None], Policy]] = {
    "every": lambda thinning, _: every(thinning.every),
    "interval": lambda thinning, _: interval(nanoseconds(thinning)),
    "per_decade": lambda thinning, _: per_decade(thinning.per_decade),
    "budget": lambda thinning, length: budget(thinning.budget, length),
}


@dataclass
class Thinner:
    """One watcher's view of one journal: events go in in order of seq, and what it is to see comes out."""

    keeps: Policy
    omit_theta: bool = False
    settled_seq: int = 0
    """Everything up to here has been sent or finally skipped: the seq from which the watcher may come back."""
    _best_loss: float = math.inf
    _nonfinite: int = 0
    _newest_seq: int = 0
    # Skipped for now; the last and the best may be one and the same.
    _last: event_pb2.SolveEvent | None = None
    _best: event_pb2.SolveEvent | None = None

    def take(self, event: event_pb2.SolveEvent) -> list[event_pb2.SolveEvent]:
        """The events to send now."""
        self._newest_seq = event.seq
        if event.WhichOneof("event") == "iterate":
            out = self._take_iterate(event)
        else:
            held = {e.seq: e for e in (self._best, self._last) if e is not None}
            self._best = self._last = None
            out = [*(held[seq] for seq in sorted(held)), event]
        held_seqs = [e.seq for e in (self._best, self._last) if e is not None]
        self.settled_seq = min(held_seqs) - 1 if held_seqs else self._newest_seq
        return out

    def _take_iterate(self, event: event_pb2.SolveEvent) -> list[event_pb2.SolveEvent]:
        iterate = event.iterate
        if self.omit_theta:
            iterate.ClearField("theta")
        is_best = iterate.loss < self._best_loss
        if is_best:
            self._best_loss = iterate.loss
        finite = math.isfinite(iterate.loss) and math.isfinite(iterate.gradient_norm)
        self._nonfinite += not finite
        kept = self.keeps(iterate.iteration, event.time.seconds * 10**9 + event.time.nanos)
        if kept or iterate.iteration == 0 or (not finite and self._nonfinite <= KEPT_NONFINITE):
            best = None if is_best else self._best
            self._best = self._last = None
            return [event] if best is None else [best, event]
        self._last = event
        if is_best:
            self._best = event
        return []
