"""Settings as plain data, for events and reports."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any


def settings_of(value: Any) -> Any:
    """A tree of frozen settings as dicts, each with its kind's name; anything else as it is."""
    if not is_dataclass(value) or isinstance(value, type):
        return value
    return {"kind": type(value).__name__} | {f.name: settings_of(getattr(value, f.name)) for f in fields(value)}
