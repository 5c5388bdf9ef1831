"""An AsyncClient that looks like a Client, so that one suite tests both.

Awaits what has to be awaited on a loop of its own, and turns async iterators into iterators; everything else is the
object itself.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from nablad.client import AsyncClient, AsyncJob, AsyncRun


class Facade:
    """Wraps an AsyncClient, AsyncRun or AsyncJob."""

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = inner
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        if isinstance(self._inner, AsyncRun) and name == "job":
            return self._wrap(self._inner.job())
        value = getattr(self._inner, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **named: Any) -> Any:
            plain = [a._inner if isinstance(a, Facade) else a for a in arguments]
            return self._wrap(value(*plain, **named))

        return call

    def _wrap(self, value: Any) -> Any:
        if inspect.isawaitable(value):
            value = self._loop.run_until_complete(value)  # type: ignore[arg-type]
        if isinstance(value, AsyncRun | AsyncJob | AsyncClient):
            return Facade(value, self._loop)
        return self._iterate(value) if inspect.isasyncgen(value) else value

    def _iterate(self, items: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._wrap(self._loop.run_until_complete(anext(items)))
                except StopAsyncIteration:
                    return
        finally:
            self._loop.run_until_complete(items.aclose())

    def __iter__(self) -> Iterator[Any]:
        return self._iterate(aiter(self._inner))

    def __repr__(self) -> str:
        return repr(self._inner)

    def __enter__(self) -> Facade:
        return self._wrap(self._inner.__aenter__())  # type: ignore[no-any-return]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wrap(self._inner.__aexit__(kind, error, trace))
