"""A job as a store holds it in memory: its record, the blocks that it was given last, and who waits for more."""

from __future__ import annotations

import asyncio
import sys
from bisect import bisect_right

from nablad.server.states import FINAL
from nablad.server.store.interface import Block, JobRecord

PAGE_BLOCKS = 256


class Job:
    """The newest blocks of `limit` bytes, and the very newest in any case; all of them unless told otherwise."""

    def __init__(self, record: JobRecord, limit: int = sys.maxsize) -> None:
        self.record = record
        self.blocks_bytes = 0
        self._limit = limit
        self._blocks: list[Block] = []
        self._waiting: set[asyncio.Future[None]] = set()

    def add(self, block: Block) -> None:
        """Takes the next block of the journal."""
        self._blocks.append(block)
        self.blocks_bytes += len(block.data)
        while self.blocks_bytes > self._limit and len(self._blocks) > 1:
            self.blocks_bytes -= len(self._blocks.pop(0).data)

    def after(self, seq: int, max_bytes: int) -> list[Block] | None:
        """A page of the blocks with events after a seq; None where the first of them is no longer here."""
        if seq >= self.record.last_seq:
            return []
        if not self._blocks or self._blocks[0].first_seq > seq + 1:
            return None
        start = bisect_right(self._blocks, seq, key=lambda block: block.last_seq)
        found: list[Block] = []
        size = 0
        for block in self._blocks[start : start + PAGE_BLOCKS]:
            size += len(block.data)
            if found and size > max_bytes:
                break
            found.append(block)
        return found

    async def wait(self, after_seq: int) -> None:
        """Returns once there are events after the seq, or the job is in a final state, or `wake` is called."""
        if self.record.last_seq > after_seq or self.record.state in FINAL:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)

    def wake(self) -> None:
        """Ends every wait."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()
