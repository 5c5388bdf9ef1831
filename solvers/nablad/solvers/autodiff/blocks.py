"""Running a graph over row blocks: bounded memory, work that stays in cache, threads that do not change the bits.

The body of a separable graph (rows.py) runs over blocks of rows whose size depends on shapes only. The blocks are dealt
to at most STRIPES stripes, each a run of consecutive blocks with accumulators of its own; a stripe adds its blocks in
order, and stripes are added in order at the end. Threads take whole stripes, so which thread did what leaves no mark:
one thread and seven give the same bits. (As numpy's pairwise summation, the two levels also add less rounding error
than one long sum.) BLAS runs on one thread meanwhile, for its own threads would change bits and fight with ours.

A small graph without data rows runs as generated Python (source.py), and by arrays where that raises.
A graph that is not separable runs as one block of N rows, if its buffers fit into WHOLE_LIMIT bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nablad.expressions import Graph, Node
from nablad.expressions.dimension import concrete, row_size, rows_axis
from nablad.solvers.autodiff.kernels.sequence import NativeSequence, sequenced
from nablad.solvers.autodiff.ops import Array, Instruction
from nablad.solvers.autodiff.plan import Plan, Workspace, collected, compile_plan
from nablad.solvers.autodiff.rows import Part, RowSplit, split
from nablad.solvers.autodiff.simplify import simplify
from nablad.solvers.autodiff.source import Source, generate
from nablad.solvers.autodiff.threads import in_threads
from nablad.solvers.blas import one_blas_thread
from nablad.solvers.quiet import quiet

STRIPES = 8
"""Accumulators: more would balance more threads better and cost more memory for long gradients."""
LARGE_SUMS = 1 << 20
"""Bytes of one stripe's sums from which there are half as many: they are added up by one thread in the end."""
REMEMBERED_BLOCKS = 128
"""Up to so many blocks each keeps its own instructions bound; beyond that they are bound anew for each block."""
BOUND_ANEW = 4
"""So many evaluations bind each block anew to one set of instructions, a tenth of what a set of its own takes: a linear
problem is solved by then, and what iterates longer pays once."""
CACHE_BUDGET = 4 << 20
"""Bytes of live buffers and inputs for one block: what a core has of the third-level cache. Strips (kernels/strips.py)
live in the first one, whatever a block's size; products of matrices like long blocks."""
SUMS_TO_BLOCK = 8
"""Sums that outgrow the cache are read and written once a block: a block may be so many times their size."""
BLOCK_ROWS = (64, 8192)
EVEN = 4
"""Blocks come in multiples of so many, so that two or four threads end together."""
WORTH_SHARING = 4e6
"""Operations, about a tenth of a millisecond, from which rows are cut into EVEN blocks though one would hold all."""
BLOCK_LIMIT = 256 << 20
"""Bytes that no block exceeds while it has more than one row, whatever BLOCK_ROWS says."""
WHOLE_LIMIT = 4 << 30

Sink = Callable[[int, int, int, tuple[Array, ...]], None]
"""(stripe, first row, past the last row, the gathered outputs' block): called in row order within a stripe. The arrays
are the workspace's: they are overwritten by the next block."""


class MemoryLimit(MemoryError):
    """A graph that cannot be cut into row blocks needs more memory than allowed."""

    def __init__(self, needed: int, limit: int) -> None:
        super().__init__(f"the expression mixes rows and needs {needed:,} bytes at once; the limit is {limit:,}")
        self.needed = needed
        self.limit = limit


@dataclass(frozen=True)
class Program:
    """A graph compiled for row blocks. Immutable, for every N, shared between threads and objectives."""

    graph: Graph
    head: Plan
    body: Plan
    tail: Plan
    sums: int
    order: tuple[tuple[Literal["tail", "rows"], int], ...]
    separable: bool

    @cached_property
    def source(self) -> Source | None:
        """The whole graph as generated Python, where it is small, without data rows, and float64."""
        if self.head.dtype != np.float64 or self.body.steps:
            return None
        return generate(self.graph, self.head.calls)

    @cached_property
    def calls_blas(self) -> bool:
        return self.head.calls_blas or self.body.calls_blas or self.tail.calls_blas

    @cached_property
    def accumulator_bytes(self) -> int:
        """One stripe's sums."""
        sizes = (row_size(x.shape)[1] for x in self.body.graph.outputs[: self.sums])
        return sum(sizes) * self.body.dtype.itemsize

    @cached_property
    def block_rows(self) -> int:
        """Rows in a block at most: a power of two, by the cache budget and the sums, and by shapes only."""
        per_row = max(1, self.body.bytes_per_row)
        budget = max(CACHE_BUDGET, SUMS_TO_BLOCK * self.accumulator_bytes)
        low, high = BLOCK_ROWS
        wanted = min(max(_power_of_two(budget // per_row), low), high)
        return max(1, min(wanted, _power_of_two(BLOCK_LIMIT // per_row)))

    @cached_property
    def work_per_row(self) -> float:
        """Operations of the body for each data row."""
        return self.body.flops[0]

    def bytes(self, rows: int) -> int:
        """Estimated workspace of one thread over N rows, accumulators included: the live set of one block."""
        block = min(rows, self.block_rows) if self.separable else rows
        stripes = len(self.stripes(rows)) if rows else 0
        return self.head.bytes(rows) + self.tail.bytes(rows) + stripes * self.accumulator_bytes + self.body.bytes(block)

    def stripes(self, rows: int) -> list[list[tuple[int, int]]]:
        """The blocks (start, stop) of each stripe."""
        block = max(1, self.block_rows if self.separable else rows)
        if self.separable and rows * self.work_per_row >= WORTH_SHARING:
            block = min(block, max(BLOCK_ROWS[0], -(-rows // EVEN)))
        return stripes_of(rows, block, STRIPES // 2 if self.accumulator_bytes > LARGE_SUMS else STRIPES)

    def tape_bytes(self, rows: int) -> int:
        """What the same evaluation would take with a buffer for every result over all N rows, as a tape has."""
        return self.head.tape_bytes(rows) + self.body.tape_bytes(rows) + self.tail.tape_bytes(rows)


def compile_program(graph: Graph, dtype: np.dtype[Any]) -> Program:
    """Simplify, split by rows where that is provably right, and plan."""
    return plan_program(simplify(graph), dtype)


def plan_program(graph: Graph, dtype: np.dtype[Any]) -> Program:
    """The same of a graph that is simplified already."""
    parts = split(graph)
    separable = parts is not None
    if parts is None:
        parts = _whole(graph)
    head, body, tail = (compile_plan(part, dtype) for part in (parts.head, parts.body, parts.tail))
    return Program(graph, head, body, tail, parts.sums, parts.order, separable)


def _whole(graph: Graph) -> RowSplit:
    """The whole graph as a body of one block: its outputs without rows are 'sums' of one term."""
    free = tuple(x for x in graph.inputs if not row_size(x.shape)[0])
    rows = tuple(x for x in graph.inputs if row_size(x.shape)[0])
    final = tuple(dict.fromkeys(x for x in graph.outputs if not row_size(x.shape)[0]))
    gathered = tuple(dict.fromkeys(x for x in graph.outputs if row_size(x.shape)[0]))
    by_rows, once = ({node: k for k, node in enumerate(part)} for part in (gathered, final))
    order: list[tuple[Literal["tail", "rows"], int]] = [
        ("rows", by_rows[x]) if x in by_rows else ("tail", once[x]) for x in graph.outputs
    ]
    return RowSplit(
        Part(free, free, free),
        Part((*free, *rows), (*final, *gathered), graph.nodes, frozenset(free)),
        Part((*final, *free), final, final, frozenset(final)),
        len(final),
        tuple(order),
    )


def _power_of_two(n: int) -> int:
    return 1 << max(0, n.bit_length() - 1)


def stripes_of(rows: int, block: int, most: int = STRIPES) -> list[list[tuple[int, int]]]:
    """The blocks (start, stop) of each stripe; by these numbers alone.

    Blocks are of equal size, at most `block`, and where they are not small EVEN many or as many in each stripe, so
    that two or four threads end at the same time.
    """
    count = -(-rows // block)
    if count > 1 and rows >= 2 * EVEN * BLOCK_ROWS[0]:
        unit = most if count > EVEN else EVEN
        count = -(-count // unit) * unit
    bounds = [rows * k // count for k in range(count + 1)] if count else [0]
    blocks = list(pairwise(bounds))
    stripes = min(most, count)
    return [blocks[k * count // stripes : (k + 1) * count // stripes] for k in range(stripes)]


class Evaluator:
    """A program on given data: owns workspaces and accumulators. Used by one thread at a time.

    `data` maps the names of the inputs with rows to arrays. `checkpoint` is called before every block, in the thread
    that runs it; what it raises ends the evaluation, and the evaluator may be used again. Where the rows are drawn from
    a `population` of so many, the graph's number of rows is that, and sums over rows are scaled up to it.

    Of a graph whose outputs are numbers, `places` may tell where each of them belongs in one array.
    """

    def __init__(
        self,
        program: Program,
        data: Mapping[str, Array],
        rows: int,
        checkpoint: Callable[[], None] | None = None,
        threads: int = 1,
        population: int | None = None,
        places: NDArray[np.intp] | None = None,
    ) -> None:
        self.program = program
        self._rows = rows
        total = rows if population is None else population
        self._total = total
        self._scale = total / rows if rows else 1.0
        self._checkpoint = checkpoint
        block = program.block_rows if program.separable else rows
        if not program.separable and program.body.bytes(rows) > WHOLE_LIMIT:
            raise MemoryLimit(program.body.bytes(rows), WHOLE_LIMIT)
        self._stripes = program.stripes(rows) if program.body.outputs else []
        self._few_blocks = sum(map(len, self._stripes)) <= REMEMBERED_BLOCKS
        self._evaluations = 0
        self._by_rows = tuple(x for x in program.body.graph.inputs if row_size(x.shape)[0])
        self._data = tuple(_of_shape(data[x.name], x, rows) for x in self._by_rows)
        self._slices: dict[int, tuple[Array, ...]] = {}
        self._alone = sum(map(len, self._stripes)) == 1 and self._scale == 1.0
        self._names = [x.name for x in program.head.graph.inputs]
        self._quietly = quiet()
        self._busy = threading.Lock()
        self._parameters = [np.empty(concrete(x.shape, rows), program.head.dtype) for x in program.head.graph.inputs]
        self._head = Workspace(program.head, 1, total)
        self._tail = Workspace(program.tail, 1, total)
        self._block = min(rows, max(1, block))
        self._workers = [Workspace(program.body, self._block, total)] if self._stripes else []
        self._threads = max(1, min(threads, len(self._stripes)))
        summed = [concrete(x.shape, rows) for x in program.body.graph.outputs[: program.sums]]
        self._sums = [[np.zeros(shape, program.body.dtype) for shape in summed] for _ in self._stripes]
        self._attached: Mapping[str, Array] = {}
        self._given = list(zip(self._names, self._parameters, strict=True))
        """The parameters that are copied, and to where."""
        self._places = places
        self._numbers = np.empty(len(program.order), program.tail.dtype)
        self._ran = False
        """Whether all has been bound to the arrays that are here now."""
        self._straight: list[Instruction] | None = None
        """Where one block is all: what head, body and tail do, as one list."""
        self._sequences: list[NativeSequence] = []
        self._results: list[Array] = []

    def attach(self, arrays: Mapping[str, Array]) -> None:
        """Take inputs from these arrays, which are not copied and not to be changed, until others are attached.

        Inputs with rows read them instead of `data`; for others they stand for a parameter of that name.
        """
        if self._attached is arrays:
            return
        self._attached = arrays
        self._slices = {}
        known = zip(self._by_rows, self._data, strict=True)
        self._data = tuple(_of_shape(arrays.get(x.name, old), x, self._rows) for x, old in known)
        for k, node in enumerate(self.program.head.graph.inputs):
            if node.name in arrays:
                self._parameters[k] = arrays[node.name]
        self._given = [
            (name, array) for name, array in zip(self._names, self._parameters, strict=True) if name not in arrays
        ]
        self._ran, self._straight = False, None

    def run(self, parameters: Mapping[str, Array], sink: Sink | None = None) -> tuple[Array | None, ...]:
        """The outputs, fresh arrays. With a sink, outputs with rows go to it block by block and come back as None.

        Raises RuntimeError if another thread is at it: the buffers would mix the two without a sign.
        """
        if self.program.source is not None:
            known = {**self._attached, **parameters} if self._attached else parameters
            results = self.program.source.run([known[x.name] for x in self.program.graph.inputs])
            if results is not None:
                return results
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("an objective is used by one thread at a time; give each thread its own")
        try:
            found: tuple[Array | None, ...]
            if self.program.calls_blas:
                with one_blas_thread():
                    found = self._quietly(self._run, parameters, sink)
            else:
                found = self._quietly(self._run, parameters, sink)
            return found
        finally:
            self._busy.release()

    def _run(self, parameters: Mapping[str, Array], sink: Sink | None) -> tuple[Array | None, ...]:
        for name, array in self._given:
            array[...] = parameters[name]
        if sink is None and self._alone:
            return self._run_straight()
        shared = self._head.run(self._parameters)
        gathered: list[Array] = []
        if sink is None:
            gathered, sink = self._gather()
        sums = self._one_block(shared, sink) if self._alone else self._many_blocks(shared, sink)
        final = self._tail.run((*sums, *shared))
        if self._places is not None:
            self._numbers[:] = [final[k] for _, k in self.program.order]
            return (self._numbers[self._places],)
        return tuple(
            [final[k].copy() if kind == "tail" else gathered[k] if gathered else None for kind, k in self.program.order]
        )

    def _run_straight(self) -> tuple[Array, ...]:
        """Where one block is all: its results are the sums, and need not be copied."""
        if self._checkpoint is not None:
            self._checkpoint()
        if self._straight is None:
            self._bind_straight()
        else:
            for call, arguments in self._straight:
                call(*arguments)
        if self._places is not None:
            return (self._numbers[self._places],)
        return tuple([x.copy() for x in self._results])

    def _bind_straight(self) -> None:
        """Run all parts, and once they have been bound, for the second time, make one list of what they do."""
        worker, count = self._workers[0], self.program.sums
        shared = self._head.run(self._parameters)
        parts = worker.run((*shared, *self._data), self._rows)
        final = self._tail.run((*parts[:count], *shared))
        gathered = parts[count:]
        self._results = [final[k] if kind == "tail" else gathered[k] for kind, k in self.program.order]
        calls = [*self._head.calls(), *worker.calls(self._rows), *self._tail.calls()]
        if self._places is not None:
            self._numbers[:] = self._results
            calls.append(collected(self._results, self._numbers))
        if self._ran:
            self._straight, self._sequences = sequenced(calls)
        self._ran = True

    def _one_block(self, shared: Sequence[Array], sink: Sink) -> Sequence[Array]:
        """Where one block is all, its results are the sums, and need not be copied."""
        if self._checkpoint is not None:
            self._checkpoint()
        parts = self._workers[0].run((*shared, *self._data), self._rows)
        count = self.program.sums
        if len(parts) > count:
            sink(0, 0, self._rows, parts[count:])
        return parts[:count]

    def _many_blocks(self, shared: Sequence[Array], sink: Sink) -> Sequence[Array]:
        self._evaluations += 1
        self._run_stripes(shared, sink)
        return self._folded()

    def _folded(self) -> list[Array]:
        first = self._sums[0] if self._sums else []
        for later in self._sums[1:]:
            for total, part in zip(first, later, strict=True):
                np.add(total, part, total)
        if self._scale != 1.0:
            for total in first:
                np.multiply(total, self._scale, total)
        return first

    def _gather(self) -> tuple[list[Array], Sink]:
        nodes = self.program.body.graph.outputs[self.program.sums :]
        if not nodes:
            return [], _nowhere
        arrays = [np.empty(concrete(x.shape, self._rows), self.program.body.dtype) for x in nodes]
        axes = [_rows_axis(x) for x in nodes]

        def sink(stripe: int, start: int, stop: int, blocks: tuple[Array, ...]) -> None:
            for array, axis, part in zip(arrays, axes, blocks, strict=True):
                array[(slice(None),) * axis + (slice(start, stop),)] = part

        return arrays, sink

    def _run_stripes(self, shared: Sequence[Array], sink: Sink) -> None:
        while len(self._workers) < self._threads:
            self._workers.append(Workspace(self.program.body, self._block, self._total))
        workers = self._workers[: self._threads]
        in_threads(lambda worker, stripe: self._run_stripe(worker, stripe, shared, sink), workers, len(self._stripes))

    def _run_stripe(self, worker: Workspace, stripe: int, shared: Sequence[Array], sink: Sink) -> None:
        count = self.program.sums
        sums = self._sums[stripe]
        first = True
        for start, stop in self._stripes[stripe]:
            if self._checkpoint is not None:
                self._checkpoint()
            block = start if self._few_blocks and self._evaluations > BOUND_ANEW else -1
            parts = worker.run((*shared, *self._rows_of(start, stop)), stop - start, block, sums, first)
            for total, part in zip(sums, parts, strict=False):
                if part is total:  # a product, which has added itself
                    continue
                if first:
                    np.copyto(total, part)
                else:
                    np.add(total, part, total)
            if len(parts) > count:
                sink(stripe, start, stop, parts[count:])
            first = False

    def _rows_of(self, start: int, stop: int) -> tuple[Array, ...]:
        """The same arrays each time, as long as there are few: nothing is then bound anew."""
        if stop - start == self._rows:
            return self._data
        if not self._few_blocks:
            return tuple(x[start:stop] for x in self._data)
        if start not in self._slices:
            self._slices[start] = tuple(x[start:stop] for x in self._data)
        return self._slices[start]

    @property
    def stripes(self) -> int:
        return len(self._stripes)


def _of_shape(array: Array, node: Node, rows: int) -> Array:
    """The array, if it has the input's shape: native code reads as many numbers as that says."""
    shape = concrete(node.shape, rows)
    if array.shape != shape:
        raise ValueError(f"the input {node.name!r} has shape {array.shape}; {shape} is needed")
    return array


def _nowhere(stripe: int, start: int, stop: int, blocks: tuple[Array, ...]) -> None:
    """The sink of a body that gathers nothing."""


def _rows_axis(node: Node) -> int:
    axis = rows_axis(node.shape)
    assert axis is not None
    return axis
