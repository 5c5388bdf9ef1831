r"""[J r]'[J r] added to a matrix, from rows of J that lie in memory: the normal equations of a block in one pass.

The rows, each with its residual as one more column, are copied some hundred at a time into panels of one vector's width
(tiles.py), which then are both factors of a product: a tile takes some columns from the panels, number by number, times
one panel, vector by vector. So J'J, J'r and r'r come together, while the rows are in the second-level cache, and J is
read once. Only what is on or above the diagonal is meant: tiles that lie below it are left out.

Sums go over the rows in order, some hundred at a time.

Cost: m (p + 1) (p + 2) / 2 fused multiply-adds and the tiles' corners; about as long as BLAS takes for J'J alone.
"""

from __future__ import annotations

from nablad.solvers.autodiff.kernels.tiles import ROWS, Function, each, least, read_task, table, tile, tile_of
from nablad.solvers.autodiff.kernels.vectors import Lanes, Vector, Writer

PANEL_BYTES = 256 << 10
"""Of all panels, on the stack: the second-level cache keeps them."""
FIELDS = ("x", "x.row", "residual", "m", "p", "out", "out.row", "depth")
"""Of a task, in this order: J's rows and the distance of one from the next; r; their number, and that of J's columns;
the matrix, (p + 1) rows of whole vectors; and how many rows are in the panels at once."""
_ADDRESSES = ("x", "residual", "out")


def texts(lanes: Lanes) -> tuple[list[str], set[str]]:
    """The functions, of which `gram` is the one to call with a task's address; and what they declare."""
    functions = [tile(lanes, f"gram.{rows}", rows, _starts, "%j.panel") for rows in range(1, ROWS + 1)]
    functions.append(_gram(lanes))
    return [text for text, _ in functions] + [table("gram")], set().union(*(needs for _, needs in functions))


def _starts(writer: Writer, rows: int) -> list[str]:
    """Columns a.row, a.row + 1, ... of the panels at `a`."""
    count = writer.lanes.count
    panel = writer.put(f"mul i64 %k, {count}")
    found = []
    for i in range(rows):
        column = writer.put(f"add i64 %a.row, {i}")
        down = writer.put(f"mul i64 {writer.put(f'udiv i64 {column}, {count}')}, {panel}")
        found.append(writer.element("%a", writer.put(f"add i64 {down}, {writer.put(f'urem i64 {column}, {count}')}")))
    return found


def _gram(lanes: Lanes) -> Function:
    writer = Writer(lanes)
    put, element, count = writer.put, writer.element, lanes.count
    panels = put(f"alloca [{PANEL_BYTES // lanes.bytes} x {lanes.scalar}], align 64")
    field = read_task(writer, FIELDS, _ADDRESSES)
    whole = put(f"and i64 {field['p']}, -{count}")
    left = put(f"sub i64 {field['p']}, {whole}")
    mask = writer.first(left)
    lane = put(f"icmp eq <{count} x i64> <{', '.join(f'i64 {k}' for k in range(count))}>, {writer.splat('i64', left)}")
    columns = put(f"add i64 {field['p']}, 1")
    wide = put(f"add i64 {whole}, {count}")
    with each(writer, "0", field["m"], field["depth"]) as i0:
        depth = least(writer, put(f"sub i64 {field['m']}, {i0}"), field["depth"])
        with each(writer, "0", depth, 1) as i:
            row = put(f"add i64 {i0}, {i}")
            source = element(field["x"], put(f"mul i64 {row}, {field['x.row']}"))
            target = element(panels, put(f"mul i64 {i}, {count}"))
            with each(writer, "0", whole, count) as j:
                place = element(target, put(f"mul i64 {j}, {depth}"))
                writer.store(place, writer.load(element(source, j), None), None)
            residual = put(f"load {lanes.scalar}, ptr {element(field['residual'], row)}, align {lanes.bytes}")
            last = writer.load(element(source, whole), mask).name
            every = writer.splat(lanes.scalar, residual)
            last = put(f"select {lanes.truths} {lane}, {lanes.vector} {every}, {lanes.vector} {last}")
            writer.store(element(target, put(f"mul i64 {whole}, {depth}")), Vector(writer, last), None)
        with each(writer, "0", columns, str(ROWS)) as c:
            rows = least(writer, put(f"sub i64 {columns}, {c}"), str(ROWS))
            function = tile_of(writer, "gram", rows)
            line = element(field["out"], put(f"mul i64 {c}, {field['out.row']}"))
            with each(writer, put(f"and i64 {c}, -{count}"), wide, count) as j:
                panel = element(panels, put(f"mul i64 {j}, {depth}"))
                writer.do(
                    f"call void {function}(ptr {element(line, j)}, i64 {field['out.row']}, ptr {panels}, i64 {c}, "
                    f"ptr {panel}, i64 {depth}, i64 {count}, i1 true)"
                )
    writer.do("ret void")
    return "define void @gram(ptr %task) {\nentry:\n" + "\n".join(writer.lines) + "\n}", writer.declared
