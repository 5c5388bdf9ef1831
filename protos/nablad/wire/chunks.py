"""An array as a stream of checksummed pieces, and back.

The first message of an upload or a download is a header with dtype and shape; then chunks follow in order, each with
its offset and the CRC-32 of its bytes. 512 KiB a chunk is within a few percent of the fastest, and leaves a message
far below its limit. `Assembler` is the receiving end for arrays that are wanted in memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from nablad.v1 import dataset_pb2
from nablad.wire.tensors import AnyArray, Layout, TensorError, buffer

CHUNK_BYTES = 512 * 1024


def make(offset: int, data: bytes) -> dataset_pb2.Chunk:
    """A chunk with its checksum."""
    return dataset_pb2.Chunk(offset=offset, data=data, crc32=zlib.crc32(data))


def split(array: AnyArray, *, offset: int = 0, chunk_bytes: int = CHUNK_BYTES) -> Iterator[dataset_pb2.Chunk]:
    """The array's little-endian bytes from `offset` on, as chunks."""
    data = buffer(array)
    for start in range(offset, len(data), chunk_bytes):
        yield make(start, bytes(data[start : start + chunk_bytes]))


def upload_requests(array: AnyArray, *, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The array's chunks as serialized UploadDatasetRequests, each byte copied once.

    A message object would copy them when it is made, when it is put into another, and when it is written. Fields may
    stand in any order on the wire: the data comes last, behind its tag and length.
    """
    data = buffer(array)
    for start in range(0, len(data), chunk_bytes):
        piece = data[start : start + chunk_bytes]
        head = dataset_pb2.Chunk(offset=start, crc32=zlib.crc32(piece)).SerializeToString()
        head += _head(dataset_pb2.Chunk.DATA_FIELD_NUMBER, len(piece))
        outer = _head(dataset_pb2.UploadDatasetRequest.CHUNK_FIELD_NUMBER, len(head) + len(piece))
        yield b"".join((outer, head, piece))


_LENGTH_DELIMITED = 2


def _head(field: int, length: int) -> bytes:
    """Tag and length before a field's bytes (protobuf's encoding)."""
    out = bytearray((field << 3 | _LENGTH_DELIMITED,))
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out)


def check(chunk: dataset_pb2.Chunk, expected_offset: int, size_bytes: int) -> None:
    """TensorError unless the chunk is the next one, undamaged, nonempty and within the array."""
    check_place(chunk.offset, len(chunk.data), expected_offset, size_bytes)
    check_bytes(chunk.offset, chunk.data, chunk.crc32)


def check_place(offset: int, length: int, expected_offset: int, size_bytes: int) -> None:
    """The part of `check` that needs no bytes."""
    if offset != expected_offset:
        raise TensorError("chunk.offset", f"is {offset}; the next byte is {expected_offset}")
    if not length:
        raise TensorError("chunk.data", "is empty")
    if offset + length > size_bytes:
        raise TensorError("chunk.data", f"ends at byte {offset + length}; the array has {size_bytes}")


def check_bytes(offset: int, data: bytes, crc32: int) -> None:
    """The part that looks at every byte."""
    if zlib.crc32(data) != crc32:
        raise TensorError("chunk.crc32", f"does not fit the bytes from {offset}: they were damaged on the way")


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
        check_bytes(chunk.offset, data, chunk.crc32)
        self._bytes[self.offset : self.offset + len(data)] = data
        self.offset += len(data)

    def finish(self) -> AnyArray:
        """The array. TensorError if bytes are missing."""
        if self.offset != self._size:
            raise TensorError("chunk", f"the stream ended at byte {self.offset}; the array has {self._size}")
        return self._array
