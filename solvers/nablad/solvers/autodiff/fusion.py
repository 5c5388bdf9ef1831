"""Which nodes of a schedule become one strip program.

Pointwise ops over the same index set, and the sums and log-sum-exps of their results, are collected into groups; a
group is one step of a plan. The schedule is made backwards, from the outputs, each node as late as its readers allow.
So what only a derivative reads is computed beside it, not kept from the forward pass, and a group takes in a node as
soon as all readers are in it or after it: no group can wait for itself. A sum goes with what it sums, and is complete
only when its group is; a reader of it is in a later one.

A group's operands may be stretched over its rows or its columns, not both in turn: for its shape there must be one
split into rows and columns by which every operand is full, a row, a column or a scalar, and every sum is over all
elements, over the rows or over the columns. Linear in nodes and operands.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from nablad.expressions import OPS, Node, Shape
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.kernels.strips import WIDEST, Code, Kind, StripProgram
from nablad.solvers.autodiff.kernels.table import KERNELS

LOOKAHEAD = 16
"""Ready nodes that do not fit a group and are passed over in search of one that does: without a limit, many branches
of one shape would be looked at for each group."""

TRIFLE, TRIFLING = 2, 256
"""So few ops on so few elements, without data rows, are no group: to write and bind one takes a tenth of a
millisecond, as much as a hundred of numpy's calls."""

_OPERAND, _RESULT, _CONSTANT, _REGISTER = range(4)
"""What a value is while a program is written."""


@dataclass(frozen=True)
class Fused:
    """A group: a strip program, and whose values it reads and gives, by their positions."""

    program: StripProgram
    members: tuple[int, ...]
    """In the order in which they are computed."""
    operands: tuple[int, ...]
    results: tuple[int, ...]
    last_reads: tuple[int, ...]
    """For each operand, the place in the program's code after which it is not read again."""
    writes: tuple[int, ...]
    """For each result, the place at which it is first written."""


def schedule(nodes: Sequence[Node], operands: Sequence[tuple[int, ...]], outputs: Sequence[int]) -> list[int | Fused]:
    """The positions with operands, in an order to run them in, those that belong together as one."""
    return _Scheduler(nodes, operands, outputs).run()


def kinds(operand: Shape, shape: Shape) -> tuple[Kind | None, ...]:
    """What an operand stretched to `shape` is, for each split after 1, 2, ... axes; None where it is nothing."""
    if not shape:
        return ("full",)
    padded = (1,) * (len(shape) - len(operand)) + tuple(operand)
    found: list[Kind | None] = []
    for split in range(1, len(shape) + 1):
        rows = _presence(padded[:split], shape[:split])
        columns = _presence(padded[split:], shape[split:])
        if None in (rows, columns):
            found.append(None)
        elif rows == "any" and columns == "any":
            found.append("full")
        elif rows != "absent":
            found.append("full" if columns != "absent" else "column")
        else:
            found.append("scalar" if columns == "absent" else "row" if columns == "present" else "scalar")
    return tuple(found)


def _presence(part: Shape, whole: Shape) -> str | None:
    """Whether all axes are there, none is, or it cannot be told apart (all of length 1)."""
    wide = [(a, d) for a, d in zip(part, whole, strict=True) if d != 1]
    if not wide:
        return "any"
    if all(a == d for a, d in wide):
        return "present"
    return "absent" if all(a == 1 for a, _ in wide) else None


REDUCTIONS = ("sum", "logsumexp")
"""Ops that end in a group: their operand is in it, their readers are in later ones."""


def reduced(node: Node, shape: Shape) -> tuple[Kind | None, ...]:
    """What a reduction of a result of this shape is, for each split."""
    axes = node.attributes[0] if node.op == "sum" else (len(shape) - 1,)
    found = _summed(axes, shape)
    if node.op == "sum":
        return found
    # Only sums are added up strip by strip; what else is reduced must be whole in its strip.
    last = shape[-1]
    return tuple(x if x == "column" and isinstance(last, int) and last <= WIDEST else None for x in found)


@lru_cache(1024)
def _summed(axes: tuple[int, ...], shape: Shape) -> tuple[Kind | None, ...]:
    found: list[Kind | None] = []
    for split in range(1, len(shape) + 1):
        rows, columns = tuple(range(split)), tuple(range(split, len(shape)))
        if axes == rows + columns:
            found.append("scalar")
        elif axes == rows:
            found.append("row")
        elif axes == columns:
            found.append("column")
        else:
            found.append(None)
    return tuple(found)


_TRUTHS = frozenset(name for name, row in OPS.items() if row.result == "truth")


class _Group:
    """A group in the making: its shape, and the splits that all of it allows."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.splits = set(range(len(shape) or 1))
        self.members: list[int] = []

    def allowed(self, found: Sequence[tuple[Kind | None, ...]]) -> set[int]:
        if not found:
            return self.splits
        return {k for k in self.splits if all(x[k] is not None for x in found)}


class _Scheduler:
    def __init__(self, nodes: Sequence[Node], operands: Sequence[tuple[int, ...]], outputs: Sequence[int]) -> None:
        self._nodes = nodes
        self._operands = operands
        self._outputs = set(outputs)
        self._wanted = set(outputs)
        """What is read in memory by a group that has been written."""
        self._readers: list[list[int]] = [[] for _ in nodes]
        for k, reads in enumerate(operands):
            for x in reads:
                self._readers[x].append(k)
        self._waiting = [len(x) for x in self._readers]
        self._group_of: dict[int, int] = {}
        self._kinds: dict[tuple[Shape, Shape], tuple[Kind | None, ...]] = {}
        self._base: list[int] = []
        """What each result is a stretch of: itself, mostly."""
        self._pointwise: list[bool] = []
        self._truth: list[bool] = []
        self._sink: list[bool] = []
        self._plain: list[bool] = []
        """Whether every operand is of the result's shape or a number, which any split allows."""
        for k, node in enumerate(nodes):
            op, shape, reads = node.op, node.shape, operands[k]
            self._base.append(self._base[reads[0]] if op == "broadcast_to" and reads else k)
            self._pointwise.append(op in KERNELS and bool(reads) and (not shape or row_size(shape) != (0, 1)))
            self._truth.append(op in _TRUTHS)
            self._sink.append(op in REDUCTIONS and bool(reads) and self._is_sink(k))
            plain = True
            for x in reads:
                found = nodes[self._base[x]].shape
                plain = plain and (not found or found == shape)
            self._plain.append(plain)
        self._held: dict[int, list[int]] = {}
        """Sums that are ready, by what they sum."""

    def run(self) -> list[int | Fused]:
        nodes = self._nodes
        ready: list[int] = []
        backwards: list[int | Fused] = []
        for k in range(len(nodes)):
            if self._waiting[k] == 0 and self._operands[k]:
                self._offer(k, ready)
        number = 0
        while ready:
            k = -heapq.heappop(ready)
            if self._is_inlined(k):
                self._done(k, ready)
                continue
            if not self._pointwise[k] or self._truth[k]:
                backwards.append(k)
                self._done(k, ready)
                continue
            group = self._collect(k, ready, number)
            number += 1
            if self._is_trifle(group):
                for member in group.members:
                    del self._group_of[member]
                backwards += group.members
            elif group.members:
                backwards.append(self._assemble(group))
            else:
                # Its operands, or its sums, are stretched in a way of their own.
                backwards += [*self._held.get(k, []), k]
                self._done(k, ready)
        return backwards[::-1]

    def _is_trifle(self, group: _Group) -> bool:
        """Whether the group's ops take longer to put together than they will ever take to run one by one."""
        if not 0 < len(group.members) <= TRIFLE:
            return False
        power, size = row_size(group.shape)
        if power or size > TRIFLING:
            return False
        return not any(self._sink[k] or any(self._truth[x] for x in self._operands[k]) for k in group.members)

    def _offer(self, k: int, ready: list[int]) -> None:
        """All readers of k are scheduled."""
        if self._sink[k]:
            base = self._operands[k][0]
            self._held.setdefault(base, []).append(k)
            self._waiting[base] -= 1
            if self._waiting[base] == 0:
                self._offer(base, ready)
        else:
            heapq.heappush(ready, -k)

    def _done(self, k: int, ready: list[int]) -> None:
        for x in self._operands[k]:
            self._waiting[x] -= 1
            if self._waiting[x] == 0 and self._operands[x]:
                self._offer(x, ready)

    def _is_sink(self, k: int) -> bool:
        """A sum of a pointwise result that a strip program can add up."""
        node, base = self._nodes[k], self._operands[k][0]
        if not self._pointwise[base] or self._truth[base]:
            return False
        return any(x is not None for x in reduced(node, self._nodes[base].shape))

    def _needs(self, k: int, sinks: Sequence[int]) -> list[tuple[Kind | None, ...]]:
        """What taking in k, with these sums of it, asks of a split."""
        node = self._nodes[k]
        found = [] if self._plain[k] else [self._kind(x, node.shape) for x in self._operands[k]]
        return found + [reduced(self._nodes[sink], node.shape) for sink in sinks]

    def _collect(self, seed: int, ready: list[int], number: int) -> _Group:
        """The group of the seed and what fits it; empty if no split allows even the seed."""
        group = _Group(self._nodes[seed].shape)
        aside: list[int] = []
        candidates = [-seed]
        passed = 0
        while candidates or (ready and passed < LOOKAHEAD and self._nodes[-ready[0]].shape == group.shape):
            chosen = bool(candidates)
            k = -heapq.heappop(candidates if chosen else ready)
            sinks = self._held.get(k, [])
            splits = group.allowed(self._needs(k, sinks)) if self._fits(k, group, sinks, number) else set()
            if not splits:
                if k == seed:
                    break
                aside.append(k)
                passed += not chosen
                continue
            group.splits = splits
            for member in (*sinks, k):
                group.members.append(member)
                self._group_of[member] = number
            fresh: list[int] = []
            self._done(k, fresh)
            for x in fresh:
                heapq.heappush(candidates if self._nodes[-x].shape == group.shape else ready, x)
        for k in aside:
            heapq.heappush(ready, -k)
        return group

    def _fits(self, k: int, group: _Group, sinks: Sequence[int], number: int) -> bool:
        node = self._nodes[k]
        if not self._pointwise[k] or node.shape != group.shape:
            return False
        # A sum is complete only when its group is.
        for sink in sinks:
            if any(self._group_of.get(reader) == number for reader in self._readers[sink]):
                return False
        if self._truth[k]:
            # Truths live in registers only: other groups that read this one have made it for themselves.
            readers = [self._group_of.get(x) for x in self._readers[k]]
            return k not in self._wanted and number in readers and None not in readers
        return True

    def _is_inlined(self, k: int) -> bool:
        """A truth that each of its readers makes for itself."""
        shape = self._nodes[k].shape
        return (
            self._truth[k]
            and self._pointwise[k]
            and k not in self._wanted
            and all(x in self._group_of and self._nodes[x].shape == shape for x in self._readers[k])
        )

    def _assemble(self, group: _Group) -> Fused:
        members = group.members[::-1]
        split = max(group.splits) + 1
        self._inside = set(members)
        self._split = split
        writer = _Assembler(group.shape, split)
        for k in members:
            if self._sink[k]:
                kind = reduced(self._nodes[k], group.shape)[split - 1]
                assert kind is not None
                writer.reduce(k, self._nodes[k].op, self._operands[k][0], kind)
            else:
                wanted = k in self._wanted or not self._inside.issuperset(self._readers[k])
                self._compute(k, wanted and not self._truth[k], writer)
        return writer.finish(tuple(members))

    def _compute(self, k: int, kept: bool, writer: _Assembler) -> None:
        node = self._nodes[k]
        reads = []
        for x in self._operands[k]:
            if writer.knows(x):
                reads.append(x)
            elif self._truth[x] and self._pointwise[x] and self._nodes[x].shape == node.shape and self._inlinable(x):
                self._compute(x, False, writer)
                reads.append(x)
            else:
                base = self._base[x]
                kind = self._kind(x, node.shape)[self._split - 1]
                assert kind is not None
                reads.append(writer.operand(base, kind))
                self._wanted.add(base)
        writer.compute(k, node, reads, kept)

    def _inlinable(self, k: int) -> bool:
        """Whether a truth can be made from the operands that it has, in the group's split."""
        node = self._nodes[k]
        return all(self._kind(x, node.shape)[self._split - 1] is not None for x in self._operands[k])

    def _kind(self, operand: int, shape: Shape) -> tuple[Kind | None, ...]:
        """What an operand, before it was stretched, is to a result of this shape, for each split."""
        key = (self._nodes[self._base[operand]].shape, shape)
        if key not in self._kinds:
            self._kinds[key] = kinds(*key)
        return self._kinds[key]


class _Assembler:
    """Writes a strip program, members in the order of computation, registers by liveness.

    A value is known by its place in `_made`, which says what it is: an operand, a result, a constant or a register.
    """

    def __init__(self, shape: Shape, split: int) -> None:
        self._shape = shape
        self._split = split
        self._made: list[int] = []
        self._operands: list[tuple[int, int, Kind]] = []
        """Value, position, kind; so for the results."""
        self._results: list[tuple[int, int, Kind]] = []
        self._constants: list[tuple[int, float]] = []
        self._lines: list[tuple[str, int, tuple[int, ...], bool]] = []
        self._values: dict[int, int] = {}
        self._writes: list[int] = []

    def _value(self, what: int) -> int:
        self._made.append(what)
        return len(self._made) - 1

    def knows(self, position: int) -> bool:
        """Whether the value is an operand already, or has been computed."""
        return position in self._values

    def operand(self, position: int, kind: Kind) -> int:
        if position not in self._values:
            value = self._values[position] = self._value(_OPERAND)
            self._operands.append((value, position, kind))
        return position

    def reduce(self, position: int, op: str, base: int, kind: Kind) -> None:
        """A reduction of the value at `base`."""
        out, x = self._value(_RESULT), self._values[base]
        self._results.append((out, position, kind))
        if op == "logsumexp":
            self._log_sum_exp(out, x)
        elif kind == "column":
            self._line("sum_rows", out, (x,), True)
        else:
            self._line("accumulate", out, (x,))
        self._writes.append(len(self._lines) - 1)

    def _log_sum_exp(self, out: int, x: int) -> None:
        """m + log(1 + sum of exp(x - m) over all but one largest), m the largest (ops/reductions.py)."""
        largest = self._line("max_rows", None, (x,), True)
        level = self._line("expand", None, (largest,), True)
        terms = self._line("exp", None, (self._line("subtract", None, (x, level)),))
        smaller = self._line("multiply", None, (terms, self._line("greater", None, (level, x))))
        others = self._line("sum_rows", None, (smaller,), True)
        count = self._line("sum_rows", None, (self._line("equal", None, (x, level)),), True)
        self._line("log_sum_exp_end", out, (others, count, largest), True)

    def _line(self, function: str, out: int | None, inputs: tuple[int, ...], by_rows: bool = False) -> int:
        """One call; where no place is given its result is a register of its own."""
        if out is None:
            out = self._value(_REGISTER)
        self._lines.append((function, out, inputs, by_rows))
        return out

    def compute(self, position: int, node: Node, reads: Sequence[int], kept: bool) -> None:
        inputs = tuple([self._values[x] for x in reads])
        if node.op == "fixed_power":
            exponent = self._value(_CONSTANT)
            self._constants.append((exponent, float(node.attributes[0])))
            inputs = (*inputs, exponent)
        out = self._values[position] = self._value(_RESULT if kept else _REGISTER)
        if kept:
            self._results.append((out, position, "full"))
            self._writes.append(len(self._lines))
        self._lines.append((node.op, out, inputs, False))

    def finish(self, members: tuple[int, ...]) -> Fused:
        made = self._made
        last = [0] * len(made)
        for k, (_, out, inputs, _) in enumerate(self._lines):
            last[out] = k
            for x in inputs:
                last[x] = k
        number = [-1] * len(made)
        named = [value for value, _, _ in (*self._operands, *self._results)] + [value for value, _ in self._constants]
        for k, value in enumerate(named):
            number[value] = k
        first = len(named)
        free: list[int] = []
        registers = 0
        code = []
        for k, (function, out, inputs, by_rows) in enumerate(self._lines):
            places = tuple([number[x] for x in inputs])
            # An op may write over an operand that it reads for the last time.
            for x in dict.fromkeys(inputs):
                if last[x] == k and made[x] == _REGISTER:
                    heapq.heappush(free, number[x])
            if number[out] < 0:
                if free:
                    number[out] = heapq.heappop(free)
                else:
                    number[out] = first + registers
                    registers += 1
                if last[out] == k:
                    heapq.heappush(free, number[out])
            code.append(Code(function, number[out], places, by_rows))
        program = StripProgram(
            self._shape,
            self._split,
            tuple([kind for _, _, kind in self._operands]),
            tuple([kind for _, _, kind in self._results]),
            tuple([exponent for _, exponent in self._constants]),
            registers,
            tuple(code),
        )
        return Fused(
            program,
            members,
            tuple([position for _, position, _ in self._operands]),
            tuple([position for _, position, _ in self._results]),
            tuple([last[value] for value, _, _ in self._operands]),
            tuple(self._writes),
        )
