"""Chunks put together are the array; a missing, repeated, damaged or surplus one is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
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
    "damaged": ([dataset_pb2.Chunk(offset=0, data=b"\1" + FIRST.data[1:], crc32c=FIRST.crc32c)], "chunk.crc32c"),
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


@pytest.mark.parametrize("chunk_bytes", [1, 80, 127, 128, 1 << 20])
def test_chunks_are_read_as_protobuf_reads_them(chunk_bytes: int) -> None:
    for written in chunks.upload_requests(ARRAY, chunk_bytes=chunk_bytes):
        expected = dataset_pb2.UploadDatasetRequest.FromString(written).chunk
        for data in (written, dataset_pb2.UploadDatasetRequest(chunk=expected).SerializeToString()):
            read = chunks.read_upload_request(data)
            assert isinstance(read, chunks.ReceivedChunk)
            assert (read.offset, bytes(read.data), read.crc32c) == (expected.offset, expected.data, expected.crc32c)


ODD = {
    "no bytes": b"",
    "a header": dataset_pb2.UploadDatasetRequest(header={"shape": [1]}).SerializeToString(),
    "a hash": dataset_pb2.UploadDatasetRequest(sha256="x").SerializeToString(),
    "an empty chunk": dataset_pb2.UploadDatasetRequest(chunk=dataset_pb2.Chunk()).SerializeToString(),
    "a negative offset": dataset_pb2.UploadDatasetRequest(chunk={"offset": -1, "data": b"x"}).SerializeToString(),
    "a chunk, then a header": dataset_pb2.UploadDatasetRequest(chunk={"data": b"x"}).SerializeToString()
    + dataset_pb2.UploadDatasetRequest(header={"shape": [1]}).SerializeToString(),
    "an unknown field in a chunk": b"\x12\x05\x12\x01x\x38\x07",
    "a longer number than needed": b"\x12\x86\x00\x08\x85\x00\x12\x01x",
}


def chunk_or_message(data: bytes, read: Any) -> Any:
    """What was read, in one form; the name of the error where it cannot be read."""
    try:
        found = read(data)
    except DecodeError:
        return DecodeError
    if isinstance(found, chunks.ReceivedChunk):
        chunk = {"offset": found.offset, "data": bytes(found.data), "crc32c": found.crc32c}
        return dataset_pb2.UploadDatasetRequest(chunk=chunk)
    found.DiscardUnknownFields()
    return found


def agrees_with_protobuf(data: bytes) -> None:
    expected = chunk_or_message(data, dataset_pb2.UploadDatasetRequest.FromString)
    assert chunk_or_message(data, chunks.read_upload_request) == expected


@pytest.mark.parametrize("data", ODD.values(), ids=ODD.keys())
def test_what_is_no_plain_chunk_is_read_as_protobuf_reads_it(data: bytes) -> None:
    agrees_with_protobuf(data)


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda data: b"\x12" + bytes((len(data),)) + data))
def test_any_bytes_are_read_as_protobuf_reads_them(data: bytes) -> None:
    agrees_with_protobuf(data)


@given(st.integers(0, 300), st.integers(0, 255))
def test_cut_and_changed_messages_are_read_as_protobuf_reads_them(at: int, byte: int) -> None:
    (data,) = chunks.upload_requests(ARRAY)
    agrees_with_protobuf(data[:at])
    agrees_with_protobuf(data[:at] + bytes((byte,)) + data[at + 1 :])
