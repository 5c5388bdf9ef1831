r"""Products of matrices by register tiles, for a second factor that fits the second-level cache.

C = A B or C += A B with A (m, k) in row order and B (k, n) of any strides. A network's layer has many rows and some ten
to a hundred columns, and a general BLAS, made for large matrices, spends a good part of such a product on copying A
into its own order. Here A is read where it lies: a tile of ROWS rows and one vector of columns of C stays in registers
while k is gone through, ROWS numbers of A, each spread over a vector, times one vector of B for each step. B alone is
copied, into panels of one vector's width, DEPTH x BREADTH elements at a time, which is little beside m rows. The tile
is the one of BLIS on this kind of processor, the blocking Goto's without the copy of A (Goto and van de Geijn 2008; Van
Zee and van de Geijn 2015).

Every element of C is a sum over k in order, DEPTH terms at a time, each added by one fused multiply-add: it depends
on its row of A and its column of B alone, not on m or n.

Cost: m k n fused multiply-adds, a vector's width of columns at once; columns beyond n are computed for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from nablad.solvers.autodiff.kernels.vectors import Lanes, Vector, Writer

ROWS = 6
"""Of a tile: with two registers for a vector twelve sums, two for B and one for A are what the processor has."""
DEPTH = 256
BREADTH_BYTES = 1024
"""Of a panel's row: with DEPTH, a quarter of a megabyte on the stack."""
FIELDS = ("out", "out.row", "a", "a.row", "b", "b.row", "b.column", "m", "n", "k", "adds")
"""Of a task, in this order: addresses; distances in elements; sizes; whether to add to what is there."""
_ADDRESSES = ("out", "a", "b")
Function = tuple[str, set[str]]
"""Its text, and what it needs declared."""
Starts = Callable[[Writer, int], list[str]]
"""Where each row of a tile begins in A."""


def texts(lanes: Lanes) -> tuple[list[str], set[str]]:
    """The functions, of which `tiles` is the one to call with a task's address; and what they declare."""
    functions = [tile(lanes, f"tile.{rows}", rows, _starts, "%j") for rows in range(1, ROWS + 1)]
    functions.append(_tiles(lanes))
    return [text for text, _ in functions] + [table("tile")], set().union(*(needs for _, needs in functions))


def table(name: str) -> str:
    """The tiles of a name, by their number of rows less one."""
    names = ", ".join(f"ptr @{name}.{rows}" for rows in range(1, ROWS + 1))
    return f"@{name}.by.rows = internal constant [{ROWS} x ptr] [{names}]"


def tile_of(writer: Writer, name: str, rows: str) -> str:
    """The tile of so many rows."""
    which = writer.put(f"sub i64 {rows}, 1")
    return writer.put(f"load ptr, ptr {writer.put(f'getelementptr ptr, ptr @{name}.by.rows, i64 {which}')}")


def read_task(writer: Writer, names: Sequence[str], addresses: Sequence[str]) -> dict[str, str]:
    """The numbers of the task at %task, which follow each other; some are addresses."""
    found = {}
    for place, name in enumerate(names):
        at = writer.put(f"getelementptr i64, ptr %task, i64 {place}")
        found[name] = writer.put(f"load {'ptr' if name in addresses else 'i64'}, ptr {at}")
    return found


def _starts(writer: Writer, rows: int) -> list[str]:
    return [writer.element("%a", writer.put(f"mul i64 %a.row, {i}")) for i in range(rows)]


def tile(lanes: Lanes, name: str, rows: int, starts_of: Starts, at: str) -> Function:
    """Some rows and at most a vector of columns of C, `left` of which are there.

    The numbers of A's row begin where `starts_of` says, and follow each other at `at`: %j, or %j.panel for a distance
    of one vector.
    """
    writer = Writer(lanes)
    put, do = writer.put, writer.do
    starts = starts_of(writer, rows)
    do("br label %loop")
    writer.label("loop")
    do("%j = phi i64 [ 0, %entry ], [ %next, %loop ]")
    for i in range(rows):
        do(f"%so.far.{i} = phi {lanes.vector} [ zeroinitializer, %entry ], [ %sum.{i}, %loop ]")
    do(f"%j.panel = mul i64 %j, {lanes.count}")
    b = writer.load(writer.element("%b", "%j.panel"), None).name
    fma = f"llvm.fma.{lanes.suffix}"
    writer.declared.add(f"declare {lanes.vector} @{fma}({', '.join([lanes.vector] * 3)})")
    for i, start in enumerate(starts):
        a = put(f"load {lanes.scalar}, ptr {writer.element(start, at)}, align {lanes.bytes}")
        arguments = ", ".join(f"{lanes.vector} {x}" for x in (writer.splat(lanes.scalar, a), b, f"%so.far.{i}"))
        do(f"%sum.{i} = call {lanes.vector} @{fma}({arguments})")
    do("%next = add i64 %j, 1")
    do("%more = icmp ult i64 %next, %k")
    do("br i1 %more, label %loop, label %write")
    writer.label("write")
    places = [writer.element("%out", put(f"mul i64 %out.row, {i}")) for i in range(rows)]
    sums = [Vector(writer, f"%sum.{i}") for i in range(rows)]
    do(f"%whole = icmp uge i64 %left, {lanes.count}")
    do("br i1 %whole, label %all, label %some")
    writer.label("all")
    _write(writer, places, sums, None)
    writer.label("some")
    _write(writer, places, sums, writer.first("%left"))
    arguments = "ptr %out, i64 %out.row, ptr %a, i64 %a.row, ptr %b, i64 %k, i64 %left, i1 %adds"
    body = "\n".join(writer.lines)
    return f"define internal void @{name}({arguments}) {{\nentry:\n{body}\n}}", writer.declared


def _write(writer: Writer, places: list[str], sums: list[Vector], mask: str | None) -> None:
    kind = writer.block
    writer.do(f"br i1 %adds, label %{kind}.add, label %{kind}.set")
    for adds in (True, False):
        writer.label(f"{kind}.{'add' if adds else 'set'}")
        for place, total in zip(places, sums, strict=True):
            writer.store(place, total + writer.load(place, mask) if adds else total, mask)
        writer.do("ret void")


def _tiles(lanes: Lanes) -> Function:
    writer = Writer(lanes)
    put, do, element, count = writer.put, writer.do, writer.element, lanes.count
    breadth = BREADTH_BYTES // lanes.bytes
    panels = put(f"alloca [{DEPTH * breadth} x {lanes.scalar}], align 64")
    field = read_task(writer, FIELDS, _ADDRESSES)
    gapless = put(f"icmp eq i64 {field['b.column']}, 1")
    adds = put(f"icmp ne i64 {field['adds']}, 0")
    with each(writer, "0", field["n"], breadth) as j0:
        columns = least(writer, put(f"sub i64 {field['n']}, {j0}"), str(breadth))
        with each(writer, "0", field["k"], DEPTH) as k0:
            depth = least(writer, put(f"sub i64 {field['k']}, {k0}"), str(DEPTH))
            corner = element(field["b"], put(f"mul i64 {k0}, {field['b.row']}"))
            corner = element(corner, put(f"mul i64 {j0}, {field['b.column']}"))
            with when(writer, gapless):
                _pack_rows(writer, panels, corner, field["b.row"], depth, columns)
            with when(writer, put(f"xor i1 {gapless}, true")):
                _pack_columns(writer, panels, corner, field["b.row"], field["b.column"], depth, columns)
            later = put(f"icmp ne i64 {k0}, 0")
            adding = put(f"or i1 {adds}, {later}")
            with each(writer, "0", field["m"], ROWS) as i0:
                rows = least(writer, put(f"sub i64 {field['m']}, {i0}"), str(ROWS))
                function = tile_of(writer, "tile", rows)
                a = element(element(field["a"], put(f"mul i64 {i0}, {field['a.row']}")), k0)
                out = element(element(field["out"], put(f"mul i64 {i0}, {field['out.row']}")), j0)
                with each(writer, "0", columns, count) as j:
                    panel = element(panels, put(f"mul i64 {j}, {depth}"))
                    left = put(f"sub i64 {columns}, {j}")
                    do(
                        f"call void {function}(ptr {element(out, j)}, i64 {field['out.row']}, ptr {a}, "
                        f"i64 {field['a.row']}, ptr {panel}, i64 {depth}, i64 {left}, i1 {adding})"
                    )
    do("ret void")
    return "define void @tiles(ptr %task) {\nentry:\n" + "\n".join(writer.lines) + "\n}", writer.declared


def _pack_rows(writer: Writer, panels: str, corner: str, row: str, depth: str, columns: str) -> None:
    """Panels from rows without gaps, row by row, as memory likes to be read; zeros beyond the last column."""
    put, count = writer.put, writer.lanes.count
    whole = put(f"and i64 {columns}, -{count}")
    left = put(f"sub i64 {columns}, {whole}")
    mask, ragged = writer.first(left), put(f"icmp ne i64 {left}, 0")
    with each(writer, "0", depth, 1) as k:
        source = writer.element(corner, put(f"mul i64 {k}, {row}"))
        target = writer.element(panels, put(f"mul i64 {k}, {count}"))
        with each(writer, "0", whole, count) as j:
            panel = writer.element(target, put(f"mul i64 {j}, {depth}"))
            writer.store(panel, writer.load(writer.element(source, j), None), None)
        with when(writer, ragged):
            panel = writer.element(target, put(f"mul i64 {whole}, {depth}"))
            writer.store(panel, writer.load(writer.element(source, whole), mask), None)


def _pack_columns(writer: Writer, panels: str, corner: str, row: str, column: str, depth: str, columns: str) -> None:
    """Panels from a matrix of any strides, column by column, number by number."""
    put, lanes = writer.put, writer.lanes
    across = put(f"mul i64 {depth}, {lanes.count}")
    rounded = put(f"add i64 {columns}, {lanes.count - 1}")
    with each(writer, "0", put(f"and i64 {rounded}, -{lanes.count}"), 1) as j:
        panel = put(f"udiv i64 {j}, {lanes.count}")
        lane = put(f"urem i64 {j}, {lanes.count}")
        target = writer.element(writer.element(panels, put(f"mul i64 {panel}, {across}")), lane)
        there = put(f"icmp ult i64 {j}, {columns}")
        with when(writer, there):
            source = writer.element(corner, put(f"mul i64 {j}, {column}"))
            with each(writer, "0", depth, 1) as k:
                x = put(f"load {lanes.scalar}, ptr {writer.element(source, put(f'mul i64 {k}, {row}'))}")
                place = writer.element(target, put(f"mul i64 {k}, {lanes.count}"))
                writer.do(f"store {lanes.scalar} {x}, ptr {place}")
        with when(writer, put(f"xor i1 {there}, true")), each(writer, "0", depth, 1) as k:
            place = writer.element(target, put(f"mul i64 {k}, {lanes.count}"))
            writer.do(f"store {lanes.scalar} 0.0, ptr {place}")


def least(writer: Writer, x: str, y: str) -> str:
    """The lesser number."""
    return writer.put(f"select i1 {writer.put(f'icmp slt i64 {x}, {y}')}, i64 {x}, i64 {y}")


@contextmanager
def each(writer: Writer, start: str, stop: str, step: int | str) -> Iterator[str]:
    """What is written within is done for i = start, start + step, ... below stop; gives i."""
    name, before = writer.fresh("loop")[1:], writer.block
    writer.do(f"br label %{name}.test")
    writer.label(f"{name}.test")
    head = len(writer.lines)
    writer.lines.append("")
    more = writer.put(f"icmp slt i64 %{name}.i, {stop}")
    writer.do(f"br i1 {more}, label %{name}.body, label %{name}.end")
    writer.label(f"{name}.body")
    yield f"%{name}.i"
    following = writer.put(f"add i64 %{name}.i, {step}")
    # Which block closes the loop is known only now.
    writer.lines[head] = f"  %{name}.i = phi i64 [ {start}, %{before} ], [ {following}, %{writer.block} ]"
    writer.do(f"br label %{name}.test")
    writer.label(f"{name}.end")


@contextmanager
def when(writer: Writer, truth: str) -> Iterator[None]:
    """What is written within is done where the truth holds."""
    name = writer.fresh("when")[1:]
    writer.do(f"br i1 {truth}, label %{name}.so, label %{name}.on")
    writer.label(f"{name}.so")
    yield
    writer.do(f"br label %{name}.on")
    writer.label(f"{name}.on")
