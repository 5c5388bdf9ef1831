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


def check(chunk: dataset_pb2.Chunk, expected_offset: int, size_bytes: int) -> None:
    """TensorError unless the chunk is the next one, undamaged, nonempty and within the array."""
    if chunk.offset != expected_offset:
        raise TensorError("chunk.offset", f"is {chunk.offset}; the next byte is {expected_offset}")
    if not chunk.data:
        raise TensorError("chunk.data", "is empty")
    if chunk.offset + len(chunk.data) > size_bytes:
        raise TensorError("chunk.data", f"ends at byte {chunk.offset + len(chunk.data)}; the array has {size_bytes}")
    if zlib.crc32(chunk.data) != chunk.crc32:
        raise TensorError("chunk.crc32", f"does not fit the bytes from {chunk.offset}: they were damaged on the way")


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
        check(chunk, self.offset, self._size)
        self._bytes[self.offset : self.offset + len(chunk.data)] = chunk.data
        self.offset += len(chunk.data)

    def finish(self) -> AnyArray:
        """The array. TensorError if bytes are missing."""
        if self.offset != self._size:
            raise TensorError("chunk", f"the stream ended at byte {self.offset}; the array has {self._size}")
        return self._array
