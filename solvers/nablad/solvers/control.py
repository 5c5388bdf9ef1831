"""What may end a run from outside: a flag, a clock, a budget.

`Control` is shared by whoever runs and whoever may stop it: its `checkpoint` is handed to objectives, which call it
between row blocks, so that a cancel or a time limit is seen inside a long evaluation too. `Limits` is what one run
makes of it: the budget of evaluations, the same flag, and the clock of its linear algebra.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nablad.solvers.objective import Counters, Interrupted

CANCELLED = "cancelled"
TIME_LIMIT = "time limit"
EVALUATION_LIMIT = "evaluation limit"


class Control:
    """A flag that any thread may raise, and a deadline. Cheap to ask: three attribute reads, and a clock if armed.

    `signal`, where given, is asked too: a worker process passes the read of a shared-memory flag.
    """

    def __init__(self, signal: Callable[[], bool] | None = None) -> None:
        self._cancelled = False
        self._signal = signal
        self._deadline: float | None = None

    def cancel(self) -> None:
        """End the run at the next checkpoint, keeping its best point. Any thread may call it."""
        self._cancelled = True

    def arm(self, seconds: float | None) -> None:
        """Set the time from now at which the run must end; None for no limit."""
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def reason(self) -> str | None:
        """Why the run must stop now, or None."""
        if self._cancelled or (self._signal is not None and self._signal()):
            return CANCELLED
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return TIME_LIMIT
        return None

    def should_stop(self) -> bool:
        return self.reason() is not None

    def checkpoint(self) -> None:
        """Return if the run may go on; raise Interrupted otherwise."""
        # Asked twice an iteration or more: where nothing can end the run, no call is made.
        if not self._cancelled and self._signal is None and self._deadline is None:
            return
        reason = self.reason()
        if reason is not None:
            raise Interrupted(reason)


class Limits:
    """What a step may still spend, and where it accounts for its linear algebra.

    An evaluation is one call of the objective's value, alone or with its gradient. The run's objective asks `spend`
    before each, so that no inner loop can overlook the limit; a method that plans ahead may ask `evaluations_left`.
    """

    def __init__(self, control: Control, counters: Counters, max_evaluations: int | None = None) -> None:
        self.control = control
        self.checkpoint = control.checkpoint
        """To be called between inner iterations that evaluate nothing."""
        self.algebra_seconds = 0.0
        self._counters = counters
        self._max = max_evaluations

    @property
    def evaluations_left(self) -> int | None:
        """None where there is no limit."""
        return None if self._max is None else max(0, self._max - self._counters.value)

    def spend(self) -> None:
        """Allow one evaluation, or raise Interrupted."""
        self.checkpoint()
        if self._max is not None and self._counters.value >= self._max:
            raise Interrupted(EVALUATION_LIMIT)

    @contextmanager
    def algebra(self) -> Iterator[None]:
        """Count the time inside the block as linear algebra."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.algebra_seconds += time.perf_counter() - begin
