"""How memory grows: what an evaluation takes beside its data, by count and as allocated.

As counted: `Model.cost()`, whose workspace is one thread's buffers and accumulators, and the tape that is done without.
As allocated: the peak of what tracemalloc sees (numpy reports its arrays to it) while an objective is made, evaluated
once and let go, of a model whose programs are compiled; its data are there before and do not count. Allocation does
not depend on the machine's mood: each number is taken once.

The expected orders: a value and gradient over row blocks holds one block's live results and its sums, so N to the 0 and
K to the 1 (reverse mode reads what each layer gave); w^2 once the sums outweigh the block. A dense Hessian is p^2
numbers. What is kept of an expression, its graphs and programs, is linear in its nodes.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

from benchmarks.growth.curves import Curve, Panel
from benchmarks.growth.engine import DEPTHS, HIDDEN, ROWS, TERMS, WIDTHS, deep, exponentials, hidden, network
from nablad.solvers import Network


def peak(call: Callable[[], object]) -> float:
    """Bytes at the height of a call, above what there was before it."""
    gc.collect()
    tracemalloc.start()
    try:
        call()
        return float(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def of_gradient(model: Network) -> float:
    """The peak of one value and gradient by an objective made for it."""
    theta = model.initial()

    def call() -> None:
        model.objective().value_and_gradient(theta)

    call()  # compiles, and has the libraries allocate what they keep
    return peak(call)


def of_hessian(model: Network) -> float:
    theta = model.initial()

    def call() -> None:
        model.objective().hessian(theta)

    call()
    return peak(call)


def of_first(terms: int) -> float:
    """The peak from an expression's text to its first gradient."""

    def call() -> None:
        model = exponentials(terms, data=True)
        model.objective().value_and_gradient(model.initial())

    return peak(call)


def of_networks(order: float, sizes: tuple[int, ...], models: list[Network]) -> tuple[Curve, ...]:
    """Peak beside the workspace as counted, and the tape that is done without."""
    costs = [model.cost() for model in models]
    workspaces = tuple(float(cost.workspace_bytes) for cost in costs)
    peaks = tuple(of_gradient(model) for model in models)
    tapes = tuple(float(cost.tape_bytes) for cost in costs)
    return (
        Curve("gradient, peak", order, sizes, peaks, workspaces),
        Curve("workspace as counted", order, sizes, workspaces, below=True),
        Curve("a tape, as counted, for comparison", 1.0, sizes, tapes),
    )


def against_rows() -> Panel:
    curves = of_networks(0.0, ROWS, [network((32, 64, 64, 1), rows) for rows in ROWS])
    return Panel("Rows: network 32-64-64-1", "data rows N", "N", curves)


def against_width() -> Panel:
    curves = of_networks(2.0, WIDTHS, [network((16, width, width, 1), 512) for width in WIDTHS])[:2]
    return Panel("Width: network 16-w-w-1, 512 rows", "width w of both hidden layers", "w", curves)


def against_depth() -> Panel:
    curves = of_networks(1.0, DEPTHS, [deep(depth) for depth in DEPTHS])[:2]
    return Panel("Depth: width 32, 256 rows", "layers K", "K", curves)


def against_parameters() -> Panel:
    models = [hidden(width) for width in HIDDEN]
    sizes = tuple(model.size for model in models)
    itself = tuple(float(model.cost().hessian_bytes) for model in models)
    return Panel(
        "Parameters: network 8-w-w-1, 200 rows",
        "parameters p",
        "p",
        (
            Curve("Hessian, peak", 2.0, sizes, tuple(of_hessian(model) for model in models), itself),
            Curve("the matrix itself", 2.0, sizes, itself, below=True),
        ),
    )


def against_nodes() -> Panel:
    # tracemalloc makes the making of graphs several times slower: not the largest.
    terms = TERMS[:-1]
    sizes = tuple(len(exponentials(count, data=True).graph.nodes) for count in terms)
    peaks = tuple(of_first(count) for count in terms)
    return Panel(
        "Nodes: sums of exponentials, 250 rows",
        "nodes of the expression",
        "n",
        (Curve("from its text to the first gradient, peak", 1.0, sizes, peaks),),
    )


PANELS: tuple[Callable[[], Panel], ...] = (
    against_rows,
    against_width,
    against_depth,
    against_parameters,
    against_nodes,
)
