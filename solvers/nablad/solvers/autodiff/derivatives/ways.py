"""The ways to a Jacobian or a Hessian.

With p parameters and m elements of f, forward mode pushes p directions, reverse mode pulls m; by rows, as many as one
row has elements. Where most entries are zero, one direction serves all columns, or rows, of one color (coloring.py).
A way's cost is counted on its own graph,

    operations = (what no direction touches) + passes x (what depends on the direction),

by the op rows' costs (Griewank and Walther 2008, chapter 4, bound the same by constants).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.coloring import Coloring
from nablad.solvers.autodiff.derivatives import kernels
from nablad.solvers.autodiff.derivatives.function import Function
from nablad.solvers.autodiff.derivatives.kernels import Kernel
from nablad.solvers.autodiff.derivatives.sparse import Kind, Sparsity

Derivative = Literal["jacobian", "hessian"]


class NoSuchWay(ValueError):
    """A way that is not in the table, or that this function does not allow."""


@dataclass(frozen=True)
class Setting:
    """What a way's cost depends on."""

    function: Function
    rows: int
    affine_residual: bool = False
    """f is the sum of squares of a residual that is affine in theta."""
    points: int = 1
    sparsity: Sparsity | None = None
    """None where sparse ways are out of the question."""

    def coloring(self, kind: Kind) -> Coloring | str:
        return "needs a sparse structure" if self.sparsity is None else self.sparsity.coloring(kind)

    @property
    def elements(self) -> int:
        return self.function.elements(self.rows)

    @property
    def elements_of_a_row(self) -> int:
        return row_size(self.function.output.shape)[1]


@dataclass(frozen=True)
class Way:
    """A row of the table."""

    name: str
    derivative: Derivative
    directions: str
    """What its directions are called in messages."""
    unfit: Callable[[Setting], str | None]
    """Why it cannot be gone here; None where it can."""
    passes: Callable[[Setting], int]
    kernel: Callable[[Function], Kernel] | None
    """The graph for one direction; None for a way of its own (`gauss_newton_exact`)."""
    factor: Callable[[Setting], float] = lambda setting: 1.0
    """So many times each direction visits the values that depend on theta."""
    whole: Callable[[Function], bool] = lambda function: False
    """Whether the number of rows must be bound in the graph first."""
    colored: Kind | None = None
    """What is colored: directions are then those of the colors, and entries are read from the pattern."""


def always(setting: Setting) -> str | None:
    return None


def _only_scalars_of_squares(setting: Setting) -> str | None:
    if setting.affine_residual:
        return None if setting.points == 1 else "is for one point: the Hessian is the same everywhere"
    return "needs an objective that is a sum of squares of a residual that is affine in the parameters"


def _mixes_rows(function: Function) -> bool:
    return bool(row_size(function.output.shape)[0]) and not function.by_rows


def _pulled(function: Function) -> Kernel:
    return kernels.pulled_by_rows(function) if function.by_rows else kernels.pulled(function)


def _pulls(setting: Setting) -> int:
    return setting.elements_of_a_row if setting.function.by_rows else setting.elements


def _size(setting: Setting) -> int:
    return setting.function.size


def _uncolored(kind: Kind) -> Callable[[Setting], str | None]:
    def unfit(setting: Setting) -> str | None:
        found = setting.coloring(kind)
        return found if isinstance(found, str) else None

    return unfit


def _colors(kind: Kind) -> Callable[[Setting], int]:
    def passes(setting: Setting) -> int:
        found = setting.coloring(kind)
        return 0 if isinstance(found, str) else found.count

    return passes


WAYS: tuple[Way, ...] = (
    Way("reverse", "jacobian", "pulled", always, _pulls, _pulled, whole=_mixes_rows),
    Way("forward", "jacobian", "pushed", always, _size, kernels.pushed),
    Way(
        "gauss_newton_exact",
        "hessian",
        "pushed",
        _only_scalars_of_squares,
        _size,
        None,
    ),
    Way(
        "forward_over_reverse",
        "hessian",
        "pushed",
        always,
        _size,
        kernels.curved,
        factor=lambda setting: float(_pulls(setting)),
        whole=_mixes_rows,
    ),
    Way(
        "forward_over_forward",
        "hessian",
        "pushed",
        always,
        _size,
        kernels.pushed_twice,
        factor=lambda setting: float(_size(setting)),
    ),
    Way(
        "forward_compressed",
        "jacobian",
        "pushed",
        _uncolored("columns"),
        _colors("columns"),
        kernels.pushed,
        colored="columns",
    ),
    Way(
        "reverse_compressed",
        "jacobian",
        "pulled",
        _uncolored("rows"),
        _colors("rows"),
        kernels.pulled,
        whole=lambda function: bool(row_size(function.output.shape)[0]),
        colored="rows",
    ),
    Way(
        "forward_over_reverse_compressed",
        "hessian",
        "pushed",
        _uncolored("symmetric"),
        _colors("symmetric"),
        kernels.curved,
        colored="symmetric",
    ),
)


def prepared(way: Way, setting: Setting) -> Function:
    """The function as this way differentiates it."""
    return setting.function.whole(setting.rows) if way.whole(setting.function) else setting.function
