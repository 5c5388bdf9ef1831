"""Every store passes the conformance tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from server.store_conformance import DurableConformance, StoreConformance

from nablad.server.store import MemoryStore, SqliteStore, Store


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestSqliteStore(DurableConformance):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = await SqliteStore.open(tmp_path / "jobs.db")
        yield store
        await store.close()

    @pytest.fixture
    async def reopen(self, store: Store, tmp_path: Path) -> AsyncIterator[Callable[[], Awaitable[Store]]]:
        opened = [store]

        async def reopen() -> Store:
            await opened[-1].close()
            opened.append(await SqliteStore.open(tmp_path / "jobs.db"))
            return opened[-1]

        yield reopen
        await opened[-1].close()
