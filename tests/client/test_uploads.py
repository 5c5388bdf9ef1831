"""Arrays that are hashed while they are sent."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from nablad.client import Client, embedded
from nablad.client.core import uploads
from nablad.client.core.encode import dataset_name
from nablad.client.errors import LimitExceeded
from nablad.v1 import dataset_pb2

ARRAY = np.arange(300_000.0)
SHA256 = dataset_name(ARRAY).rpartition("/")[2]


def messages(parts: uploads.Parts) -> list[dataset_pb2.UploadDatasetRequest]:
    return [dataset_pb2.UploadDatasetRequest.FromString(data) for data in parts]


def order(found: list[dataset_pb2.UploadDatasetRequest]) -> list[str | None]:
    return [message.WhichOneof("part") for message in found]


def test_a_name_that_is_known_stands_in_the_header() -> None:
    found = messages(uploads.Parts(ARRAY, dataset_name(ARRAY)))
    assert found[0].header.sha256 == SHA256
    assert order(found[1:]) == ["chunk"] * 5


def test_a_name_that_is_found_late_follows_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    may_hash = threading.Event()

    def hash_later(array: Any) -> str:
        assert may_hash.wait(30)
        return dataset_name(array)

    monkeypatch.setattr(uploads, "dataset_name", hash_later)
    parts = uploads.Parts(ARRAY)
    found = []
    for message in parts:
        found.append(dataset_pb2.UploadDatasetRequest.FromString(message))
        if len(found) == 6:  # nothing else is left to be sent
            may_hash.set()
    assert not found[0].header.sha256
    assert order(found) == ["header", *["chunk"] * 5, "sha256"]
    assert found[-1].sha256 == SHA256
    # A second try has it in time.
    again = messages(parts)
    assert again[0].header.sha256 == SHA256
    assert [message.chunk for message in again[1:]] == [message.chunk for message in found[1:-1]]


def test_what_hashing_raises_ends_the_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(array: Any) -> str:
        raise MemoryError("no room")

    monkeypatch.setattr(uploads, "dataset_name", fail)
    with pytest.raises(MemoryError, match="no room"):
        list(uploads.Parts(ARRAY))


def test_a_server_takes_such_an_array_once(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "NAMED_MEANWHILE", 1000)
    client = connect()
    array = np.random.default_rng().normal(size=(200_000,))
    dataset = client.upload(array)
    assert dataset.name == dataset_name(array)
    np.testing.assert_array_equal(client.download(dataset), array)
    before = len(list(client.datasets()))
    assert client.upload(array) == dataset
    assert len(list(client.datasets())) == before


def test_what_hashing_raises_reaches_the_caller(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(array: Any) -> str:
        raise MemoryError("no room")

    client = connect()
    monkeypatch.setattr(uploads, "NAMED_MEANWHILE", 1000)
    monkeypatch.setattr(uploads, "dataset_name", fail)
    with pytest.raises(MemoryError, match="no room"):
        client.upload(np.random.default_rng().normal(size=(200_000,)))


def test_what_is_there_needs_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "NAMED_MEANWHILE", 1000)
    array = np.random.default_rng(1).normal(size=(200_000,))
    server = embedded.start(workers=1, arguments=["--settings", '{"limits": {"datasets_bytes": 2000000}}'])
    try:
        with Client.connect(server.target, token=server.token) as client:
            dataset = client.upload(array)
            assert client.upload(array.copy()) == dataset
            with pytest.raises(LimitExceeded, match="delete some first"):
                client.upload(array + 1.0)
    finally:
        server.stop()
