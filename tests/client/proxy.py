"""A TCP proxy that cuts: what a bad network does, on loopback, to a real client and a real server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self


class Proxy:
    """Forwards a free port of the loopback to `target`, in a thread of its own. Counts the bytes each way."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._refusing = False
        self._cut_after: list[int] = []
        self.connections = 0
        self.sent_up = 0
        self.sent_down = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._call(self._server.close)
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def target(self) -> str:
        """Where clients connect."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Resets every connection."""
        self._call(lambda: [writer.transport.abort() for writer in self._writers])

    def refuse(self, refusing: bool = True) -> None:
        """From now on, closes new connections at once (or no longer does)."""
        self._refusing = refusing

    def cut_after(self, *sizes: int) -> None:
        """Resets the next connections, one size each, when so many bytes have gone through, either way."""
        self._cut_after = list(sizes)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._refusing:
            writer.transport.abort()
            return
        limit = self._cut_after.pop(0) if self._cut_after else None
        up_reader, up_writer = await asyncio.open_connection(*self._target)
        pair = {writer, up_writer}
        self._writers |= pair
        left = [limit]

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, down: bool) -> None:
            try:
                while data := await source.read(1 << 16):
                    if down:
                        self.sent_down += len(data)
                    else:
                        self.sent_up += len(data)
                    sink.write(data)
                    await sink.drain()
                    if left[0] is not None:
                        left[0] -= len(data)
                        if left[0] <= 0:
                            break
            except OSError:
                pass
            finally:
                for each in pair:
                    each.transport.abort()

        await asyncio.gather(pump(reader, up_writer, False), pump(up_reader, writer, True))
        self._writers -= pair

    def _do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(5)

    def _call(self, function: Callable[[], Any]) -> None:
        async def run() -> None:
            function()

        self._do(run())
