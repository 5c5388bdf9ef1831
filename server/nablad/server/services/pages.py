"""Pages of a list, the newest first: a token is the ordinal of the last row that was sent, and of what was asked for.

So new rows do not shift the pages, and a token of another question is found out.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Iterable

from nablad.server.errors import InvalidRequest
from nablad.v1 import event_pb2

DEFAULT_SIZE = 50
MAX_SIZE = 1000
MAX_BYTES = 4 << 20
"""A page that would be larger is shorter."""

_STATES = {number: name for name, number in event_pb2.JobState.items() if number}
_TOKEN = struct.Struct("<QI")


def size_of(page_size: int) -> int:
    """The page's size. InvalidRequest if it is negative; more than the largest is the largest."""
    if page_size < 0:
        raise InvalidRequest([("page_size", f"is {page_size}; it must be 0, for {DEFAULT_SIZE}, or more")])
    return min(page_size, MAX_SIZE) or DEFAULT_SIZE


def check_states(states: Iterable[event_pb2.JobState.ValueType]) -> None:
    """InvalidRequest for a state that no job can be in."""
    found = [
        (f"states[{index}]", f"is {state}; it must be one of {', '.join(_STATES.values())}")
        for index, state in enumerate(states)
        if state not in _STATES
    ]
    if found:
        raise InvalidRequest(found)


def token_of(ordinal: int, question: Iterable[int] = ()) -> str:
    """The token of the page after the row with this ordinal."""
    return base64.urlsafe_b64encode(_TOKEN.pack(ordinal, _digest(question))).decode()


def ordinal_of(token: str, question: Iterable[int] = ()) -> int | None:
    """The ordinal in a token; None of an empty one. InvalidRequest unless it is a token for the same question."""
    if not token:
        return None
    try:
        ordinal, digest = _TOKEN.unpack(base64.b64decode(token, altchars=b"-_", validate=True))
    except (binascii.Error, struct.error, ValueError):
        raise InvalidRequest([("page_token", "is not a token of this list; leave it out for the first page")]) from None
    if digest != _digest(question):
        raise InvalidRequest([("page_token", "is of a list with other filters; ask with the same as before")])
    return int(ordinal)


def _digest(question: Iterable[int]) -> int:
    return zlib.crc32(",".join(str(number) for number in sorted(question)).encode())
