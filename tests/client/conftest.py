"""A real server in a process of its own, and each test twice: with Client and with AsyncClient."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from client.facade import Facade
from client.proxy import Proxy

from nablad.client import AsyncClient, Client, LeastSquares, embedded
from nablad.client.embedded import EmbeddedServer

Connect = Callable[..., Any]


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    started = embedded.start(workers=2, arguments=["--settings", '{"unwatched_seconds": 0.5}'])
    yield started
    started.stop()


@pytest.fixture
def proxy(server: EmbeddedServer) -> Iterator[Proxy]:
    with Proxy(server.target) as made:
        yield made


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest, server: EmbeddedServer) -> Iterator[Connect]:
    """Makes clients of either kind; the server's address and token unless others are given."""
    loop = asyncio.new_event_loop()
    made = []

    def make(target: str = server.target, token: str | None = server.token) -> Any:
        if request.param == "sync":
            made.append(Client.connect(target, token=token))
        else:
            made.append(Facade(AsyncClient.connect(target, token=token), loop))
        return made[-1]

    yield make
    for client in made:
        client.close()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture
def client(connect: Connect) -> Any:
    return connect()


@pytest.fixture(scope="session")
def regression() -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    X = rng.normal(size=(60, 4))
    return X, X @ [1.0, -2.0, 3.0, 0.5] + 0.1 * rng.normal(size=60)


@pytest.fixture(scope="session")
def long_model() -> LeastSquares:
    """A thousand iterations of gradient descent take about a tenth of a second."""
    rng = np.random.default_rng(8)
    X = rng.normal(size=(20_000, 20))
    return LeastSquares(X, X.sum(axis=1) + rng.normal(size=20_000))
