"""What a worker has beside its command: files, limits, and the way of arrays in and out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nablad.server.datasets.files import DatasetFiles
from nablad.server.settings import Limits
from nablad.server.worker.border import Surroundings
from nablad.server.worker.violations import Violations
from nablad.v1 import tensor_pb2
from nablad.wire.errors import FieldViolation
from nablad.wire.tensors import INLINE_LIMIT, READABLE_ELEMENTS, AnyArray, TensorError, decode, encode

MESSAGE_BYTES = 4 << 20
"""Of the tensors inside one message, which must stay below the limit of gRPC."""


@dataclass(frozen=True)
class WorkerContext:
    """A worker's surroundings."""

    files: DatasetFiles
    limits: Limits
    threads: int
    announce: Callable[[bytes], None]
    """Tells the front of a dataset that this worker has written."""

    @property
    def surroundings(self) -> Surroundings:
        """What the border needs."""
        return Surroundings(self.resolve, self.limits)

    def resolve(self, name: str) -> AnyArray:
        """The array of a dataset, memory-mapped. TensorError if it is not here."""
        try:
            return self.files.open(name)
        except (FileNotFoundError, ValueError):
            raise TensorError("dataset", f"{name!r} is not on this server; upload it first") from None

    def array(self, tensor: tensor_pb2.Tensor, field: str) -> AnyArray:
        """The array of a request's tensor; `field` is its path. Violations."""
        try:
            return decode(tensor, field=field, resolve=self.resolve, fill_limit=self.limits.fill_bytes)
        except TensorError as error:
            raise Violations([FieldViolation(error.field or field, error.message)]) from None

    def tensor(self, array: AnyArray) -> tensor_pb2.Tensor:
        """The array as a tensor: a large one as a dataset that the front has been told of."""
        return encode(array, readable=READABLE_ELEMENTS, upload=self._put)

    def message_of_tensors(self) -> Callable[[AnyArray], tensor_pb2.Tensor]:
        """The same for all tensors of one message: once they are large together, the rest become datasets, too."""
        left = MESSAGE_BYTES

        def tensor(array: AnyArray) -> tensor_pb2.Tensor:
            nonlocal left
            limit = min(INLINE_LIMIT, left)
            left -= array.nbytes if array.nbytes <= limit else 0
            return encode(array, readable=READABLE_ELEMENTS, inline_limit=limit, upload=self._put)

        return tensor

    def _put(self, array: AnyArray) -> str:
        dataset = self.files.put(array)
        self.announce(dataset.SerializeToString())
        return dataset.name
