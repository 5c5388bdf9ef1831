"""An array as a stream of checksummed pieces, and back.

The first message of an upload or a download is a header with dtype and shape; then chunks follow in order, each with
its offset and the CRC-32C of its bytes. 512 KiB a chunk is within a few percent of the fastest, and leaves a message
far below its limit. `Assembler` is the receiving end for arrays that are wanted in memory. `upload_requests` and
`read_upload_request` write and read an upload's messages without a message object, each access to whose bytes would
copy them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nablad.v1 import dataset_pb2
from nablad.wire.tensors import AnyArray, Layout, TensorError, buffer

CHUNK_BYTES = 512 * 1024


def checksum(data: bytes | memoryview) -> int:
    """The CRC-32C of the bytes."""
    # Loaded with the first chunk: it takes as long as a fifth of the client, which seldom sends any.
    from crc32c import crc32c

    return int(crc32c(data))


def make(offset: int, data: bytes) -> dataset_pb2.Chunk:
    """A chunk with its checksum."""
    return dataset_pb2.Chunk(offset=offset, data=data, crc32c=checksum(data))


def split(array: AnyArray, *, offset: int = 0, chunk_bytes: int = CHUNK_BYTES) -> Iterator[dataset_pb2.Chunk]:
    """The array's little-endian bytes from `offset` on, as chunks."""
    data = buffer(array)
    for start in range(offset, len(data), chunk_bytes):
        yield make(start, bytes(data[start : start + chunk_bytes]))


def upload_requests(array: AnyArray, *, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The array's chunks as serialized UploadDatasetRequests, each byte copied once.

    Fields may stand in any order on the wire: the data comes last, behind its tag and length.
    """
    data = buffer(array)
    for start in range(0, len(data), chunk_bytes):
        piece = data[start : start + chunk_bytes]
        head = dataset_pb2.Chunk(offset=start, crc32c=checksum(piece)).SerializeToString() + _head(_DATA, len(piece))
        yield b"".join((_head(_CHUNK, len(head) + len(piece)), head, piece))


@dataclass(frozen=True, slots=True)
class ReceivedChunk:
    """A chunk whose bytes lie where the message's do."""

    offset: int
    data: memoryview
    crc32c: int


def read_upload_request(message: bytes) -> dataset_pb2.UploadDatasetRequest | ReceivedChunk:
    """A serialized UploadDatasetRequest, or the chunk that it holds. DecodeError where it is none.

    What is not a chunk, or not written as protobuf writes one, is left to protobuf.
    """
    chunk = _read_chunk(memoryview(message))
    if chunk is not None:
        return chunk
    request = dataset_pb2.UploadDatasetRequest.FromString(message)
    if request.WhichOneof("part") != "chunk":
        return request
    return ReceivedChunk(request.chunk.offset, memoryview(request.chunk.data), request.chunk.crc32c)


def _read_chunk(message: memoryview) -> ReceivedChunk | None:
    offset, data, checksum = 0, message[:0], 0
    seen: set[int] = set()
    try:
        if message[0] != _CHUNK:
            return None
        length, at = _read_varint(message, 1, _LENGTH_BYTES)
        if at + length != len(message):
            return None
        while at < len(message):
            tag, at = message[at], at + 1
            # Each field once: a message full of them would keep the caller busy, or be much longer than its data.
            if tag in seen:
                return None
            seen.add(tag)
            if tag == _OFFSET:
                offset, at = _read_varint(message, at, _NUMBER_BYTES)
            elif tag == _DATA:
                length, at = _read_varint(message, at, _LENGTH_BYTES)
                data, at = message[at : at + length], at + length
            elif tag == _CRC32C:
                checksum, at = int.from_bytes(message[at : at + 4], "little"), at + 4
            else:
                return None
    except IndexError:
        return None
    return ReceivedChunk(offset, data, checksum) if at == len(message) and offset < 1 << 63 else None


_VARINT, _LENGTH_DELIMITED, _FIXED32 = 0, 2, 5
_OFFSET = dataset_pb2.Chunk.OFFSET_FIELD_NUMBER << 3 | _VARINT
_DATA = dataset_pb2.Chunk.DATA_FIELD_NUMBER << 3 | _LENGTH_DELIMITED
_CRC32C = dataset_pb2.Chunk.CRC32C_FIELD_NUMBER << 3 | _FIXED32
_CHUNK = dataset_pb2.UploadDatasetRequest.CHUNK_FIELD_NUMBER << 3 | _LENGTH_DELIMITED


_LENGTH_BYTES, _NUMBER_BYTES = 5, 10
"""That protobuf reads of a number at most."""


def _read_varint(message: memoryview, at: int, longest: int) -> tuple[int, int]:
    """A number of protobuf's, and where the next byte is. IndexError where the message ends before, or it is longer."""
    value, shift = 0, 0
    while shift < 7 * longest:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise IndexError("a number of too many bytes")


def _head(tag: int, length: int) -> bytes:
    """Tag and length before a field's bytes (protobuf's encoding)."""
    out = bytearray((tag,))
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out)


def check(chunk: dataset_pb2.Chunk, expected_offset: int, size_bytes: int) -> None:
    """TensorError unless the chunk is the next one, undamaged, nonempty and within the array."""
    check_place(chunk.offset, len(chunk.data), expected_offset, size_bytes)
    check_bytes(chunk.offset, chunk.data, chunk.crc32c)


def check_place(offset: int, length: int, expected_offset: int, size_bytes: int) -> None:
    """The part of `check` that needs no bytes."""
    if offset != expected_offset:
        raise TensorError("chunk.offset", f"is {offset}; the next byte is {expected_offset}")
    if not length:
        raise TensorError("chunk.data", "is empty")
    if offset + length > size_bytes:
        raise TensorError("chunk.data", f"ends at byte {offset + length}; the array has {size_bytes}")


def check_bytes(offset: int, data: bytes | memoryview, expected: int) -> None:
    """The part that looks at every byte."""
    if checksum(data) != expected:
        raise TensorError("chunk.crc32c", f"does not fit the bytes from {offset}: they were damaged on the way")


class Assembler:
    """Puts chunks together to an array of the given layout."""

    def __init__(self, layout: Layout) -> None:
        self._array = np.empty(layout.shape, layout.element.dtype)
        self._bytes = self._array.reshape(-1).view(np.uint8).data
        self._size = layout.size_bytes
        self.offset = 0
        """The next byte that is needed."""

    def add(self, chunk: dataset_pb2.Chunk) -> None:
        """Takes the next chunk. TensorError if it is not."""
        data = chunk.data  # each access copies the bytes
        check_place(chunk.offset, len(data), self.offset, self._size)
        check_bytes(chunk.offset, data, chunk.crc32c)
        self._bytes[self.offset : self.offset + len(data)] = data
        self.offset += len(data)

    def finish(self) -> AnyArray:
        """The array. TensorError if bytes are missing."""
        if self.offset != self._size:
            raise TensorError("chunk", f"the stream ended at byte {self.offset}; the array has {self._size}")
        return self._array
