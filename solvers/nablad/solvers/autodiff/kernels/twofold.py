r"""J'(r_0 + J theta) in twice the working precision, a group of rows at a time: a kernel beside those of loops.py.

    a + b = s + e  exactly:  s = fl(a + b),  t = fl(s - a),  e = (a - (s - t)) + (b - t)     (Knuth 1969)
    a b   = p + e  exactly:  p = fl(a b),    e = fma(a, b, -p)

so that with a fused multiply-add a product's error takes one operation, where the halves of Dekker take sixteen, and
nothing is split that could overflow. For four rows of J, first

    r + r_low = r_0 + J theta    eight lanes a row, each by Dot2 (Ogita, Rump and Oishi 2005); then lanes together,
                                 halves upon halves, for all four rows at once; then r_0

and then, for each eight columns,

    high + low += J' (r + r_low)  by Dot2, the four rows in their order

The rows have just been read, and lie in the first-level cache (in the second from 1,000 columns on). No sum waits for
another: eight columns are independent of the next eight. The last columns, eight or fewer, are read under a mask, and
where fewer than four rows are left the last of them stands in for the others, with a residual of zero.

Order and bits depend on the numbers of rows and columns alone. What is not finite stays so: the error of an infinite
sum or product is NaN. A product below 1e-292 has an error below the smallest number, which is lost.

Cost: 21 operations for each entry, in vectors; about as long as it takes to read J from memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nablad.solvers.autodiff.kernels.vectors import Lanes, Vector, Writer

ROWS = 4
"""Of one group. Each time columns are gone over, their sums are read and written once for all rows of the group."""
FIELDS = (
    ("ptr", "x"),
    ("i64", "row"),
    ("i64", "m"),
    ("i64", "p"),
    ("ptr", "residual"),
    ("ptr", "theta"),
    ("ptr", "high"),
    ("ptr", "low"),
)
"""Of a task, in order: J's rows and the distance of one from the next, in elements; how many rows and columns; r_0; and
three arrays of whole vectors: theta, zero beyond p, and what the sums are added to."""

Pair = tuple[Vector, Vector]
"""A number, and what is too small for its digits."""


def twofold(lanes: Lanes) -> tuple[str, set[str]]:
    """The function and what it needs declared. For float64 alone: what is in single precision is widened."""
    writer = Writer(lanes)
    lines = writer.lines
    for k, (kind, name) in enumerate(FIELDS):
        place = writer.put(f"getelementptr i64, ptr %task, i64 {k}")
        lines.append(f"  %{name} = load {kind}, ptr {place}")
    lines.append("  %before = sub i64 %p, 1")
    lines.append(f"  %whole = and i64 %before, -{lanes.count}")
    lines.append("  %left = sub i64 %p, %whole")
    lines.append("  %several = icmp ne i64 %whole, 0")
    lines.append("  %final = sub i64 %m, 1")
    lines.append("  %nothing = icmp eq i64 %m, 0")
    lines.append("  br i1 %nothing, label %done, label %group")
    writer.label("group")
    lines.append("  %i = phi i64 [ 0, %entry ], [ %following, %sums.last ]")
    rows = [_row(writer, k) for k in range(ROWS)]
    r, r_low = _residuals(writer, rows)
    _add_products(writer, rows, r, r_low)
    lines.append(f"  %following = add i64 %i, {ROWS}")
    lines.append("  %again = icmp ult i64 %following, %m")
    lines.append("  br i1 %again, label %group, label %done")
    writer.label("done")
    lines.append("  ret void")
    body = "\n".join(lines)
    return f"define void @twofold(ptr %task) {{\nentry:\n{body}\n}}", writer.declared


def two_sum(a: Vector, b: Vector) -> Pair:
    """s and e with a + b = s + e exactly."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def two_product(a: Vector, b: Vector) -> Pair:
    """p and e with a b = p + e exactly."""
    p = a * b
    return p, a.fma(b, -p)


def _row(writer: Writer, k: int) -> str:
    """Where row i + k begins, or the last one."""
    index = writer.put(f"add i64 %i, {k}")
    inside = writer.put(f"icmp ult i64 {index}, %m")
    index = writer.put(f"select i1 {inside}, i64 {index}, i64 %final")
    offset = writer.put(f"mul i64 {index}, %row")
    return writer.put(f"getelementptr {writer.lanes.scalar}, ptr %x, i64 {offset}")


def _columns(writer: Writer, name: str, start: Sequence[Vector], body: Callable[..., Sequence[Vector]]) -> list[Vector]:
    """What `body(index, mask, so far)` makes of the start, from vector to vector of columns."""
    lines, kind = writer.lines, writer.lanes.vector
    before, loop, last = writer.block, f"{name}.loop", f"{name}.last"
    j, following, more = f"%{name}.j", f"%{name}.next", f"%{name}.more"
    so_far = [Vector(writer, writer.fresh()) for _ in start]
    lines.append(f"  br i1 %several, label %{loop}, label %{last}")
    writer.label(loop)
    lines.append(f"  {j} = phi i64 [ 0, %{before} ], [ {following}, %{loop} ]")
    head = len(lines)
    found = body(j, None, so_far)
    lines[head:head] = [
        f"  {x.name} = phi {kind} [ {first.name}, %{before} ], [ {y.name}, %{loop} ]"
        for x, first, y in zip(so_far, start, found, strict=True)
    ]
    lines.append(f"  {following} = add i64 {j}, {writer.lanes.count}")
    lines.append(f"  {more} = icmp ult i64 {following}, %whole")
    lines.append(f"  br i1 {more}, label %{loop}, label %{last}")
    writer.label(last)
    joined = [
        Vector(writer, writer.put(f"phi {kind} [ {first.name}, %{before} ], [ {y.name}, %{loop} ]"))
        for first, y in zip(start, found, strict=True)
    ]
    # Made where it is used, a mask stays what the comparison has left.
    return list(body("%whole", writer.first("%left"), joined))


def _residuals(writer: Writer, rows: Sequence[str]) -> Pair:
    """r and r_low of the rows, one in each of the first lanes; zero in the lanes of rows that are not there."""

    def body(j: str, mask: str | None, so_far: Sequence[Vector]) -> list[Vector]:
        theta = writer.load(writer.element("%theta", j), None)
        sums = []
        for row, high, low in zip(rows, so_far[::2], so_far[1::2], strict=True):
            p, e = two_product(writer.load(writer.element(row, j), mask), theta)
            high, q = two_sum(high, p)
            sums += [high, low + (q + e)]
        return sums

    zero = writer.constant(0.0)
    sums = _columns(writer, "model", [zero] * (2 * len(rows)), body)
    model, model_low = _across(writer, list(zip(sums[::2], sums[1::2], strict=True)))
    there = writer.put("sub i64 %m, %i")
    few = writer.put(f"icmp ult i64 {there}, {len(rows)}")
    mask = writer.first(writer.put(f"select i1 {few}, i64 {there}, i64 {len(rows)}"))
    r, q = two_sum(writer.load(writer.element("%residual", "%i"), mask), model)
    r, r_low = two_sum(r, q + model_low)
    kind, truths = writer.lanes.vector, writer.lanes.truths

    def kept(x: Vector) -> Vector:
        return Vector(writer, writer.put(f"select {truths} {mask}, {kind} {x.name}, {kind} {zero.name}"))

    return kept(r), kept(r_low)


def _across(writer: Writer, sums: Sequence[Pair]) -> Pair:
    """The lanes of each pair added up, lane k + n/2 to lane k: that of pair i in lane i.

    Two pairs with n lanes left, in one vector or in two, become a vector of n/2 lanes of each."""
    width = writer.lanes.count
    groups, length = list(sums), width
    while length > 1:
        half = length // 2
        # Runs of `length` lanes, one a pair, each cut in the middle.
        starts = range(0, width, length)
        tops = [s + k for s in starts for k in range(half)]
        joined = []
        for i in range(0, len(groups), 2):
            # Without a second vector the first is taken twice.
            a, b = groups[i], groups[i + 1] if i + 1 < len(groups) else groups[i]
            top, bottom = (
                [_shuffled(writer, x, y, tops, shift) for x, y in zip(a, b, strict=True)] for shift in (0, half)
            )
            s, e = two_sum(top[0], bottom[0])
            joined.append((s, (top[1] + bottom[1]) + e))
        groups, length = joined, half
    return groups[0]


def _shuffled(writer: Writer, a: Vector, b: Vector, places: Sequence[int], shift: int) -> Vector:
    """Those lanes of a, then those of b."""
    lanes = writer.lanes
    numbers = [k + shift for k in places] + [k + shift + lanes.count for k in places]
    chosen = ", ".join(f"i32 {k}" for k in numbers)
    kind = lanes.vector
    return Vector(
        writer, writer.put(f"shufflevector {kind} {a.name}, {kind} {b.name}, <{lanes.count} x i32> <{chosen}>")
    )


def _add_products(writer: Writer, rows: Sequence[str], r: Vector, r_low: Vector) -> None:
    """high + low += J' (r + r_low)."""
    kind = writer.lanes.vector
    count = writer.lanes.count

    def every(x: Vector, k: int) -> Vector:
        chosen = ", ".join([f"i32 {k}"] * count)
        return Vector(writer, writer.put(f"shufflevector {kind} {x.name}, {kind} poison, <{count} x i32> <{chosen}>"))

    factors = [(every(r, k), every(r_low, k)) for k in range(len(rows))]

    def body(j: str, mask: str | None, _: Sequence[Vector]) -> list[Vector]:
        high, low = (writer.load(writer.element(to, j), None) for to in ("%high", "%low"))
        for row, (factor, factor_low) in zip(rows, factors, strict=True):
            x = writer.load(writer.element(row, j), mask)
            p, e = two_product(x, factor)
            high, q = two_sum(high, p)
            low = low + (q + x.fma(factor_low, e))
        for to, value in (("%high", high), ("%low", low)):
            writer.store(writer.element(to, j), value, None)
        return []

    _columns(writer, "sums", [], body)
