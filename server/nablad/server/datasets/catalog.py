"""What the front knows of its datasets: names, sizes, and the bounds on them.

The catalog belongs to the event loop and never touches the disk itself; file operations run in threads. Datasets that
workers have written arrive by their announcements. Those that only carry a reply home, a large Hessian, are answers: of
all of them together the oldest go, unless somebody has asked for one as a dataset of his own.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection

from nablad.server.datasets.files import FULL, DatasetFiles, DatasetWriter
from nablad.server.errors import LimitReached, ResourceNotFound
from nablad.server.settings import Limits
from nablad.v1 import dataset_pb2
from nablad.wire import names
from nablad.wire.tensors import Layout


class Catalog:
    """The datasets in `files`, within `limits`."""

    def __init__(self, files: DatasetFiles, limits: Limits) -> None:
        self.files = files
        self._limits = limits
        self._datasets: dict[str, tuple[int, dataset_pb2.Dataset]] = {}
        self._answers: OrderedDict[str, int] = OrderedDict()
        """Name -> bytes, the oldest first."""
        self._ordinal = 0
        self._uploads = 0
        self._promised = 0
        self._naming = asyncio.Lock()
        """Held while a file gets its name or loses it, so that the catalog tells what is there."""

    async def load(self) -> None:
        """Reads the directory."""
        for dataset in await asyncio.to_thread(self.files.scan):
            self.add(dataset)

    def add(self, dataset: dataset_pb2.Dataset) -> dataset_pb2.Dataset:
        """Takes note of a dataset; the first note of it stays. It is no answer any more."""
        self._answers.pop(dataset.name, None)
        if dataset.name not in self._datasets:
            self._ordinal += 1
            self._datasets[dataset.name] = (self._ordinal, dataset)
        return self._datasets[dataset.name][1]

    def add_answer(self, dataset: dataset_pb2.Dataset) -> None:
        """Takes note of an answer; a dataset that is here already stays what it is."""
        if dataset.name in self._answers:
            self._answers.move_to_end(dataset.name)
        elif dataset.name not in self._datasets:
            self.add(dataset)
            self._answers[dataset.name] = dataset.size_bytes

    async def forget_answers(self, newest: Collection[str]) -> None:
        """Removes the oldest answers beyond their bound, but for the newest."""
        old = [name for name in self._answers if name not in newest]
        excess = sum(self._answers.values()) - self._limits.answers_bytes
        for name in old:
            if excess <= 0:
                return
            excess -= self._answers.pop(name)
            await self.remove(name)

    def find(self, name: str) -> dataset_pb2.Dataset | None:
        """The dataset, if it is here."""
        row = self._datasets.get(name)
        return None if row is None else row[1]

    def get(self, name: str) -> dataset_pb2.Dataset:
        """The dataset. ResourceNotFound."""
        found = self.find(name)
        if found is None:
            raise ResourceNotFound(name, f"there is no dataset {name!r}; upload it first")
        return found

    def keep(self, name: str) -> dataset_pb2.Dataset:
        """The dataset, which stays until it is deleted, even if it came as an answer. ResourceNotFound."""
        found = self.get(name)
        self._answers.pop(name, None)
        return found

    def newest(self, before: int | None, limit: int) -> list[tuple[int, dataset_pb2.Dataset]]:
        """At most `limit` datasets with their ordinals, the newest first."""
        rows = [row for row in reversed(self._datasets.values()) if before is None or row[0] < before]
        return rows[:limit]

    @property
    def size_bytes(self) -> int:
        """Of all datasets, and of the uploads under way."""
        return self._promised + sum(dataset.size_bytes for _, dataset in self._datasets.values())

    async def begin(self, plan: Layout) -> DatasetWriter:
        """A place for an upload. LimitReached where there is none; end it with `end`."""
        size = plan.size_bytes
        if size > self._limits.dataset_bytes:
            message = f"the array has {size} bytes; one dataset may have {self._limits.dataset_bytes}"
            raise LimitReached(message, "DATASET_TOO_LARGE", "dataset_bytes", retry_delay=None)
        if self._uploads >= self._limits.uploads:
            raise LimitReached(f"{self._uploads} uploads are under way already", "TOO_MANY_UPLOADS", "uploads")
        if self.size_bytes + size > self._limits.datasets_bytes:
            message = f"all datasets together may have {self._limits.datasets_bytes} bytes; delete some first"
            raise LimitReached(message, "DATASETS_FULL", "datasets_bytes", retry_delay=None)
        self._uploads += 1
        self._promised += size
        try:
            return await asyncio.to_thread(self.files.write, plan)
        except OSError as error:
            self._release(size)
            if error.errno in FULL:
                raise disk_full() from error
            raise
        except BaseException:
            self._release(size)
            raise

    async def commit(self, writer: DatasetWriter, expected: str) -> dataset_pb2.Dataset:
        """Ends an upload well. Raises what `DatasetWriter.commit` raises."""
        async with self._naming:
            return self.add(await asyncio.to_thread(writer.commit, expected))

    async def end(self, writer: DatasetWriter) -> None:
        """Frees the upload's place; without a commit before, nothing of it is left."""
        self._release(writer.plan.size_bytes)
        await asyncio.to_thread(writer.close)

    def _release(self, size: int) -> None:
        self._uploads -= 1
        self._promised -= size

    async def remove(self, name: str) -> None:
        """Forgets the dataset and removes its file. ResourceNotFound."""
        async with self._naming:
            self.get(name)
            del self._datasets[name]
            self._answers.pop(name, None)
            await asyncio.to_thread(self.files.remove, name)


def disk_full() -> LimitReached:
    """No room on the server's disk."""
    return LimitReached("the server's disk is full", "DISK_FULL", "disk", retry_delay=60.0)


def checked_name(name: str) -> str:
    """The name, if it may be one of a dataset. ResourceNotFound otherwise: there can be no such dataset."""
    try:
        names.id_of(names.DATASETS, name)
    except ValueError as error:
        raise ResourceNotFound(name, str(error)) from None
    return name
