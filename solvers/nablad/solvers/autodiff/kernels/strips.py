"""Strip programs: a group of pointwise ops over one index set, run a strip of elements at a time.

The index set is a matrix of R rows and W columns, the axes of the group's shape before and after a split. A strip is k
whole rows, at most STRIP elements, or a piece of one long row; every op runs over the strip before the next strip is
begun, so that what lies between them never leaves the first-level cache (Boncz, Zukowski and Nes 2005 do so with
columns of a data base, numexpr with arrays). An operand is one of

    full      (R, W)    read where it lies
    row       (W,)      repeated k times before the first strip, or read where it lies if k is 1
    column    (R,)      stretched over the columns, strip by strip
    scalar    ()        filled into a strip before the first

and a result is full, written where it belongs; a column, reduced over each row; or a row or a scalar, added up strip by
strip into as many partial sums as a strip has elements, which are added together at the end, halves upon halves. Where
one strip is all and nothing is stretched, it is one row, and a sum is that row's. So the order of every sum depends on
the program, R and W alone.

A `StripProgram` is known when a graph is compiled, a `Task` once its arrays are: the numbers that `run` of loops.py
reads. Cost: a call of some nanoseconds for each op and strip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nablad.expressions import Shape
from nablad.expressions.dimension import concrete, row_size
from nablad.solvers.autodiff.kernels.native import native
from nablad.solvers.autodiff.kernels.sequence import NativeCall, address

Array = NDArray[Any]
Kind = Literal["full", "row", "column", "scalar"]

STRIP = 512
"""Elements of a strip at most: a few of them fit into the first-level cache, and a call costs little beside one."""
SHORTEST_STRIP = 64
ALL_STRIPS = 1 << 15
"""Elements of all strips of a program, which are to stay in the second-level cache: a program of hundreds of registers
has shorter ones."""
WIDEST = 4096
"""Columns that a row may have to be reduced: it is then one strip."""
NANOSECONDS = 0.5
"""For each element and op, about."""


class Code(NamedTuple):
    """One call: a function of loops.py over the strip, or `accumulate`, which adds the strip to a sum."""

    function: str
    out: int
    """A value's number, see StripProgram."""
    inputs: tuple[int, ...]
    by_rows: bool = False
    """One number a row."""


@dataclass(frozen=True)
class StripProgram:
    """Values are numbered: operands first, then results, constants, and registers, which hold a strip each."""

    shape: Shape
    split: int
    operands: tuple[Kind, ...]
    results: tuple[Kind, ...]
    constants: tuple[float, ...]
    registers: int
    code: tuple[Code, ...]

    @cached_property
    def reduces(self) -> bool:
        """Whether rows are reduced otherwise than by adding up, so that each must be whole in its strip."""
        return any(code.function == "max_rows" for code in self.code)

    @cached_property
    def alike(self) -> bool:
        """Whether rows and columns are all the same to it: nothing is stretched, repeated or summed along one alone."""
        return not {"row", "column"}.intersection(self.operands + self.results) and not self.reduces

    @cached_property
    def strips(self) -> int:
        """How many strips of memory a run goes through again and again."""
        return self.registers + len(self.constants) + sum(kind != "full" for kind in self.operands)

    @cached_property
    def longest(self) -> int:
        """Elements that a strip may have, a power of two."""
        longest = STRIP
        while longest > SHORTEST_STRIP and longest * self.strips > ALL_STRIPS:
            longest //= 2
        return longest

    def layout(self, rows: int) -> Layout:
        shape = concrete(self.shape, rows)
        down, across = math.prod(shape[: self.split]), math.prod(shape[self.split :])
        if self.alike and 0 < down * across <= self.longest:
            return Layout(1, down * across, 1, down * across)
        return _layout(down, across, self.reduces, self.longest)

    def arena(self, rows: int) -> int:
        """Elements of scratch memory, for so many rows or fewer: fewer may make longer strips."""
        layout = self.layout(rows)
        sums = sum(kind in ("row", "scalar") for kind in self.results)
        least = self.longest if row_size(self.shape)[0] else 0
        return self.strips * max(least, layout.elements) + sums * max(least, layout.sum_elements)


@dataclass(frozen=True)
class Layout:
    rows: int
    width: int
    strip: int
    """Rows in a strip, a power of two."""
    piece: int
    """Columns in a strip."""

    @property
    def elements(self) -> int:
        return self.strip * self.piece

    @property
    def sum_elements(self) -> int:
        return self.strip * self.width


def _layout(rows: int, width: int, whole: bool, longest: int) -> Layout:
    if width > longest:
        return Layout(rows, width, 1, width if whole else longest)
    strip = 1
    while strip < rows and 2 * strip * max(width, 1) <= longest:
        strip *= 2
    return Layout(rows, width, strip, max(width, 1))


Place = int
"""Of an address, while a task is built: k for the k-th that is fixed, ~k for the k-th that moves with the strips."""
Line = tuple[str, Place, Sequence[Place], int, int]
"""Function, out, inputs; n is the constant at the end, or BY_ROWS or BY_ALL of the strip."""
CONSTANT, BY_ROWS, BY_ALL = 0, 1, 2
_PADDING = ((0, 0, 0), (0, 0), (0,), ())
"""A line has room for three inputs."""


class Task:
    """A strip program on given arrays: `native` runs it. `give` tells where each operand is."""

    def __init__(
        self, program: StripProgram, dtype: np.dtype[Any], results: Sequence[Array], rows: int, arena: Array
    ) -> None:
        self._native = code = native(dtype.name)
        self._layout = layout = program.layout(rows)
        self._size = dtype.itemsize
        self._free = address(arena)
        self._moving: list[tuple[int, int, int]] = []
        """Address, bytes a row, bytes a column."""
        self._fixed: list[int] = []
        self._keep: list[Any] = [results, arena]
        end = self._free + arena.nbytes
        before, body, after = self._lines(program, [address(x) for x in results], dtype)
        if self._free > end:
            raise ValueError(f"a task for {rows} rows needs more than its arena of {arena.size} elements")
        self._task = self._encode(before, body, after)
        time = NANOSECONDS * layout.rows * layout.width * len(program.code)
        # The parts, not this object: a cycle would keep large arrays until the collector comes.
        keep = (self._keep, self._task)
        self.native = NativeCall(code, code.addresses["run"], address(self._task), time, keep)

    def give(self, operand: int, array: Array) -> None:
        """Read this operand from here: contiguous, of the task's dtype and of the operand's shape."""
        table, k = self._given[operand]
        table[k] = address(array)

    def _scratch(self, elements: int) -> int:
        place, self._free = self._free, self._free + elements * self._size
        return place

    def _strip(self) -> Place:
        return self._at(self._scratch(self._layout.elements))

    def _at(self, place: int) -> Place:
        self._fixed.append(place)
        return len(self._fixed) - 1

    def _with_strips(self, place: int, kind: Kind) -> Place:
        size = self._size
        steps = {"full": (self._layout.width * size, size), "column": (size, 0), "row": (0, size)}[kind]
        self._moving.append((place, *steps))
        return ~(len(self._moving) - 1)

    def _lines(
        self, program: StripProgram, results: Sequence[int], dtype: np.dtype[Any]
    ) -> tuple[list[Line], list[Line], list[Line]]:
        layout = self._layout
        before: list[Line] = []
        body: list[Line] = []
        after: list[Line] = []
        values: list[Place] = []
        self._sources: list[Place] = []
        for kind in program.operands:
            if kind == "full" or (kind == "row" and layout.strip == 1):
                source = strip = self._with_strips(0, kind)
            elif kind == "column":
                source, strip = self._with_strips(0, kind), self._strip()
                body.append(("expand", strip, [source], BY_ROWS, 0))
            else:
                source, strip = self._at(0), self._strip()
                function, n = ("tile", layout.strip) if kind == "row" else ("fill", layout.elements)
                before.append((function, strip, [source], CONSTANT, n))
            values.append(strip)
            self._sources.append(source)
        for place, kind in zip(results, program.results, strict=True):
            values.append(self._at(place) if kind in ("row", "scalar") else self._with_strips(place, kind))
        numbers = np.array([*program.constants, 0.0], dtype)
        self._keep.append(numbers)
        first = address(numbers)
        for k in range(len(program.constants)):
            strip = self._strip()
            before.append(("fill", strip, [self._at(first + k * self._size)], CONSTANT, layout.elements))
            values.append(strip)
        values += [self._strip() for _ in range(program.registers)]
        zero = self._at(first + len(program.constants) * self._size)
        if not layout.width:
            # No strip is run, and sums of nothing are 0.
            columns = [x for x, kind in zip(results, program.results, strict=True) if kind == "column"]
            after += [("fill", self._at(place), [zero], CONSTANT, layout.rows) for place in columns]
        for code in program.code:
            inputs = [values[x] for x in code.inputs]
            if code.function == "sum_rows" and layout.piece < layout.width:
                # Piece upon piece.
                out = self._at(results[code.out - len(program.operands)])
                before.append(("fill", out, [zero], CONSTANT, layout.rows))
                body.append(("add_rows", values[code.out], inputs, BY_ROWS, 0))
                continue
            if code.function != "accumulate":
                extent = BY_ROWS if code.by_rows else BY_ALL
                body.append((code.function, values[code.out], inputs, extent, 0))
                continue
            kind = program.results[code.out - len(program.operands)]
            if kind == "scalar" and layout.rows == 1 and layout.width <= layout.piece:
                # One strip that is one row: there is nothing to be added up over strips.
                body.append(("sum_rows", values[code.out], inputs, BY_ROWS, 0))
                continue
            start = self._scratch(layout.sum_elements)
            total = self._at(start)
            # Where a row has several pieces, each has its own part of the sums.
            running = total if layout.strip > 1 else self._with_strips(start, "row")
            before.append(("fill", total, [zero], CONSTANT, layout.sum_elements))
            body.append(("add", running, [running, *inputs], BY_ALL, 0))
            after += self._folded(start, total)
            final = ("copy", layout.width) if kind == "row" else ("sum_rows", 1)
            after.append((final[0], values[code.out], [total], CONSTANT, final[1]))
        return before, body, after

    def _folded(self, start: int, total: Place) -> list[Line]:
        """The upper half upon the lower, until one row is left."""
        lines: list[Line] = []
        half = self._layout.strip // 2
        while half:
            n = half * self._layout.width
            lines.append(("add", total, [total, self._at(start + n * self._size)], CONSTANT, n))
            half //= 2
        return lines

    def _encode(self, *parts: Sequence[Line]) -> Array:
        moving = len(self._moving)
        addresses = self._native.addresses
        lines = [
            (addresses[function], out, *inputs, *_PADDING[len(inputs)], kind, n, 0)
            for part in parts
            for function, out, inputs, kind, n in part
        ]
        table = np.array(lines, np.int64).reshape(-1, 8)
        operands = table[:, 1:5]
        np.copyto(operands, np.where(operands < 0, ~operands, operands + moving))
        places = np.array([0] * moving + self._fixed, np.int64)
        bases, by_row, by_column = np.array(self._moving, np.int64).reshape(-1, 3).T.copy()
        self._keep += [table, places, bases, by_row, by_column]
        self._given = [(bases, ~k) if k < 0 else (places, moving + k) for k in self._sources]
        layout = self._layout
        numbers = [layout.rows, layout.strip, layout.width, layout.piece]
        start = address(table)
        for part in parts:
            numbers += [len(part), start]
            start += len(part) * table.strides[0]
        return np.array([*numbers, moving, *map(address, (places, bases, by_row, by_column))], np.int64)
