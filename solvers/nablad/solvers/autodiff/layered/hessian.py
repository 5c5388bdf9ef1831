"""The exact Hessian of a problem with a layered spine: what is compiled once, and what runs on data.

Rows are cut into stripes, stripes into chunks; a stripe sums its chunks in order, in an accumulator of its own, and
stripes are added in order. How they are cut depends on shapes only, so the bits do not depend on the number of threads.
Memory beside the Hessian's own p^2 numbers: p^2 / 2 for the index, and as many for each stripe's accumulator; for each
thread room for one block's sum, and CHUNK_BYTES.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from nablad.expressions import Graph, Node
from nablad.expressions import symbols as s
from nablad.expressions.dimension import concrete, row_size
from nablad.solvers.autodiff.batching import batch
from nablad.solvers.autodiff.blocks import Evaluator, Program, compile_program
from nablad.solvers.autodiff.layered.blocks import Blocks, Reader, Width
from nablad.solvers.autodiff.layered.curvature import Curvature, bytes_per_row
from nablad.solvers.autodiff.layered.spine import Spine, find_spine
from nablad.solvers.autodiff.layered.tape import Tape, compile_tape
from nablad.solvers.autodiff.ops import Array
from nablad.solvers.autodiff.plan import Workspace
from nablad.solvers.autodiff.structure import Linearity, linearity
from nablad.solvers.autodiff.transform import jvp
from nablad.solvers.blas import one_blas_thread

CHUNK_BYTES = 32 << 20
"""Of one thread's buffers: large enough that adding a chunk's sums is little beside making them."""
LEAST_ROWS = 16
STRIPES = 8
ACCUMULATORS_BYTES = 64 << 20
"""Of all stripes' accumulators together, where there are more than two of them."""
WORTH_DIVIDING = 10_000_000
"""Operations below which one stripe is all: two threads would spend as much time on meeting each other."""


@dataclass(frozen=True, eq=False)
class Layered:
    """A layered problem's Hessian, compiled. Immutable, for every N, shared between threads and objectives."""

    spine: Spine
    tape: Tape
    blocks: Blocks
    parameters: Node
    penalty: Program | None
    """`directions` (B, p) -> B rows of the penalty's Hessian; None where that is zero."""
    penalty_is_constant: bool

    @cached_property
    def reader(self) -> Reader:
        (size,) = self.parameters.shape
        assert isinstance(size, int)
        return Reader(self.blocks, [layer.places for layer in self.spine.layers], size)

    def stripes(self, rows: int) -> list[list[tuple[int, int]]]:
        """The chunks (start, stop) of each stripe, by shapes only."""
        dtype = self.tape.program.body.dtype
        per_row = bytes_per_row(self.blocks, dtype) + self.tape.program.body.bytes_per_row
        most = max(LEAST_ROWS, CHUNK_BYTES // per_row)
        count = 1
        if rows * self.blocks.flops > WORTH_DIVIDING:
            room = ACCUMULATORS_BYTES // (self.blocks.size * dtype.itemsize)
            count = min(rows, max(2, min(STRIPES, room, -(-rows // most))))
        return [list(_evenly(k * rows // count, (k + 1) * rows // count, most)) for k in range(count) if rows]


def compile_layered(objective: Node, parameters: Node, data: Sequence[Node], dtype: np.dtype[Any]) -> Layered | None:
    """The Hessian of a scalar objective with a layered spine; None where there is none, see spine.py."""
    spine = find_spine(objective, parameters)
    if spine is None:
        return None
    tape = compile_tape(spine, (parameters, *data), dtype)
    if tape is None:
        return None
    blocks = Blocks([Width(x.width, x.fan_in, x.biased) for x in spine.layers])
    penalty, constant = _penalty(spine, parameters, data, dtype)
    return Layered(spine, tape, blocks, parameters, penalty, constant)


DIRECTIONS = 64


def _penalty(spine: Spine, parameters: Node, data: Sequence[Node], dtype: np.dtype[Any]) -> tuple[Program | None, bool]:
    if spine.penalty_gradient is None:
        return None, True
    v = s.parameter("direction", parameters.shape)
    (product,) = jvp([spine.penalty_gradient], {parameters: v})
    if product.node is s.zeros(product.shape).node:
        return None, True
    (size,) = parameters.shape
    assert isinstance(size, int)
    count = min(size, DIRECTIONS)
    many = s.parameter("directions", (count, size))
    (rows,) = batch([product.node], {v.node: many}, count)
    fixed = tuple(x for x in data if not row_size(x.shape)[0])
    program = compile_program(Graph((parameters, many.node, *fixed), (rows.node,)), dtype)
    constant = linearity(spine.penalty_gradient, [parameters]) in (Linearity.CONSTANT, Linearity.AFFINE)
    return program, constant


class LayeredHessian:
    """A layered Hessian on given data: owns accumulators and buffers. Used by one thread at a time.

    `data` maps the names of the inputs with rows to arrays; `checkpoint` is called before every chunk.
    """

    def __init__(
        self,
        layered: Layered,
        data: Mapping[str, Array],
        rows: int,
        checkpoint: Callable[[], None] | None = None,
        threads: int = 1,
    ) -> None:
        self._layered = layered
        self._rows = rows
        self._checkpoint = checkpoint
        program = layered.tape.program
        self._dtype = program.body.dtype
        self._stripes = layered.stripes(rows)
        self._threads = max(1, min(threads, len(self._stripes)))
        columns = [data[x.name] for x in program.body.graph.inputs if row_size(x.shape)[0]]
        self._chunks = [
            [
                (stop - start, tuple(x if stop - start == rows else x[start:stop] for x in columns))
                for start, stop in part
            ]
            for part in self._stripes
        ]
        self._head = Workspace(program.head, 1, rows)
        self._parameters = [np.empty(concrete(x.shape, rows), self._dtype) for x in program.head.graph.inputs]
        self._longest = max((n for part in self._chunks for n, _ in part), default=0)
        self._workers: list[_Worker] = []
        self._accumulators = [np.zeros(layered.blocks.size, self._dtype) for _ in range(max(1, len(self._stripes)))]
        self._places = [x.places[:, : x.fan_in] for x in layered.spine.layers]
        self._penalty: Evaluator | None = None
        self._constant_penalty: Array | None = None
        self._busy = threading.Lock()

    def run(self, parameters: Mapping[str, Array]) -> Array:
        """The Hessian (p, p), a fresh array, exactly symmetric. Raises RuntimeError if another thread is at it."""
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("an objective is used by one thread at a time; give each thread its own")
        try:
            with one_blas_thread(), np.errstate(all="ignore"):
                self._sum(parameters)
                total = self._accumulators[0]
                for later in self._accumulators[1:]:
                    np.add(total, later, total)
                self._layered.blocks.couple(total)
                hessian = self._layered.reader.read(total, self._dtype)
                self._add_penalty(hessian, parameters)
            return hessian
        finally:
            self._busy.release()

    def _sum(self, parameters: Mapping[str, Array]) -> None:
        for node, array in zip(self._layered.tape.program.head.graph.inputs, self._parameters, strict=True):
            np.copyto(array, parameters[node.name])
        shared = self._head.run(self._parameters)
        theta = parameters[self._layered.parameters.name]
        while len(self._workers) < self._threads:
            self._workers.append(_Worker(self._layered, self._longest, self._rows))
        for worker in self._workers:
            for places, weights in zip(self._places, worker.curvature.weights, strict=True):
                np.take(theta, places, out=weights, mode="clip")

        def work(worker: _Worker, stripe: int) -> None:
            for k, (n, columns) in enumerate(self._chunks[stripe]):
                if self._checkpoint is not None:
                    self._checkpoint()
                worker.add((*shared, *columns), n, self._accumulators[stripe], stripe, k == 0)

        _in_threads(work, self._workers, range(len(self._stripes)))

    def _add_penalty(self, hessian: Array, parameters: Mapping[str, Array]) -> None:
        if self._layered.penalty is None:
            return
        penalty = self._constant_penalty
        if penalty is None:
            penalty = self._penalty_hessian(self._layered.penalty, parameters)
            if self._layered.penalty_is_constant:
                self._constant_penalty = penalty
        if penalty.ndim == 1:
            diagonal = np.einsum("ii->i", hessian)
            np.add(diagonal, penalty, diagonal)
        else:
            np.add(hessian, penalty, hessian)

    def _penalty_hessian(self, program: Program, parameters: Mapping[str, Array]) -> Array:
        """(p, p), symmetric, or (p,) where it is diagonal."""
        if self._penalty is None:
            self._penalty = Evaluator(program, {}, self._rows)
        size = len(parameters[self._layered.parameters.name])
        hessian = np.empty((size, size), self._dtype)
        count = min(size, DIRECTIONS)
        for start in range(0, size, count):
            stop = min(start + count, size)
            directions = np.zeros((count, size), self._dtype)
            directions[np.arange(stop - start), np.arange(start, stop)] = 1
            (rows,) = self._penalty.run({**parameters, "directions": directions})
            assert rows is not None
            hessian[start:stop] = rows[: stop - start]
        diagonal = np.diagonal(hessian).copy()
        if np.count_nonzero(hessian) == np.count_nonzero(diagonal):
            return diagonal
        return np.asarray(0.5 * (hessian + hessian.T), self._dtype)


class _Worker:
    """One thread's buffers."""

    def __init__(self, layered: Layered, longest: int, total: int) -> None:
        body = layered.tape.program.body
        self._order = [k for _, k in layered.tape.program.order]
        self._tape = Workspace(body, longest, total)
        self.curvature = Curvature(layered.blocks, layered.tape, longest, body.dtype)

    def add(self, inputs: Sequence[Array], rows: int, accumulator: Array, key: int, fresh: bool) -> None:
        gathered = self._tape.run(inputs, rows)
        self.curvature.add([gathered[k] for k in self._order], rows, accumulator, key, fresh)


def _evenly(start: int, stop: int, most: int) -> Iterable[tuple[int, int]]:
    """Runs of at most `most`, as equal as can be."""
    count = -(-(stop - start) // most)
    edges = [start + k * (stop - start) // count for k in range(count + 1)]
    return pairwise(edges)


def _in_threads(work: Callable[[_Worker, int], None], workers: Sequence[_Worker], tasks: Iterable[int]) -> None:
    """Do each task once, with one of the workers, each in a thread of its own; what one raises ends all."""
    todo = iter(tasks)
    turn = threading.Lock()
    failed = threading.Event()

    def take(worker: _Worker) -> None:
        try:
            with np.errstate(all="ignore"):
                while not failed.is_set():
                    with turn:
                        task = next(todo, None)
                    if task is None:
                        return
                    work(worker, task)
        except BaseException:
            failed.set()
            raise

    if len(workers) == 1:
        return take(workers[0])
    futures = [_pool(len(workers) - 1).submit(take, worker) for worker in workers[1:]]
    try:
        take(workers[0])
    finally:
        errors = [future.exception() for future in futures if not future.cancel()]
    for error in errors:
        if error is not None:
            raise error
    return None


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """The process's helpers beside the calling thread."""
    return ThreadPoolExecutor(threads, thread_name_prefix="nablad-layers")
