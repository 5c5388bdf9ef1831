"""The client without its input and output: what Client and AsyncClient share.

An operation is a generator that yields effects (call this method, read from this stream, wait) and returns its value;
a transport performs the effects, blocking or awaiting. So every decision, what to send, what to try again, where to
take up a stream, is written once, and can be tested without a network.

`derivatives` loads when it is first asked for (PEP 562): who only solves does without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nablad.client.core import derivatives as derivatives


def __getattr__(name: str) -> Any:
    if name != "derivatives":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
