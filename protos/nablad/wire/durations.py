"""Durations: google.protobuf says what one is, and nothing holds a client to it."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

MOST_SECONDS = 315_576_000_000
"""Ten thousand years."""


def nanoseconds(message: Duration) -> int:
    """The whole of it. ValueError, in words, for what is no duration."""
    seconds, nanos = message.seconds, message.nanos
    if abs(seconds) > MOST_SECONDS or abs(nanos) >= 10**9 or seconds * nanos < 0:
        raise ValueError(
            f"is no duration: seconds = {seconds} and nanos = {nanos} must have one sign, and be at most "
            f"{MOST_SECONDS} and 999999999 in size"
        )
    return seconds * 10**9 + nanos
