"""Running the sums over the rows on data: stripes and chunks, threads that do not change the bits.

Rows are cut into stripes, stripes into chunks; a stripe sums its chunks in order, in an accumulator of its own, and
stripes are added in order. How they are cut depends on shapes only, so the bits do not depend on the number of threads.
Memory: for each stripe an accumulator of about p^2 / 2 numbers, at most two of them unless all fit into
ACCUMULATORS_BYTES; for each thread room for one block's sum, and CHUNK_BYTES (or LEAST_ROWS rows, where these take more
than that).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from nablad.expressions.dimension import concrete, row_size
from nablad.solvers.autodiff.layered.blocks import Blocks
from nablad.solvers.autodiff.layered.curvature import Curvature, bytes_per_row
from nablad.solvers.autodiff.layered.spine import Spine
from nablad.solvers.autodiff.layered.tape import Tape
from nablad.solvers.autodiff.ops import Array
from nablad.solvers.autodiff.plan import Workspace
from nablad.solvers.autodiff.threads import in_threads

CHUNK_BYTES = 32 << 20
"""Of one thread's buffers: large enough that adding a chunk's sums is little beside making them."""
LEAST_ROWS = 16
STRIPES = 8
ACCUMULATORS_BYTES = 64 << 20
WORTH_DIVIDING = 10_000_000
"""Operations below which one stripe is all: two threads would spend as much time on meeting each other."""


def stripes_of(tape: Tape, blocks: Blocks, rows: int) -> list[list[tuple[int, int]]]:
    """The chunks (start, stop) of each stripe, by shapes only."""
    dtype = tape.program.body.dtype
    per_row = bytes_per_row(blocks, dtype) + tape.program.body.bytes_per_row
    most = max(LEAST_ROWS, CHUNK_BYTES // per_row)
    count = 1
    if rows * blocks.flops > WORTH_DIVIDING:
        room = ACCUMULATORS_BYTES // (blocks.size * dtype.itemsize)
        count = min(rows, max(2, min(STRIPES, room, -(-rows // most))))
    return [list(_evenly(k * rows // count, (k + 1) * rows // count, most)) for k in range(count) if rows]


class RowSums:
    """The sums of a spine over the rows of given data: owns accumulators and buffers. Used by one thread at a time.

    `data` maps the names of the inputs with rows to arrays; `checkpoint` is called before every chunk, in the thread
    that runs it, and what it raises ends the run.
    """

    def __init__(
        self,
        spine: Spine,
        tape: Tape,
        blocks: Blocks,
        data: Mapping[str, Array],
        rows: int,
        checkpoint: Callable[[], None] | None,
        threads: int,
    ) -> None:
        self._tape = tape
        self._blocks = blocks
        self._rows = rows
        self._checkpoint = checkpoint
        program, stripes = tape.program, stripes_of(tape, blocks, rows)
        self._threads = max(1, min(threads, len(stripes)))
        columns = [data[x.name] for x in program.body.graph.inputs if row_size(x.shape)[0]]
        self.chunks = [
            # The same arrays each time where one chunk is all: nothing is then bound anew.
            [(b - a, tuple(columns) if b - a == rows else tuple([x[a:b] for x in columns])) for a, b in stripe]
            for stripe in stripes
        ]
        dtype = program.body.dtype
        self._head = Workspace(program.head, 1, rows)
        self._parameters = [np.empty(concrete(x.shape, rows), dtype) for x in program.head.graph.inputs]
        self._longest = max((n for stripe in self.chunks for n, _ in stripe), default=0)
        self._accumulators = [np.zeros(blocks.size, dtype) for _ in range(max(1, len(stripes)))]
        self._places = [x.places[:, : x.fan_in] for x in spine.layers]
        self.workers: list[_Worker] = []

    def total(self, theta: Array, parameters: Mapping[str, Array]) -> Array:
        """The accumulator over all rows, in memory that the next call overwrites."""
        for node, array in zip(self._tape.program.head.graph.inputs, self._parameters, strict=True):
            np.copyto(array, parameters[node.name])
        shared = self._head.run(self._parameters)
        while len(self.workers) < self._threads:
            self.workers.append(_Worker(self._tape, self._blocks, self._longest, self._rows))
        for worker in self.workers:
            for places, weights in zip(self._places, worker.curvature.weights, strict=True):
                np.take(theta, places, out=weights, mode="clip")
        in_threads(lambda worker, stripe: self._stripe(worker, stripe, shared), self.workers, len(self.chunks))
        first, *rest = self._accumulators
        for later in rest:
            np.add(first, later, first)
        return first

    def _stripe(self, worker: _Worker, stripe: int, shared: Sequence[Array]) -> None:
        for k, (n, columns) in enumerate(self.chunks[stripe]):
            if self._checkpoint is not None:
                self._checkpoint()
            worker.add((*shared, *columns), n, self._accumulators[stripe], stripe, k == 0)


class _Worker:
    """One thread's buffers."""

    def __init__(self, tape: Tape, blocks: Blocks, longest: int, total: int) -> None:
        body = tape.program.body
        self._order = [k for _, k in tape.program.order]
        self._workspace = Workspace(body, longest, total)
        self.curvature = Curvature(blocks, tape, longest, body.dtype)

    def add(self, inputs: Sequence[Array], rows: int, accumulator: Array, key: int, fresh: bool) -> None:
        """Add the sums over these rows to the accumulator."""
        gathered = self._workspace.run(inputs, rows)
        self.curvature.add([gathered[k] for k in self._order], rows, accumulator, key, fresh)


def _evenly(start: int, stop: int, most: int) -> Iterable[tuple[int, int]]:
    """Runs of at most `most`, as equal as can be."""
    count = -(-(stop - start) // most)
    return pairwise(start + k * (stop - start) // count for k in range(count + 1))
