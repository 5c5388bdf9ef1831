"""Plans: a graph compiled to a schedule whose results share a few buffers.

A node's buffer is free again after its last reader, as registers are (Sethi and Ullman 1970; slots and a free list as
in CasADi). So a run's memory is the live set, not the tape, and what is written next is still in cache: one buffer per
node was measured four times slower. Permutations, slices, stretches and most reshapes are views and cost nothing at run
time; an elementwise op writes over an operand that dies there.

A Plan is immutable and shared between threads. A Workspace owns the buffers of one run and binds every instruction to
its arrays once, so that a run is a loop over calls and allocates no arrays. What depends on an input's memory is bound
anew only when another array is given for that input, as each row block does.

Pointwise results over one index set, and their sums, are one step (fusion.py), run strip by strip in native code, where
the process has kernels (kernels/); their order is then that of fusion's schedule, else the graph's own. Straight source
code for scalar graphs is another way to run the same graph.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import is_
from typing import Any

import numpy as np

from nablad.expressions import OPS, Graph, Node, Shape
from nablad.expressions.dimension import concrete, row_size
from nablad.solvers.autodiff.fusion import Fused, schedule
from nablad.solvers.autodiff.kernels.gemm import product
from nablad.solvers.autodiff.kernels.moves import movable, moves, tiles
from nablad.solvers.autodiff.kernels.native import available, native
from nablad.solvers.autodiff.kernels.sequence import NativeCall, NativeSequence, sequenced
from nablad.solvers.autodiff.kernels.strips import Task
from nablad.solvers.autodiff.kernels.vectors import LANES
from nablad.solvers.autodiff.ops import MEANING, Array, Instruction, algebra, linear_algebra
from nablad.solvers.autodiff.rows import Part

CALLS_BLAS = frozenset(row.name for row in (*algebra.ROWS, *linear_algebra.ROWS)) | {"sum", "matmul"}
"""Ops whose numpy calls go to BLAS or LAPACK; a sum over the slow axis is a product with ones."""
STATIC = ("constant", "eye", "rows")
"""Leaves whose value never changes within a workspace."""


@dataclass(frozen=True)
class Slot:
    """A buffer of N**power * size elements."""

    power: int
    size: int
    truth: bool


@dataclass(frozen=True)
class Step:
    """One node's place in the schedule. Positions are those of `Plan.nodes`."""

    position: int
    operands: tuple[int, ...]
    slot: int | None
    """None for a view of its operand."""
    scratch: int | None


@dataclass(frozen=True)
class FusedStep:
    """A group's place in the schedule."""

    group: Fused
    slots: tuple[int, ...]
    """Of the group's results."""

    @property
    def operands(self) -> tuple[int, ...]:
        return self.group.operands


@dataclass(frozen=True)
class Plan:
    """A compiled graph. `compile_plan` makes it."""

    graph: Graph | Part
    dtype: np.dtype[Any]
    nodes: tuple[Node, ...]
    steps: tuple[Step | FusedStep, ...]
    slots: tuple[Slot, ...]
    native: bool
    """Whether kernels run it, or numpy's calls alone."""

    @cached_property
    def inputs(self) -> tuple[int | None, ...]:
        """The position of each of the graph's inputs, None for one that is not needed."""
        where = {node: k for k, node in enumerate(self.nodes)}
        return tuple(where.get(node) for node in self.graph.inputs)

    @cached_property
    def outputs(self) -> tuple[int, ...]:
        where = {node: k for k, node in enumerate(self.nodes)}
        return tuple(where[node] for node in self.graph.outputs)

    @cached_property
    def products(self) -> tuple[int | None, ...]:
        """For each output that is a product of matrices which nothing else reads: the step that computes it."""
        read = {x for step in self.steps for x in step.operands}
        made = {step.position: k for k, step in enumerate(self.steps) if isinstance(step, Step)}
        found: list[int | None] = []
        for k in self.outputs:
            node = self.nodes[k]
            plain = node.op == "matmul" and all(len(x.shape) == 2 for x in node.operands)
            found.append(made[k] if plain and k in made and k not in read and self.outputs.count(k) == 1 else None)
        return tuple(found)

    @cached_property
    def rebound(self) -> tuple[tuple[int, ...], ...]:
        """For each input, the steps to bind anew when its memory moves: those that read it, or a view of it."""
        readers: dict[int, list[int]] = {}
        for k, step in enumerate(self.steps):
            for x in step.operands:
                readers.setdefault(x, []).append(k)
        # A view has one operand, so no step is met through more inputs than it has operands: linear in all.
        return tuple(() if k is None else self._touching(k, readers) for k in self.inputs)

    def _touching(self, position: int, readers: Mapping[int, Sequence[int]]) -> tuple[int, ...]:
        memory, touched = [position], set[int]()
        while memory:
            for k in readers.get(memory.pop(), ()):
                step = self.steps[k]
                if k not in touched and isinstance(step, Step) and step.slot is None:
                    memory.append(step.position)
                touched.add(k)
        return tuple(sorted(touched))

    def bytes(self, rows: int) -> int:
        """The size of a workspace's buffers, but for the strips that groups work in (see `arena`)."""
        return sum(rows**slot.power * slot.size * (1 if slot.truth else self.dtype.itemsize) for slot in self.slots)

    def arena(self, rows: int) -> int:
        """Elements of the strips that a group works in: of the largest, for they take turns."""
        return max((step.group.program.arena(rows) for step in self.steps if isinstance(step, FusedStep)), default=0)

    def tape_bytes(self, rows: int) -> int:
        """What a buffer for every result would take: the memory of a tape, as against the live set's."""
        total = 0
        for k in self._computed:
            node = self.nodes[k]
            power, size = row_size(node.shape)
            total += rows**power * size * (1 if OPS[node.op].result == "truth" else self.dtype.itemsize)
        return total

    @cached_property
    def calls_blas(self) -> bool:
        """Whether a step may call BLAS, whose threads would then have their say in the bits."""
        singles = (self.nodes[step.position].op for step in self.steps if isinstance(step, Step))
        return any(op in CALLS_BLAS for op in singles)

    @property
    def calls(self) -> int:
        """How many nodes are computed, whatever becomes one step."""
        return len(self._computed)

    @cached_property
    def _computed(self) -> tuple[int, ...]:
        """The positions of all results that are no views."""
        found: list[int] = []
        for step in self.steps:
            if isinstance(step, FusedStep):
                found += step.group.members
            elif step.slot is not None:
                found.append(step.position)
        return tuple(found)

    @property
    def bytes_per_row(self) -> int:
        """What one more row adds to the live set, the row's own inputs included."""
        inputs = sum(size for power, size in (row_size(x.shape) for x in self.graph.inputs) if power)
        return self.bytes(1) - self.bytes(0) + inputs * self.dtype.itemsize

    @property
    def flops(self) -> tuple[float, float]:
        """(for each row, once): floating point operations by the op rows' costs."""
        per_row = once = 0.0
        given = given_to(self.graph)
        for node in self.nodes:
            if not node.operands or node in given:
                continue
            meaning = MEANING[node.op]
            power, size = row_size(meaning.space(node))
            if power:
                per_row += size * meaning.cost
            else:
                once += size * meaning.cost
        return per_row, once


def given_to(graph: Graph | Part) -> frozenset[Node]:
    """The nodes that are leaves, whatever they are elsewhere."""
    return graph.given if isinstance(graph, Part) else frozenset()


def compile_plan(graph: Graph | Part, dtype: np.dtype[Any]) -> Plan:
    """Schedule the graph and assign buffers by liveness. Linear in nodes and operands."""
    nodes, given = graph.nodes, given_to(graph)
    position = {node: k for k, node in enumerate(nodes)}
    operands = [() if node in given else tuple([position[x] for x in node.operands]) for node in nodes]
    for k, node in enumerate(nodes):
        if not operands[k] and node.op not in ("input", *STATIC) and node not in given:
            raise ValueError(f"no plan for the leaf {node!r}")
    outputs = [position[node] for node in graph.outputs]
    kernels = np.dtype(dtype).name in LANES and available()
    order = schedule(nodes, operands, outputs) if kernels else [k for k in range(len(nodes)) if operands[k]]
    root = _roots(nodes, operands, given)
    last = _last_reads(order, operands, outputs, root)
    allocator = _Allocator()
    owned: dict[int, int] = {}
    steps: list[Step | FusedStep] = []
    for time, item in enumerate(order):
        reads = item.operands if isinstance(item, Fused) else operands[item]
        dying = {root[x] for x in reads if last[root[x]] == time}
        if isinstance(item, Fused):
            results = item.results
            slots = []
            for index, k in enumerate(results):
                reused = _in_place_of_group(nodes, item, index, dying, owned, root)
                slots.append(allocator.take(nodes[k].shape, False) if reused is None else owned.pop(reused))
                owned[k] = slots[-1]
            steps.append(FusedStep(item, tuple(slots)))
        else:
            results = (item,)
            step = _single(nodes[item], item, operands[item], dying, owned, root, allocator)
            steps.append(step)
        # Results that nobody reads die here, too.
        for gone in sorted(dying.union(k for k in results if root[k] == k and last[k] <= time)):
            if gone in owned:
                allocator.give(owned.pop(gone))
    return Plan(graph, np.dtype(dtype), nodes, tuple(steps), tuple(allocator.slots), kernels)


def _single(
    node: Node,
    k: int,
    reads: tuple[int, ...],
    dying: set[int],
    owned: dict[int, int],
    root: Sequence[int],
    allocator: _Allocator,
) -> Step:
    if root[k] != k:
        return Step(k, reads, None, None)
    scratch = None
    truth = OPS[node.op].result == "truth"
    reused = None if truth else _in_place(node, reads, dying, owned, root)
    slot = allocator.take(node.shape, truth) if reused is None else owned.pop(reused)
    owned[k] = slot
    temporary = MEANING[node.op].scratch
    if temporary is not None:
        scratch = allocator.take(temporary(node), False)
        allocator.give(scratch)
    return Step(k, reads, slot, scratch)


def _roots(nodes: Sequence[Node], operands: Sequence[tuple[int, ...]], given: frozenset[Node]) -> list[int]:
    """Whose memory each node's result lies in: its own, or that of what it is a view of."""
    root: list[int] = []
    gapless: list[bool] = []
    for k, node in enumerate(nodes):
        if operands[k] and MEANING[node.op].view and _is_view(node, gapless[operands[k][0]]):
            base = operands[k][0]
            root.append(root[base])
            gapless.append(gapless[base] and _keeps(node))
        else:
            root.append(k)
            gapless.append(node not in given)
    return root


def _is_view(node: Node, gapless: bool) -> bool:
    return node.op != "reshape" or gapless or _only_splits(node.operands[0].shape, node.shape)


def _keeps(node: Node) -> bool:
    """Whether a view of gapless memory is gapless: reshapes are, and plain slices of the slowest axis."""
    if node.op == "slice":
        first, *others = node.attributes[0] or (None,)
        return (first is None or first[2:] in ((), (1,))) and all(bounds is None for bounds in others)
    return node.op == "reshape"


def _only_splits(old: Shape, new: Shape) -> bool:
    """Whether each old axis becomes a run of new ones: such a reshape is a view of any memory."""
    remaining = [d for d in new if d != 1]
    for d in (d for d in old if d != 1):
        target, found = row_size((d,)), (0, 1)
        while found != target:
            if not remaining or found[1] > target[1]:
                return False
            power, size = row_size((remaining.pop(0),))
            found = (found[0] + power, found[1] * size)
    return not remaining


def _last_reads(
    order: Sequence[int | Fused], operands: Sequence[tuple[int, ...]], outputs: Sequence[int], root: Sequence[int]
) -> list[int]:
    """When each root's memory is read last, as a place in the order; beyond its end for outputs."""
    last = [-1] * len(root)
    for time, item in enumerate(order):
        for x in item.operands if isinstance(item, Fused) else operands[item]:
            last[root[x]] = time
    for output in outputs:
        last[root[output]] = len(order)
    return last


def _in_place(
    node: Node, operands: tuple[int, ...], dying: set[int], owned: dict[int, int], root: Sequence[int]
) -> int | None:
    """An operand whose buffer the result may take: it dies here, has the same shape, and no other operand sees it."""
    for index in MEANING[node.op].in_place:
        x = operands[index]
        if x in dying and x in owned and node.operands[index].shape == node.shape:
            # Not even the same operand twice: an op that writes in steps would read what it has written.
            sharing = any(root[other] == x for place, other in enumerate(operands) if place != index)
            if not sharing and OPS[node.operands[index].op].result == "real":
                return x
    return None


def _in_place_of_group(
    nodes: Sequence[Node], group: Fused, index: int, dying: set[int], owned: dict[int, int], root: Sequence[int]
) -> int | None:
    """An operand whose buffer a group's result may take: read where it lies, and never after the result is written."""
    program = group.program
    if program.results[index] != "full":
        return None
    shape = nodes[group.results[index]].shape
    for k, x in enumerate(group.operands):
        if x in dying and x in owned and program.operands[k] == "full" and nodes[x].shape == shape:
            sharing = any(root[other] == x for other in group.operands if other != x)
            if not sharing and group.last_reads[k] <= group.writes[index] and OPS[nodes[x].op].result == "real":
                return x
    return None


class _Allocator:
    """Slots with a free list: the smallest that is large enough, else the largest free one grown, else a new one."""

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self._free: dict[tuple[int, bool], list[tuple[int, int]]] = {}

    def take(self, shape: Shape, truth: bool) -> int:
        power, size = row_size(shape)
        free = self._free.get((power, truth))
        if not free:
            self.slots.append(Slot(power, size, truth))
            return len(self.slots) - 1
        capacity, chosen = free.pop(min(bisect.bisect_left(free, (size, 0)), len(free) - 1))
        self.slots[chosen] = Slot(power, max(size, capacity), truth)
        return chosen

    def give(self, slot: int) -> None:
        power, size, truth = self.slots[slot].power, self.slots[slot].size, self.slots[slot].truth
        bisect.insort(self._free.setdefault((power, truth), []), (size, slot))


_NOTHING: Instruction = (tuple, ())


class _Bound:
    """A plan's instructions bound to arrays for one number of rows."""

    def __init__(
        self,
        plan: Plan,
        buffers: Sequence[Array],
        arena: Array,
        room: dict[tuple[int, int], Array],
        statics: dict[int, Array],
        rows: int,
        first: bool,
    ) -> None:
        self._plan = plan
        self._room = room
        self._buffers = buffers
        self._arena = arena
        self._rows = rows
        self._beta = 0.0 if first else 1.0
        self.values: list[Any] = [statics.get(k) for k in range(len(plan.nodes))]
        self._given: list[Array | None] = [None] * len(plan.inputs)
        self._sums: Sequence[Array] = ()
        self._into: dict[int, Array] = {}
        calls = [k for k, step in enumerate(plan.steps) if isinstance(step, FusedStep) or step.slot is not None]
        self._call_of = {k: place for place, k in enumerate(calls)}
        self._tasks: dict[int, Task] = {}
        self._copies: dict[int, list[tuple[Array, Array]]] = {}
        self._calls: list[Instruction | NativeCall] = [_NOTHING] * len(calls)
        self.calls: list[Instruction | NativeCall] = []
        """What a run does, call by call; `program` is that with native calls put together."""
        self.program: list[Instruction] = []
        self._sequences: list[NativeSequence] = []
        self._stale = set(range(len(plan.steps)))
        self._whole = False
        """Whether every step has been bound."""

    def give(self, inputs: Sequence[Array], sums: Sequence[Array]) -> None:
        if not self._stale and sums is self._sums and all(map(is_, inputs, self._given)):
            return
        # What is stale stays so until all is bound: an exception on the way leaves nothing with old addresses.
        if sums is not self._sums:
            self._sums = sums
            self._stale.update(self._into)
            self._into.clear()
            for step, array in zip(self._plan.products, sums, strict=False):
                if step is not None:
                    self._into[step] = array
                    self._stale.add(step)
        for k, (array, known) in enumerate(zip(inputs, self._given, strict=True)):
            if array is not known:
                self._given[k] = array
                position = self._plan.inputs[k]
                if position is not None:
                    self.values[position] = array
                    if self._whole:  # else all is bound anyway, and nobody asks what reads which input
                        self._stale.update(self._plan.rebound[k])
        for k in sorted(self._stale):
            step_ = self._plan.steps[k]
            if isinstance(step_, FusedStep):
                self._calls[self._call_of[k]] = self._bind_group(k, step_)
            else:
                self._bind(k, step_)
        self._write_program()
        self._stale.clear()
        self._whole = True

    def _write_program(self) -> None:
        """The calls in order, copies of operands before those that read them."""
        self.calls.clear()
        copies = {self._call_of[k]: found for k, found in self._copies.items() if found}
        for place, call in enumerate(self._calls):
            if place in copies:
                self.calls.append((_copy, (copies[place],)))
            self.calls.append(call)
        self.program, self._sequences = sequenced(self.calls)

    def _bind(self, index: int, step: Step) -> None:
        arrays = [self.values[k] for k in step.operands]
        node = self._plan.nodes[step.position]
        attributes = concrete(node.attributes, self._rows)
        if step.slot is None:
            self.values[step.position] = MEANING[node.op].evaluate(arrays[0], *attributes)
            return
        if node.op == "matmul" and self._bind_product(index, step, arrays):
            return
        out = self.values[step.position]
        if out is None or index in self._into:
            out = self.values[step.position] = self._array(step.slot, node.shape)
        if node.op == "scatter" and self._bind_moves(index, arrays, attributes[1], out):
            return
        scratch = MEANING[node.op].scratch
        temporary = None if step.scratch is None or scratch is None else self._array(step.scratch, scratch(node))
        self._calls[self._call_of[index]] = MEANING[node.op].bind(arrays, attributes, out, temporary)

    def _bind_product(self, index: int, step: Step, arrays: Sequence[Array]) -> bool:
        """A product by BLAS itself, which may add to a sum; False where numpy is to do it."""
        if not self._plan.native or any(x.ndim != 2 or x.dtype != self._plan.dtype for x in arrays):
            return False
        assert step.slot is not None
        sum_ = self._into.get(index)
        out = self._array(step.slot, self._plan.nodes[step.position].shape) if sum_ is None else sum_
        made = product(arrays[0], arrays[1], out, 0.0 if sum_ is None else self._beta)
        if made is None:
            return False
        self.values[step.position] = out
        self._calls[self._call_of[index]] = made.native
        return True

    def _bind_moves(self, index: int, pieces: Sequence[Array], places: Sequence[Any], out: Array) -> bool:
        """What is put together of pieces, none upon another, by native copies; False where it is not that."""
        targets = [MEANING["slice"].evaluate(out, place) for place in places]
        dtype = self._plan.dtype
        if not self._plan.native or not movable((*pieces, *targets), dtype) or not tiles(targets, out):
            return False
        self._calls[self._call_of[index]] = moves(native(dtype.name), targets, pieces)
        return True

    def _bind_group(self, index: int, step: FusedStep) -> NativeCall:
        group = step.group
        task = self._tasks.get(index)
        if task is None:
            for k, slot in zip(group.results, step.slots, strict=True):
                self.values[k] = self._array(slot, self._plan.nodes[k].shape)
            results = [self.values[k] for k in group.results]
            task = self._tasks[index] = Task(group.program, self._plan.dtype, results, self._rows, self._arena)
        copies = []
        for place, k in enumerate(group.operands):
            array = self.values[k]
            if array.dtype != self._plan.dtype or not array.flags.c_contiguous:
                # Strips are read side by side: what lies otherwise, or is a truth, is copied before each run.
                gapless = self._gapless(index, place, array)
                copies.append((gapless, array))
                array = gapless
            task.give(place, array)
        self._copies[index] = copies
        return task.native

    def _gapless(self, index: int, place: int, array: Array) -> Array:
        """Room for a copy, which all bindings of a workspace share: it is filled before each run."""
        room = self._room.get((index, place))
        if room is None or room.size < array.size:
            room = self._room[index, place] = np.empty(array.size, self._plan.dtype)
        return room[: array.size].reshape(array.shape)

    def _array(self, slot: int, shape: Shape) -> Array:
        power, size = row_size(shape)
        return self._buffers[slot][: self._rows**power * size].reshape(concrete(shape, self._rows))


def _copy(copies: Sequence[tuple[Array, Array]]) -> None:
    for gapless, array in copies:
        np.copyto(gapless, array)


def collected(numbers: Sequence[Array], out: Array) -> Instruction | NativeCall:
    """What puts numbers (), each where it lies, into a vector."""
    if available() and out.dtype.name in LANES and movable(numbers, out.dtype):
        return moves(native(out.dtype.name), [out[k : k + 1] for k in range(len(numbers))], numbers)
    return _collect, (tuple(numbers), out)


def _collect(numbers: Sequence[Array], out: Array) -> None:
    for k, number in enumerate(numbers):
        out[k] = number


class Workspace:
    """The buffers of one run of a plan, by one thread at a time.

    `rows` is the largest number of rows that a run may bind; `total` is the value of the `rows` leaf, N itself where a
    run sees one block of N.
    """

    def __init__(self, plan: Plan, rows: int, total: int | None = None) -> None:
        self.plan = plan
        self._capacity = rows
        self._buffers = [
            np.empty(rows**slot.power * slot.size, np.bool_ if slot.truth else plan.dtype) for slot in plan.slots
        ]
        self._arena = np.empty(plan.arena(rows), plan.dtype)
        self._room: dict[tuple[int, int], Array] = {}
        self._statics = {
            k: _static(node, plan.dtype, rows if total is None else total)
            for k, node in enumerate(plan.nodes)
            if node.op in STATIC
        }
        self._bound: dict[tuple[int, int, bool], _Bound] = {}

    def run(
        self,
        inputs: Sequence[Array],
        rows: int = 1,
        block: int = -1,
        sums: Sequence[Array] = (),
        first: bool = True,
    ) -> tuple[Array, ...]:
        """The outputs, in memory that the next run overwrites. `inputs` are in the order of the graph's inputs.

        What is bound to arrays is kept for each number of rows, and apart for each `block` that is not negative. The
        first outputs may have `sums`: one that is a product of matrices is added to its own, or written there if this
        is the `first`, and is then that array itself; the others are the caller's to add.
        """
        bound = self._bind(inputs, rows, block, sums, first)
        for call, arguments in bound.program:
            call(*arguments)
        values = bound.values
        return tuple([values[k] for k in self.plan.outputs])

    def _bind(self, inputs: Sequence[Array], rows: int, block: int, sums: Sequence[Array], first: bool) -> _Bound:
        key = (rows, block, first)
        bound = self._bound.get(key)
        if bound is None:
            if rows > self._capacity:
                raise ValueError(f"a workspace for {self._capacity} rows was given {rows}")
            bound = self._bound[key] = _Bound(
                self.plan, self._buffers, self._arena, self._room, self._statics, rows, first
            )
        bound.give(inputs, sums)
        return bound

    def calls(self, rows: int = 1) -> list[Instruction | NativeCall]:
        """What `run` does for so many rows, call by call, on the arrays that it was given last."""
        return self._bound[rows, -1, True].calls


def _static(node: Node, dtype: np.dtype[Any], total: int) -> Array:
    if node.op == "rows":
        return np.asarray(total, dtype)
    value: Array = np.asarray(MEANING[node.op].evaluate(*node.attributes))
    return value.astype(dtype)
