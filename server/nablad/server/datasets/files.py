"""A directory of arrays, each under its content hash: `{sha256}.bin`, the bare little-endian bytes, with its
description `{sha256}.json` beside it.

A file grows as `{random}.part` and is renamed once its length and hash are right, the description first: where there is
a .bin, it is whole. Equal arrays meet in one file, whoever writes it; front and workers write into the same directory.
Attaching one is a memory map, whatever its size. Everything here blocks.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from google.protobuf import json_format

from nablad.v1 import dataset_pb2
from nablad.wire import names
from nablad.wire.tensors import AnyArray, Layout, TensorError, buffer, content_digest, content_hash, element_of, layout

WRITE_BYTES = 1 << 20

# What the operating system says when there is no room.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class DatasetFiles:
    """The directory `path`; it must exist. Writing leaves `free_bytes` of its disk alone. What is `durable` is on the
    disk before it has its name; a directory that ends with its server need not wait for that.
    """

    def __init__(self, path: Path, free_bytes: int = 0, *, durable: bool = True) -> None:
        self.path = path
        self.durable = durable
        self._free_bytes = free_bytes

    def _data(self, identifier: str) -> Path:
        return self.path / f"{identifier}.bin"

    def _description(self, identifier: str) -> Path:
        return self.path / f"{identifier}.json"

    def describe(self, name: str) -> dataset_pb2.Dataset | None:
        """What is known of a dataset; None if it is not here. ValueError if the name is none."""
        identifier = names.id_of(names.DATASETS, name)
        if not self._data(identifier).exists():
            return None
        try:
            return json_format.Parse(self._description(identifier).read_text(), dataset_pb2.Dataset())
        except (FileNotFoundError, json_format.ParseError):
            return None  # half of it is gone: upload it again

    def scan(self) -> list[dataset_pb2.Dataset]:
        """Every dataset, the oldest first. What an interrupted writer has left is removed."""
        for part in self.path.glob("*.part"):
            part.unlink(missing_ok=True)
        found = [self.describe(names.name_of(names.DATASETS, file.stem)) for file in self.path.glob("*.bin")]
        return sorted((d for d in found if d is not None), key=lambda d: d.create_time.ToNanoseconds())

    def open(self, name: str) -> AnyArray:
        """The array, memory-mapped and read-only. FileNotFoundError if it is not here."""
        dataset = self.describe(name)
        if dataset is None:
            raise FileNotFoundError(name)
        plan = layout(dataset.dtype, dataset.shape)
        if plan.size_bytes == 0:
            return np.empty(plan.shape, plan.element.dtype)
        path = self._data(names.id_of(names.DATASETS, name))
        return np.memmap(path, plan.element.dtype, "r").reshape(plan.shape)

    def data_path(self, name: str) -> Path:
        """The file with the bare bytes."""
        return self._data(names.id_of(names.DATASETS, name))

    def remove(self, name: str) -> None:
        """Removes the dataset. Whoever has it mapped keeps it until he lets go."""
        identifier = names.id_of(names.DATASETS, name)
        self._data(identifier).unlink(missing_ok=True)
        self._description(identifier).unlink(missing_ok=True)

    def write(self, plan: Layout) -> DatasetWriter:
        """A new file for an array of this layout. OSError, with an errno in FULL, where there is no room for it."""
        if shutil.disk_usage(self.path).free - plan.size_bytes < self._free_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return DatasetWriter(self, plan)

    def put(self, array: AnyArray) -> dataset_pb2.Dataset:
        """Keeps an array; where it is here already, nothing is written."""
        data = buffer(array)
        pieces = [data[start : start + WRITE_BYTES] for start in range(0, len(data), WRITE_BYTES)]
        name = names.name_of(names.DATASETS, content_hash(array.dtype, array.shape, pieces))
        known = self.describe(name)
        if known is not None:
            return known
        writer = self.write(layout(element_of(array.dtype).data_type, array.shape))
        try:
            writer.extend(pieces)
            return writer.commit()
        finally:
            writer.close()


class DatasetWriter:
    """A dataset on its way into the directory. Always `close` it: without a commit nothing is left."""

    def __init__(self, files: DatasetFiles, plan: Layout) -> None:
        self.plan = plan
        self.offset = 0
        """The next byte that is needed."""
        self._files = files
        self._part = files.path / f"{secrets.token_hex(16)}.part"
        self._file = self._part.open("xb")
        self._digest = content_digest(plan.element.dtype, plan.shape)

    def extend(self, pieces: Iterable[bytes | memoryview]) -> None:
        """Appends bytes. OSError as the system says it; an errno in FULL is a want of room."""
        for piece in pieces:
            self._file.write(piece)
            self._digest.update(piece)
            self.offset += len(piece)

    def commit(self, expected: str = "") -> dataset_pb2.Dataset:
        """Renames the file to its hash. TensorError if bytes are missing, or the hash is not the expected one."""
        if self.offset != self.plan.size_bytes:
            raise TensorError("chunk", f"the stream ended at byte {self.offset}; the array has {self.plan.size_bytes}")
        identifier = self._digest.hexdigest()
        if expected and identifier != expected:
            raise TensorError("header.sha256", f"is {expected}; the array that came has {identifier}")
        self._file.flush()
        if self._files.durable:
            os.fsync(self._file.fileno())
        name = names.name_of(names.DATASETS, identifier)
        dataset = dataset_pb2.Dataset(
            name=name, dtype=self.plan.element.data_type, shape=self.plan.shape, size_bytes=self.plan.size_bytes
        )
        dataset.create_time.FromNanoseconds(time.time_ns())
        described = self._part.with_suffix(".json.part")
        try:
            described.write_text(json_format.MessageToJson(dataset))
            described.rename(self._files._description(identifier))
        finally:
            described.unlink(missing_ok=True)
        self._part.rename(self._files._data(identifier))
        return dataset

    def close(self) -> None:
        """Removes what has not been committed."""
        try:
            self._file.close()
        except OSError as error:
            # A buffer that cannot be written any more is what made the upload fail already.
            if error.errno not in FULL:
                raise
        finally:
            self._part.unlink(missing_ok=True)
