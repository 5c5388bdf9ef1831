"""When to try again, and how long to wait before.

Exponential backoff with full jitter: the n-th wait is uniform between half of b and b, b = min(first * 2^(n-1),
longest), so that many clients of one restarted server do not come back at the same instant. A server that says
how long to wait is believed. A run of failures without any progress is bounded.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from nablad.wire.errors import ErrorDetails

# Codes that a connection gets when it is cut, whatever the server meant; a server's own error has a reason.
_CUT = frozenset({"UNAVAILABLE", "CANCELLED", "INTERNAL"})
# A server that stops says UNAVAILABLE; one that drops a slow watcher says ABORTED.
_ASKED = frozenset({"UNAVAILABLE", "ABORTED"})


def worth_another_try(details: ErrorDetails) -> bool:
    """Whether the same call may succeed in a moment."""
    if details.retry_delay is not None:
        return True
    return details.code in (_ASKED if details.reason else _CUT)


@dataclass(frozen=True)
class Backoff:
    """The waits between tries, in seconds."""

    first: float = 0.1
    longest: float = 5.0
    tries: int = 10
    """So many failures in a row, and no more."""
    uniform: Callable[[float, float], float] = random.uniform

    def delay(self, failures: int, asked: float | None = None) -> float:
        """The wait after that many failures in a row, at least what the server asked for (up to a minute)."""
        bound = min(self.first * 2.0 ** min(failures - 1, 60), self.longest)
        return max(self.uniform(bound / 2, bound), min(asked or 0.0, 60.0))
