"""An upload's messages.

An array's name is its SHA-256, and whoever has that first need not send what the server has. Hashing takes as long as
sending does where the network is fast; so a large array is hashed in a thread while its chunks go out, and the hash
follows as soon as it is known: the server then stops an upload that it does not need.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future

from nablad.client.core.encode import dataset_name
from nablad.v1 import dataset_pb2
from nablad.wire import chunks, tensors
from nablad.wire.tensors import AnyArray

NAMED_MEANWHILE = 64 << 20
"""Bytes from which an array is hashed while it is sent; a smaller one takes less than a twentieth of a second."""


class Parts:
    """An upload's messages, from the start each time they are asked for."""

    def __init__(self, array: AnyArray, name: str | None = None) -> None:
        self._array = tensors.little_endian(array)  # else hashing and sending would each make a copy
        self._name: Future[str] = Future()
        if name is None:
            threading.Thread(target=self._find_name, name="hash", daemon=True).start()
        else:
            self._name.set_result(name)

    def _find_name(self) -> None:
        try:
            self._name.set_result(dataset_name(self._array))
        except BaseException as error:
            self._name.set_exception(error)

    @property
    def name(self) -> str:
        """Of the array as a dataset; waits until it is known. Raises what hashing raises."""
        return self._name.result()

    def _sha256(self) -> str:
        return self.name.rpartition("/")[2]

    def __iter__(self) -> Iterator[bytes]:
        told = self._name.done()
        header = dataset_pb2.DatasetHeader(
            dtype=tensors.element_of(self._array.dtype).data_type,
            shape=self._array.shape,
            sha256=self._sha256() if told else "",
        )
        yield dataset_pb2.UploadDatasetRequest(header=header).SerializeToString()
        for request in chunks.upload_requests(self._array):
            if not told and self._name.done():
                told = True
                yield self._late_hash()
            yield request
        if not told:
            yield self._late_hash()

    def _late_hash(self) -> bytes:
        return dataset_pb2.UploadDatasetRequest(sha256=self._sha256()).SerializeToString()
