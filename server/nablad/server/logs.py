"""Logs: one line an event on stderr, for a collector as JSON, for a person as text. Never data, never tokens."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

_LOGGER = logging.getLogger("nablad.server")


def configure(log_format: str) -> None:
    """Sends the server's log to stderr: "json", "text", or "auto": text where somebody is looking."""
    chosen = log_format if log_format != "auto" else ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATTERS[chosen]())
    _LOGGER.handlers[:] = [handler]
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False


def info(event: str, **facts: Any) -> None:
    """Something happened."""
    _LOGGER.info(event, extra={"facts": facts})


def warning(event: str, **facts: Any) -> None:
    """Something happened that should not."""
    _LOGGER.warning(event, extra={"facts": facts})


def error(event: str, *, trace: str = "", **facts: Any) -> None:
    """A fault of the server's own; with the traceback of the exception being handled, unless one is given."""
    _LOGGER.error(event, exc_info=not trace, extra={"facts": facts | ({"traceback": trace} if trace else {})})


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {"time": f"{stamp}.{int(record.msecs):03d}Z", "level": record.levelname, "event": record.getMessage()}
        line |= getattr(record, "facts", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = dict(getattr(record, "facts", {}))
        trace = facts.pop("traceback", "") or (self.formatException(record.exc_info) if record.exc_info else "")
        words = " ".join(f"{name}={value}" for name, value in facts.items() if value not in ("", None))
        line = f"{time.strftime('%H:%M:%S', time.localtime(record.created))}  {record.getMessage()}  {words}".rstrip()
        return f"{line}\n{trace}" if trace else line


_FORMATTERS: dict[str, type[logging.Formatter]] = {"json": _Json, "text": _Text}
