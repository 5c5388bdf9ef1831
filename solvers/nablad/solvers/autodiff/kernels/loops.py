"""The loops around kernels, in LLVM's language: what a module of machine code consists of.

Every function has the arguments (out, a, b, c, n, width) and goes over numbers that lie side by side: whole vectors,
then one under a mask, so that nothing beyond n is read or written.

    a row of the table      out[i] = kernel(a[i], b[i], c[i])                 i < n
    copy, fill              out[i] = a[i], out[i] = a[0]                      i < n
    tile, expand            n times the row a of `width`; a[r] `width` times, for r < n
    sum_rows, max_rows      out[r] = over a[r width ... (r + 1) width)        r < n
    add_rows                the same sum added to out[r]

`run` steps through a strip program: see strips.py, which lays a task out as `run` reads it; `gemm` calls BLAS
(gemm.py), `tiles` and `gram` multiply themselves (tiles.py, gram.py); `sequence` makes several such calls
(sequence.py); `twofold`, for float64 alone, sums in twice the precision (twofold.py).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from nablad.solvers.autodiff.kernels import gram, tiles
from nablad.solvers.autodiff.kernels.table import INNER, KERNELS, Kernel
from nablad.solvers.autodiff.kernels.twofold import twofold
from nablad.solvers.autodiff.kernels.vectors import Lanes, Loaded, Truth, Vector, Writer

ARGUMENTS = "ptr %out, ptr %a, ptr %b, ptr %c, i64 %n, i64 %width"

Load = Callable[[str], Vector]
"""The vector at the current place of an argument."""


def module(lanes: Lanes) -> str:
    """All functions of one dtype."""
    kernels: dict[str, Kernel] = {**KERNELS, **INNER}
    parts = [_elementwise(lanes, name, kernel) for name, kernel in kernels.items()]
    parts.append(_fill(lanes))
    parts += [_reduction(lanes, name, *row) for name, row in REDUCTIONS.items()]
    if lanes.name == "float64":
        parts.append(twofold(lanes))
    products: list[str] = []
    needed: set[str] = set()
    for write in (tiles.texts, gram.texts):
        more, needs = write(lanes)
        products += more
        needed |= needs
    declared = sorted(needed.union(*(needs for _, needs in parts)))
    repeats = [
        _REPEAT.replace("NAME", name).replace("EACH", each).replace("STEP", step) for name, each, step in REPEATS
    ]
    texts = [
        *declared,
        *(text for text, _ in parts),
        *repeats,
        _EXECUTE,
        _RUN,
        _gemm(),
        *products,
        _SEQUENCE,
        _UNLIKELY,
    ]
    return "\n".join(texts).replace("SCALAR", lanes.scalar)


def _define(name: str, writer: Writer) -> tuple[str, set[str]]:
    body = "\n".join(writer.lines)
    return f"define void @{name}({ARGUMENTS}) {{\nentry:\n{body}\n}}", writer.declared


def _elementwise(lanes: Lanes, name: str, kernel: Kernel) -> tuple[str, set[str]]:
    writer = Writer(lanes)
    arity = len(inspect.signature(kernel).parameters)

    def body(load: Load) -> Vector:
        result = kernel(*map(load, ("%a", "%b", "%c")[:arity]))
        return result.number() if isinstance(result, Truth) else result

    _over(writer, body)
    return _define(name, writer)


def _fill(lanes: Lanes) -> tuple[str, set[str]]:
    writer = Writer(lanes)
    value = writer.put(f"load {lanes.scalar}, ptr %a, align {lanes.bytes}")
    every = Vector(writer, writer.splat(lanes.scalar, value))
    _over(writer, lambda load: every)
    return _define("fill", writer)


def _over(writer: Writer, body: Callable[[Load], Vector]) -> None:
    """Beyond the rest stand ones, on which every function is quick."""
    lanes, lines = writer.lanes, writer.lines

    def at(index: str, mask: str | None) -> None:
        def load(base: str) -> Vector:
            return Loaded(writer, lambda: _load(writer, base, index, mask, 1.0).name)

        writer.store(writer.element("%out", index), body(load), mask)

    lines.append(f"  %whole = and i64 %n, -{lanes.count}")
    lines.append("  %left = sub i64 %n, %whole")
    lines.append("  %any = icmp ne i64 %whole, 0")
    lines.append("  br i1 %any, label %loop, label %rest")
    writer.label("loop")
    head = len(lines)
    lines.append("")
    at("%i", None)
    lines.append(f"  %next = add i64 %i, {lanes.count}")
    lines.append("  %more = icmp ult i64 %next, %whole")
    # A kernel may have left blocks of its own behind, so which one closes the loop is known only now.
    lines[head] = f"  %i = phi i64 [ 0, %entry ], [ %next, %{writer.block} ]"
    lines.append("  br i1 %more, label %loop, label %rest")
    writer.label("rest")
    lines.append("  %some = icmp ne i64 %left, 0")
    lines.append("  br i1 %some, label %last, label %done")
    writer.label("last")
    at("%whole", writer.first("%left"))
    lines.append("  br label %done")
    writer.label("done")
    lines.append("  ret void")


def _load(writer: Writer, base: str, index: str, mask: str | None, beyond: float) -> Vector:
    return writer.load(writer.element(base, index), mask, beyond)


Combine = Callable[[Vector, Vector], Vector]

REDUCTIONS: dict[str, tuple[float, Combine, str]] = {
    "sum_rows": (0.0, lambda x, y: x + y, "fadd"),
    "add_rows": (0.0, lambda x, y: x + y, "fadd"),
    "max_rows": (float("-inf"), lambda x, y: x.intrinsic("maximum", y), "fmaximum"),
}
"""Over each row: where it starts, how two are combined, and LLVM's name for that across lanes. Lane by lane first, then
the lanes in their order."""


def _reduction(lanes: Lanes, name: str, start: float, combine: Combine, across: str) -> tuple[str, set[str]]:
    writer = Writer(lanes)
    lines = writer.lines
    neutral = writer.constant(start).name
    lines.append(f"  %whole = and i64 %width, -{lanes.count}")
    lines.append("  %left = sub i64 %width, %whole")
    mask = writer.first("%left")
    lines.append("  %empty = icmp eq i64 %n, 0")
    lines.append("  br i1 %empty, label %done, label %row")
    writer.label("row")
    lines.append("  %r = phi i64 [ 0, %entry ], [ %following, %last ]")
    lines.append("  %offset = mul i64 %r, %width")
    lines.append(f"  %base = getelementptr {lanes.scalar}, ptr %a, i64 %offset")
    lines.append("  %any = icmp ne i64 %whole, 0")
    lines.append("  br i1 %any, label %loop, label %last")
    writer.label("loop")
    lines.append("  %i = phi i64 [ 0, %row ], [ %next, %loop ]")
    lines.append(f"  %so.far = phi {lanes.vector} [ {neutral}, %row ], [ SUM, %loop ]")
    place = len(lines) - 1
    total = combine(Vector(writer, "%so.far"), _load(writer, "%base", "%i", None, start)).name
    lines[place] = lines[place].replace("SUM", total)
    lines.append(f"  %next = add i64 %i, {lanes.count}")
    lines.append("  %more = icmp ult i64 %next, %whole")
    lines.append("  br i1 %more, label %loop, label %last")
    writer.label("last")
    lines.append(f"  %before = phi {lanes.vector} [ {neutral}, %row ], [ {total}, %loop ]")
    final = combine(Vector(writer, "%before"), _load(writer, "%base", "%whole", mask, start)).name
    first = [(lanes.scalar, "0.0")] if across == "fadd" else []
    result = writer.call(lanes.scalar, f"llvm.vector.reduce.{across}.{lanes.suffix}", *first, (lanes.vector, final))
    to = writer.put(f"getelementptr {lanes.scalar}, ptr %out, i64 %r")
    if name == "add_rows":
        before = writer.put(f"load {lanes.scalar}, ptr {to}, align {lanes.bytes}")
        result = writer.put(f"fadd {lanes.scalar} {before}, {result}")
    lines.append(f"  store {lanes.scalar} {result}, ptr {to}, align {lanes.bytes}")
    lines.append("  %following = add i64 %r, 1")
    lines.append("  %again = icmp ult i64 %following, %n")
    lines.append("  br i1 %again, label %row, label %done")
    writer.label("done")
    lines.append("  ret void")
    return _define(name, writer)


REPEATS = (("tile", "copy", "0"), ("expand", "fill", "1"))
"""Row after row: the function's name, what it does with each, how far it moves on in a."""

_REPEAT = """define void @NAME(ptr %out, ptr %a, ptr %b, ptr %c, i64 %n, i64 %width) {
entry:
  %empty = icmp eq i64 %n, 0
  br i1 %empty, label %done, label %loop
loop:
  %r = phi i64 [ 0, %entry ], [ %next, %loop ]
  %offset = mul i64 %r, %width
  %to = getelementptr SCALAR, ptr %out, i64 %offset
  %shift = mul i64 %r, STEP
  %from = getelementptr SCALAR, ptr %a, i64 %shift
  call void @EACH(ptr %to, ptr %from, ptr %b, ptr %c, i64 %width, i64 %width)
  %next = add i64 %r, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}"""

_EXECUTE = """define internal void @execute(ptr %code, i64 %count, ptr %places, i64 %rows, i64 %width) {
entry:
  %all = mul i64 %rows, %width
  %empty = icmp eq i64 %count, 0
  br i1 %empty, label %done, label %loop
loop:
  %k = phi i64 [ 0, %entry ], [ %next, %loop ]
  %at = mul i64 %k, 8
  %p0 = getelementptr i64, ptr %code, i64 %at
  %p1 = getelementptr i64, ptr %p0, i64 1
  %p2 = getelementptr i64, ptr %p0, i64 2
  %p3 = getelementptr i64, ptr %p0, i64 3
  %p4 = getelementptr i64, ptr %p0, i64 4
  %p5 = getelementptr i64, ptr %p0, i64 5
  %p6 = getelementptr i64, ptr %p0, i64 6
  %function = load ptr, ptr %p0
  %o = load i64, ptr %p1
  %x = load i64, ptr %p2
  %y = load i64, ptr %p3
  %z = load i64, ptr %p4
  %kind = load i64, ptr %p5
  %constant = load i64, ptr %p6
  %po = getelementptr ptr, ptr %places, i64 %o
  %px = getelementptr ptr, ptr %places, i64 %x
  %py = getelementptr ptr, ptr %places, i64 %y
  %pz = getelementptr ptr, ptr %places, i64 %z
  %out = load ptr, ptr %po
  %a = load ptr, ptr %px
  %b = load ptr, ptr %py
  %c = load ptr, ptr %pz
  %by.rows = icmp eq i64 %kind, 1
  %by.all = icmp eq i64 %kind, 2
  %n0 = select i1 %by.rows, i64 %rows, i64 %constant
  %n = select i1 %by.all, i64 %all, i64 %n0
  call void %function(ptr %out, ptr %a, ptr %b, ptr %c, i64 %n, i64 %width)
  %next = add i64 %k, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %loop, label %done
done:
  ret void
}"""

_RUN = """define void @run(ptr %task) {
entry:
  %rows = load i64, ptr %task
  %f1 = getelementptr i64, ptr %task, i64 1
  %strip = load i64, ptr %f1
  %f2 = getelementptr i64, ptr %task, i64 2
  %width = load i64, ptr %f2
  %f3 = getelementptr i64, ptr %task, i64 3
  %piece = load i64, ptr %f3
  %f4 = getelementptr i64, ptr %task, i64 4
  %before.count = load i64, ptr %f4
  %f5 = getelementptr i64, ptr %task, i64 5
  %before = load ptr, ptr %f5
  %f6 = getelementptr i64, ptr %task, i64 6
  %body.count = load i64, ptr %f6
  %f7 = getelementptr i64, ptr %task, i64 7
  %body = load ptr, ptr %f7
  %f8 = getelementptr i64, ptr %task, i64 8
  %after.count = load i64, ptr %f8
  %f9 = getelementptr i64, ptr %task, i64 9
  %after = load ptr, ptr %f9
  %f10 = getelementptr i64, ptr %task, i64 10
  %moving = load i64, ptr %f10
  %f11 = getelementptr i64, ptr %task, i64 11
  %places = load ptr, ptr %f11
  %f12 = getelementptr i64, ptr %task, i64 12
  %bases = load ptr, ptr %f12
  %f13 = getelementptr i64, ptr %task, i64 13
  %by.row = load ptr, ptr %f13
  %f14 = getelementptr i64, ptr %task, i64 14
  %by.column = load ptr, ptr %f14
  call void @execute(ptr %before, i64 %before.count, ptr %places, i64 %strip, i64 %width)
  %no.rows = icmp eq i64 %rows, 0
  %no.width = icmp eq i64 %width, 0
  %nothing = or i1 %no.rows, %no.width
  br i1 %nothing, label %finish, label %column
column:
  %j = phi i64 [ 0, %entry ], [ %j.next, %column.end ]
  %columns.left = sub i64 %width, %j
  %narrow = icmp ult i64 %columns.left, %piece
  %w = select i1 %narrow, i64 %columns.left, i64 %piece
  br label %row
row:
  %r = phi i64 [ 0, %column ], [ %r.next, %row.end ]
  %rows.left = sub i64 %rows, %r
  %few = icmp ult i64 %rows.left, %strip
  %h = select i1 %few, i64 %rows.left, i64 %strip
  %still = icmp eq i64 %moving, 0
  br i1 %still, label %row.end, label %move
move:
  %m = phi i64 [ 0, %row ], [ %m.next, %move ]
  %pb = getelementptr i64, ptr %bases, i64 %m
  %base = load i64, ptr %pb
  %pr = getelementptr i64, ptr %by.row, i64 %m
  %row.bytes = load i64, ptr %pr
  %pc = getelementptr i64, ptr %by.column, i64 %m
  %column.bytes = load i64, ptr %pc
  %down = mul i64 %r, %row.bytes
  %across = mul i64 %j, %column.bytes
  %moved = add i64 %down, %across
  %place = add i64 %base, %moved
  %pp = getelementptr i64, ptr %places, i64 %m
  store i64 %place, ptr %pp
  %m.next = add i64 %m, 1
  %m.more = icmp ult i64 %m.next, %moving
  br i1 %m.more, label %move, label %row.end
row.end:
  call void @execute(ptr %body, i64 %body.count, ptr %places, i64 %h, i64 %w)
  %r.next = add i64 %r, %strip
  %r.more = icmp ult i64 %r.next, %rows
  br i1 %r.more, label %row, label %column.end
column.end:
  %j.next = add i64 %j, %piece
  %j.more = icmp ult i64 %j.next, %width
  br i1 %j.more, label %column, label %finish
finish:
  call void @execute(ptr %after, i64 %after.count, ptr %places, i64 %strip, i64 %width)
  ret void
}"""


def _gemm() -> str:
    """Call the routine at the head of the task with the thirteen addresses that follow it."""
    lines = ["  %routine = load ptr, ptr %task"]
    for k in range(1, 14):
        lines.append(f"  %p{k} = getelementptr i64, ptr %task, i64 {k}")
        lines.append(f"  %x{k} = load ptr, ptr %p{k}")
    arguments = ", ".join(f"ptr %x{k}" for k in range(1, 14))
    return "\n".join(
        [
            "define void @gemm(ptr %task) {",
            "entry:",
            *lines,
            f"  call void %routine({arguments})",
            "  ret void",
            "}",
        ]
    )


_SEQUENCE = """define void @sequence(ptr %calls) {
entry:
  %count = load i64, ptr %calls
  br label %test
test:
  %k = phi i64 [ 0, %entry ], [ %next, %loop ]
  %more = icmp ult i64 %k, %count
  br i1 %more, label %loop, label %done
loop:
  %twice = mul i64 %k, 2
  %first = add i64 %twice, 1
  %second = add i64 %twice, 2
  %pf = getelementptr i64, ptr %calls, i64 %first
  %pt = getelementptr i64, ptr %calls, i64 %second
  %function = load ptr, ptr %pf
  %task = load ptr, ptr %pt
  call void %function(ptr %task)
  %next = add i64 %k, 1
  br label %test
done:
  ret void
}"""

_UNLIKELY = '!0 = !{!"branch_weights", i32 1, i32 2000}\n'
