"""Graphs of theta evaluated on data: at one point or at many, in one direction or in many.

Many points are a batch. A graph without data rows is batched with ROWS itself as the new axis: the points then ARE the
rows, and blocks, threads and the memory limit serve them too. A graph that has data rows is batched over a few points
at a time, as many as its buffers allow.

Many directions are a batch as well: D of them at a time, by the memory that one takes. When all fit, they are a
constant of the graph, and a product with the identity matrix is not computed at all (simplify.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from nablad.expressions import ROWS, Dimension, Graph, Node, topological
from nablad.expressions import symbols as s
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.batching import batch
from nablad.solvers.autodiff.binding import bind_rows
from nablad.solvers.autodiff.blocks import Evaluator, Program, compile_program
from nablad.solvers.autodiff.derivatives.function import Function
from nablad.solvers.autodiff.derivatives.kernels import Kernel, basis, many
from nablad.solvers.autodiff.derivatives.limits import ResultTooLarge, WorkTooLarge
from nablad.solvers.autodiff.memory import remembered
from nablad.solvers.autodiff.ops import Array

PASS_BUDGET = 8 << 20
"""Bytes that the buffers of one pass of several directions, or several points, may take."""
LEAST_ROWS = 64
"""Rows of the smallest block."""
BUFFERS = 4
"""Arrays of the largest size that are alive at once, in most graphs."""
EVALUATORS = 4
"""Graphs whose buffers are kept from one call to the next."""
KEPT_BYTES = 128 << 20
"""Of the buffers kept; where a graph needs more, its evaluation takes far longer than to allocate them again."""
RESULT_LIMIT = 4 << 30
WORK_LIMIT = 8 << 30


class Evaluation:
    """Evaluates functions on data of N rows. Used by one thread at a time; `threads` never changes the bits."""

    def __init__(
        self,
        data: Mapping[str, Array],
        rows: int,
        dtype: np.dtype[Any],
        threads: int = 1,
        checkpoint: Callable[[], None] | None = None,
        limit: int = RESULT_LIMIT,
        work_limit: int = WORK_LIMIT,
    ) -> None:
        self.rows = rows
        self.dtype = dtype
        self._data = dict(data)
        self._threads = threads
        self._checkpoint = checkpoint
        self._limit = limit
        self._work_limit = work_limit
        self._evaluators: dict[tuple[Graph, int], Evaluator] = {}

    def run(
        self, function: Function, outputs: tuple[Node, ...], theta: Array, extra: Mapping[Node, Array] | None = None
    ) -> tuple[Array, ...]:
        """The outputs, each with one more axis in front if theta or an extra input has one more than its node."""
        given = {function.theta: theta, **(extra or {})}
        batched = tuple(node for node, x in given.items() if x.ndim > len(node.shape))
        nodes = tuple(given)[1:]
        if not batched:
            return self._once(_single(function, outputs, nodes), {node.name: x for node, x in given.items()})
        points = len(given[batched[0]])
        if any(row_size(node.shape)[0] for node in batched):
            return self._one_by_one(function, outputs, given, batched)
        if not _has_rows(outputs):
            graph = _batched(function, bind_rows(outputs, 0, self.rows), nodes, batched, ROWS)
            return self._once(graph, {node.name: x for node, x in given.items()}, points)
        size = min(points, self._fitting(outputs, points))
        graph = _batched(function, outputs, nodes, batched, size)
        results: list[list[Array]] = []
        for start in range(0, points, size):
            # The last few points are a full batch too: points before them are computed again.
            first = min(start, points - size)
            part = {node.name: x[first : first + size] if node in batched else x for node, x in given.items()}
            results.append([x[start - first :] for x in self._once(graph, part)])
        return tuple(np.concatenate(parts) for parts in zip(*results, strict=True))

    def sweep(self, function: Function, kernel: Kernel, theta: Array, count: int, seeds: Array | None = None) -> Array:
        """The kernel's results for `count` directions, along the axis where the kernel says they belong.

        The directions are the basis, or `seeds` of shape (count, *direction.shape). theta (p,) or (B, p): (B,) stays in
        front.
        """
        size = min(count, self._fitting((kernel.output,), count, kernel.direction))
        if size == count and seeds is None:
            (found,) = self.run(function, (_swept(kernel, count),), theta)
            return np.moveaxis(found, theta.ndim - 1, kernel.axis)
        output, directions = _sweepable(kernel, size)
        shape = directions.shape
        result: Array | None = None
        for start in range(0, count, size):
            stop = min(start + size, count)
            chunk = np.zeros(cast(tuple[int, ...], shape), self.dtype)
            if seeds is None:
                chunk.reshape(size, -1)[np.arange(stop - start), np.arange(start, stop)] = 1
            else:
                chunk[: stop - start] = seeds[start:stop]
            # Directions are the same at all points: they are shared, not batched.
            (found,) = self.run(function, (output,), theta, {directions: chunk})
            found = np.moveaxis(found, theta.ndim - 1, -1)[..., : stop - start]
            if result is None:
                result = np.empty((*found.shape[:-1], count), self.dtype)
            result[..., start:stop] = found
        assert result is not None
        return np.moveaxis(result, -1, kernel.axis)

    def check_size(self, shape: tuple[int, ...], why: str = "") -> None:
        """Raises ResultTooLarge before anything is computed; `why` tells why it is that large."""
        needed = int(np.prod([float(d) for d in shape])) * self.dtype.itemsize
        if needed > self._limit:
            raise ResultTooLarge(shape, needed, self._limit, why)

    def check_work(self, needed: int) -> None:
        """Raises WorkTooLarge for so many bytes of buffers."""
        if needed > self._work_limit:
            raise WorkTooLarge(needed, self._work_limit)

    def _one_by_one(
        self, function: Function, outputs: tuple[Node, ...], given: Mapping[Node, Array], batched: tuple[Node, ...]
    ) -> tuple[Array, ...]:
        graph = _single(function, outputs, tuple(given)[1:])
        results = [
            self._once(graph, {node.name: x[k] if node in batched else x for node, x in given.items()})
            for k in range(len(given[batched[0]]))
        ]
        return tuple(np.stack(parts) for parts in zip(*results, strict=True))

    def _once(self, graph: Graph, values: Mapping[str, Array], rows: int | None = None) -> tuple[Array, ...]:
        arrays = {x.name: np.asarray(values.get(x.name, self._data.get(x.name)), self.dtype) for x in graph.inputs}
        columns = {x.name: np.ascontiguousarray(arrays.pop(x.name)) for x in graph.inputs if row_size(x.shape)[0]}
        evaluator = self._evaluator(graph, columns, self.rows if rows is None else rows)
        return cast(tuple[Array, ...], evaluator.run(arrays))

    def _evaluator(self, graph: Graph, columns: Mapping[str, Array], rows: int) -> Evaluator:
        """The one that ran this graph before, if it is among the last few: its instructions are bound already."""
        key = graph, rows
        evaluator = self._evaluators.pop(key, None)
        if evaluator is None:
            program = _program(graph, self.dtype)
            self.check_work(program.bytes(rows))
            evaluator = Evaluator(program, columns, rows, self._checkpoint, self._threads)
        else:
            evaluator.attach(columns)
        self._evaluators[key] = evaluator
        kept = {k: kept.program.bytes(k[1]) for k, kept in self._evaluators.items()}
        while len(kept) > EVALUATORS or sum(kept.values()) > KEPT_BYTES:
            oldest = next(iter(kept))
            del kept[oldest], self._evaluators[oldest]
        return evaluator

    def _fitting(self, outputs: tuple[Node, ...], most: int, direction: Node | None = None) -> int:
        """How many copies of the graph's largest array, or of the largest that depends on a direction, fit at once."""
        largest = _largest(outputs, direction, min(self.rows, LEAST_ROWS))
        return max(1, min(most, PASS_BUDGET // (BUFFERS * largest * self.dtype.itemsize)))


# Walks over a graph, and what is made of it, are remembered: graphs may have a hundred thousand nodes.


@remembered
def _largest(outputs: tuple[Node, ...], direction: Node | None, rows: int) -> int:
    moving = {direction}
    largest = 1
    for node in topological(outputs):
        if direction is None or any(x in moving for x in node.operands):
            moving.add(node)
            power, size = row_size(node.shape)
            largest = max(largest, size * rows**power)
    return largest


@remembered
def _has_rows(outputs: tuple[Node, ...]) -> bool:
    return any(row_size(node.shape)[0] for node in topological(outputs))


@remembered
def _program(graph: Graph, dtype: np.dtype[Any]) -> Program:
    return compile_program(graph, dtype)


@remembered
def _single(function: Function, outputs: tuple[Node, ...], extra: tuple[Node, ...]) -> Graph:
    return function.graph(outputs, extra)


@remembered
def _batched(
    function: Function, outputs: tuple[Node, ...], extra: tuple[Node, ...], batched: tuple[Node, ...], size: Dimension
) -> Graph:
    """The graph over `size` points, whose inputs have the names they had."""
    inputs = {node: s.data(node.name, (size, *node.shape)) for node in batched}
    moved = tuple(x.node for x in batch(outputs, inputs, size))
    new = [inputs[node].node if node in inputs else node for node in (function.theta, *extra)]
    needed = set(topological(moved))
    return Graph((*new, *(x for x in function.data if x in needed)), moved)


@remembered
def _swept(kernel: Kernel, count: int) -> Node:
    return many(kernel, basis(kernel, count))


@remembered
def _sweepable(kernel: Kernel, size: int) -> tuple[Node, Node]:
    directions = s.parameter("directions", (size, *kernel.direction.shape))
    return many(kernel, directions), directions.node
