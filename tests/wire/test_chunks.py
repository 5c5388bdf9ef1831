"""Chunks put together are the array; a missing, repeated, damaged or surplus one is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nablad.v1 import dataset_pb2
from nablad.wire import chunks, tensors
from nablad.wire.tensors import TensorError


def assembler(array: Any) -> chunks.Assembler:
    return chunks.Assembler(tensors.layout(tensors.element_of(array.dtype).data_type, array.shape))


def assemble(parts: Any) -> Any:
    target = assembler(ARRAY)
    for part in parts:
        target.add(part)
    return target.finish()


@given(st.integers(0, 300), st.integers(1, 100), st.sampled_from(["<f8", ">f4", "<i8"]))
def test_round_trip(length: int, chunk_bytes: int, dtype: str) -> None:
    array = np.arange(length).astype(dtype)[::-1]
    target = assembler(array)
    for chunk in chunks.split(array, chunk_bytes=chunk_bytes):
        assert len(chunk.data) <= chunk_bytes
        target.add(chunk)
    np.testing.assert_array_equal(target.finish(), array)


@given(st.integers(0, 800))
def test_split_goes_on_from_an_offset(offset: int) -> None:
    array = np.arange(100.0)
    rest = b"".join(c.data for c in chunks.split(array, offset=offset, chunk_bytes=64))
    assert rest == array.tobytes()[offset:]


ARRAY = np.arange(20.0)
FIRST, SECOND = chunks.split(ARRAY, chunk_bytes=80)
FAULTS = {
    "out of order": ([SECOND], "chunk.offset"),
    "repeated": ([FIRST, FIRST], "chunk.offset"),
    "damaged": ([dataset_pb2.Chunk(offset=0, data=b"\1" + FIRST.data[1:], crc32=FIRST.crc32)], "chunk.crc32"),
    "empty": ([chunks.make(0, b"")], "chunk.data"),
    "surplus": ([chunks.make(0, bytes(161))], "chunk.data"),
    "short": ([FIRST], "chunk"),
}


@pytest.mark.parametrize(("parts", "field"), FAULTS.values(), ids=FAULTS.keys())
def test_faults(parts: Any, field: str) -> None:
    with pytest.raises(TensorError) as caught:
        assemble(parts)
    assert caught.value.field == field


@pytest.mark.parametrize("chunk_bytes", [1, 80, 127, 128, 1 << 20])
def test_upload_requests_are_the_chunks_as_messages(chunk_bytes: int) -> None:
    requests = [
        dataset_pb2.UploadDatasetRequest.FromString(data)
        for data in chunks.upload_requests(ARRAY, chunk_bytes=chunk_bytes)
    ]
    expected = [dataset_pb2.UploadDatasetRequest(chunk=c) for c in chunks.split(ARRAY, chunk_bytes=chunk_bytes)]
    assert requests == expected
