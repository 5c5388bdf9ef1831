"""What the parts of a method have in common: fields that are written into a message of the same names."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from google.protobuf.message import Message

from nablad.client.core.encode import assign
from nablad.client.errors import invalid

T = TypeVar("T", bound="Settings")


class Settings:
    """Base of frozen dataclasses. What is None is left to the server."""

    def fill(self, message: Message, path: str) -> None:
        """Writes itself into the message; InvalidRequest names `path` and the field."""
        message.SetInParent()
        given = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        assign(message, path, **given)


def expect(value: Any, kind: type[T], path: str) -> T | None:
    """The value, if it is of this kind or None. InvalidRequest names `path`."""
    if value is not None and not isinstance(value, kind):
        raise invalid(path, f"is {value!r:.60}; {kind.__name__}(...) or None is needed")
    return value
