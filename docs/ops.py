"""Writes docs/ops.md from the two tables of ops: python docs/ops.py

The derivative column is what the derivative rules build, printed: t is the cotangent of the result f.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nablad.expressions import OPS, ROWS, Node, OpSpec, Shape, Symbol, data, make, parameter
from nablad.expressions import symbols as s
from nablad.expressions.table import algebra, leaves, pointwise, reductions, structure
from nablad.solvers.autodiff.ops import MEANING, General, Linear, Meaning, Multilinear, Pointwise

PAGE = Path(__file__).with_name("ops.md")
COMMAND = "python docs/ops.py"
LONGEST = 100
"""Characters of a formula that fits a table's cell."""

NAMES = {"arctan2": "yx", "tanh_slope": "yx", "where": "cxy", "share": "wxy"}
"""Of operands; those of other ops are x, y."""

FAMILIES: dict[str, tuple[OpSpec, ...]] = {
    "Arithmetic, powers, roots": pointwise.ARITHMETIC,
    "Exponentials and logarithms": pointwise.EXPONENTIAL,
    "Trigonometric and hyperbolic functions": pointwise.TRIGONOMETRIC,
    "Special functions": pointwise.SPECIAL,
    "Corners and steps": pointwise.PIECEWISE,
    "Truths": pointwise.TRUTHS,
    "Functions that derivative rules use": pointwise.DERIVED,
    "Reductions and running sums": reductions.ROWS,
    "Moving numbers about": structure.ROWS,
    "Products and linear algebra": algebra.ROWS,
    "Leaves": leaves.ROWS,
}

M: Shape = (3, 3)
EXAMPLES: dict[str, list[tuple[tuple[Shape, ...], tuple[Any, ...]]]] = {
    "fixed_power": [(((ROWS,),), (2.5,))],
    "polygamma": [(((ROWS,),), (1,))],
    **{name: [(((ROWS, 3),), ((1,), False)), (((ROWS, 3),), ((0,), False))] for name in ("sum", "max", "min", "norm")},
    "logsumexp": [(((ROWS, 3),), ()), (((3, ROWS),), ())],
    "cumsum": [(((ROWS, 3),), (1, False)), (((ROWS, 3),), (0, False))],
    "broadcast_to": [(((ROWS, 1),), ((ROWS, 3),))],
    "reshape": [(((ROWS, 4),), ((ROWS, 2, 2),))],
    "transpose": [(((ROWS, 3),), ((1, 0),))],
    "slice": [(((ROWS, 3),), ((None, (0, 2)),))],
    "scatter": [(((ROWS, 2), (ROWS, 1)), ((ROWS, 3), ((None, (0, 2)), (None, (2, 3)))))],
    "concatenate": [(((ROWS, 2), (ROWS, 3)), (1,))],
    "take": [(((3,), (ROWS,)), (0,))],
    "scatter_add": [(((ROWS,), (ROWS,)), ((3,), 0))],
    "diagonal": [(((ROWS, 3, 3),), ())],
    "diag": [(((ROWS, 3),), ())],
    "tril": [(((ROWS, 3, 3),), (0,))],
    "triu": [(((ROWS, 3, 3),), (0,))],
    "matmul": [(((ROWS, 3), M), ()), (((3, ROWS), (ROWS, 3)), ())],
    **{name: [(((ROWS, 3, 3),), ())] for name in ("det", "logdet", "sign_det", "inv", "cofactors", "cholesky")},
    "cofactors_derivative": [(((ROWS, 3, 3), (ROWS, 3, 3)), ())],
    "solve": [(((ROWS, 3, 3), (ROWS, 3, 1)), ())],
    "solve_triangular": [(((ROWS, 3, 3), (ROWS, 3, 1)), (True, False))],
}
"""Operand shapes and attributes to show a row by; a pointwise row needs none."""

CONSTANTS = {
    math.log(2): "log(2)",
    math.log(10): "log(10)",
    2 / math.sqrt(math.pi): "(2/√π)",
    math.sqrt(math.pi) / 2: "(√π/2)",
    1 / math.sqrt(2 * math.pi): "(1/√(2π))",
}

INFIX = {
    "add": (" + ", 1, 1, 1),
    "subtract": (" - ", 1, 1, 2),
    "divide": (" / ", 2, 3, 4),
    "multiply": ("·", 3, 3, 3),
    "matmul": (" @ ", 3, 4, 4),
    "power": ("^", 5, 6, 6),
    "greater": (" > ", 0, 1, 1),
    "greater_equal": (" >= ", 0, 1, 1),
    "equal": (" = ", 0, 1, 1),
    "not_equal": (" ≠ ", 0, 1, 1),
    "logical_and": (" and ", 0, 0, 0),
    "logical_or": (" or ", 0, 1, 1),
}
"""Sign, how tightly it binds, and how tightly what stands left and right of it has to."""

HIDDEN = ("reshape", "broadcast_to")
"""What only lines up shapes."""


def text(node: Node, known: dict[Node, str], level: int = 0) -> str:
    """A node as mathematics; in parentheses where what stands around it binds more tightly."""
    if node in known:
        return known[node]
    if node.op == "constant":
        return number(node)
    if node.op in HIDDEN:
        return text(node.operands[0], known, level)
    if node.op in INFIX:
        sign, binding, left, right = INFIX[node.op]
        written = text(node.operands[0], known, left) + sign + text(node.operands[1], known, right)
    elif node.op == "negative":
        binding, written = 1, "-" + text(node.operands[0], known, 2)
    elif node.op == "square":
        binding, written = 5, text(node.operands[0], known, 6) + "²"
    elif node.op == "fixed_power":
        binding, written = 5, f"{text(node.operands[0], known, 6)}^{node.attributes[0]:g}"
    elif node.op == "transpose":
        binding, written = 6, text(node.operands[0], known, 6) + "'"
    else:
        shown = [text(x, known) for x in node.operands]
        order = [str(a) for name, a in zip(OPS[node.op].attributes, node.attributes, strict=True) if name == "order"]
        binding, written = 9, f"{node.op}({', '.join([*order, *shown])})"
    return f"({written})" if binding < level else written


def number(node: Node) -> str:
    if node.shape:
        return "0" if not node.value.any() else "constant"
    value = float(node.value)
    return CONSTANTS.get(value, f"{value:g}" if value >= 0 else f"({value:g})")


def names(spec: OpSpec) -> str:
    return NAMES.get(spec.name, "xy"[: spec.arity])


def applied(spec: OpSpec, shapes: Sequence[Shape], attributes: tuple[Any, ...]) -> tuple[Node, list[Symbol]]:
    operands = [parameter(name, shape) for name, shape in zip(names(spec), shapes, strict=False)]
    read = [s.greater(x, 0.0) if k in spec.truths else x for k, x in enumerate(operands)]
    return make(spec.name, [x.node for x in read], attributes), read


def examples(spec: OpSpec) -> list[tuple[tuple[Shape, ...], tuple[Any, ...]]]:
    if spec in pointwise.ROWS and spec.name not in EXAMPLES:
        return [(((ROWS,),) * (spec.arity or 0), ())]
    return EXAMPLES.get(spec.name, [])


def derivative(spec: OpSpec, meaning: Meaning) -> str:
    """What each operand's cotangent is."""
    if not examples(spec) or spec.result == "truth":
        return ""
    node, operands = applied(spec, *examples(spec)[0])
    t, f = data("t", node.shape), Symbol(node)
    known = {x.node: name for name, x in zip(names(spec), operands, strict=False)} | {node: "f", t.node: "t"}
    rule = meaning.derivative
    parts: list[Symbol | None]
    match rule:
        case Pointwise(builders) | Multilinear(builders):
            parts = [None if build is None else build(t, tuple(operands), f) for build in builders]
        case Linear(adjoint):
            parts = list(adjoint(t, node))
        case General(_, pull):
            parts = list(pull(t, tuple(operands), f))
        case None:
            return ""
    written = ["none" if part is None else fitted(text(part.node, known)) for part in parts]
    if len(written) == 1:
        return "0" if parts[0] is None else written[0]
    return "; ".join(f"{name}: {part}" for name, part in zip(names(spec), written, strict=True))


def fitted(formula: str) -> str:
    return f"`{formula}`" if len(formula) <= LONGEST else "see the rule"


KINDS = {"row": "row by row", "sum": "summed", None: "whole"}


def along_rows(spec: OpSpec, meaning: Meaning) -> str:
    found = dict.fromkeys(KINDS[meaning.rows(applied(spec, *example)[0])] for example in examples(spec))
    return " or ".join(found)


def line(spec: OpSpec) -> str:
    meaning = MEANING[spec.name]
    operands = ", ".join(names(spec)) + (", ..." if spec.arity is None else "")
    signature = f"{spec.name}({'; '.join(part for part in (operands, ', '.join(spec.attributes)) if part)})"
    cells = [
        f"`{signature}`",
        derivative(spec, meaning),
        f"{meaning.cost:.3g}",
        along_rows(spec, meaning),
        "yes" if meaning.analytic else "no",
        spec.domain,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


HEAD = f"""# Ops

Every op of the language, made from its tables by `{COMMAND}`. What users write (`np.exp`, `x ** 2`, `np.var`)
becomes these.

- **derivative**: the cotangent of each operand, t being that of the result f; forward mode uses the same rule. Shapes
  that are only lined up (stretched, summed back) are not shown, x' is the transpose, and "none" says that an operand is
  not differentiated. Examples: exponent 2.5, order 1.
- **cost**: operations for each element that the op loops over; one for arithmetic, ten for an elementary function.
  Value and gradient together never cost more than four values, for arithmetic and functions of one number (tested op by
  op).
- **rows**: along N data rows, whether a row of the result needs its own row only (then blocks of rows are run one after
  another), is summed over them, or needs the whole array.
- **complex**: complex numbers pass through in the interpreter, so that complex steps check the derivative.

Accuracy: values, first and second derivatives of the functions of one number are right to 1e-13 of themselves, near 0
and in the tails (tests/solvers/autodiff/test_accuracy.py; for `normal_cdf`, scipy's own, 4e-13 far left).
"""


def page() -> str:
    sections = [HEAD]
    for title, rows in FAMILIES.items():
        table = "\n".join(line(spec) for spec in rows)
        columns = "| op | derivative | cost | rows | complex | domain and conventions |\n|---|---|---|---|---|---|"
        sections.append(f"## {title}\n\n{columns}\n{table}\n")
    return "\n".join(sections)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
