"""How the time of derivatives and solves grows: against rows, width, depth, parameters, columns and nodes. One thread.

The expected orders are those of the arithmetic. A gradient of a network with K layers of width w takes about 6 N K w^2
operations, a Hessian-vector product a few gradients, a Hessian N p^2; linear least squares by the normal equations or
by QR N D^2 while N is far above D; an expression's first evaluation (read, trace, differentiate, plan, run) and its
later ones are linear in its nodes.

A first evaluation is one of a model that this process has not seen: each has constants or shapes of its own, so that
nothing derived earlier is found again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from benchmarks.growth.curves import Curve, Panel, seconds
from nablad.solvers import Expression, Layer, LeastSquares, Network, Newton, solve

Call = Callable[[], object]

ROWS = (16, 64, 256, 1_024, 4_096, 16_384, 65_536)
WIDTHS = (4, 8, 16, 32, 64, 128, 256, 512, 1_024)
DEPTHS = (2, 4, 8, 16, 32, 64, 128)
HIDDEN = (3, 6, 10, 16, 24, 36, 54)
"""Widths of 8-w-w-1 networks: 49 to 3,511 parameters."""
COLUMNS = (4, 8, 16, 32, 64, 128, 256)
TERMS = (4, 12, 36, 108, 324, 972)
"""Of sums of exponentials, some four nodes each."""

_fresh = itertools.count(1)


def network(widths: tuple[int, ...], rows: int) -> Network:
    """A tanh network of these widths, the inputs' first, on random data."""
    rng = np.random.default_rng(5)
    inner = [Layer(width, "tanh") for width in widths[1:-1]]
    x, y = rng.standard_normal((rows, widths[0])), rng.standard_normal((rows, widths[-1]))
    return Network(x, y, (*inner, Layer(widths[-1])))


def least_squares(rows: int, columns: int) -> LeastSquares:
    rng = np.random.default_rng(6)
    x = rng.standard_normal((rows, columns))
    return LeastSquares(x, x @ np.ones(columns) + rng.standard_normal(rows))


def exponentials(terms: int, data: bool) -> Expression:
    """b1 exp(-c1 b2 x) + b1 exp(-c2 b2 x) + ..., with constants that no expression before it had: a sum of squares
    over 250 rows, or a scalar function of b1 and b2."""
    salt = next(_fresh)
    x = "x" if data else "0.5"
    text = "+".join(f"b1*exp(-{1.0 + k * 1e-4 + salt * 1e-9:.10f}*b2*{x})" for k in range(terms))
    start = {"b1": 0.5, "b2": 1.5}
    if not data:
        return Expression.parse(text, start=start)
    columns = np.linspace(0.0, 1.0, 250)
    return Expression.parse(text, data={"x": columns}, response=np.cos(columns), start=start)


def gradient(model: Network | Expression) -> Call:
    objective, theta = model.objective(), model.initial()
    return lambda: objective.value_and_gradient(theta)


def product(model: Network) -> Call:
    objective, theta = model.objective(), model.initial()
    direction = np.random.default_rng(8).standard_normal(theta.size)
    return lambda: objective.hvp(theta, direction)


def hessian(model: Network) -> Call:
    objective, theta = model.objective(), model.initial()
    return lambda: objective.hessian(theta)


def newton(model: LeastSquares) -> Call:
    def call() -> None:
        report = solve(model.objective(), Newton(), model.start())
        assert report.success, report.message

    return call


def of_networks(name: str, order: float, sizes: Iterable[float], models: list[Network], below: bool = False) -> Curve:
    """Value and gradient, beside their operations as counted."""
    counted = tuple(model.cost().gradient_flops for model in models)
    return Curve(name, order, tuple(sizes), seconds([gradient(model) for model in models]), counted, below)


def against_rows() -> Panel:
    networks = [network((32, 64, 64, 1), rows) for rows in ROWS]
    fits = [newton(least_squares(rows, 32)) for rows in ROWS[1:]]
    return Panel(
        "Rows",
        "data rows N",
        "N",
        (
            of_networks("gradient, network 32-64-64-1", 1.0, ROWS, networks, below=True),
            Curve("Newton, least squares, 32 columns", 1.0, ROWS[1:], seconds(fits)),
        ),
    )


def against_width() -> Panel:
    models = [network((16, width, width, 1), 512) for width in WIDTHS]
    return Panel(
        "Width",
        "width w of both hidden layers",
        "w",
        (of_networks("gradient, network 16-w-w-1, 512 rows", 2.0, WIDTHS, models),),
    )


def deep(depth: int, inputs: int = 16) -> Network:
    """K layers, all but the last 32 wide."""
    return network((inputs, *[32] * (depth - 1), 1), 256)


def first_of_network(depth: int) -> Call:
    return lambda: gradient(deep(depth, 16 + next(_fresh)))()


def against_depth() -> Panel:
    first = seconds([first_of_network(depth) for depth in DEPTHS])
    return Panel(
        "Depth",
        "layers K",
        "K",
        (
            of_networks("gradient, width 32, 256 rows", 1.0, DEPTHS, [deep(depth) for depth in DEPTHS], below=True),
            Curve("the same for the first time", 1.0, DEPTHS, first),
        ),
    )


def hidden(width: int) -> Network:
    return network((8, width, width, 1), 200)


def against_parameters() -> Panel:
    models = [hidden(width) for width in HIDDEN]
    sizes = tuple(model.size for model in models)
    return Panel(
        "Parameters",
        "parameters p",
        "p",
        (
            Curve("Hessian, network 8-w-w-1, 200 rows", 2.0, sizes, seconds([hessian(model) for model in models])),
            Curve("Hessian-vector product", 1.0, sizes, seconds([product(model) for model in models])),
            of_networks("gradient", 1.0, sizes, models, below=True),
        ),
    )


def against_columns() -> Panel:
    fits = [newton(least_squares(8_192, columns)) for columns in COLUMNS]
    return Panel(
        "Columns",
        "columns D",
        "D",
        (Curve("Newton, least squares, 8,192 rows", 2.0, COLUMNS, seconds(fits)),),
    )


def first_of_expression(terms: int) -> None:
    gradient(exponentials(terms, data=True))()


def against_nodes() -> Panel:
    with_rows = [exponentials(terms, data=True) for terms in TERMS]
    scalars = [exponentials(terms, data=False) for terms in TERMS]
    sizes, scalar_sizes = (tuple(len(model.graph.nodes) for model in models) for models in (with_rows, scalars))
    first = seconds([partial(first_of_expression, terms) for terms in TERMS])
    return Panel(
        "Nodes",
        "nodes of the expression",
        "n",
        (
            Curve("gradient for the first time, 250 rows", 1.0, sizes, first),
            Curve("gradient, 250 rows", 1.0, sizes, seconds([gradient(model) for model in with_rows])),
            Curve("gradient, no rows", 1.0, scalar_sizes, seconds([gradient(model) for model in scalars]), below=True),
        ),
    )


PANELS: tuple[Callable[[], Panel], ...] = (
    against_rows,
    against_width,
    against_depth,
    against_parameters,
    against_columns,
    against_nodes,
)
