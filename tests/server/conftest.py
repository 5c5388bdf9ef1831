"""One ordinary server for each module of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from server.running import Running, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving(workers=2, heartbeat_seconds=0.2, unwatched_seconds=0.5) as running:
        yield running
        assert not running.logged("call failed inside the server"), running.log_text()
        assert not running.logged("job failed inside the server"), running.log_text()
