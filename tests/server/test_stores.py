"""Every store passes the conformance tests."""

from __future__ import annotations

import pytest
from server.store_conformance import StoreConformance

from nablad.server.store import MemoryStore, Store


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()
